// From strokes to what the networks see, the way their images were made (optdigits: Alpaydin and Kaynak 1998, with the
// normalisation of NIST): the ink's box is straightened and scaled into a bitmap of 32×32, its strokes are made as
// thick as the set's, and the black pixels of every 4×4 block are counted.

import { SIDE } from "../../networks";

/** A place on the pad: right and down, of a square of side 1. */
export type Point = readonly [x: number, y: number];
export type Stroke = readonly Point[];

export const BITMAP = 32;
const BLOCK = BITMAP / SIDE;

/** What web/train.py measured of the set: a digit fills the rows, and about 20 columns, 6 to 25. */
const WIDTH = 20;
/** The black pixels of a typical image of the set. */
const INK = 313;
/** Half the widths of strokes that the set shows, in pixels of the bitmap. */
const THINNEST = 2;
const THICKEST = 4;
/** Width may be stretched this many times more than height, so that a plain 1 stays a line. */
const STRETCH = 3;
/** The part of the ink's height that counts as its top, and as its bottom. */
const BAND = 0.05;
/** Slants up to this many columns a row are straightened. */
const STEEPEST = 1;

export interface Reduced {
  /** 32 rows of 32 pixels, 0 or 1. */
  readonly bitmap: Uint8Array;
  /** 8 rows of 8 counts, 0 to 16. */
  readonly pixels: number[];
}

/** The bitmap of the strokes and its counts; both empty without strokes. */
export function reduce(strokes: readonly Stroke[]): Reduced {
  const bitmap = bitmapOf(strokes);
  return { bitmap, pixels: counted(bitmap) };
}

/** The black pixels of every 4×4 block. */
export function counted(bitmap: Uint8Array): number[] {
  const pixels = new Array<number>(SIDE * SIDE).fill(0);
  bitmap.forEach((black, k) => {
    const row = Math.floor(k / BITMAP / BLOCK);
    pixels[row * SIDE + Math.floor((k % BITMAP) / BLOCK)]! += black;
  });
  return pixels;
}

function bitmapOf(strokes: readonly Stroke[]): Uint8Array {
  if (strokes.every((stroke) => stroke.length === 0)) return new Uint8Array(BITMAP * BITMAP);
  const straight = straightened(strokes);
  const draw = (radius: number) => inked(placed(straight, radius), radius);
  // More radius is more ink: the radius is between two that are known to give too little and too much.
  let [thin, thick] = [THINNEST, THICKEST];
  for (let step = 0; step < 6; step++) {
    const middle = (thin + thick) / 2;
    if (ink(draw(middle)) < INK) thin = middle;
    else thick = middle;
  }
  return draw((thin + thick) / 2);
}

const ink = (bitmap: Uint8Array): number => bitmap.reduce((sum, black) => sum + black, 0);

/** The strokes sheared sideways until their top and their bottom begin at one column. */
function straightened(strokes: readonly Stroke[]): Stroke[] {
  const slant = slantOf(strokes);
  return strokes.map((stroke) => stroke.map(([x, y]): Point => [x - slant * y, y]));
}

/** How far right the left end of the ink moves for each step down, from the top band of the ink to the bottom one. */
function slantOf(strokes: readonly Stroke[]): number {
  const ys = strokes.flatMap((stroke) => stroke.map(([, y]) => y));
  const [top, bottom] = [Math.min(...ys), Math.max(...ys)];
  const height = bottom - top;
  if (height < 1e-6) return 0;
  const band = BAND * height;
  let [above, below] = [Infinity, Infinity];
  for (const segment of segments(strokes)) {
    above = Math.min(above, leftmost(segment, top, top + band));
    below = Math.min(below, leftmost(segment, bottom - band, bottom));
  }
  return Math.min(Math.max((below - above) / (height - band), -STEEPEST), STEEPEST);
}

/** The least x of a line where its y is from `low` to `high`; infinite where it never is. */
function leftmost([[x1, y1], [x2, y2]]: readonly [Point, Point], low: number, high: number): number {
  if (Math.max(y1, y2) < low || Math.min(y1, y2) > high) return Infinity;
  const at = (y: number) => (y1 === y2 ? Math.min(x1, x2) : x1 + ((x2 - x1) * (y - y1)) / (y2 - y1));
  const inside = (y: number) => Math.min(Math.max(y, low), high);
  return Math.min(at(inside(y1)), at(inside(y2)));
}

/** Scaled and moved so that strokes of this radius fill the rows, and the columns of the set, about the middle. */
function placed(strokes: readonly Stroke[], radius: number): Stroke[] {
  const xs = strokes.flatMap((stroke) => stroke.map(([x]) => x));
  const ys = strokes.flatMap((stroke) => stroke.map(([, y]) => y));
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const [top, bottom] = [Math.min(...ys), Math.max(...ys)];
  const tall = (BITMAP - 2 * radius) / Math.max(bottom - top, 1e-6);
  const wide = (WIDTH - 2 * radius) / Math.max(right - left, 1e-6);
  // A dash is not blown up to fill the rows, nor a line to fill the columns.
  const [down, across] = [Math.min(tall, wide * STRETCH), Math.min(wide, tall * STRETCH)];
  const [middleX, middleY] = [(left + right) / 2, (top + bottom) / 2];
  return strokes.map((stroke) =>
    stroke.map(([x, y]): Point => [BITMAP / 2 + (x - middleX) * across, BITMAP / 2 + (y - middleY) * down]),
  );
}

/** The pixels whose middle is within the radius of a stroke. */
function inked(strokes: readonly Stroke[], radius: number): Uint8Array {
  const bitmap = new Uint8Array(BITMAP * BITMAP);
  const clip = (value: number) => Math.min(Math.max(value, 0), BITMAP - 1);
  for (const [[x1, y1], [x2, y2]] of segments(strokes)) {
    const [dx, dy] = [x2 - x1, y2 - y1];
    const squared = dx * dx + dy * dy;
    const [low, high] = [clip(Math.floor(Math.min(y1, y2) - radius)), clip(Math.ceil(Math.max(y1, y2) + radius))];
    const [first, last] = [clip(Math.floor(Math.min(x1, x2) - radius)), clip(Math.ceil(Math.max(x1, x2) + radius))];
    for (let row = low; row <= high; row++) {
      for (let column = first; column <= last; column++) {
        const [px, py] = [column + 0.5 - x1, row + 0.5 - y1];
        const along = squared > 0 ? Math.min(Math.max((px * dx + py * dy) / squared, 0), 1) : 0;
        if ((px - along * dx) ** 2 + (py - along * dy) ** 2 <= radius * radius) bitmap[row * BITMAP + column] = 1;
      }
    }
  }
  return bitmap;
}

/** The lines between neighbouring points of each stroke; a stroke of one point is a line of no length. */
function* segments(strokes: readonly Stroke[]): Generator<readonly [Point, Point]> {
  for (const stroke of strokes) {
    if (stroke.length === 1) yield [stroke[0]!, stroke[0]!];
    for (let k = 1; k < stroke.length; k++) yield [stroke[k - 1]!, stroke[k]!];
  }
}
