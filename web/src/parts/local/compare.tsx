// Full against local wiring: the same small image twice, the same unit lit in both.

import type { JSX } from "preact";
import { arrows, Figure, placeIn } from "../../figure";
import { windowOf } from "../../geometry";
import { exact, extent, times } from "../../numbers";
import { EXAMPLE, EXAMPLE_KERNEL, EXAMPLE_SIDE, EXAMPLE_UNITS, inkAt } from "./example";
import { chooseInExample, exampleUnit, type Place } from "./place";
import { text } from "./words";

type Point = readonly [x: number, y: number];

/** Two planes over each other, seen from above and in front: rows come towards the reader and left. */
interface Panel {
  readonly left: number;
  readonly width: number;
  /** One pixel's step along a row, and one row's step left and down. */
  readonly cell: number;
  readonly slant: number;
  readonly depth: number;
  readonly unitsTop: number;
  readonly imageTop: number;
}

const HEAD = 48;
const FOOT = 46;

function panelsOf(width: number): { full: Panel; local: Panel; height: number } {
  const gap = width < 560 ? 12 : 48;
  const each = Math.min((width - gap) / 2, 400);
  const across = each - 4;
  // Narrow planes are steeper: a finger must hit a unit.
  const cell = (0.78 * across) / EXAMPLE_SIDE;
  const slant = (0.22 * across) / EXAMPLE_SIDE;
  const depth = cell * (each < 240 ? 0.75 : 0.46);
  const between = (each < 240 ? 0.5 : 0.32) * each;
  const unitsTop = HEAD;
  const imageTop = unitsTop + EXAMPLE_SIDE * depth + between - depth;
  const start = (width - 2 * each - gap) / 2;
  const shape = { width: each, cell, slant, depth, unitsTop, imageTop };
  return {
    full: { ...shape, left: start },
    local: { ...shape, left: start + each + gap },
    height: imageTop + EXAMPLE_SIDE * depth + FOOT,
  };
}

/** A point at a height, in rows and columns of pixels. */
const at = (panel: Panel, top: number, row: number, column: number): Point => [
  panel.left + 2 + panel.slant * (EXAMPLE_SIDE - row) + panel.cell * column,
  top + panel.depth * row,
];

// A unit stands straight above the middle of its window.
const MIDDLE = EXAMPLE_KERNEL / 2;
const unitPoint = (panel: Panel, { row, column }: Place): Point =>
  at(panel, panel.unitsTop, row + MIDDLE, column + MIDDLE);
const pixelPoint = (panel: Panel, row: number, column: number): Point => at(panel, panel.imageTop, row + 0.5, column + 0.5);

/** The unit nearest to a point of either plane. */
function unitUnder(panel: Panel, [x, y]: Point): Place {
  const split = (panel.unitsTop + EXAMPLE_SIDE * panel.depth + panel.imageTop) / 2;
  const row = (y - (y < split ? panel.unitsTop : panel.imageTop)) / panel.depth;
  const column = (x - panel.left - 2 - panel.slant * (EXAMPLE_SIDE - row)) / panel.cell;
  return { row: row - MIDDLE, column: column - MIDDLE };
}

const line = (points: readonly Point[]) => `M${points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}`;
const patch = (panel: Panel, top: number, [row, column]: Point, [endRow, endColumn]: Point) =>
  `${line([at(panel, top, row, column), at(panel, top, row, endColumn), at(panel, top, endRow, endColumn), at(panel, top, endRow, column)])}Z`;

const range = (start: number, stop: number) => Array.from({ length: stop - start }, (_, k) => start + k);
const places = (rows: readonly number[], columns: readonly number[]): Place[] =>
  rows.flatMap((row) => columns.map((column) => ({ row, column })));
const ALL = range(0, EXAMPLE_SIDE);
const UNITS = places(range(0, EXAMPLE_UNITS), range(0, EXAMPLE_UNITS));

type Kind = "full" | "local";

/** The pixels that a unit is wired to. */
function wiredTo(kind: Kind, unit: Place): Place[] {
  if (kind === "full") return places(ALL, ALL);
  return places(range(...windowOf(unit.row, EXAMPLE_KERNEL)), range(...windowOf(unit.column, EXAMPLE_KERNEL)));
}

const wires = (panel: Panel, kind: Kind, unit: Place) =>
  wiredTo(kind, unit)
    .map(({ row, column }) => line([unitPoint(panel, unit), pixelPoint(panel, row, column)]))
    .join("");

