// What this part keeps in the address beside the shared setting.

import { computed } from "@preact/signals";
import { keptAs, oneOf, wholeFrom } from "../../address";
import { networks, SIDE } from "../../networks";
import type { Arrangement } from "./sharers";
import { KNOWN, tapsFrom, tapsText, type Taps } from "./taps";
import { placed } from "./trained";

/** A place counted from 0, written `row x column` counted from 1. */
export interface Place {
  readonly row: number;
  readonly column: number;
}

const placeText = ({ row, column }: Place) => `${row + 1}x${column + 1}`;
const placeWithin = (most: number) => (text: string): Place | undefined => {
  const [row, column, ...rest] = text.split("x").map(wholeFrom(1, most));
  return row === undefined || column === undefined || rest.length ? undefined : { row: row - 1, column: column - 1 };
};

export const digit = keptAs("sharing-digit", 5, wholeFrom(0, 9));
export const taps = keptAs<Taps>("sharing-taps", KNOWN.vertical, tapsFrom, tapsText);

/** How many places the kernel has been at. */
export const PLACES = SIDE * SIDE;
export const step = keptAs("sharing-step", 29, wholeFrom(1, PLACES));

export const arrangement = keptAs<Arrangement>("sharing-arrangement", "block", oneOf("block", "tile"));

/** A position in the plane of units; it may lie outside what is drawn. */
export const position = keptAs<Place>("sharing-position", { row: 0, column: 0 }, placeWithin(100_000), placeText);

export const SHARES = ["own", "2", "4", "all"] as const;
export type TrainedShare = (typeof SHARES)[number];
export const trainedShare = keptAs<TrainedShare>("sharing-trained", "own", oneOf(...SHARES));
export const look = keptAs<Place>("sharing-look", { row: 2, column: 2 }, placeWithin(SIDE), placeText);

export const FARTHEST = 2;
/** Columns that the digit is moved to the right. */
export const moved = keptAs("sharing-moved", 1, (text) => (/^-?[0-2]$/.test(text) ? Number(text) : undefined));

/** The first of its class in the test set, 0 (paper) to 16 (ink). */
export const pixels = computed(() => networks.examples.find(({ label }) => label === digit.value)!.pixels);

export const shareOf = (share: number | string): TrainedShare => SHARES.find((name) => name === String(share === 1 ? "own" : share))!;
/** The map that is looked at, counted from 1; both networks of a pair have as many. */
export const MAPS = networks.sharing[0]!.hidden.maps;
export const map = keptAs("sharing-map", 1, wholeFrom(1, MAPS));
export const trained = computed(
  () => new Map(networks.sharing.map((network) => [shareOf(network.share), placed(network, map.value - 1)])),
);
