// Every unit wired to every pixel: two planes, one above the other, and the wires of the unit chosen.

import type { JSX } from "preact";
import { arrows, Figure, placeIn } from "../../figure";
import { exact, extent, Raised, short } from "../../numbers";
import { account, setting } from "../../state";
import { chosen, drawnAlong, placeOf, type Place } from "./drawn";
import { text } from "./words";

type Point = readonly [x: number, y: number];

/** A plane seen from above and in front: columns run to the right, rows towards the reader and left. */
interface Plane {
  readonly rows: number;
  readonly columns: number;
  readonly corner: Point;
  /** How far the plane reaches along its columns, and how far a step along its rows goes left and down. */
  readonly across: number;
  readonly slant: number;
  readonly depth: number;
}

const WIDEST = 720;
const LABEL = 22;

/** A point of the plane, both coordinates from 0 to 1, in the drawing. */
const at = ({ corner, across, slant, depth }: Plane, u: number, v: number): Point => [
  corner[0] + u * across - v * slant,
  corner[1] + v * depth,
];

const centre = (plane: Plane, { row, column }: Place): Point =>
  at(plane, (column + 0.5) / plane.columns, (row + 0.5) / plane.rows);

/** The cell of the plane under a point of the drawing. */
function cellAt(plane: Plane, [x, y]: Point): Place | undefined {
  const v = (y - plane.corner[1]) / plane.depth;
  const u = (x - plane.corner[0] + v * plane.slant) / plane.across;
  if (u < 0 || u >= 1 || v < 0 || v >= 1) return undefined;
  return { row: Math.floor(v * plane.rows), column: Math.floor(u * plane.columns) };
}

const path = (points: readonly Point[]) => `M${points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}`;
const outline = (plane: Plane, left = 0, top = 0, right = 1, bottom = 1) =>
  `${path([at(plane, left, top), at(plane, right, top), at(plane, right, bottom), at(plane, left, bottom)])}Z`;

const placesOf = ({ rows, columns }: { rows: number; columns: number }): Place[] =>
  Array.from({ length: rows * columns }, (_, k) => ({ row: Math.floor(k / columns), column: k % columns }));

/** The picture on the image plane: a ring, 0 (paper) to 1 (ink), at a point of the plane. */
function ink(u: number, v: number): number {
  const radius = Math.hypot((u - 0.5) / 0.34, (v - 0.5) / 0.4);
  return Math.max(0, 1 - Math.abs(radius - 0.8) / 0.45);
}

function planesOf(width: number): { units: Plane; image: Plane; height: number } {
  const { height: imageRows, width: imageColumns } = setting.value;
  const pixels = { rows: drawnAlong(imageRows).length, columns: drawnAlong(imageColumns).length };
  const units = { rows: drawnAlong(account.value.rows).length, columns: drawnAlong(account.value.columns).length };
  const room = Math.min(width - 2, WIDEST);
  const longest = Math.max(pixels.rows, pixels.columns);
  // A narrow column has taller planes: a finger must hit a unit.
  const steep = room < 480 ? 0.4 : 0.27;
  const across = 0.74 * room * (pixels.columns / longest);
  const slant = 0.26 * room * (pixels.rows / longest);
  const depth = steep * room * (pixels.rows / longest);
  const between = Math.max(0.24 * room, 90);
  const left = (width - across - slant) / 2 + slant;
  const shape = { across, slant, depth };
  return {
    units: { ...units, ...shape, corner: [left, LABEL] },
    image: { ...pixels, ...shape, corner: [left, LABEL + depth + between] },
    height: LABEL + depth + between + depth + LABEL + 8 + counts(width).length * LABEL,
  };
}

/** A few wires of all the others: enough to see that they are there. */
function someWires(units: Plane, image: Plane): string {
  const unitPlaces = placesOf(units);
  const pixelPlaces = placesOf(image);
  const wanted = Math.min(240, unitPlaces.length * pixelPlaces.length);
  // Steps without a common factor with the counts would walk in patterns; these two are far from any.
  return Array.from({ length: wanted }, (_, k) =>
    path([
      centre(units, unitPlaces[(k * 37) % unitPlaces.length]!),
      centre(image, pixelPlaces[(k * 61 + Math.floor(k / 7) * 13) % pixelPlaces.length]!),
    ]),
  ).join("");
}

