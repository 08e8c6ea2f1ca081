// One kernel slides over a digit; the products where it is, and the map so far.

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Button, Choice, Controls } from "../../controls";
import { Pixels } from "../../drawing";
import { arrows, dragging, Figure } from "../../figure";
import { mapOf, productsSum, under } from "../../filter";
import { DEEPEST, SIDE } from "../../networks";
import { stillness } from "../../state";
import { Cells, written } from "./cells";
import { DigitChoice } from "./digit";
import { largest } from "./sliding";
import { digit, pixels, PLACES, step, taps } from "./state";
import { KNOWN, LARGEST_TAP, nameOf, NAMES, type Name } from "./taps";
import { text } from "./text";

const TOP = 28;
const GAP = 24;
const SIGN = 22;
const EVERY_MS = 220;

interface Layout {
  readonly cell: number;
  readonly tap: number;
  readonly image: readonly [x: number, y: number];
  readonly middle: readonly [x: number, y: number];
  readonly map: readonly [x: number, y: number];
  readonly height: number;
}

/** Three in a row where there is room, else the products below the image and the map. */
function layout(width: number): Layout {
  const wide = width >= 640;
  const tap = Math.min(30, Math.floor((width - 2 * SIGN - 4) / 9));
  const middle = 9 * tap + 2 * SIGN;
  const room = wide ? width - middle - 2 * GAP : width - GAP;
  const cell = Math.max(8, Math.min(32, Math.floor(room / (2 * SIDE + 2))));
  const side = (SIDE + 2) * cell;
  const left = wide ? 0 : Math.max(0, Math.floor((width - 18 * cell - GAP) / 2));
  return {
    cell,
    tap,
    image: [left + cell, TOP + cell],
    middle: wide ? [side + GAP, TOP + side / 2 - 1.5 * tap] : [Math.max(0, Math.floor((width - middle) / 2)), TOP + side + 34],
    map: [left + side + GAP + (wide ? middle + GAP : 0), TOP + cell],
    height: wide ? TOP + side + 4 : TOP + side + 34 + 3 * tap + 34,
  };
}

const go = (place: number) => {
  step.value = Math.min(Math.max(place, 1), PLACES);
};

/** Moves the kernel to what a pointer is on: a place of the image or of the map. */
function follow(x: number, y: number, { image, map, cell }: Layout): void {
  for (const [left, top] of [image, map]) {
    const column = Math.floor((x - left) / cell);
    const row = Math.floor((y - top) / cell);
    if (column >= 0 && row >= 0 && column < SIDE && row < SIDE) go(row * SIDE + column + 1);
  }
}

function Drawing({ at }: { at: Layout }): JSX.Element {
  const t = text();
  const { cell, tap } = at;
  const place = step.value - 1;
  const row = Math.floor(place / SIDE);
  const column = place % SIDE;
  const seen = under(pixels.value, SIDE, row, column);
  const products = seen.map((pixel, k) => pixel * taps.value[k]!);
  const map = mapOf(pixels.value, SIDE, taps.value);
  const [imageX, imageY] = at.image;
  const [x, y] = at.middle;
  const [mapX, mapY] = at.map;
  const across = 3 * tap + SIGN;
  const box = (left: number, top: number, side: number, mark = "sharing-here") => (
    <rect class={mark} x={left} y={top} width={side} height={side} />
  );
  return (
    <g>
      <text class="label" x={imageX - cell} y={14}>{t.image}</text>
      <rect class="sharing-ring" x={imageX - cell + 0.5} y={imageY - cell + 0.5} width={10 * cell - 1} height={10 * cell - 1} />
      <Pixels values={pixels.value.map((pixel) => pixel / DEEPEST)} columns={SIDE} x={imageX} y={imageY} cell={cell} />
      <rect class="grid" x={imageX} y={imageY} width={SIDE * cell} height={SIDE * cell} />
      {box(imageX + (column - 1) * cell, imageY + (row - 1) * cell, 3 * cell)}

      {[t.under, t.taps, t.products].map((title, k) => (
        <text key={k} class="label" x={x + k * across + 1.5 * tap} y={y - 9} text-anchor="middle">{title}</text>
      ))}
      <g>
        {seen.map((pixel, k) => {
          const left = x + (k % 3) * tap;
          const top = y + Math.floor(k / 3) * tap;
          return (
            <g key={k}>
              <rect class="pixel" x={left} y={top} width={tap} height={tap} style={{ fillOpacity: (0.4 * pixel) / DEEPEST }} />
              <text class="tap" x={left + tap / 2} y={top + tap / 2} text-anchor="middle" dominant-baseline="central">{pixel}</text>
            </g>
          );
        })}
      </g>
      {box(x, y, 3 * tap)}
      <Cells values={taps.value} columns={3} x={x + across} y={y} cell={tap} most={largest(taps.value)} write={written} />
      <Cells values={products} columns={3} x={x + 2 * across} y={y} cell={tap} most={DEEPEST * largest(taps.value)} write={written} />
      {["×", "="].map((sign, k) => (
        <text key={sign} class="tap" x={x + (k + 1) * across - SIGN / 2} y={y + 1.5 * tap} text-anchor="middle" dominant-baseline="central">{sign}</text>
      ))}
      <text class="sharing-sum" x={x + 2 * across + 3 * tap} y={y + 3 * tap + 22} text-anchor="end">
        {t.sum(written(productsSum(seen, taps.value)))}
      </text>

      <text class="label" x={mapX} y={mapY - 10}>{t.map}</text>
      <Cells values={map.map((value, k) => (k <= place ? value : undefined))} columns={SIDE} x={mapX} y={mapY} cell={cell} most={largest(map)} />
      {box(mapX + column * cell, mapY + row * cell, cell, "sharing-mark")}
      {[at.image, at.map].map(([left, top], k) => (
        <rect key={k} class="sharing-drag" x={left} y={top} width={SIDE * cell} height={SIDE * cell} />
      ))}
    </g>
  );
}