function Wired({ panel, kind, unit }: { panel: Panel; kind: Kind; unit: Place }): JSX.Element {
  const t = text();
  const seen = new Set(wiredTo(kind, unit).map(({ row, column }) => row * EXAMPLE_SIDE + column));
  const { imageTop, unitsTop, left, depth, cell } = panel;
  const each = kind === "full" ? EXAMPLE.pixels : EXAMPLE.taps;
  const foot = imageTop + EXAMPLE_SIDE * depth;
  const says =
    kind === "full" ? t.fullSays(exact(EXAMPLE.pixels)) : t.localSays(extent(EXAMPLE_KERNEL, EXAMPLE_KERNEL));
  const radius = Math.min(0.24 * cell, 7);
  return (
    <g class={`local-wired ${kind === "full" ? "dense" : "local"}`}>
      <text class="local-name" x={left} y={14}>
        {kind === "full" ? t.full : t.local}
      </text>
      <text class="label" x={left} y={31}>
        {says}
      </text>
      {places(ALL, ALL).map(({ row, column }) => (
        <path
          key={row * EXAMPLE_SIDE + column}
          class="local-pixel"
          d={patch(panel, imageTop, [row, column], [row + 1, column + 1])}
          style={{ fillOpacity: 0.55 * inkAt(row, column) }}
        />
      ))}
      {UNITS.map((other) => (
        <path key={other.row * EXAMPLE_UNITS + other.column} class="local-faint" d={wires(panel, kind, other)} />
      ))}
      <path
        class="local-seen"
        d={[...seen].map((k) => {
          const [row, column] = [Math.floor(k / EXAMPLE_SIDE), k % EXAMPLE_SIDE];
          return patch(panel, imageTop, [row, column], [row + 1, column + 1]);
        }).join("")}
      />
      <path class="local-wires" d={wires(panel, kind, unit)} />
      <path
        class="local-plane"
        d={patch(panel, unitsTop, [MIDDLE - 0.75, MIDDLE - 0.75], [EXAMPLE_SIDE - MIDDLE + 0.75, EXAMPLE_SIDE - MIDDLE + 0.75])}
      />
      {UNITS.map((other) => {
        const [x, y] = unitPoint(panel, other);
        const here = other.row === unit.row && other.column === unit.column;
        const size = here ? 1.35 * radius : radius;
        return (
          <ellipse
            key={other.row * EXAMPLE_UNITS + other.column}
            class={here ? "local-unit chosen" : "local-unit"}
            cx={x}
            cy={y}
            rx={size}
            ry={0.72 * size}
          />
        );
      })}
      <text class="local-count" x={left} y={foot + 22}>
        {t.wires(exact(each))}
      </text>
      <text class="local-count" x={left} y={foot + 40}>
        {t.product(exact(EXAMPLE.units), exact(each), exact(EXAMPLE.units * each))}
      </text>
    </g>
  );
}

export function Compare(): JSX.Element {
  const t = text();
  const unit = exampleUnit.value;
  const [row, column] = [exact(unit.row + 1), exact(unit.column + 1)];
  const { pixels, taps, units } = EXAMPLE;
  const choose = (event: JSX.TargetedMouseEvent<HTMLDivElement>) => {
    const { full, local } = panelsOf(event.currentTarget.clientWidth);
    const [x, y] = placeIn(event);
    const panel = x < (full.left + full.width + local.left) / 2 ? full : local;
    if (y > HEAD - 10 && y < panel.imageTop + EXAMPLE_SIDE * panel.depth) chooseInExample(unitUnder(panel, [x, y]));
  };
  return (
    <Figure
      name="local-compare"
      title={t.compareTitle}
      description={t.compareDescription(row, column, exact(units), exact(pixels), exact(taps), exact(units * pixels), exact(units * taps))}
      caption={
        <>
          <span aria-live="polite">{t.compareCaption(row, column, exact(pixels), exact(taps))}</span>
          {t.compareNote(times(pixels, taps), exact(pixels), exact(taps))}
        </>
      }
      height={(width) => panelsOf(width).height}
      frame={{
        tabIndex: 0,
        role: "group",
        "aria-label": t.compareKeys,
        onPointerMove: (event) => event.pointerType === "mouse" && choose(event),
        onClick: choose,
        onKeyDown: arrows((rows, columns) => {
          const { row, column } = exampleUnit.peek();
          chooseInExample({ row: row + rows, column: column + columns });
        }),
      }}
    >
      {(width) => {
        const { full, local } = panelsOf(width);
        return (
          <>
            <Wired panel={full} kind="full" unit={unit} />
            <Wired panel={local} kind="local" unit={unit} />
          </>
        );
      }}
    </Figure>
  );
}
