// Pooling of a small picture, cell by cell: what the figures draw. Counts at the setting's own size are the
// account's; nothing here runs over more than a few dozen cells.

import { mapOf } from "../../filter";
import { outputSize } from "../../geometry";

export type Kind = "max" | "average";

/** rows × columns values, row by row. */
export interface Picture {
  readonly rows: number;
  readonly columns: number;
  readonly values: readonly number[];
}

export interface Pooled extends Picture {
  /** Cells of the picture in each unit's window, row by row. */
  readonly windows: readonly (readonly number[])[];
  /** The cell that each unit's value came from: the first of the largest, as in PyTorch. Empty for an average. */
  readonly winners: readonly number[];
  /** Windows that each cell of the picture is in. */
  readonly seen: readonly number[];
  /** Windows that each cell of the picture won. */
  readonly wins: readonly number[];
}

function counted(cells: readonly number[], total: number): number[] {
  const counts = new Array<number>(total).fill(0);
  for (const cell of cells) counts[cell] = (counts[cell] ?? 0) + 1;
  return counts;
}

/** The picture with every window of `side` × `side`, `stride` apart, made one value. No padding, floor. */
export function pooledOf(picture: Picture, side: number, stride: number, kind: Kind): Pooled {
  const { rows, columns, values } = picture;
  const [down, across] = [outputSize(rows, side, stride), outputSize(columns, side, stride)];
  const windows = Array.from({ length: down * across }, (_, unit) => {
    const [top, left] = [Math.floor(unit / across) * stride, (unit % across) * stride];
    return Array.from({ length: side * side }, (_, k) => (top + Math.floor(k / side)) * columns + left + (k % side));
  });
  const best = windows.map((cells) => cells.reduce((a, b) => (values[b]! > values[a]! ? b : a)));
  const mean = (cells: readonly number[]) => cells.reduce((sum, cell) => sum + values[cell]!, 0) / cells.length;
  const winners = kind === "max" ? best : [];
  return {
    rows: down,
    columns: across,
    values: kind === "max" ? best.map((cell) => values[cell]!) : windows.map(mean),
    windows,
    winners,
    seen: counted(windows.flat(), values.length),
    wins: counted(winners, values.length),
  };
}

/** Inputs along an axis that no window sees: beyond the last window, and between windows further apart than wide. */
export function unseen(size: number, side: number, stride: number): { edge: number; between: number } {
  const outputs = outputSize(size, side, stride);
  return {
    edge: size - ((outputs - 1) * stride + side),
    between: (outputs - 1) * Math.max(stride - side, 0),
  };
}

/** The picture moved by so many rows and columns; zero comes in, what passes the edge is gone. */
export function shifted({ rows, columns, values }: Picture, down: number, right: number): Picture {
  const at = (row: number, column: number) =>
    row < 0 || row >= rows || column < 0 || column >= columns ? 0 : values[row * columns + column]!;
  return {
    rows,
    columns,
    values: values.map((_, cell) => at(Math.floor(cell / columns) - down, (cell % columns) - right)),
  };
}

/** The picture under a 3×3 kernel, padded with zeros; what is below zero becomes zero. */
export function filtered(picture: Picture, kernel: readonly number[]): Picture {
  return { ...picture, values: mapOf(picture.values, picture.columns, kernel).map((value) => Math.max(value, 0)) };
}

export interface Change {
  readonly cells: readonly boolean[];
  readonly count: number;
  /** The sum of all differences over the sum before; undefined where that is zero. */
  readonly relative: number | undefined;
}

export function changeBetween(before: Picture, after: Picture): Change {
  const cells = before.values.map((value, k) => value !== after.values[k]);
  const total = before.values.reduce((sum, value) => sum + value, 0);
  const moved = before.values.reduce((sum, value, k) => sum + Math.abs(value - after.values[k]!), 0);
  return { cells, count: cells.filter(Boolean).length, relative: total > 0 ? moved / total : undefined };
}
