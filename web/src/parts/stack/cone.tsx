// Layers seen from the side: rows of units over a row of pixels, and all that one of them depends on.

import type { JSX } from "preact";
import { arrows, Figure, placeIn } from "../../figure";
import { exact, short } from "../../numbers";
import { paddingOf, coneOf, type Range } from "./stack";
import { choose, chooseLayer, drawn, drawnUnits, fields, layers, unit, units } from "./state";
import { setting } from "../../state";
import { text } from "./words";

const TOP = 8;
const ROW = 20;
const AXIS = 38;
const gapOf = (width: number) => (width < 560 ? 26 : 34);
const rowsOf = () => units.value.length;
const heightOf = (width: number) => TOP + rowsOf() * ROW + (rowsOf() - 1) * gapOf(width) + AXIS;

/** Cells narrower than this are drawn as one bar; wires between cells narrower than that are left out. */
const NARROWEST_CELL = 3;
const MOST_WIRES = 400;

interface Plan {
  readonly left: number;
  readonly right: number;
  readonly cell: number;
  readonly yOf: (layer: number) => number;
}

function planOf(width: number): Plan {
  const left = width < 560 ? 62 : 150;
  const right = width - 1;
  return {
    left,
    right,
    cell: (right - left) / drawn.value,
    yOf: (layer) => TOP + (rowsOf() - 1 - layer) * (ROW + gapOf(width)),
  };
}

/** Where a unit's cell begins; a cell is as wide as its neighbours' fields are apart. */
function edge({ left, cell }: Plan, layer: number, position: number): number {
  const { centre, stride } = fields.value[layer]!;
  return left + (centre + 0.5 + (position - 0.5) * stride) * cell;
}

function Cells({ plan, layer, range, chosen }: { plan: Plan; layer: number; range: Range; chosen: string }): JSX.Element {
  const { left, right, yOf } = plan;
  const y = yOf(layer);
  const pitch = plan.cell * fields.value[layer]!.stride;
  const clamp = (x: number) => Math.min(Math.max(x, left), right);
  const [start, stop] = [Math.max(range[0], 0), Math.min(range[1], drawnUnits(layer))];
  const gap = pitch >= 8 ? 1 : pitch >= NARROWEST_CELL ? 0.5 : 0;
  const cells = (from: number, to: number): string => {
    if (to <= from) return "";
    const box = (one: number, other: number) => {
      const x = clamp(edge(plan, layer, one)) + gap;
      return `M${x.toFixed(2)} ${y}H${Math.max(clamp(edge(plan, layer, other)) - gap, x + 0.5).toFixed(2)}v${ROW}H${x.toFixed(2)}Z`;
    };
    if (pitch < NARROWEST_CELL) return box(from, to);
    return Array.from({ length: to - from }, (_, k) => box(from + k, from + k + 1)).join("");
  };
  const kind = layer === 0 ? "pixels" : layers.value[layer - 1]!.kind;
  return (
    <g class={`stack-row ${kind}`}>
      <path class="stack-units" d={cells(0, start) + cells(stop, drawnUnits(layer))} />
      <path class={`stack-seen ${chosen}`} d={cells(start, stop)} />
    </g>
  );
}

/** The cone between a layer and the one below, and the wires where they can be told apart. */
function Step({ plan, layer, above, below }: { plan: Plan; layer: number; above: Range; below: Range }): JSX.Element {
  const { left, right, yOf } = plan;
  const x = (of: number, position: number) => edge(plan, of, position) - left;
  const top = yOf(layer) + ROW;
  const height = yOf(layer - 1) - top;
  const wash = `M${x(layer, above[0])} 0L${x(layer - 1, below[0])} ${height}H${x(layer - 1, below[1])}L${x(layer, above[1])} 0Z`;
  const through = layers.value[layer - 1]!;
  const { window, stride } = through;
  const narrow = plan.cell * fields.value[layer - 1]!.stride < 2 * NARROWEST_CELL;
  const [low] = paddingOf(through);
  const wires: string[] = [];
  if (!narrow && (above[1] - above[0]) * window <= MOST_WIRES) {
    for (let position = above[0]; position < above[1]; position++) {
      for (let tap = 0; tap < window; tap++) {
        const input = position * stride - low + tap;
        if (input < below[0] || input >= below[1]) continue;
        wires.push(`M${x(layer, position + 0.5).toFixed(1)} 0L${x(layer - 1, input + 0.5).toFixed(1)} ${height}`);
      }
    }
  }
  // A drawing of its own, so that what lies beyond the row of pixels is cut off.
  return (
    <svg x={left} y={top} width={right - left} height={height}>
      <path class={`stack-wash ${through.kind}`} d={wash} />
      <path class={`stack-wires ${through.kind}`} d={wires.join("")} />
    </svg>
  );
}

