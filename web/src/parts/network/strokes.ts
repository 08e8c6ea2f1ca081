// A drawing as an address has it: four signs a point, two for each of its places, strokes apart by a point.

import type { Point, Stroke } from "./reduce";

const BASE = 36;
const LAST = BASE ** 2 - 1;
/** Signs; an address of more is no drawing of this page's. */
const LONGEST = 16_000;

const steps = (place: number): number => Math.round(Math.min(Math.max(place, 0), 1) * LAST);

/** The nearest point that can be written. */
export const onGrid = ([x, y]: Point): Point => [steps(x) / LAST, steps(y) / LAST];

const written = (place: number): string => steps(place).toString(BASE).padStart(2, "0");

export const strokesText = (strokes: readonly Stroke[]): string =>
  strokes.map((stroke) => stroke.map(([x, y]) => written(x) + written(y)).join("")).join(".");

/** The drawing that is written; undefined for what is none. */
export function strokesFrom(text: string): readonly Stroke[] | undefined {
  if (text.length > LONGEST || !/^([0-9a-z]{4})+(\.([0-9a-z]{4})+)*$/.test(text)) return undefined;
  const place = (signs: string) => parseInt(signs, BASE) / LAST;
  return text.split(".").map((stroke) => (stroke.match(/.{4}/g) ?? []).map((point): Point => [place(point.slice(0, 2)), place(point.slice(2))]));
}
