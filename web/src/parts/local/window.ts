// What one unit sees, and what no unit sees: along an axis, then over both.

import { outputSize, tapsInside, windowOf, type Padding } from "../../geometry";
import { paddingOf, type Setting } from "../../setting";
import type { Place } from "./place";

/** A window along one axis: input indices [start, stop), and those of them that the image has. */
export interface Span {
  readonly start: number;
  readonly stop: number;
  readonly first: number;
  readonly end: number;
}

export interface Seen {
  readonly rows: Span;
  readonly columns: Span;
  readonly taps: number;
  readonly inside: number;
  readonly outside: number;
}

function spanOf(position: number, size: number, { kernel, stride }: Setting, padding: Padding): Span {
  const [start, stop] = windowOf(position, kernel, stride, padding);
  const [first, end] = windowOf(position, kernel, stride, padding, size);
  return { start, stop, first, end };
}

/** The window of the unit at a place. */
export function seenFrom(place: Place, setting: Setting): Seen {
  const padding = paddingOf(setting);
  const rows = spanOf(place.row, setting.height, setting, padding);
  const columns = spanOf(place.column, setting.width, setting, padding);
  const taps = setting.kernel ** 2;
  const inside = (rows.end - rows.first) * (columns.end - columns.first);
  return { rows, columns, taps, inside, outside: taps - inside };
}

/** Indices along an axis that at least one window covers. */
function coveredAlong(size: number, { kernel, stride }: Setting, padding: Padding): number {
  // Windows that do not overlap count each index once; those that do leave none out between them.
  if (stride >= kernel) return tapsInside(size, kernel, stride, padding);
  const last = outputSize(size, kernel, stride, padding) - 1;
  return Math.min(last * stride - padding[0] + kernel, size);
}

/** Pixels that no unit sees: between windows that a long stride sets apart, and behind the last window. */
export function unseen(setting: Setting): bigint {
  const { height, width } = setting;
  const padding = paddingOf(setting);
  const covered = BigInt(coveredAlong(height, setting, padding)) * BigInt(coveredAlong(width, setting, padding));
  return BigInt(height) * BigInt(width) - covered;
}

/** Whether the next window is near enough to be seen with this one. */
export const nextInLens = ({ kernel, stride }: Setting): boolean => stride <= kernel + 10;

/** How many pixels around a window the lens shows: some of what the unit does not see, and how far the next window is. */
export function lensMargin(setting: Setting): number {
  const { kernel, stride } = setting;
  const around = Math.max(3, Math.ceil(0.3 * kernel));
  return stride > 1 && nextInLens(setting) ? Math.max(around, stride + 1) : around;
}
