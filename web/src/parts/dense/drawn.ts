// Which of many units and pixels are drawn: all of a few, else ten along an axis, evenly spaced.

import { keptAs } from "../../address";

export const MOST_DRAWN = 10;

/** The indices drawn along an axis of `size`, the first and the last among them. */
export function drawnAlong(size: number): readonly number[] {
  const count = Math.min(size, MOST_DRAWN);
  return Array.from({ length: count }, (_, k) => (count === 1 ? 0 : Math.round((k * (size - 1)) / (count - 1))));
}

/** A place among the drawn units, counted from 0. */
export interface Place {
  readonly row: number;
  readonly column: number;
}

/** The chosen unit, as a place among those drawn, so that it stays where it is when the image changes. */
export const chosen = keptAs<Place | null>(
  "dense-unit",
  null,
  (text) => {
    const [, row, column] = /^([1-9]|10)x([1-9]|10)$/.exec(text) ?? [];
    return row && column ? { row: Number(row) - 1, column: Number(column) - 1 } : undefined;
  },
  (place) => (place ? `${place.row + 1}x${place.column + 1}` : ""),
);

/** The chosen place where rows × columns are drawn: the middle if none was chosen, the nearest if it is not there. */
export function placeOf(place: Place | null, rows: number, columns: number): Place {
  const { row, column } = place ?? { row: Math.floor((rows - 1) / 2), column: Math.floor((columns - 1) / 2) };
  return {
    row: Math.min(Math.max(row, 0), rows - 1),
    column: Math.min(Math.max(column, 0), columns - 1),
  };
}
