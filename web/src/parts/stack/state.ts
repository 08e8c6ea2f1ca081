// What is chosen in this part, kept in the address.

import { batch, computed } from "@preact/signals";
import { keptAs, wholeFrom } from "../../address";
import { setting } from "../../state";
import { fieldOf, fieldsOf, stackFrom, stackText, unitsOf, type Layer } from "./stack";

const asStack = (text: string) => stackFrom(text)!;

export const layers = keptAs("stack", asStack("3-3-p2-3-3"), stackFrom, stackText);

export const PRESETS = [
  { name: "threes", layers: asStack("3-3-3-3-3") },
  { name: "mixed", layers: asStack("3-3-p2-3-3") },
  { name: "alternating", layers: asStack("3-p2-3-p2-3-p2") },
  { name: "alexnet", layers: asStack("11s4-p3s2-5-p3s2-3-3-3-p3s2") },
  { name: "vgg", layers: asStack("3-3-p2-3-3-p2-3-3") },
] as const;

export function changeLayer(place: number, part: Partial<Layer>): void {
  layers.value = layers.peek().map((layer, k) => (k === place ? { ...layer, ...part } : layer));
}

export function addLayer(): void {
  chooseStack([...layers.peek(), { kind: "conv", window: 3, stride: 1 }]);
}

/** Another stack, with the unit in the middle of its top chosen. */
export function chooseStack(list: readonly Layer[]): void {
  batch(() => {
    layers.value = list;
    kept.value = null;
  });
}

export function removeLayer(place: number): void {
  layers.value = layers.peek().filter((_, k) => k !== place);
}

// ---- the row of pixels that is drawn ----------------------------------------------------------

export const fields = computed(() => fieldsOf(layers.value));

/** The longer side of the image: a unit that sees so many pixels each way sees all of it. */
export const side = computed(() => Math.max(setting.value.height, setting.value.width));

/** Units in each layer over one row of the image. */
export const units = computed(() => unitsOf(layers.value, setting.value.width));

/** Pixels of that row that are drawn, from its left edge: the whole field and some more. */
export const drawn = computed(() => {
  const { size, stride } = fields.value[layers.value.length]!;
  return Math.min(setting.value.width, Math.max(36, size + Math.max(8, 3 * stride)));
});

/** Units of a layer that are drawn: those in the middle of whose field a drawn pixel is. */
export function drawnUnits(layer: number): number {
  const { centre, stride } = fields.value[layer]!;
  return Math.min(units.value[layer]!, Math.max(1, Math.ceil((drawn.value - centre) / stride)));
}

export interface Unit {
  readonly layer: number;
  readonly position: number;
}

const kept = keptAs<Unit | null>(
  "stack-unit",
  null,
  (text) => {
    const [, layer, position] = /^([1-8])\.([0-9]{1,6})$/.exec(text) ?? [];
    return layer === undefined ? undefined : { layer: Number(layer), position: Number(position) };
  },
  (unit) => (unit ? `${unit.layer}.${unit.position}` : ""),
);

/** The unit chosen, made to be one of those that are drawn; undefined where not even one layer fits. */
export const unit = computed((): Unit | undefined => {
  const top = units.value.length - 1;
  if (top === 0) return undefined;
  const chosen = kept.value;
  if (!chosen) return { layer: top, position: middleUnit(top) };
  const layer = Math.min(chosen.layer, top);
  return { layer, position: Math.min(chosen.position, drawnUnits(layer) - 1) };
});

/** The unit nearest to the middle of the drawing. */
function middleUnit(layer: number): number {
  const { centre, stride } = fields.value[layer]!;
  const nearest = Math.round(((drawn.value - 1) / 2 - centre) / stride);
  return Math.min(Math.max(nearest, 0), drawnUnits(layer) - 1);
}

export function choose(layer: number, position: number): void {
  const top = units.peek().length - 1;
  if (top === 0) return;
  const sound = Math.min(Math.max(layer, 1), top);
  const next = { layer: sound, position: Math.min(Math.max(position, 0), drawnUnits(sound) - 1) };
  const now = unit.peek();
  if (now?.layer !== next.layer || now.position !== next.position) kept.value = next;
}

/** The unit of another layer that looks at the same place. */
export function chooseLayer(layer: number): void {
  const now = unit.peek();
  const top = units.peek().length - 1;
  if (!now || layer < 1 || layer > top) return;
  const from = fields.peek()[now.layer]!;
  const to = fields.peek()[layer]!;
  choose(layer, Math.round((from.centre + now.position * from.stride - to.centre) / to.stride));
}

// ---- branches ---------------------------------------------------------------------------------

const branch = (text: string): readonly Layer[] | undefined =>
  text === "skip" ? [] : stackFrom(text)?.every(({ stride }) => stride === 1) ? stackFrom(text) : undefined;

export interface Branches {
  readonly deep: readonly Layer[];
  readonly short: readonly Layer[];
}

const branchText = (path: readonly Layer[]) => (path.length ? stackText(path) : "skip");
export const branchesText = ({ deep, short }: Branches): string => `${branchText(deep)}.${branchText(short)}`;

export function branchesFrom(text: string): Branches | undefined {
  const [deep, short] = text.split(".").map(branch);
  const small = (path: readonly Layer[]) => path.length <= 3 && fieldOf(path).size <= 31;
  return deep?.length && short && small(deep) && small(short) ? { deep, short } : undefined;
}

export const BRANCHES = ["3-3.skip", "3-3.1", "5.3"] as const;
export const branches = keptAs<Branches>("stack-branches", branchesFrom("3-3.skip")!, branchesFrom, branchesText);
export const MOST_BLOCKS = 12;
export const blocks = keptAs("stack-blocks", 4, wholeFrom(1, MOST_BLOCKS));

// ---- effective ----------------------------------------------------------------------------------

/** The widest field whose paths are counted in the page. */
export const WIDEST_COUNTED = 2000;
export const MOST_ROUNDS = 12;
export const rounds = keptAs("stack-rounds", 1, wholeFrom(1, MOST_ROUNDS));

/** How often the stack may be repeated before its field is too wide to count; 0 where it already is. */
export const mostRounds = computed(() => {
  let most = 0;
  const whole = fields.value[layers.value.length]!;
  let size = 1;
  let stride = 1;
  while (most < MOST_ROUNDS) {
    size += (whole.size - 1) * stride;
    if (size > WIDEST_COUNTED) break;
    stride *= whole.stride;
    most += 1;
  }
  return most;
});

/** The layers whose paths are counted: the stack, so often as is chosen. */
export const counted = computed(() => {
  const times = Math.min(rounds.value, mostRounds.value);
  return Array.from({ length: times }, () => layers.value).flat();
});
