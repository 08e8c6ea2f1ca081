// What part 6 has in hand: strokes, or a real test image, and what every network makes of it.

import { computed } from "@preact/signals";
import { kept, keptAs } from "../../address";
import { networks, type Example } from "../../networks";
import { answerOf, forward, softmax, type Answer } from "./forward";
import { reduce, type Point, type Stroke } from "./reduce";
import { onGrid, strokesFrom, strokesText } from "./strokes";

const NONE = "none";

/** The test images of a class, in the order of the set. */
export const examplesOf = (label: number): readonly Example[] => networks.examples.filter((example) => example.label === label);

/** A test image by its class and, after a point, its place among those of the class: 7, 7.2. "none": the drawing. */
export const digit = keptAs("network-digit", "3", (text) => (text === NONE || exampleOf(text) ? text : undefined));

function exampleOf(text: string): Example | undefined {
  const [, label, place] = /^([0-9])(?:\.([1-9]))?$/.exec(text) ?? [];
  return label === undefined ? undefined : examplesOf(Number(label))[Number(place ?? 1) - 1];
}

/** The class's first test image; its next one where one of them is shown already. */
export function showDigit(label: number): void {
  const count = examplesOf(label).length;
  const [shown, place = "1"] = digit.peek().split(".");
  const next = Number(shown) === label ? (Number(place) % count) + 1 : 1;
  digit.value = next === 1 ? String(label) : `${label}.${next}`;
}

/** The drawing, which the address has while it is what is shown. */
export const strokes = kept<readonly Stroke[]>(
  (all) => strokesFrom(all.get("network-drawing") ?? "") ?? [],
  (drawn) => (digit.value === NONE && drawn.length ? [["network-drawing", strokesText(drawn)]] : []),
);

/** The test image shown, if it is not the drawing that is. */
export const example = computed(() => (digit.value === NONE ? undefined : exampleOf(digit.value)));

export function begin(point: Point): void {
  const start = [onGrid(point)];
  strokes.value = example.peek() ? [start] : [...strokes.peek(), start];
  digit.value = NONE;
}

/** The last stroke goes on; points that add nothing to see are left out. */
export function extend(points: readonly Point[]): void {
  const before = strokes.peek();
  const last = before[before.length - 1];
  if (!last) return;
  const longer = [...last];
  for (const [x, y] of points.map(onGrid)) {
    const [endX, endY] = longer[longer.length - 1]!;
    if (Math.hypot(x - endX, y - endY) >= 0.012) longer.push([x, y]);
  }
  if (longer.length > last.length) strokes.value = [...before.slice(0, -1), longer];
}

/** Takes back the test image shown, or the last stroke. */
export function undo(): void {
  if (example.peek()) digit.value = NONE;
  else strokes.value = strokes.peek().slice(0, -1);
}

export function clear(): void {
  strokes.value = [];
  digit.value = NONE;
}

/** What the networks see, and the bitmap that it was counted from: a test image comes without one. */
export const seen = computed((): { readonly pixels: readonly number[]; readonly bitmap?: Uint8Array } =>
  example.value ? { pixels: example.value.pixels } : reduce(strokes.value),
);

export interface Reply extends Answer {
  /** The scores through softmax. */
  readonly parts: readonly number[];
  readonly digit: number;
}

/** What every network answers, in the order of `networks.variants`; nothing for empty paper. */
export const replies = computed((): readonly Reply[] | undefined => {
  const { pixels } = seen.value;
  if (pixels.every((pixel) => pixel === 0)) return undefined;
  return networks.variants.map((network) => {
    const answer = forward(network, pixels);
    return { ...answer, parts: softmax(answer.scores), digit: answerOf(answer.scores) };
  });
});