export function said(): string {
  const t = text();
  const chosen = unit.value;
  if (!chosen) return t.nothing;
  const [range] = coneOf(layers.value, chosen.layer, chosen.position, units.value);
  const [start, stop] = range!;
  const theory = fields.value[chosen.layer]!.size;
  return t.sees(
    chosen.layer,
    exact(chosen.position),
    exact(start),
    exact(stop - 1),
    exact(stop - start),
    theory > stop - start ? exact(theory - (stop - start)) : "",
    exact(theory),
  );
}

export function Cone(): JSX.Element {
  const t = text();
  const { width: pixels } = setting.value;
  const list = layers.value;
  const chosen = unit.value;
  const cone = chosen && coneOf(list, chosen.layer, chosen.position, units.value);

  const at = (x: number, y: number, width: number) => {
    const plan = planOf(width);
    const pitch = ROW + gapOf(width);
    const layer = Math.max(rowsOf() - 1 - Math.round((y - TOP - ROW / 2) / pitch), 1);
    const field = fields.value[Math.min(layer, rowsOf() - 1)]!;
    choose(layer, Math.round(((x - plan.left) / plan.cell - 0.5 - field.centre) / field.stride));
  };
  const follow = (event: PointerEvent & { currentTarget: HTMLDivElement }) =>
    at(...placeIn(event), event.currentTarget.clientWidth);
  const cut = units.value.length <= list.length;

  return (
    <Figure
      name="stack-cone"
      title={t.coneTitle}
      description={`${t.coneDescription(list.length, exact(drawn.value))}${said()}`}
      caption={
        <>
          <span class="stack-said" role="status">
            {said()}
          </span>
          {cut && (
            <span class="stack-said stack-cut">
              {t.tooSmall(units.value.length, exact(units.value[units.value.length - 1]!))}
            </span>
          )}
          {t.coneCaption}
        </>
      }
      height={heightOf}
      frame={{
        class: "frame stack-frame",
        tabIndex: 0,
        role: "group",
        "aria-label": t.coneKeys,
        onPointerMove: (event) => {
          // A mouse needs only to be there; a finger is pressed, and moves along the row.
          if (event.pointerType === "mouse" || event.buttons) follow(event);
        },
        onPointerDown: (event) => {
          if (event.pointerType === "mouse") follow(event);
        },
        onClick: (event) => at(...placeIn(event), event.currentTarget.clientWidth),
        onKeyDown: arrows((rows, columns) => {
          const now = unit.peek();
          if (!now) return;
          if (rows) chooseLayer(Math.min(Math.max(now.layer - rows, 1), units.peek().length - 1));
          else choose(now.layer, now.position + columns);
        }),
      }}
    >
      {(width) => {
        const plan = planOf(width);
        const { left, right, cell, yOf } = plan;
        const wide = width >= 560;
        const under = yOf(0) + ROW;
        const [start, stop] = cone?.[0] ?? [0, 0];
        const from = left + start * cell;
        const to = Math.min(left + stop * cell, right);
        const label = start === stop - 1 ? exact(start) : `${exact(start)} – ${exact(stop - 1)}`;
        const room = 4 + label.length * 4;
        const middle = Math.min(Math.max((from + to) / 2, left + room), right - room);
        return (
          <>
            {cone && chosen && Array.from({ length: chosen.layer }, (_, below) => (
              <Step key={below} plan={plan} layer={below + 1} above={cone[below + 1]!} below={cone[below]!} />
            ))}
            {units.value.map((_, layer) => (
              <Cells
                key={layer}
                plan={plan}
                layer={layer}
                range={cone?.[layer] ?? [0, 0]}
                chosen={layer === chosen?.layer ? "chosen" : ""}
              />
            ))}
            {units.value.map((_, layer) => (
              <text key={layer} class="stack-name" x={0} y={yOf(layer) + ROW / 2 + 4.5}>
                {layer === 0 ? t.pixels : t.rowName(layer, list[layer - 1]!, wide)}
              </text>
            ))}
            {cone && (
              <>
                <path class="stack-bracket" d={`M${from + 0.75} ${under + 4}v5H${Math.max(to - 0.75, from + 1.5)}v-5`} />
                <text class="stack-range" x={middle} y={under + 25} text-anchor="middle">
                  {label}
                </text>
              </>
            )}
            {middle - room > left + 16 && (
              <text class="label" x={left} y={under + 25}>
                0
              </text>
            )}
            {middle + room < right - (pixels > drawn.value ? 70 : 34) && (
              <text class="label" x={right} y={under + 25} text-anchor="end">
                {pixels > drawn.value ? `… ${short(pixels - 1)}` : exact(pixels - 1)}
              </text>
            )}
          </>
        );
      }}
    </Figure>
  );
}
