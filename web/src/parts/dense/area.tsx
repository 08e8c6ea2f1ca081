// The weights of the three layers as squares, to scale, and a zoom from the largest to the smallest.

import type { JSX } from "preact";
import { Button, Controls, NumberField, Slider } from "../../controls";
import { arrows, Figure } from "../../figure";
import { exact, memory, Raised, readingTime, short, times } from "../../numbers";
import { LARGEST_KERNEL } from "../../setting";
import { account, change, setting } from "../../state";
import { length } from "./length";
import { durations, IDEAS, squaresOf, viewAt, type Square, type View } from "./squares";
import { text } from "./words";
import { flyTo, FULL, LAST, zoom, zoomTo } from "./zoom";

const SCALE = 38;
const LEADER = 30;
const LINE = 18;
/** From the line that the squares stand on to the drawing's lower edge. */
const GROUND = 6;
const LABELS = LEADER + 5 * LINE + 4;

const drawingHeight = (width: number) => Math.min(0.86 * width, 430);

/** How many times, with every digit up to a million. */
const timesOf = (before: bigint, after: bigint) =>
  before % after === 0n && before / after <= 1_000_000n ? exact(before / after) : times(before, after);

interface Window {
  readonly width: number;
  readonly height: number;
  /** Pixels to the side of a weight. */
  readonly scale: number;
  readonly x: (x: number) => number;
  readonly y: (y: number) => number;
}

function windowOf(width: number, height: number, [middle, seen]: View): Window {
  const scale = height / seen;
  return { width, height, scale, x: (x) => width / 2 + (x - middle) * scale, y: (y) => height - GROUND - y * scale };
}

const clamp = (value: number, low: number, high: number) => Math.min(Math.max(value, low), high);

/** What of a square is inside the window; a little beyond it, so that cut edges are not drawn. */
function seen(square: Square, { width, height, x, y }: Window) {
  const [left, right] = [x(square.left), x(square.left + square.side)].map((place) => clamp(place, -4, width + 4));
  const [top, bottom] = [y(square.side), y(0)].map((place) => clamp(place, -4, height + 4));
  return { left: left!, right: right!, top: top!, bottom: bottom! };
}

/** The side of a grid's cell, a power of ten of weights, that is 12 to 120 pixels long. */
const cellOf = (scale: number) => 10 ** Math.max(Math.ceil(Math.log10(12 / scale)), 0);

/** The lines of a grid inside a square, as one path. The grid starts at the square's lower left corner. */
function gridIn(square: Square, cell: number, view: Window): string {
  const { left, right, top, bottom } = seen(square, view);
  const step = cell * view.scale;
  const lines = (origin: number, low: number, high: number) => {
    const first = Math.max(Math.ceil((low - origin) / step), 1);
    return Array.from({ length: Math.max(Math.ceil((high - origin) / step - 1e-9) - first, 0) }, (_, k) => origin + (first + k) * step);
  };
  // From the corner that is nearest to the small squares; for the dense one this is the lower right.
  const down =
    square.left < 0
      ? lines(-view.x(0), -right, -left).map((place) => -place)
      : lines(view.x(square.left), left, right);
  const across = lines(-view.y(0), -bottom, -top).map((place) => -place);
  return (
    down.map((place) => `M${place.toFixed(1)} ${top.toFixed(1)}V${bottom.toFixed(1)}`).join("") +
    across.map((place) => `M${left.toFixed(1)} ${place.toFixed(1)}H${right.toFixed(1)}`).join("")
  );
}

function Area({ square, view }: { square: Square; view: Window }): JSX.Element | null {
  const { left, right, top, bottom } = seen(square, view);
  if (right <= left) return null;
  const cell = cellOf(view.scale);
  const fine = clamp(((cell / 10) * view.scale - 5) / 7, 0, 1);
  // An outline would make a speck larger than it is.
  const speck = square.side * view.scale < 14;
  return (
    <g class={`dense-area ${square.idea}`}>
      <rect class={speck ? "dense-speck" : "dense-square"} x={left} y={top} width={right - left} height={bottom - top} />
      {!speck && <path class="dense-grid" d={gridIn(square, cell, view)} />}
      {!speck && cell > 1 && fine > 0 && (
        <path class="dense-grid" style={{ strokeOpacity: 0.25 * fine }} d={gridIn(square, cell / 10, view)} />
      )}
    </g>
  );
}

