// Who shares a kernel with whom: the ways to share that a slider runs through, and the plane as it is drawn.

import { outputsOf, kernelAt, shareText, type Setting, type Share } from "../../setting";

export type Arrangement = "block" | "tile";

/** From a kernel for each position to one for all: ever fewer kernels. The setting's own way is always among them. */
export function stops(setting: Setting, arrangement: Arrangement): Share[] {
  const most = Math.max(...outputsOf(setting));
  const steps: number[] = [];
  for (let step = 2; step < most; step *= 2) steps.push(step);
  const { share } = setting;
  if (share.kind === arrangement && !steps.includes(share.step)) steps.push(share.step);
  steps.sort((a, b) => (arrangement === "block" ? a - b : b - a));
  return [{ kind: "own" }, ...steps.map((step): Share => ({ kind: arrangement, step })), { kind: "all" }];
}

export const sameShare = (one: Share, other: Share): boolean => shareText(one) === shareText(other);

/** How many positions have the kernel of this one, itself included. */
export function sharers(setting: Setting, row: number, column: number): bigint {
  const [rows, columns] = outputsOf(setting);
  const { share } = setting;
  if (share.kind === "own") return 1n;
  if (share.kind === "all") return BigInt(rows) * BigInt(columns);
  const { step } = share;
  const along =
    share.kind === "block"
      ? (place: number, size: number) => Math.min(step, size - Math.floor(place / step) * step)
      : (place: number, size: number) => Math.ceil((size - (place % step)) / step);
  return BigInt(along(row, rows)) * BigInt(along(column, columns));
}

export const MOST_CELLS = 24;

/** A corner of the plane of positions as cells; a cell is `scale` × `scale` positions and has its first one's kernel. */
export interface Plane {
  readonly scale: number;
  readonly rows: number;
  readonly columns: number;
  /** The kernel of each cell, numbered as they come. */
  readonly kernels: readonly number[];
  /** Positions drawn. */
  readonly rowsDrawn: number;
  readonly columnsDrawn: number;
}

export function plane(setting: Setting): Plane {
  const [allRows, allColumns] = outputsOf(setting);
  const scale = scaleOf(setting, Math.max(allRows, allColumns));
  const along = (size: number) => Math.min(MOST_CELLS, Math.ceil(size / scale));
  const rows = along(allRows);
  const columns = along(allColumns);
  const numbers = new Map<number, number>();
  const kernels = Array.from({ length: rows * columns }, (_, k) => {
    const name = kernelAt(setting, Math.floor(k / columns) * scale, (k % columns) * scale);
    if (!numbers.has(name)) numbers.set(name, numbers.size);
    return numbers.get(name)!;
  });
  return {
    scale,
    rows,
    columns,
    kernels,
    rowsDrawn: Math.min(rows * scale, allRows),
    columnsDrawn: Math.min(columns * scale, allColumns),
  };
}

/** The least scale at which two blocks, or two repetitions of a tile, can be seen and no cell spans a border. */
function scaleOf({ share }: Setting, size: number): number {
  if (!("step" in share) || size <= MOST_CELLS || 2 * share.step <= MOST_CELLS) return 1;
  const { kind, step } = share;
  for (let scale = 2; scale < step; scale++) {
    if (step % scale === 0 && scale * MOST_CELLS >= 2 * step) return scale;
  }
  // Cells as large as a tile would all have its first kernel.
  return kind === "block" ? step : 1;
}
