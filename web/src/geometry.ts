// The integers of windows along one axis. The same formulas as striate.geometry in Python, under the
// same names; a test runs both over hundreds of settings. Counts of two axes and more are BigInt:
// 10^12 fits a double, 10^20 does not.

export type Padding = readonly [low: number, high: number];

/** Padding that keeps the size at stride 1; an odd total puts the extra one high. */
export function samePadding(kernel: number): Padding {
  const low = Math.floor((kernel - 1) / 2);
  return [low, kernel - 1 - low];
}

/** Windows along an axis of `size` inputs; throws where none fits. */
export function outputSize(size: number, kernel: number, stride = 1, padding: Padding = [0, 0]): number {
  const room = size + padding[0] + padding[1];
  if (kernel > room) throw new RangeError(`a window of ${kernel} does not fit ${room} inputs`);
  return Math.floor((room - kernel) / stride) + 1;
}

/** Input indices [start, stop) of the window at an output position; with `size`, cut to the input. */
export function windowOf(
  position: number,
  kernel: number,
  stride = 1,
  padding: Padding = [0, 0],
  size?: number,
): [start: number, stop: number] {
  const start = position * stride - padding[0];
  const stop = start + kernel;
  if (size === undefined) return [start, stop];
  const cut = (place: number) => Math.min(Math.max(place, 0), size);
  return [cut(start), cut(stop)];
}

/** Taps of all windows along an axis that fall on the input rather than on padding. O(kernel). */
export function tapsInside(size: number, kernel: number, stride = 1, padding: Padding = [0, 0]): number {
  const outputs = outputSize(size, kernel, stride, padding);
  let total = 0;
  for (let tap = 0; tap < kernel; tap++) {
    // The window at o reads index o * stride + first; count the o for which it is in [0, size).
    const first = tap - padding[0];
    const lowest = Math.max(0, Math.ceil(-first / stride));
    const highest = Math.min(outputs - 1, Math.floor((size - 1 - first) / stride));
    total += Math.max(0, highest - lowest + 1);
  }
  return total;
}

/** Blocks of `share` adjacent positions along an axis; the last may be smaller. */
export function blockCount(outputs: number, share: number): number {
  return Math.ceil(outputs / share);
}

/** What a unit sees of the network's input along one axis (Araujo, Norris and Sim, Distill 2019). */
export interface ReceptiveField {
  readonly size: number;
  readonly stride: number;
  readonly centre: number;
}

export const INPUT: ReceptiveField = { size: 1, stride: 1, centre: 0 };

/** The field of a unit of a windowed layer whose input units have the field `below`. */
export function through(below: ReceptiveField, kernel: number, stride = 1, padding: Padding = [0, 0]): ReceptiveField {
  return {
    size: below.size + (kernel - 1) * below.stride,
    stride: below.stride * stride,
    centre: below.centre + ((kernel - 1) / 2 - padding[0]) * below.stride,
  };
}

/** Input indices [start, stop) that the unit at `position` sees, padding not cut off. */
export function fieldWindow(field: ReceptiveField, position: number): [start: number, stop: number] {
  const start = Math.round(field.centre + position * field.stride - (field.size - 1) / 2);
  return [start, start + field.size];
}
