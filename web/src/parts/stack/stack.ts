// Layers on layers along one axis: what a unit high up sees, over how many paths, and how many layers it takes
// to see everything. Pure; the fields are those of striate.geometry.ReceptiveField.

import { INPUT, outputSize, samePadding, through, windowOf, type Padding, type ReceptiveField } from "../../geometry";

export interface Layer {
  readonly kind: "conv" | "pool";
  readonly window: number;
  readonly stride: number;
}

export const MOST_LAYERS = 8;
export const LARGEST_WINDOW = 15;
export const LARGEST_STRIDE = 8;

/** Convolutions keep the size at stride 1; pooling windows stay inside the input. */
export const paddingOf = ({ kind, window }: Layer): Padding => (kind === "conv" ? samePadding(window) : [0, 0]);

// ---- in an address --------------------------------------------------------------------------

/** 3, 5s2, p2: a window, its stride where it is not the usual one, p for pooling. */
export function layerText({ kind, window, stride }: Layer): string {
  const usual = kind === "pool" ? window : 1;
  return `${kind === "pool" ? "p" : ""}${window}${stride === usual ? "" : `s${stride}`}`;
}

function layerFrom(text: string): Layer | undefined {
  const [all, pool, window, stride] = /^(p?)([0-9]{1,2})(?:s([0-9]))?$/.exec(text) ?? [];
  if (all === undefined) return undefined;
  const layer: Layer = {
    kind: pool ? "pool" : "conv",
    window: Number(window),
    stride: stride !== undefined ? Number(stride) : pool ? Math.min(Number(window), LARGEST_STRIDE) : 1,
  };
  const fits = (value: number, most: number) => value >= 1 && value <= most;
  return fits(layer.window, LARGEST_WINDOW) && fits(layer.stride, LARGEST_STRIDE) ? layer : undefined;
}

/** The layers from the input up: 3-3-p2-3-3. */
export const stackText = (layers: readonly Layer[]): string => layers.map(layerText).join("-");

/** The layers that a text names, `3-3-p2` or `3,3,p2`; undefined where it names none. */
export function stackFrom(text: string): readonly Layer[] | undefined {
  const layers = text.split(/[-, ]/).map(layerFrom);
  const known = layers.filter((layer) => layer !== undefined);
  return known.length === layers.length && known.length <= MOST_LAYERS ? known : undefined;
}

// ---- what a unit sees -----------------------------------------------------------------------

/** The fields of the input's units and of each layer's, from the input up: one more than there are layers. */
export function fieldsOf(layers: readonly Layer[]): readonly ReceptiveField[] {
  const fields = [INPUT];
  for (const layer of layers) fields.push(through(fields[fields.length - 1]!, layer.window, layer.stride, paddingOf(layer)));
  return fields;
}

export const fieldOf = (layers: readonly Layer[]): ReceptiveField => fieldsOf(layers)[layers.length]!;

/** Units in the input and in each layer over `size` pixels; ends below the first layer that no longer fits. */
export function unitsOf(layers: readonly Layer[], size: number): readonly number[] {
  const units = [size];
  for (const layer of layers) {
    const below = units[units.length - 1]!;
    const padding = paddingOf(layer);
    if (layer.window > below + padding[0] + padding[1]) break;
    units.push(outputSize(below, layer.window, layer.stride, padding));
  }
  return units;
}

export type Range = readonly [start: number, stop: number];

/**
 * The units [start, stop) that the unit at `position` of `layer` (1 is the lowest) depends on: in the input, in
 * each layer, in its own. With `units`, only those that exist; without, the padding's too.
 */
export function coneOf(layers: readonly Layer[], layer: number, position: number, units?: readonly number[]): readonly Range[] {
  const ranges: Range[] = [[position, position + 1]];
  for (let below = layer - 1; below >= 0; below--) {
    const through = layers[below]!;
    const [start, stop] = ranges[0]!;
    const size = units?.[below];
    const [first] = windowOf(start, through.window, through.stride, paddingOf(through), size);
    const [, last] = windowOf(stop - 1, through.window, through.stride, paddingOf(through), size);
    ranges.unshift([first, last]);
  }
  return ranges;
}

