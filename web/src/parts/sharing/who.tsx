// The plane of units, coloured by whose kernel each has, and those that share one lit up.

import type { JSX } from "preact";
import { Grid, kernelColour } from "../../drawing";
import { arrows, Figure, placeIn } from "../../figure";
import { exact } from "../../numbers";
import { kernelAt, outputsOf } from "../../setting";
import { account, setting, shade } from "../../state";
import { MOST_CELLS, plane, sharers, type Plane } from "./sharers";
import { position, type Place } from "./state";
import { text } from "./text";
import { wayText } from "./ways";

const TOP = 46;
const LARGEST_CELL = 40;

const cellOf = ({ rows, columns }: Plane, width: number) => Math.min(LARGEST_CELL, Math.max(4, Math.floor(width / Math.max(rows, columns, 8))));

/** The unit chosen, or the nearest that there is. */
function unit(): Place {
  const [rows, columns] = outputsOf(setting.value);
  const { row, column } = position.value;
  return { row: Math.min(row, rows - 1), column: Math.min(column, columns - 1) };
}

function choose(row: number, column: number, { rowsDrawn, columnsDrawn }: Plane): void {
  const within = (value: number, most: number) => Math.min(Math.max(value, 0), most - 1);
  position.value = { row: within(row, rowsDrawn), column: within(column, columnsDrawn) };
}

/** The cells of each kernel as one path, and the first of them. */
function squares({ columns, kernels }: Plane, cell: number): Map<number, { path: string; first: number }> {
  const found = new Map<number, { path: string; first: number }>();
  kernels.forEach((kernel, k) => {
    const { path, first } = found.get(kernel) ?? { path: "", first: k };
    const square = `M${(k % columns) * cell} ${TOP + Math.floor(k / columns) * cell}h${cell}v${cell}h${-cell}z`;
    found.set(kernel, { path: path + square, first });
  });
  return found;
}

/** Lines between cells that do not have the same kernel. */
function borders({ rows, columns, kernels }: Plane, cell: number): string {
  let path = "";
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const own = kernels[row * columns + column];
      if (column > 0 && kernels[row * columns + column - 1] !== own) path += `M${column * cell} ${TOP + row * cell}v${cell}`;
      if (row > 0 && kernels[(row - 1) * columns + column] !== own) path += `M${column * cell} ${TOP + row * cell}h${cell}`;
    }
  }
  return path;
}

function Drawing({ drawn, width }: { drawn: Plane; width: number }): JSX.Element {
  const t = text();
  const now = setting.value;
  const { row, column } = unit();
  const { rows, columns, scale } = drawn;
  const cell = cellOf(drawn, width);
  const name = kernelAt(now, row, column);
  const shares = (k: number) => kernelAt(now, Math.floor(k / columns) * scale, (k % columns) * scale) === name;
  const at = { row: Math.floor(row / scale), column: Math.floor(column / scale) };
  return (
    <g>
      <text x={0} y={15} class="sharing-unit">
        {t.whoUnit(exact(row + 1), exact(column + 1))}
      </text>
      <text x={0} y={34}>
        {t.whoShares(exact(sharers(now, row, column)))}
      </text>
      {Array.from(squares(drawn, cell), ([kernel, { path, first }]) => (
        <path key={kernel} class="cell" d={path} fill={kernelColour(kernel, shade.value)} fill-opacity={shares(first) ? 1 : 0.36} />
      ))}
      {cell >= 8 && <Grid class="sharing-units" rows={rows} columns={columns} y={TOP} cell={cell} />}
      <path class="sharing-borders" d={borders(drawn, cell)} />
      {at.row < rows && at.column < columns && (
        <rect class="sharing-mark" x={at.column * cell + 1} y={TOP + at.row * cell + 1} width={cell - 2} height={cell - 2} />
      )}
    </g>
  );
}

export function Who(): JSX.Element {
  const t = text();
  const drawn = plane(setting.value);
  const { rows, columns } = account.value;
  const { row, column } = unit();
  const point = (event: JSX.TargetedPointerEvent<HTMLDivElement>) => {
    const [x, y] = placeIn(event);
    const cell = cellOf(drawn, event.currentTarget.getBoundingClientRect().width);
    const [down, right] = [Math.floor((y - TOP) / cell), Math.floor(x / cell)];
    if (down >= 0 && down < drawn.rows && right >= 0 && right < drawn.columns) choose(down * drawn.scale, right * drawn.scale, drawn);
  };
  return (
    <Figure
      name="sharing-who"
      title={t.who}
      description={t.whoSaid(wayText(setting.value.share), exact(row + 1), exact(column + 1), exact(sharers(setting.value, row, column)))}
      caption={t.whoCaption(exact(drawn.rowsDrawn), exact(drawn.columnsDrawn), exact(rows), exact(columns), exact(drawn.scale))}
      height={(width) => TOP + drawn.rows * cellOf(drawn, Math.min(width, MOST_CELLS * LARGEST_CELL))}
      frame={{
        tabIndex: 0,
        role: "group",
        "aria-label": t.whoFrame,
        onPointerMove: point,
        onPointerDown: point,
        onKeyDown: arrows((down, right) => choose(row + down * drawn.scale, column + right * drawn.scale, drawn)),
      }}
    >
      {(width) => <Drawing drawn={drawn} width={width} />}
    </Figure>
  );
}
