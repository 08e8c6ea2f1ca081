// Numbers of weights as squares whose areas are to scale, and the views that a zoom through them passes.

import { interpolateZoom } from "d3-interpolate";
import type { Account } from "../../account";

export type Idea = "dense" | "local" | "shared";
export const IDEAS: readonly Idea[] = ["dense", "local", "shared"];

export interface Square {
  readonly idea: Idea;
  readonly weights: bigint;
  /** One weight is a square of side 1. All squares stand on the line y = 0. */
  readonly left: number;
  readonly side: number;
}

/** The middle of what is seen and its height, in sides of a weight. The line that the squares stand on never moves. */
export type View = readonly [middle: number, height: number];

const GAP = 0.06;
const MARGIN = 1.1;

/** The squares from the largest to the smallest, side by side. */
export function squaresOf(account: Account): readonly Square[] {
  const [dense, local, shared] = [account.dense, account.connections, account.weights].map((n) => Math.sqrt(Number(n)));
  // Zero is where the small squares are: there a double's steps are smallest.
  const start = GAP * local!;
  return [
    { idea: "dense", weights: account.dense, left: -dense!, side: dense! },
    { idea: "local", weights: account.connections, left: start, side: local! },
    { idea: "shared", weights: account.weights, left: start + local! + GAP * shared!, side: shared! },
  ];
}

/** The view that shows the square at `index` and all smaller ones, in a drawing `aspect` times as wide as high. */
function stop(squares: readonly Square[], index: number, aspect: number): View {
  const first = squares[index]!;
  const last = squares[squares.length - 1]!;
  const right = last.left + last.side;
  const height = MARGIN * Math.max(first.side, (right - first.left) / aspect);
  return [(first.left + right) / 2, height];
}

function flights(squares: readonly Square[], aspect: number) {
  const stops = squares.map((_, index) => stop(squares, index, aspect));
  const flat = ([middle, height]: View): [number, number, number] => [middle, 0, height];
  return stops.slice(1).map((to, k) => ({ from: stops[k]!, to, way: interpolateZoom(flat(stops[k]!), flat(to)) }));
}

/** The view at a zoom from 0 (the first square) by 1 (the second) to 2: van Wijk and Nuij 2003, smooth to the eye. */
export function viewAt(squares: readonly Square[], zoom: number, aspect: number): View {
  const ways = flights(squares, aspect);
  const k = Math.min(Math.floor(zoom), ways.length - 1);
  const { from, to, way } = ways[k]!;
  const t = zoom - k;
  if (t === 0 || t === 1) return t === 0 ? from : to;
  const [middle, , height] = way(t);
  return [middle, height];
}

/** How long each step between two squares takes, in milliseconds. */
export function durations(squares: readonly Square[], aspect: number): readonly number[] {
  return flights(squares, aspect).map(({ way }) => Math.min(Math.max(0.6 * way.duration, 300), 4000));
}
