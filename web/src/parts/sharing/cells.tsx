// A small table of signed numbers as coloured squares, with or without the numbers in them.

import { Fragment, type JSX } from "preact";
import { Grid, signed } from "../../drawing";
import { shade } from "../../state";

/** Colours that leave the numbers on them readable. */
const PALE = 0.5;

export function Cells(props: {
  values: ArrayLike<number | undefined>;
  columns: number;
  x: number;
  y: number;
  cell: number;
  /** The size of value that has the full colour. */
  most: number;
  /** Writes the numbers. */
  write?: (value: number) => string;
  lines?: boolean;
}): JSX.Element {
  const { values, columns, x, y, cell, most, write, lines = true } = props;
  const strength = (write ? PALE : 1) / (most || 1);
  const all = Array.from(values);
  return (
    <g>
      {all.map((value, k) => {
        if (value === undefined) return null;
        const left = x + (k % columns) * cell;
        const top = y + Math.floor(k / columns) * cell;
        return (
          <Fragment key={k}>
            <rect class="cell" x={left} y={top} width={cell} height={cell} fill={signed(value * strength, shade.value)} />
            {write && (
              <text class="tap" x={left + cell / 2} y={top + cell / 2} text-anchor="middle" dominant-baseline="central">
                {write(value)}
              </text>
            )}
          </Fragment>
        );
      })}
      {lines && <Grid rows={all.length / columns} columns={columns} x={x} y={y} cell={cell} />}
    </g>
  );
}

/** A minus sign as wide as a digit. */
export const written = (value: number): string => String(value).replace("-", "−");
