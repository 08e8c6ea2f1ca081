// The image and the window of the small drawing: few enough that every wire can be seen.

import { outputSize } from "../../geometry";

export const EXAMPLE_SIDE = 6;
export const EXAMPLE_KERNEL = 3;
/** Units along a side: no padding, so that every window lies on the image. */
export const EXAMPLE_UNITS = outputSize(EXAMPLE_SIDE, EXAMPLE_KERNEL);

/** A seven, row by row, 0 (paper) to 9 (ink). */
const PICTURE = "000000" + "069980" + "000270" + "002800" + "008200" + "000000";

/** The picture's ink at a pixel, 0 to 1. */
export const inkAt = (row: number, column: number): number => Number(PICTURE[row * EXAMPLE_SIDE + column]) / 9;

export const EXAMPLE = {
  pixels: BigInt(EXAMPLE_SIDE) ** 2n,
  taps: BigInt(EXAMPLE_KERNEL) ** 2n,
  units: BigInt(EXAMPLE_UNITS) ** 2n,
};
