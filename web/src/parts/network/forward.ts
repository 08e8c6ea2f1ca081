// What a network of the page computes for an image: its hidden layer, ReLU, pooling if it has one, and its head.

import { DEEPEST, SIDE, type Network } from "../../networks";
import { tensor } from "../../tensors";

export interface Answer {
  /** Maps × 8 × 8, after ReLU. */
  readonly hidden: Float32Array;
  /** Maps × rows × columns after pooling; null where nothing is pooled. */
  readonly pooled: Float32Array | null;
  /** One score for each class, before softmax. */
  readonly scores: Float32Array;
}

type Weights = ReturnType<typeof decoded>;
const decodedOf = new WeakMap<Network, Weights>();

function decoded(network: Network) {
  const named = (name: string) => {
    const stored = network.tensors[name];
    if (!stored) throw new RangeError(`the network ${network.name} has no ${name}`);
    return tensor(stored);
  };
  return {
    hidden: { weight: named("hidden.weight"), bias: named("hidden.bias").values },
    head: { weight: named("head.weight").values, bias: named("head.bias").values },
  };
}

function weightsOf(network: Network): Weights {
  let weights = decodedOf.get(network);
  if (!weights) decodedOf.set(network, (weights = decoded(network)));
  return weights;
}

/** The network's answer for 8 rows of 8 pixels, 0 (paper) to 16 (ink). */
export function forward(network: Network, pixels: ArrayLike<number>): Answer {
  if (pixels.length !== SIDE * SIDE) throw new RangeError(`forward takes ${SIDE * SIDE} pixels, not ${pixels.length}`);
  const { hidden: layer, head } = weightsOf(network);
  const input = Float64Array.from(pixels, (value) => value / DEEPEST);
  const hidden = network.hidden.kind === "dense" ? dense(input, layer.weight.values, layer.bias) : local(network, input, layer);
  for (let k = 0; k < hidden.length; k++) hidden[k] = Math.max(hidden[k]!, 0);
  const pooled = network.pool === null ? null : pool(hidden, network.pool, network.pool_kind ?? "max");
  const scores = dense(pooled ?? hidden, head.weight, head.bias);
  return {
    hidden: Float32Array.from(hidden),
    pooled: pooled && Float32Array.from(pooled),
    scores: Float32Array.from(scores),
  };
}

/** Every output is wired to every input. */
function dense(input: Float64Array, weight: Float32Array, bias: Float32Array): Float64Array {
  return Float64Array.from(bias, (start, unit) => {
    let sum = start;
    const row = unit * input.length;
    for (let k = 0; k < input.length; k++) sum += weight[row + k]! * input[k]!;
    return sum;
  });
}

/** Every unit is wired to its window, the taps outside the image to zeros; the weight's first two axes name kernels. */
function local(network: Network, input: Float64Array, layer: Weights["hidden"]): Float64Array {
  const { kernel, maps } = network.hidden;
  const [kernelRows = 1, kernelColumns = 1] = layer.weight.shape;
  const [blockRows, blockColumns] = [Math.ceil(SIDE / kernelRows), Math.ceil(SIDE / kernelColumns)];
  const before = Math.floor((kernel - 1) / 2);
  const weights = layer.weight.values;
  const output = new Float64Array(maps * SIDE * SIDE);
  for (let row = 0; row < SIDE; row++) {
    for (let column = 0; column < SIDE; column++) {
      const block = Math.floor(row / blockRows) * kernelColumns + Math.floor(column / blockColumns);
      for (let map = 0; map < maps; map++) {
        const which = block * maps + map;
        let sum = layer.bias[which]!;
        for (let i = 0; i < kernel; i++) {
          const y = row + i - before;
          if (y < 0 || y >= SIDE) continue;
          for (let j = 0; j < kernel; j++) {
            const x = column + j - before;
            if (x < 0 || x >= SIDE) continue;
            sum += weights[(which * kernel + i) * kernel + j]! * input[y * SIDE + x]!;
          }
        }
        output[(map * SIDE + row) * SIDE + column] = sum;
      }
    }
  }
  return output;
}

/** The largest, or the mean, of each window of side × side; what is left over at the far edges is not used. */
function pool(maps: Float64Array, side: number, kind: "max" | "average"): Float64Array {
  const count = maps.length / (SIDE * SIDE);
  const out = Math.floor(SIDE / side);
  const output = new Float64Array(count * out * out);
  for (let k = 0; k < output.length; k++) {
    const [map, row, column] = [Math.floor(k / (out * out)), Math.floor(k / out) % out, k % out];
    let [largest, sum] = [-Infinity, 0];
    for (let i = 0; i < side; i++) {
      for (let j = 0; j < side; j++) {
        const value = maps[(map * SIDE + row * side + i) * SIDE + column * side + j]!;
        largest = Math.max(largest, value);
        sum += value;
      }
    }
    output[k] = kind === "max" ? largest : sum / (side * side);
  }
  return output;
}

/** Scores as parts of 1. */
export function softmax(scores: ArrayLike<number>): number[] {
  const highest = Math.max(...Array.from(scores));
  const powers = Array.from(scores, (score) => Math.exp(score - highest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

/** The class with the highest score. */
export const answerOf = (scores: ArrayLike<number>): number => {
  const all = Array.from(scores);
  return all.indexOf(Math.max(...all));
};
