// What the figures of this part keep in the address, and what they take from the shared setting.

import { computed } from "@preact/signals";
import { keptAs, oneOf, wholeFrom } from "../../address";
import { SIDE } from "../../networks";
import { setting } from "../../state";
import { DIGITS } from "./digits";

export type Place = readonly [row: number, column: number];

const placeFrom = (text: string): Place | undefined => {
  const [row, column, ...more] = text.split("-").map(wholeFrom(0, SIDE - 1));
  return row === undefined || column === undefined || more.length > 0 ? undefined : [row, column];
};
const placeText = ([row, column]: Place) => `${row}-${column}`;

// No two numbers of a window of two are the same, and at window 3, stride 2, some win twice.
const TABLE = "7090081824174693571425378027466004563581237142674580918231497013";

/** The numbers of the first figure, one digit each, 8 × 8. */
export const table = keptAs("pooling-table", TABLE, (text) => (/^[0-9]{64}$/.test(text) ? text : undefined));
/** The pooled unit that is lit, in the first figure and on the digit. */
export const unit = keptAs<Place>("pooling-unit", [0, 0], placeFrom, placeText);
export const digitUnit = keptAs<Place>("pooling-digit-unit", [1, 1], placeFrom, placeText);
export const digit = keptAs("pooling-digit", 0, wholeFrom(0, DIGITS.length - 1));

export type Map_ = "pixels" | "upright" | "level";
/** What is pooled: the digit, or its map under one of two edge kernels. */
export const map = keptAs<Map_>("pooling-map", "pixels", oneOf("pixels", "upright", "level"));

export type Shift = "none" | "left" | "right" | "up" | "down";
export const shift = keptAs<Shift>("pooling-shift", "right", oneOf("none", "left", "right", "up", "down"));

export const STANDARD_TABLE = TABLE;

/** The shared pool, as far as it fits a picture of 8 × 8. */
export const pool = computed(() => {
  const { pool: asked, poolStride: stride, poolKind: kind } = setting.value;
  const side = Math.min(asked, SIDE);
  return { side, stride, kind, asked, cut: side < asked };
});
