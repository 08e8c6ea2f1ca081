// Where the three pictures of the dragged window stand: the image, the lens, the plane of units.

import { paddingOf, type Setting } from "../../setting";
import type { Account } from "../../account";
import type { Place } from "./place";
import { lensMargin, type Seen } from "./window";

/** A picture of rows × columns cells; `row` and `column` are the pixels that one of them takes. */
export interface Board {
  readonly x: number;
  readonly y: number;
  readonly row: number;
  readonly column: number;
  readonly rows: number;
  readonly columns: number;
}

/** The square on the page that a picture stands in. */
export interface Box {
  readonly x: number;
  readonly y: number;
  readonly side: number;
}

export interface Layout {
  readonly narrow: boolean;
  readonly imageBox: Box;
  readonly lensBox: Box;
  readonly planeBox: Box;
  readonly image: Board;
  readonly plane: Board;
  /** What is not to the image's scale: a side too thin to be seen, a plane too small. */
  readonly imageThicker: boolean;
  readonly planeThicker: boolean;
  readonly planeEnlarged: boolean;
  /** Pixels along a side of the lens, and how large each is drawn. */
  readonly lensCells: number;
  readonly cell: number;
  readonly height: number;
}

export const HEAD = 40;
export const FOOT = 44;
const THINNEST = 5;
/** Room around a board, so that a mark on its edge is not cut off. */
const INSET = 5;
const LARGEST_CELL = 40;

export const boardWidth = (board: Board) => board.columns * board.column;
export const boardHeight = (board: Board) => board.rows * board.row;

const centred = (box: Box, board: Omit<Board, "x" | "y">): Board => ({
  ...board,
  x: box.x + (box.side - board.columns * board.column) / 2,
  y: box.y + (box.side - board.rows * board.row) / 2,
});

export function layoutOf(width: number, setting: Setting, { rows, columns }: Account): Layout {
  const narrow = width < 600;
  const gap = narrow ? 24 : Math.min(0.06 * width, 56);
  const side = narrow ? (width - gap) / 2 : (width - 2 * gap) / 3;
  const lensSide = narrow ? Math.min(width, 300) : side;
  const imageBox = { x: 0, y: HEAD, side };
  const lensBox = narrow
    ? { x: (width - lensSide) / 2, y: HEAD + side + FOOT + HEAD, side: lensSide }
    : { x: side + gap, y: HEAD, side };
  const planeBox = { x: width - side, y: HEAD, side };

  // The padding belongs in the picture: a window at the edge reaches into it.
  const [low, high] = paddingOf(setting);
  const scale = Math.min((side - 2 * INSET) / (Math.max(setting.height, setting.width) + low + high), LARGEST_CELL);
  const row = Math.max(scale, THINNEST / setting.height);
  const column = Math.max(scale, THINNEST / setting.width);
  const extent = centred(imageBox, { rows: setting.height + low + high, columns: setting.width + low + high, row, column });
  const image = { ...extent, x: extent.x + low * column, y: extent.y + low * row, rows: setting.height, columns: setting.width };

  const least = Math.min(0.3 * side, LARGEST_CELL * Math.max(rows, columns));
  const grown = Math.max(1, least / Math.max(rows * row, columns * column));
  const thick = (drawn: number, count: number) => Math.max(drawn * grown, THINNEST / count);
  const plane = centred(planeBox, { rows, columns, row: thick(row, rows), column: thick(column, columns) });

  const lensCells = setting.kernel + 2 * lensMargin(setting);
  return {
    narrow,
    imageBox,
    lensBox,
    planeBox,
    image,
    plane,
    imageThicker: row !== scale || column !== scale,
    planeThicker: plane.row !== plane.column,
    planeEnlarged: grown > 1,
    lensCells,
    cell: lensSide / lensCells,
    height: lensBox.y + lensSide + FOOT,
  };
}

export type Held = "image" | "lens" | "plane";

/** The picture under a point. */
export function heldAt(layout: Layout, x: number, y: number): Held | undefined {
  const inBox = ({ x: left, y: top, side }: Box) => x >= left && x <= left + side && y >= top && y <= top + side;
  if (inBox(layout.lensBox)) return "lens";
  if (inBox(layout.imageBox)) return "image";
  return inBox(layout.planeBox) ? "plane" : undefined;
}

/** Where the middle of a window is drawn on the image. */
export const middleOf = ({ image }: Layout, { rows, columns }: Seen): [x: number, y: number] => [
  image.x + ((columns.start + columns.stop) / 2) * image.column,
  image.y + ((rows.start + rows.stop) / 2) * image.row,
];

/** The unit, in fractions of a step, whose window has its middle at a point of the image. */
export function unitOver({ image }: Layout, setting: Setting, x: number, y: number): Place {
  const [low] = paddingOf(setting);
  const along = (pixel: number) => (pixel - setting.kernel / 2 + low) / setting.stride;
  return { row: along((y - image.y) / image.row), column: along((x - image.x) / image.column) };
}

/** The unit under a point of the plane. */
export const unitOn = ({ plane }: Layout, x: number, y: number): Place => ({
  row: Math.floor((y - plane.y) / plane.row),
  column: Math.floor((x - plane.x) / plane.column),
});
