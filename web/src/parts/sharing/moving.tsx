// The digit is moved: with one kernel the map moves along, with a kernel for each place it becomes another.

import type { JSX } from "preact";
import { Button, Controls } from "../../controls";
import { Pixels } from "../../drawing";
import { Figure } from "../../figure";
import { DEEPEST, SIDE } from "../../networks";
import { Cells } from "./cells";
import { DigitChoice } from "./digit";
import { largest, movedRight } from "./sliding";
import { FARTHEST, moved, pixels, trained } from "./state";
import { text } from "./text";
import { answers, type Placed } from "./trained";

const TOP = 24;
const GAP = 20;
const LABEL = 26;

interface Compared {
  readonly before: readonly number[];
  readonly after: readonly number[];
  /** `after` less `before` moved along; undefined where that is unknown. */
  readonly difference: readonly (number | undefined)[];
  readonly most: number;
}

function differenceOf(before: readonly number[], after: readonly number[], by: number): (number | undefined)[] {
  const along = movedRight<number | undefined>(before, SIDE, by, undefined);
  return after.map((value, k) => (along[k] === undefined ? undefined : value - along[k]!));
}

function compare(network: Placed, by: number): Compared {
  const before = answers(network, pixels.value);
  const after = answers(network, movedRight(pixels.value, SIDE, by, 0));
  const difference = differenceOf(before, after, by);
  return { before, after, difference, most: largest(difference.map((value) => value ?? 0)) };
}

const shown = (value: number): string => (value < 0.005 ? "0" : value.toFixed(2));

export function Moving(): JSX.Element {
  const t = text();
  const by = moved.value;
  const rows = [
    { name: t.oneKernel, found: compare(trained.value.get("all")!, by) },
    { name: t.kernelEach, found: compare(trained.value.get("own")!, by) },
  ];
  const movedPixels = movedRight(pixels.value, SIDE, by, 0);
  const cellOf = (width: number) => Math.min(22, Math.floor((width - 2 * GAP - 2) / (3 * SIDE)));
  const rowOf = (width: number) => SIDE * cellOf(width) + LABEL + 6;
  const go = (change: number) => () => {
    moved.value = Math.min(Math.max(by + change, -FARTHEST), FARTHEST);
  };
  return (
    <>
      <Controls>
        <DigitChoice />
        <div class="buttons">
          <Button onClick={go(-1)}>{t.left}</Button>
          <Button onClick={go(1)}>{t.right}</Button>
          <span class="beside" aria-live="polite">{t.movedBy(by)}</span>
        </div>
      </Controls>
      <Figure
        name="sharing-moving"
        title={t.moving}
        description={t.movingSaid(t.movedBy(by), ...(rows.map(({ found }) => t.differs(shown(found.most))) as [string, string]))}
        caption={t.movingCaption}
        height={(width) => TOP + 3 * rowOf(width) - LABEL}
      >
        {(width) => {
          const cell = cellOf(width);
          const across = SIDE * cell + GAP;
          const frame = (x: number, y: number) => <rect class="grid" x={x} y={y} width={SIDE * cell} height={SIDE * cell} />;
          return (
            <g>
              {[t.before, t.after, t.difference].map((title, k) => (
                <text key={k} class="label" x={k * across} y={14}>{title}</text>
              ))}
              {[pixels.value, movedPixels].map((values, k) => (
                <g key={k}>
                  <Pixels values={values.map((value) => value / DEEPEST)} columns={SIDE} x={k * across} y={TOP} cell={cell} />
                  {frame(k * across, TOP)}
                </g>
              ))}
              <rect class="sharing-unknown" x={2 * across} y={TOP} width={SIDE * cell} height={SIDE * cell} />
              <Cells values={differenceOf(pixels.value, movedPixels, by)} columns={SIDE} x={2 * across} y={TOP} cell={cell} most={DEEPEST} lines={false} />
              {frame(2 * across, TOP)}
              {rows.map(({ name, found }, k) => {
                const y = TOP + (k + 1) * rowOf(width);
                const most = largest([...found.before, ...found.after]);
                return (
                  <g key={k}>
                    <text class="sharing-unit" x={0} y={y - 8}>{name}</text>
                    <text class="label" x={2 * across} y={y - 8}>{t.differs(shown(found.most))}</text>
                    {[found.before, found.after, found.difference].map((values, column) => (
                      <g key={column}>
                        <rect class="sharing-unknown" x={column * across} y={y} width={SIDE * cell} height={SIDE * cell} />
                        <Cells values={values} columns={SIDE} x={column * across} y={y} cell={cell} most={most} lines={false} />
                        {frame(column * across, y)}
                      </g>
                    ))}
                  </g>
                );
              })}
            </g>
          );
        }}
      </Figure>
    </>
  );
}