function Player(): JSX.Element {
  const t = text();
  const [playing, setPlaying] = useState(false);
  useEffect(() => {
    if (!playing) return;
    const timer = setInterval(() => (step.value < PLACES ? go(step.value + 1) : setPlaying(false)), EVERY_MS);
    return () => clearInterval(timer);
  }, [playing]);
  const play = () => {
    if (!playing && step.value === PLACES) go(1);
    setPlaying(!playing);
  };
  const by = (change: number) => () => {
    setPlaying(false);
    go(step.value + change);
  };
  return (
    <div class="buttons">
      {!stillness.matches && <Button onClick={play}>{playing ? t.pause : t.play}</Button>}
      <Button onClick={by(-1)}>{t.back}</Button>
      <Button onClick={by(1)}>{t.next}</Button>
      <Button onClick={by(PLACES)}>{t.all}</Button>
      <span class="beside">{t.place(step.value)}</span>
    </div>
  );
}

function KernelChoice(): JSX.Element {
  const t = text();
  const name = nameOf(taps.value);
  const options: [Name | "own", string][] = NAMES.map((known) => [known, t.kernels[known]]);
  // Nine other taps are a choice of their own, but only once there are some.
  if (!name) options.push(["own", t.ownTaps]);
  return (
    <Choice
      label={t.kernel}
      value={name ?? "own"}
      options={options}
      onChange={(chosen) => {
        if (chosen !== "own") taps.value = KNOWN[chosen];
      }}
    />
  );
}

function TapFields(): JSX.Element {
  const t = text();
  const put = (place: number, typed: string) => {
    const tap = Math.min(Math.max(Math.round(Number(typed)), -LARGEST_TAP), LARGEST_TAP);
    if (typed.trim() !== "" && Number.isFinite(tap)) taps.value = taps.value.map((old, k) => (k === place ? tap + 0 : old));
  };
  return (
    <fieldset class="control">
      <legend>{t.tapsField}</legend>
      <div class="sharing-taps">
        {taps.value.map((tap, k) => (
          <input
            key={k}
            type="number"
            min={-LARGEST_TAP}
            max={LARGEST_TAP}
            value={tap}
            aria-label={t.tap(Math.floor(k / 3) + 1, (k % 3) + 1)}
            onChange={(event) => {
              put(k, event.currentTarget.value);
              event.currentTarget.value = String(taps.value[k]);
            }}
          />
        ))}
      </div>
    </fieldset>
  );
}

export function Slide(): JSX.Element {
  const t = text();
  const place = step.value - 1;
  const row = Math.floor(place / SIDE);
  const column = place % SIDE;
  const sum = productsSum(under(pixels.value, SIDE, row, column), taps.value);
  const name = nameOf(taps.value);
  const walk = arrows((rows, columns) => {
    const within = (value: number) => Math.min(Math.max(value, 0), SIDE - 1);
    go(within(row + rows) * SIDE + within(column + columns) + 1);
  });
  return (
    <>
      <p>{t.slidesSize}</p>
      <Controls>
        <DigitChoice />
        <KernelChoice />
      </Controls>
      <Figure
        name="sharing-slide"
        title={t.slides}
        description={t.slidesSaid(digit.value, name ? t.kernels[name] : t.ownTaps, row + 1, column + 1, sum, step.value)}
        caption={t.slidesCaption}
        height={(width) => layout(width).height}
        frame={{ tabIndex: 0, role: "group", "aria-label": t.slidesFrame, onKeyDown: walk, ...draggingOn() }}
      >
        {(width) => <Drawing at={layout(width)} />}
      </Figure>
      <div class="sharing-below">
        <Player />
        <TapFields />
      </div>
    </>
  );
}

/** The frame is as wide as the drawing, so its width gives the layout. */
function draggingOn(): JSX.HTMLAttributes<HTMLDivElement> {
  let width = 0;
  const handlers = dragging((x, y) => follow(x, y, layout(width)));
  const measured =
    (handler: JSX.HTMLAttributes<HTMLDivElement>["onPointerMove"]) => (event: JSX.TargetedPointerEvent<HTMLDivElement>) => {
      width = Math.floor(event.currentTarget.getBoundingClientRect().width);
      handler?.(event);
    };
  return { onPointerDown: measured(handlers.onPointerDown), onPointerMove: measured(handlers.onPointerMove) };
}
