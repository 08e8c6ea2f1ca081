// "A window of four becomes one": a small table of numbers, its windows in colour, and what is left of each.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Button } from "../../controls";
import { Grid, kernelColour } from "../../drawing";
import { arrows, Figure } from "../../figure";
import { SIDE } from "../../networks";
import { outputSize } from "../../geometry";
import { shade } from "../../state";
import { pooledOf, unseen, type Picture, type Pooled } from "./pool";
import { pool, STANDARD_TABLE, table, unit } from "./state";
import { text } from "./text";

/** The smallest table, from six a side, that the windows cover exactly and more than once; else the largest. */
function sideFor(window: number, stride: number): number {
  const sides = Array.from({ length: SIDE - 5 }, (_, k) => 6 + k).filter((side) => side >= window);
  return sides.find((side) => unseen(side, window, stride).edge === 0 && outputSize(side, window, stride) > 1) ?? SIDE;
}

const numbersOf = (all: string, side: number): Picture => ({
  rows: side,
  columns: side,
  values: Array.from({ length: side * side }, (_, k) => Number(all[Math.floor(k / side) * SIDE + (k % side)])),
});

/** A value with at most two digits after the point. */
export const fine = (value: number): string => String(Number(value.toFixed(2)));
const told = (value: number) => (Math.abs(value - Number(fine(value))) > 1e-9 ? `≈ ${fine(value)}` : fine(value));

interface Layout {
  readonly cell: number;
  readonly input: readonly [x: number, y: number];
  readonly output: readonly [x: number, y: number];
  readonly beside: boolean;
  readonly height: number;
}

const LABEL = 26;

/** The pooled table beside the numbers, or below them where the width is short. */
function layoutOf(width: number, inputs: number, pooled: Pooled): Layout {
  const outputs = pooled.columns;
  const longest = Math.max(...pooled.values.map((value) => fine(value).length));
  const gap = width > 600 ? 120 : 40;
  const beside = Math.min(60, Math.floor((width - gap - 2) / (inputs + outputs)));
  const room = width - (1 + inputs * beside + gap) >= 110; // for the words over the pooled table
  if (beside >= (longest > 3 ? 38 : 29) && room) {
    const down = LABEL + Math.floor(((inputs - outputs) * beside) / 2);
    return { cell: beside, input: [1, LABEL], output: [1 + inputs * beside + gap, down], beside: true, height: LABEL + inputs * beside + 2 };
  }
  const cell = Math.min(44, Math.floor((width - 2) / inputs));
  const below = LABEL + inputs * cell + 48;
  const across = 1 + Math.floor(((inputs - outputs) * cell) / 2);
  return { cell, input: [1, LABEL], output: [across, below], beside: false, height: below + outputs * cell + LABEL };
}

const colourOf = (index: number) => kernelColour(index, shade.value);

/** The colours of the windows, laid over the numbers; overlaps show both. */
function Windows({ pooled, side, stride, cell, lit }: { pooled: Pooled; side: number; stride: number; cell: number; lit: number }): JSX.Element {
  const overlap = stride < side;
  const order = [...pooled.windows.keys()].sort((a, b) => Number(a === lit) - Number(b === lit));
  return (
    <>
      {order.map((index) => {
        const [row, column] = [Math.floor(index / pooled.columns), index % pooled.columns];
        // Frames of neighbours that overlap stand at different depths, or they would hide one another.
        const inset = overlap && index !== lit ? 2 + 2.5 * ((row % 2) * 2 + (column % 2)) : 2;
        const size = side * cell - 2 * inset;
        return (
          <rect
            key={index}
            x={column * stride * cell + inset}
            y={row * stride * cell + inset}
            width={size}
            height={size}
            rx={5}
            style={{
              fill: colourOf(index),
              fillOpacity: index === lit ? 0.34 : overlap ? 0.12 : 0.18,
              stroke: colourOf(index),
              strokeWidth: index === lit ? 3.5 : 1.5,
            }}
          />
        );
      })}
    </>
  );
}