/** The field of a unit where two paths meet: from where the first begins to where the last ends. */
export function unionOf(one: ReceptiveField, other: ReceptiveField): ReceptiveField {
  if (one.stride !== other.stride) throw new RangeError(`paths of strides ${one.stride} and ${other.stride} do not meet`);
  const low = ({ centre, size }: ReceptiveField) => centre - (size - 1) / 2;
  const start = Math.min(low(one), low(other));
  const stop = Math.max(low(one) + one.size, low(other) + other.size);
  return { size: stop - start, stride: one.stride, centre: start + (stop - start - 1) / 2 };
}

// ---- how many layers ------------------------------------------------------------------------

export interface Reach {
  readonly layers: number;
  /** The field of a unit of the last of them. */
  readonly size: number;
  /** Weights of the layers' windows, in two dimensions, one channel; pooling has none. */
  readonly weights: bigint;
}

const weightsOf = (layers: readonly Layer[]): bigint =>
  layers.reduce((sum, { kind, window }) => sum + (kind === "conv" ? BigInt(window) ** 2n : 0n), 0n);

/** The fewest layers, the stack repeated again and again, whose units see `side` pixels; undefined where none do. */
export function layersToSee(layers: readonly Layer[], side: number): Reach | undefined {
  if (side <= 1) return { layers: 0, size: 1, weights: 0n };
  const whole = fieldOf(layers);
  if (whole.size === 1) return undefined;
  // All of the stack is one layer as far as fields go: its own field, as a window.
  let field = INPUT;
  let rounds = 0;
  for (;;) {
    const next = through(field, whole.size, whole.stride);
    if (next.size >= side) break;
    field = next;
    rounds += 1;
  }
  let more = 0;
  while (field.size < side) {
    const { window, stride } = layers[more]!;
    field = through(field, window, stride);
    more += 1;
  }
  return {
    layers: rounds * layers.length + more,
    size: field.size,
    weights: BigInt(rounds) * weightsOf(layers) + weightsOf(layers.slice(0, more)),
  };
}

// ---- over how many paths --------------------------------------------------------------------

/** How many paths lead from each pixel of a unit's field to the unit, exactly: what kernels of ones give. */
export function pathCounts(layers: readonly Layer[]): readonly bigint[] {
  let counts = [1n];
  for (const { window, stride } of [...layers].reverse()) {
    const below = new Array<bigint>((counts.length - 1) * stride + window).fill(0n);
    counts.forEach((count, position) => {
      for (let tap = 0; tap < window; tap++) below[position * stride + tap]! += count;
    });
    counts = below;
  }
  return counts;
}

export const sum = (counts: readonly bigint[]): bigint => counts.reduce((total, count) => total + count, 0n);

/** The middle [start, stop) of symmetric counts, as narrow as it can be, that holds `percent` of a hundred of them. */
export function middleOf(counts: readonly bigint[], percent = 95): Range {
  const most = sum(counts) * BigInt(100 - percent);
  let cut = 0;
  let outside = 0n;
  while (2 * (cut + 1) < counts.length && 200n * (outside + counts[cut]!) <= most) {
    outside += counts[cut]!;
    cut += 1;
  }
  return [cut, counts.length - cut];
}

// ---- residual blocks ------------------------------------------------------------------------

export interface Routes {
  /** Of the blocks, how many are passed over the deep path. */
  readonly deep: number;
  readonly routes: bigint;
  readonly size: number;
}

/** The routes through `blocks` blocks of a deep and a short path, by how often they go deep. */
export function routesOf(blocks: number, deepSize: number, shortSize: number): readonly Routes[] {
  let routes = 1n;
  return Array.from({ length: blocks + 1 }, (_, deep) => {
    if (deep > 0) routes = (routes * BigInt(blocks - deep + 1)) / BigInt(deep);
    return { deep, routes, size: 1 + deep * (deepSize - 1) + (blocks - deep) * (shortSize - 1) };
  });
}
