// The one setting that all six parts share, its limits, and how it is written in an address.

import { outputSize, samePadding, type Padding } from "./geometry";

export type Share =
  | { readonly kind: "own" }
  | { readonly kind: "block"; readonly step: number }
  | { readonly kind: "tile"; readonly step: number }
  | { readonly kind: "all" };

export interface Setting {
  readonly height: number;
  readonly width: number;
  readonly kernel: number;
  readonly stride: number;
  readonly padding: "same" | "valid";
  readonly share: Share;
  readonly pool: number;
  readonly poolStride: number;
  readonly poolKind: "max" | "average";
}

/** The field's standard example: 10^12, 10^8, 100. */
export const EXAMPLE: Setting = {
  height: 1000,
  width: 1000,
  kernel: 10,
  stride: 1,
  padding: "same",
  share: { kind: "all" },
  pool: 2,
  poolStride: 2,
  poolKind: "max",
};

export const LARGEST_SIDE = 100_000;
export const LARGEST_KERNEL = 1_000;

const within = (value: number, low: number, high: number) => Math.min(Math.max(Math.round(value), low), high);

export function paddingOf({ padding, kernel }: Setting): Padding {
  return padding === "same" ? samePadding(kernel) : [0, 0];
}

/** Rows and columns of units. */
export function outputsOf(setting: Setting): [rows: number, columns: number] {
  const pad = paddingOf(setting);
  const along = (size: number) => outputSize(size, setting.kernel, setting.stride, pad);
  return [along(setting.height), along(setting.width)];
}

/** The nearest setting that is one: a window that fits the image, a pool that fits the units. */
export function mended(setting: Setting): Setting {
  const height = within(setting.height, 1, LARGEST_SIDE);
  const width = within(setting.width, 1, LARGEST_SIDE);
  const side = Math.min(height, width);
  const kernel = within(setting.kernel, 1, Math.min(side, LARGEST_KERNEL));
  const stride = within(setting.stride, 1, LARGEST_SIDE);
  const sound = { ...setting, height, width, kernel, stride };
  const [rows, columns] = outputsOf(sound);
  const pool = within(setting.pool, 1, Math.min(rows, columns));
  const { share } = setting;
  return {
    ...sound,
    share: "step" in share ? { ...share, step: within(share.step, 1, LARGEST_SIDE) } : share,
    pool,
    poolStride: within(setting.poolStride, 1, LARGEST_SIDE),
  };
}

// ---- in an address --------------------------------------------------------------------------

const whole = (text: string) => (/^[0-9]{1,6}$/.test(text) && Number(text) > 0 ? Number(text) : undefined);

export function shareText(share: Share): string {
  return "step" in share ? `${share.kind}-${share.step}` : share.kind;
}

export function shareFrom(text: string): Share | undefined {
  if (text === "own" || text === "all") return { kind: text };
  const [kind, step] = text.split("-");
  const number = whole(step ?? "");
  return (kind === "block" || kind === "tile") && number !== undefined ? { kind, step: number } : undefined;
}

const ENTRIES = ["size", "kernel", "stride", "padding", "share", "pool", "pool-stride", "pool-kind"] as const;

/** Every entry of a setting as it is written in an address and on the command line. */
export function written(setting: Setting): Record<(typeof ENTRIES)[number], string> {
  return {
    size: `${setting.height}x${setting.width}`,
    kernel: String(setting.kernel),
    stride: String(setting.stride),
    padding: setting.padding,
    share: shareText(setting.share),
    pool: String(setting.pool),
    "pool-stride": String(setting.poolStride),
    "pool-kind": setting.poolKind,
  };
}

/** The entries that differ from the example's. Pooling windows that do not overlap need no stride of their own. */
export function entries(setting: Setting): [name: string, value: string][] {
  const standard = { ...written(EXAMPLE), "pool-stride": String(setting.pool) };
  const own = written(setting);
  return ENTRIES.filter((name) => own[name] !== standard[name]).map((name) => [name, own[name]]);
}

/** The setting that an address names; what is missing or makes no sense is the example's. */
export function settingFrom(given: ReadonlyMap<string, string>): Setting {
  const number = (name: string, otherwise: number) => whole(given.get(name) ?? "") ?? otherwise;
  const [height, width] = (given.get("size") ?? "").split("x").map(whole);
  const padding = given.get("padding");
  const poolKind = given.get("pool-kind");
  const pool = number("pool", EXAMPLE.pool);
  return mended({
    height: height ?? EXAMPLE.height,
    width: width ?? height ?? EXAMPLE.width,
    kernel: number("kernel", EXAMPLE.kernel),
    stride: number("stride", EXAMPLE.stride),
    padding: padding === "valid" ? "valid" : "same",
    share: shareFrom(given.get("share") ?? "") ?? EXAMPLE.share,
    pool,
    poolStride: number("pool-stride", pool),
    poolKind: poolKind === "average" ? "average" : "max",
  });
}

// ---- where things are -----------------------------------------------------------------------

/** The name of the kernel at a position: positions with the same name share it. */
export function kernelAt(setting: Setting, row: number, column: number): number {
  const [, columns] = outputsOf(setting);
  const { share } = setting;
  if (share.kind === "all") return 0;
  if (share.kind === "own") return row * columns + column;
  if (share.kind === "tile") return (row % share.step) * Math.min(share.step, columns) + (column % share.step);
  return Math.floor(row / share.step) * Math.ceil(columns / share.step) + Math.floor(column / share.step);
}
