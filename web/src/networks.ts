// The small networks that web/train.py trained on the 8×8 digits; its docstring says what each key means.

import data from "./data/networks.json";
import type { StoredTensor } from "./tensors";

/** A figure over the seeds trained. */
export interface Spread {
  readonly mean: number;
  readonly lowest: number;
  readonly highest: number;
  readonly each: readonly number[];
}

export interface Network {
  readonly name: string;
  readonly share: number | "all" | "dense";
  readonly hidden: {
    readonly kind: "dense" | "local" | "blocks" | "shared";
    readonly share: number | "all" | null;
    readonly kernel: number;
    readonly maps: number;
  };
  readonly pool: number | null;
  readonly pool_kind: "max" | "average" | null;
  readonly kernels: number | null;
  readonly weights: { readonly hidden: number; readonly head: number; readonly biases: number };
  readonly params: number;
  /** `interval` is Wilson's at 95 % for the mean, of `images` images. */
  readonly accuracy: Spread & { readonly interval: readonly number[]; readonly images: number };
  readonly shipped_seed: number;
  readonly shipped_accuracy: number;
  readonly tensors: Readonly<Record<string, StoredTensor>>;
}

export interface Example {
  /** Its row in the test set. */
  readonly index: number;
  readonly label: number;
  /** 8 rows of 8 whole numbers, 0 (paper) to 16 (ink). */
  readonly pixels: readonly number[];
}

/** The accuracy of one network less another's, seed by seed. */
export interface Difference extends Spread {
  readonly in: "variants" | "sharing";
  readonly of: string;
  readonly less: string;
}

/** How the networks of a list were trained. */
export interface Recipe {
  readonly learning_rate: number;
  readonly weight_decay: number;
  readonly epochs: number;
  readonly batch: number;
  /** The most that a training image is moved each time it is seen, in pixels. */
  readonly shift: number;
}

export interface Networks {
  readonly command: string;
  readonly recipe: { readonly variants: Recipe; readonly sharing: Recipe };
  readonly data: { readonly train: number; readonly validation: number; readonly test: number };
  readonly seeds: readonly number[];
  readonly variants: readonly Network[];
  readonly sharing: readonly Network[];
  readonly differences: readonly Difference[];
  readonly examples: readonly Example[];
}

export const networks = data as unknown as Networks;

export const SIDE = 8;
export const DEEPEST = 16;
