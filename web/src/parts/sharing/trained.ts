// A map of a trained network: its kernels in place, and what it makes of a digit.

import { productsSum, under } from "../../filter";
import { DEEPEST, SIDE, type Network } from "../../networks";
import { tensor } from "../../tensors";

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

/** One of the maps of a network, counted from 0. */
export function placed({ share, hidden, tensors }: Network, map: number): Placed {
  if (share === "dense" || map >= hidden.maps) throw new Error(`a network with kernels and a map ${map} is needed, not ${share}, ${hidden.maps} maps`);
  const weight = tensor(tensors["hidden.weight"]!);
  const [rows = 1, columns = 1] = weight.shape;
  const taps = hidden.kernel ** 2;
  return {
    share,
    rows,
    columns,
    block: share === "all" ? SIDE : share,
    kernels: Array.from({ length: rows * columns }, (_, place) => {
      const first = (place * hidden.maps + map) * taps;
      return Array.from(weight.values.subarray(first, first + taps));
    }),
    biases: Array.from(tensor(tensors["hidden.bias"]!).values).filter((_, k) => k % hidden.maps === map),
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
