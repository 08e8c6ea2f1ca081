// A digit of each class: the first of its class among the test images.

import { networks, SIDE } from "../../networks";
import type { Picture } from "./pool";

export { DEEPEST as BLACK } from "../../networks";

/** The pictures of 0 to 9. */
export const DIGITS: readonly Picture[] = Array.from({ length: 10 }, (_, label) => ({
  rows: SIDE,
  columns: SIDE,
  values: networks.examples.find((example) => example.label === label)!.pixels,
}));
