// What each idea leaves of the weights: exact integers, the same as striate's Python gives for the setting.

import { blockCount, outputSize, tapsInside } from "./geometry";
import { outputsOf, paddingOf, type Setting } from "./setting";

export const BYTES_PER_WEIGHT = 4n;
/** What a SATA solid-state disk reads in a second. */
export const BYTES_PER_SECOND = 500_000_000n;
/** The dense layer that stands behind the units in the account of pooling. */
export const CLASSES = 10n;

export interface Account {
  readonly pixels: bigint;
  readonly rows: number;
  readonly columns: number;
  readonly units: bigint;
  /** Weights where every unit is wired to every pixel. */
  readonly dense: bigint;
  /** Connections where a unit sees a window: also the weights, while nothing is shared. */
  readonly connections: bigint;
  readonly connectionsInside: bigint;
  readonly kernels: bigint;
  readonly weights: bigint;
  /** Weights where one kernel serves all units. */
  readonly shared: bigint;
  readonly pooledRows: number;
  readonly pooledColumns: number;
  readonly pooledUnits: bigint;
  /** Weights of a dense layer to ten classes, from the units and from the pooled units. */
  readonly head: bigint;
  readonly pooledHead: bigint;
}

export function accountOf(setting: Setting): Account {
  const { height, width, kernel, stride, share, pool, poolStride } = setting;
  const padding = paddingOf(setting);
  const [rows, columns] = outputsOf(setting);
  const pixels = BigInt(height) * BigInt(width);
  const units = BigInt(rows) * BigInt(columns);
  const taps = BigInt(kernel) ** 2n;
  const along = {
    own: (n: number) => n,
    all: () => 1,
    block: (n: number) => blockCount(n, "step" in share ? share.step : 1),
    tile: (n: number) => Math.min(n, "step" in share ? share.step : 1),
  }[share.kind];
  const kernels = BigInt(along(rows)) * BigInt(along(columns));
  const pooledRows = outputSize(rows, pool, poolStride);
  const pooledColumns = outputSize(columns, pool, poolStride);
  const pooledUnits = BigInt(pooledRows) * BigInt(pooledColumns);
  return {
    pixels,
    rows,
    columns,
    units,
    dense: units * pixels,
    connections: units * taps,
    connectionsInside:
      BigInt(tapsInside(height, kernel, stride, padding)) * BigInt(tapsInside(width, kernel, stride, padding)),
    kernels,
    weights: kernels * taps,
    shared: taps,
    pooledRows,
    pooledColumns,
    pooledUnits,
    head: units * CLASSES,
    pooledHead: pooledUnits * CLASSES,
  };
}