/** The label of a square under the drawing and the line that leads to it. */
function Label({ square, index, view, onChoose }: { square: Square; index: number; view: Window; onChoose: () => void }): JSX.Element {
  const t = text();
  const column = view.width / IDEAS.length;
  const x = index * column;
  const { left, right } = seen(square, view);
  const away = right <= 0;
  const target = clamp((Math.max(left, 0) + Math.min(right, view.width)) / 2, 3, view.width - 3);
  const line = (k: number) => view.height + LEADER + (k + 1) * LINE - 4;
  const middle = x + Math.min(column / 3, 40);
  return (
    <g class={`dense-label ${square.idea}`} onClick={onChoose}>
      <rect class="dense-hit" x={x} y={view.height + LEADER} width={column} height={5 * LINE + 4} />
      <path class="dense-leader" d={`M${middle} ${view.height + LEADER - 2}L${target.toFixed(1)} ${view.y(0) + 3}`} />
      <text class="dense-name" x={x} y={line(0) - 3}>
        {away ? "← " : ""}
        {t.names[square.idea]}
      </text>
      <text class="dense-number" x={x} y={line(1)}>
        <Raised text={short(square.weights)} drawn />
      </text>
      <text x={x} y={line(2)}>
        {memory(square.weights)}
      </text>
      <text x={x} y={line(3)}>
        {readingTime(square.weights)}
      </text>
      <text class="label" x={x} y={line(4)}>
        {t.wide(length(square.side * view.scale))}
      </text>
    </g>
  );
}

function Scale({ view }: { view: Window }): JSX.Element {
  const t = text();
  const cell = cellOf(view.scale);
  const bar = cell * view.scale;
  return (
    <g class="dense-scale">
      <path d={`M1 23v10M1 28h${bar.toFixed(1)}m0 -5v10`} />
      <text x={0} y={17}>
        <Raised text={t.cell(short(BigInt(cell) ** 2n), cell === 1)} drawn />
      </text>
    </g>
  );
}

export function Areas(): JSX.Element {
  const t = text();
  const { kernel } = setting.value;
  const { dense, connections, weights } = account.value;
  const squares = squaresOf(account.value);
  const side = Math.sqrt(Number(dense) / Number(connections));
  const nearest = zoom.value % FULL === 0 ? zoom.value / FULL : undefined;
  const fly = (index: number) => flyTo(index, durations(squares, 1));
  const where = t.where(zoom.value / FULL);
  return (
    <>
      <Controls>
        <NumberField
          label={t.kernel}
          value={kernel}
          low={1}
          high={Math.min(setting.value.height, setting.value.width, LARGEST_KERNEL)}
          onChange={(kernel) => change({ kernel })}
        />
        <div class="buttons" role="group" aria-label={t.zoomTo}>
          {IDEAS.map((idea, index) => (
            <Button key={idea} pressed={nearest === index} onClick={() => fly(index)}>
              {t.names[idea]}
            </Button>
          ))}
        </div>
        <Slider label={t.zoom} value={Math.round(zoom.value)} low={0} high={LAST} onChange={zoomTo} show={(value) => t.where(value / FULL)} />
      </Controls>
      <Figure
        name="dense-squares"
        title={t.squaresTitle(short(dense))}
        description={t.squaresDescription(
          where,
          squares.map(({ idea, weights }) => `${t.names[idea]}: ${short(weights)}, ${memory(weights)}, ${readingTime(weights)}`),
        )}
        caption={
          <Raised
            text={t.squaresCaption(timesOf(dense, connections), Number(side.toPrecision(3)).toLocaleString("en-US"), timesOf(dense, weights))}
          />
        }
        height={(width) => SCALE + drawingHeight(width) + LABELS}
        frame={{
          tabIndex: 0,
          role: "group",
          "aria-label": t.squaresKeys,
          onWheel: (event) => {
            // Without Ctrl the wheel scrolls the page; a pinch on a touchpad comes as a wheel with Ctrl.
            if (!event.ctrlKey) return;
            event.preventDefault();
            zoomTo(zoom.peek() - clamp(event.deltaY, -40, 40) / 10);
          },
          onKeyDown: (event) => {
            arrows((down, right) => zoomTo(zoom.peek() + 4 * (right - down)))(event);
            const key = { "+": 4, "=": 4, "-": -4, Home: -LAST, End: LAST }[event.key];
            if (key === undefined || event.ctrlKey || event.metaKey || event.target !== event.currentTarget) return;
            event.preventDefault();
            zoomTo(zoom.peek() + key);
          },
        }}
      >
        {(width) => {
          const height = drawingHeight(width);
          const view = windowOf(width, height, viewAt(squares, zoom.value / FULL, width / height));
          return (
            <>
              <Scale view={view} />
              <svg x={0} y={SCALE} width={width} height={height}>
                <path class="dense-ground" d={`M0 ${view.y(0)}H${width}`} />
                {squares.map((square) => (
                  <Area key={square.idea} square={square} view={view} />
                ))}
              </svg>
              <g transform={`translate(0 ${SCALE})`}>
                {squares.map((square, index) => (
                  <Label key={square.idea} square={square} index={index} view={view} onChoose={() => fly(index)} />
                ))}
              </g>
            </>
          );
        }}
      </Figure>
    </>
  );
}
