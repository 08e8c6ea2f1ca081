// The trained kernels in their places, what one of their units sees, and what all of them answer.

import type { JSX } from "preact";
import { Choice, Controls } from "../../controls";
import { Grid, Pixels, signed } from "../../drawing";
import { arrows, Figure, placeIn } from "../../figure";
import { windowOf } from "../../geometry";
import { DEEPEST, SIDE } from "../../networks";
import { shade } from "../../state";
import { Cells } from "./cells";
import { DigitChoice } from "./digit";
import { largest } from "./sliding";
import { digit, look, map, MAPS, pixels, SHARES, trained, trainedShare } from "./state";
import { text } from "./text";
import { answers, kernelOf, type Placed } from "./trained";

const TOP = 26;
const GAP = 28;

interface Layout {
  readonly place: number;
  readonly pixel: number;
  readonly digit: readonly [x: number, y: number];
  readonly board: readonly [x: number, y: number];
  readonly map: readonly [x: number, y: number];
  readonly height: number;
}

function layout(width: number): Layout {
  if (width >= 600) {
    const pixel = Math.min(30, Math.floor((width - 2 * GAP - 2) / (SIDE * 3.6)));
    const place = Math.min(48, Math.floor((width - 2 * GAP - 2 * SIDE * pixel - 2) / SIDE));
    const lower = TOP + (SIDE * (place - pixel)) / 2;
    const board = SIDE * pixel + GAP + 1;
    return { place, pixel, digit: [1, lower], board: [board, TOP], map: [board + SIDE * place + GAP, lower], height: TOP + SIDE * place + 2 };
  }
  const place = Math.floor((width - 2) / SIDE);
  const pixel = Math.floor((width - GAP - 2) / (2 * SIDE));
  const lower = TOP + SIDE * place + 38;
  return { place, pixel, digit: [1, lower], board: [1, TOP], map: [SIDE * pixel + GAP + 1, lower], height: lower + SIDE * pixel + 2 };
}

function Board({ network, x, y, place }: { network: Placed; x: number; y: number; place: number }): JSX.Element {
  const { kernels, columns, block } = network;
  const most = largest(kernels.flat());
  const side = block * place;
  const margin = Math.max(3, side * 0.08);
  const tap = (side - 2 * margin) / 3;
  return (
    <g>
      {kernels.map((taps, name) => {
        const left = x + (name % columns) * side + margin;
        const top = y + Math.floor(name / columns) * side + margin;
        return taps.map((value, k) => (
          <rect
            key={`${name} ${k}`}
            x={left + (k % 3) * tap}
            y={top + Math.floor(k / 3) * tap}
            width={tap}
            height={tap}
            fill={signed(value / most, shade.value)}
            class="sharing-tap"
          />
        ));
      })}
      <Grid rows={network.rows} columns={columns} x={x} y={y} cell={side} />
    </g>
  );
}

function Drawing({ network, values, at }: { network: Placed; values: readonly number[]; at: Layout }): JSX.Element {
  const t = text();
  const { row, column } = look.value;
  const { place, pixel } = at;
  const [top, bottom] = windowOf(row, 3, 1, [1, 1], SIDE);
  const [left, right] = windowOf(column, 3, 1, [1, 1], SIDE);
  const kernel = kernelOf(network, row, column);
  const side = network.block * place;
  const [boardX, boardY] = at.board;
  const [digitX, digitY] = at.digit;
  const [mapX, mapY] = at.map;
  const grid = (x: number, y: number) => <rect class="grid" x={x} y={y} width={SIDE * pixel} height={SIDE * pixel} />;
  return (
    <g>
      <text class="label" x={digitX} y={digitY - 10}>{t.sees}</text>
      <Pixels values={pixels.value.map((value) => value / DEEPEST)} columns={SIDE} x={digitX} y={digitY} cell={pixel} />
      {grid(digitX, digitY)}
      <rect class="sharing-here" x={digitX + left * pixel} y={digitY + top * pixel} width={(right - left) * pixel} height={(bottom - top) * pixel} />

      <text class="sharing-unit" x={boardX} y={boardY - 10}>
        {t.unit(row + 1, column + 1, values[row * SIDE + column]!.toFixed(2))}
      </text>
      <Board network={network} x={boardX} y={boardY} place={place} />
      <rect
        class="sharing-mark"
        x={boardX + (kernel % network.columns) * side + 1}
        y={boardY + Math.floor(kernel / network.columns) * side + 1}
        width={side - 2}
        height={side - 2}
      />
      {network.block > 1 && (
        <rect class="sharing-mark" x={boardX + column * place + 2} y={boardY + row * place + 2} width={place - 4} height={place - 4} />
      )}

      <text class="label" x={mapX} y={mapY - 10}>{t.answers}</text>
      <Cells values={values} columns={SIDE} x={mapX} y={mapY} cell={pixel} most={largest(values)} lines={false} />
      {grid(mapX, mapY)}
      <rect class="sharing-mark" x={mapX + column * pixel} y={mapY + row * pixel} width={pixel} height={pixel} />
    </g>
  );
}

const see = (row: number, column: number) => {
  const within = (value: number) => Math.min(Math.max(value, 0), SIDE - 1);
  look.value = { row: within(row), column: within(column) };
};

export function Trained(): JSX.Element {
  const t = text();
  const network = trained.value.get(trainedShare.value)!;
  const values = answers(network, pixels.value);
  const { row, column } = look.value;
  const point = (event: JSX.TargetedPointerEvent<HTMLDivElement>) => {
    const [x, y] = placeIn(event);
    const at = layout(Math.floor(event.currentTarget.getBoundingClientRect().width));
    for (const [[left, top], cell] of [[at.board, at.place], [at.map, at.pixel], [at.digit, at.pixel]] as const) {
      const [right, down] = [Math.floor((x - left) / cell), Math.floor((y - top) / cell)];
      if (right >= 0 && down >= 0 && right < SIDE && down < SIDE) see(down, right);
    }
  };
  const count = network.kernels.length;
  return (
    <>
      <Controls>
        <Choice
          label={t.kernelsEach}
          value={trainedShare.value}
          options={SHARES.map((share) => [share, t.trained[share]])}
          onChange={(share) => {
            trainedShare.value = share;
          }}
        />
        <Choice
          label={t.map}
          value={String(map.value)}
          options={Array.from({ length: MAPS }, (_, k) => [String(k + 1), String(k + 1)])}
          onChange={(chosen) => {
            map.value = Number(chosen);
          }}
        />
        <DigitChoice />
      </Controls>
      <Figure
        name="sharing-board"
        title={t.board}
        description={t.boardSaid(map.value, count, digit.value, row + 1, column + 1, values[row * SIDE + column]!.toFixed(2))}
        caption={t.boardCaption(count, count * 9)}
        height={(width) => layout(width).height}
        frame={{
          tabIndex: 0,
          role: "group",
          "aria-label": t.boardFrame,
          onPointerMove: point,
          onPointerDown: point,
          onKeyDown: arrows((down, right) => see(row + down, column + right)),
        }}
      >
        {(width) => <Drawing network={network} values={values} at={layout(width)} />}
      </Figure>
    </>
  );
}
