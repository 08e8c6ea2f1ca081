// The units that the two figures show, kept in the address and counted from 1 there, as on the page.

import { computed } from "@preact/signals";
import { keptAs } from "../../address";
import { account } from "../../state";
import { EXAMPLE_UNITS } from "./example";

/** A place among rows and columns, counted from 0. */
export interface Place {
  readonly row: number;
  readonly column: number;
}

const kept = (name: string, standard: Place | null) =>
  keptAs<Place | null>(
    name,
    standard,
    (text) => {
      const [, row, column] = /^([1-9][0-9]{0,5})x([1-9][0-9]{0,5})$/.exec(text) ?? [];
      return row && column ? { row: Number(row) - 1, column: Number(column) - 1 } : undefined;
    },
    (place) => (place ? `${place.row + 1}x${place.column + 1}` : ""),
  );

const within = (value: number, count: number) => Math.min(Math.max(Math.round(value), 0), count - 1);

/** The nearest place among rows × columns. */
export const nearest = ({ row, column }: Place, rows: number, columns: number): Place => ({
  row: within(row, rows),
  column: within(column, columns),
});

const asked = kept("local-unit", null);
const askedInExample = kept("local-example-unit", { row: 1, column: 2 });

/** The unit whose window is dragged. Near the upper edge at first, where padding shows. */
export const unit = computed((): Place => {
  const { rows, columns } = account.value;
  return nearest(asked.value ?? { row: Math.min(2, 0.1 * rows), column: 0.6 * columns }, rows, columns);
});

/** The unit chosen in the drawing of full against local wiring. */
export const exampleUnit = computed(() => nearest(askedInExample.value!, EXAMPLE_UNITS, EXAMPLE_UNITS));

const same = (one: Place, other: Place) => one.row === other.row && one.column === other.column;

export function moveTo(place: Place): void {
  const { rows, columns } = account.peek();
  const next = nearest(place, rows, columns);
  if (!same(next, unit.peek())) asked.value = next;
}

export function chooseInExample(place: Place): void {
  const next = nearest(place, EXAMPLE_UNITS, EXAMPLE_UNITS);
  if (!same(next, exampleUnit.peek())) askedInExample.value = next;
}
