// The trained networks of one map: their kernels in place, and the map that they make of a digit.

import { DEEPEST, SIDE, type Network } from "../../networks";
import { tensor } from "../../tensors";
import { productsSum, under } from "./sliding";

export interface Placed {
  readonly share: number | "all";
  /** Rows and columns of kernels. */
  readonly rows: number;
  readonly columns: number;
  /** Positions along a side that share a kernel. */
  readonly block: number;
  readonly kernels: readonly (readonly number[])[];
  readonly biases: readonly number[];
}

export function placed({ share, hidden, tensors }: Network): Placed {
  if (share === "dense" || hidden.maps !== 1) throw new Error(`a network of one map and kernels is needed, not ${share}, ${hidden.maps} maps`);
  const weight = tensor(tensors["hidden.weight"]!);
  const [rows = 1, columns = 1] = weight.shape;
  const taps = hidden.kernel ** 2;
  return {
    share,
    rows,
    columns,
    block: share === "all" ? SIDE : share,
    kernels: Array.from({ length: rows * columns }, (_, k) => Array.from(weight.values.subarray(k * taps, (k + 1) * taps))),
    biases: Array.from(tensor(tensors["hidden.bias"]!).values),
  };
}

/** Which of the kernels is at a position. */
export const kernelOf = ({ block, columns }: Placed, row: number, column: number): number =>
  Math.floor(row / block) * columns + Math.floor(column / block);

/** What the hidden units answer to a digit of 8 × 8 pixels from 0 to 16: sums through ReLU. */
export function answers(network: Placed, pixels: readonly number[]): number[] {
  const image = pixels.map((pixel) => pixel / DEEPEST);
  return image.map((_, k) => {
    const row = Math.floor(k / SIDE);
    const column = k % SIDE;
    const kernel = kernelOf(network, row, column);
    const taps = network.kernels[kernel]!;
    const sum = productsSum(under(image, SIDE, row, column, Math.sqrt(taps.length)), taps);
    return Math.max(0, sum + network.biases[kernel]!);
  });
}