/** A ring in the colours of the windows that a number won. */
function Ring({ x, y, radius, owners, lit }: { x: number; y: number; radius: number; owners: readonly number[]; lit: number }): JSX.Element {
  const around = 2 * Math.PI * radius;
  const share = around / owners.length;
  return (
    <g>
      <circle class="pooling-ring" cx={x} cy={y} r={radius} />
      {owners.map((owner, k) => (
        <circle
          key={owner}
          cx={x}
          cy={y}
          r={radius}
          transform={`rotate(${(360 * k) / owners.length - 90} ${x} ${y})`}
          style={{
            fill: "none",
            stroke: colourOf(owner),
            strokeWidth: owner === lit ? 4 : 2.5,
            ...(owners.length > 1 ? { strokeDasharray: `${share - 2} ${around - share + 2}` } : {}),
          }}
        />
      ))}
    </g>
  );
}

export function WindowFigure(): JSX.Element {
  const t = text();
  const { side, stride, kind, asked, cut } = pool.value;
  const [cursor, setCursor] = useState<number | undefined>(undefined);
  const numbers = numbersOf(table.value, sideFor(side, stride));
  const pooled = pooledOf(numbers, side, stride, kind);
  const row = Math.min(unit.value[0], pooled.rows - 1);
  const column = Math.min(unit.value[1], pooled.columns - 1);
  const lit = row * pooled.columns + column;
  const cells = pooled.windows[lit]!;

  const choose = (index: number) => {
    unit.value = [Math.floor(index / pooled.columns), index % pooled.columns];
    setCursor((at) => (at === undefined ? undefined : 0));
  };
  const write = (cell: number, value: number) => {
    const place = Math.floor(cell / numbers.columns) * SIDE + (cell % numbers.columns);
    table.value = table.value.slice(0, place) + String(value) + table.value.slice(place + 1);
  };
  const step = arrows((down, right) => {
    const to = (at: number, by: number, count: number) => Math.min(Math.max(at + by, 0), count - 1);
    choose(to(row, down, pooled.rows) * pooled.columns + to(column, right, pooled.columns));
  });
  const onKeyDown = (event: KeyboardEvent) => {
    step(event);
    if (!/^[0-9]$/.test(event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = (cursor ?? 0) % cells.length;
    write(cells[at]!, Number(event.key));
    setCursor((at + 1) % cells.length);
  };

  const list = cells.length > 9 ? t.many(cells.length) : cells.map((cell) => numbers.values[cell]).join(", ");
  const value = pooled.values[lit]!;
  const reading =
    cells.length === 1
      ? t.only(row + 1, column + 1, fine(value))
      : kind === "max"
      ? t.largest(row + 1, column + 1, list, fine(value))
      : t.average(row + 1, column + 1, list, told(value));
  const inSeveral = pooled.seen.filter((times) => times > 1).length;
  const notes = [
    cut && t.cut(asked, side),
    kind === "max" && t.ringed,
    inSeveral > 0 && t.overlapping(side, stride, inSeveral),
    pooled.seen.includes(0) && t.apart,
    t.how,
  ].filter(Boolean);

  return (
    <>
      <Figure
        name="pooling-window"
        title={t.windowTitle(side)}
        description={t.windowDescription(numbers.rows, numbers.columns, side, stride, t.kinds[kind], pooled.values.map(fine).join(", "))}
        caption={
          <>
            <p class="pooling-reading" aria-live="polite">
              {reading}
            </p>
            {notes.join(t.gap)}
          </>
        }
        height={(width) => layoutOf(width, numbers.columns, pooled).height}
        frame={{
          tabIndex: 0,
          role: "group",
          "aria-label": t.windowFrame,
          onKeyDown,
          onFocus: () => setCursor(0),
          onBlur: () => setCursor(undefined),
        }}
      >
        {(width) => {
          const { cell, input, output, beside } = layoutOf(width, numbers.columns, pooled);
          const size = Math.max(13, Math.round(cell * 0.36));
          const place = (index: number, columns: number): [number, number] => [(index % columns) * cell, Math.floor(index / columns) * cell];
          const middle = cell / 2;
          const [top, left, far] = [row * stride * cell + input[1], column * stride * cell + input[0], side * cell];
          const [toX, toY] = [output[0] + column * cell, output[1] + row * cell];
          const funnel = beside
            ? `M${left + far} ${top}L${toX} ${toY}v${cell}L${left + far} ${top + far}Z`
            : `M${left} ${top + far}L${toX} ${toY}h${cell}L${left + far} ${top + far}Z`;
          return (
            <>
              <text class="label" x={input[0]} y={16}>
                {t.units(numbers.rows, numbers.columns)}
              </text>
              <text class="label" x={output[0]} y={beside ? output[1] - 10 : output[1] + pooled.rows * cell + 18}>
                {t.pooled(pooled.rows, pooled.columns)}
              </text>
              <g transform={`translate(${input[0]} ${input[1]})`}>
                {pooled.seen.map((times, k) =>
                  times > 0 ? null : <rect key={k} class="pooling-unseen" x={place(k, numbers.columns)[0]} y={place(k, numbers.columns)[1]} width={cell} height={cell} />,
                )}
                <Grid rows={numbers.rows} columns={numbers.columns} cell={cell} />
                <Windows pooled={pooled} side={side} stride={stride} cell={cell} lit={lit} />
              </g>
              <path class="pooling-funnel" d={funnel} style={{ fill: colourOf(lit), stroke: colourOf(lit) }} />
              <g transform={`translate(${input[0]} ${input[1]})`} style={{ fontSize: `${size}px` }}>
                {numbers.values.map((number, k) => {
                  const [x, y] = place(k, numbers.columns);
                  const owners = pooled.winners.flatMap((winner, index) => (winner === k ? [index] : []));
                  return (
                    <g key={k} class="pooling-number" onClick={() => write(k, (number + 1) % 10)}>
                      <rect x={x} y={y} width={cell} height={cell} class="pooling-target" />
                      {owners.length > 0 && <Ring x={x + middle} y={y + middle} radius={cell * 0.33} owners={owners} lit={lit} />}
                      <text
                        x={x + middle}
                        y={y + middle}
                        class={`pooling-value ${pooled.seen[k] === 0 ? "outside" : ""} ${owners.length > 0 ? "won" : ""}`}
                        style={{ fontSize: `${size}px` }}
                      >
                        {number}
                      </text>
                      {cursor !== undefined && cells[cursor % cells.length] === k && (
                        <path class="pooling-cursor" d={`M${x + cell * 0.28} ${y + cell - 4}h${cell * 0.44}`} />
                      )}
                    </g>
                  );
                })}
              </g>
              <g transform={`translate(${output[0]} ${output[1]})`}>
                {pooled.values.map((result, k) => {
                  const [x, y] = place(k, pooled.columns);
                  return (
                    <g key={k} class="pooling-unit" onPointerEnter={() => choose(k)} onClick={() => choose(k)}>
                      <rect x={x} y={y} width={cell} height={cell} class="pooling-paper" />
                      <rect
                        x={x + 1.5}
                        y={y + 1.5}
                        width={cell - 3}
                        height={cell - 3}
                        rx={4}
                        style={{
                          fill: colourOf(k),
                          fillOpacity: k === lit ? 0.4 : 0.2,
                          stroke: colourOf(k),
                          strokeWidth: k === lit ? 3 : 1.5,
                        }}
                      />
                      <text x={x + middle} y={y + middle} class="pooling-value won" style={{ fontSize: `${fine(result).length > 2 ? Math.max(12, size - 4) : size}px` }}>
                        {fine(result)}
                      </text>
                    </g>
                  );
                })}
              </g>
            </>
          );
        }}
      </Figure>
      {table.value !== STANDARD_TABLE && (
        <Button
          onClick={() => {
            table.value = STANDARD_TABLE;
          }}
        >
          {t.reset}
        </Button>
      )}
    </>
  );
}