/** What the wires come to; where the drawing is too narrow for the product, it stands on a line of its own. */
function counts(width: number): string[] {
  const t = text();
  const { pixels, units, dense } = account.value;
  const all = t.allUnits(short(units), short(pixels), short(dense));
  const fits = 9.4 * all.length < width;
  return [t.thisUnit(short(pixels), pixels === 1n), ...(fits ? [all] : all.split(/(?<=:|：)/).map((line) => line.trim()))];
}

function Planes({ width, place }: { width: number; place: Place }): JSX.Element {
  const t = text();
  const { units, image, height } = planesOf(width);
  const { rows, columns } = account.value;
  const from = centre(units, place);
  const cell = Math.min(units.across / units.columns, 2.4 * (units.depth / units.rows), 44);
  const drawn = (size: readonly [number, number], plane: Plane) =>
    plane.rows * plane.columns < size[0] * size[1] ? t.drawn(extent(plane.rows, plane.columns)) : "";
  const lines = counts(width);
  const imageSize = [setting.value.height, setting.value.width] as const;
  return (
    <>
      <path class="dense-others" d={someWires(units, image)} />
      <path class="dense-plane" d={outline(image)} />
      {placesOf(image).map(({ row, column }) => {
        const [u, v] = [column / image.columns, row / image.rows];
        const [du, dv] = [1 / image.columns, 1 / image.rows];
        return (
          <path
            key={row * image.columns + column}
            class="dense-pixel"
            d={outline(image, u, v, u + du, v + dv)}
            style={{ fillOpacity: 0.62 * ink(u + du / 2, v + dv / 2) }}
          />
        );
      })}
      <path class="dense-wires" d={placesOf(image).map((pixel) => path([from, centre(image, pixel)])).join("")} />
      <path class="dense-plane dense-units" d={outline(units)} />
      {placesOf(units).map((unit) => {
        const [x, y] = centre(units, unit);
        const here = unit.row === place.row && unit.column === place.column;
        const radius = cell * (here ? 0.4 : 0.26);
        return (
          <ellipse
            key={unit.row * units.columns + unit.column}
            class={here ? "dense-unit dense-chosen" : "dense-unit"}
            cx={x}
            cy={y}
            rx={radius}
            ry={radius * 0.62}
          />
        );
      })}
      <text x={width / 2} y={14} text-anchor="middle">
        {t.unitsLabel(extent(rows, columns))} <tspan class="label">{drawn([rows, columns], units)}</tspan>
      </text>
      <text x={width / 2} y={height - lines.length * LABEL - 12} text-anchor="middle">
        {t.pixelsLabel(extent(...imageSize))} <tspan class="label">{drawn(imageSize, image)}</tspan>
      </text>
      {lines.map((line, k) => (
        <text key={k} class="dense-count" x={width / 2} y={height - (lines.length - 1 - k) * LABEL - 6} text-anchor="middle">
          <Raised text={line} drawn />
        </text>
      ))}
    </>
  );
}

export function Wiring(): JSX.Element {
  const t = text();
  const { rows, columns, pixels, units: unitCount, dense } = account.value;
  const drawnRows = drawnAlong(rows);
  const drawnColumns = drawnAlong(columns);
  const place = placeOf(chosen.value, drawnRows.length, drawnColumns.length);
  const [row, column] = [drawnRows[place.row]! + 1, drawnColumns[place.column]! + 1];
  const choose = (event: JSX.TargetedMouseEvent<HTMLDivElement>) => {
    const cell = cellAt(planesOf(event.currentTarget.clientWidth).units, placeIn(event));
    if (cell && (cell.row !== place.row || cell.column !== place.column)) chosen.value = cell;
  };
  return (
    <Figure
      name="dense-wiring"
      title={t.wiringTitle}
      description={t.wiringDescription(exact(row), exact(column), exact(pixels), exact(unitCount), exact(dense))}
      caption={
        <>
          <span aria-live="polite">{t.wiringCaption(exact(row), exact(column), exact(pixels), exact(unitCount), exact(dense))}</span>
          {t.wiringHint}
        </>
      }
      height={(width) => planesOf(width).height}
      frame={{
        tabIndex: 0,
        role: "group",
        "aria-label": t.wiringKeys,
        onPointerMove: (event) => event.pointerType === "mouse" && choose(event),
        onClick: choose,
        onKeyDown: arrows((down, right) => {
          chosen.value = placeOf(
            { row: place.row + down, column: place.column + right },
            drawnRows.length,
            drawnColumns.length,
          );
        }),
      }}
    >
      {(width) => <Planes width={width} place={place} />}
    </Figure>
  );
}
