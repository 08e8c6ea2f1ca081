// Over how many paths each pixel reaches the unit: the field that counts is narrower than the field.

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { Controls, Slider } from "../../controls";
import { Figure } from "../../figure";
import { exact, percent as percentOf, short } from "../../numbers";
import { shade } from "../../state";
import { fieldOf, middleOf, pathCounts, stackText, sum, type Range } from "./stack";
import { counted, layers, mostRounds, rounds, WIDEST_COUNTED } from "./state";
import { text } from "./words";

/** A percentage that no line breaks. */
const percent = (fraction: number) => percentOf(fraction).replace(" ", "\u00a0");

/** How the counts are spread over the field. */
interface Spread {
  /** Of the largest count, 0 to 1. */
  readonly heights: readonly number[];
  readonly total: bigint;
  readonly largest: bigint;
  readonly edge: bigint;
  readonly middle: Range;
  /** Share of the paths in the middle. */
  readonly inside: number;
}

/** A ratio of counts too large for a double. */
const ratio = (part: bigint, whole: bigint): number => Number((part * 1_000_000_000n) / whole) / 1e9;

function spreadOf(list: Parameters<typeof pathCounts>[0]): Spread {
  const counts = pathCounts(list);
  const largest = counts.reduce((most, count) => (count > most ? count : most), 0n);
  const total = sum(counts);
  const middle = middleOf(counts);
  return {
    heights: counts.map((count) => ratio(count, largest)),
    total,
    largest,
    edge: counts[0]!,
    middle,
    inside: ratio(sum(counts.slice(...middle)), total),
  };
}

const BOTTOM = 62;
const TOP = 26;

/** A step for each pixel; where pixels are finer than a third of a CSS pixel, the highest of a few. */
function outline(heights: readonly number[], [start, stop]: Range, xOf: (place: number) => number, yOf: (value: number) => number): string {
  const cell = xOf(1) - xOf(0);
  const few = Math.max(1, Math.ceil(1 / 3 / cell));
  let path = `M${xOf(start).toFixed(2)} ${yOf(0)}`;
  for (let place = start; place < stop; place += few) {
    const next = Math.min(place + few, stop);
    path += `V${yOf(Math.max(...heights.slice(place, next))).toFixed(2)}H${xOf(next).toFixed(2)}`;
  }
  return `${path}V${yOf(0)}Z`;
}

function Bell({ spread }: { spread: Spread }): JSX.Element {
  const t = text();
  const { heights, middle, inside, total, largest, edge } = spread;
  const size = heights.length;
  const wide = middle[1] - middle[0];
  return (
    <Figure
      name="stack-effective"
      title={t.bellTitle}
      description={t.bellDescription(exact(size), short(total), short(edge), short(largest), exact(wide), percent(inside))}
      caption={t.bellCaption(exact(size), exact(wide), percent(inside), exact(largest), exact(edge))}
      height={(width) => (width < 420 ? 250 : 300)}
    >
      {(width, tall) => {
        const x = (place: number) => 1 + (place * (width - 2)) / size;
        const y = (value: number) => tall - BOTTOM - value * (tall - BOTTOM - TOP);
        const span = (from: number, to: number, at: number) =>
          `M${x(from) + 0.5} ${at - 4}v8M${x(to) - 0.5} ${at - 4}v8M${x(from) + 0.5} ${at}H${x(to) - 0.5}`;
        const narrow = x(middle[1]) - x(middle[0]) < 120;
        return (
          <>
            <path class="stack-tail" d={outline(heights, [0, size], x, y)} />
            <path class="stack-core" d={outline(heights, middle, x, y)} />
            <path class="grid" d={`M0 ${tall - BOTTOM + 0.5}H${width}`} />
            <text class="label" x={width / 2} y={16} text-anchor="middle">
              {t.pathsOf(short(largest))}
            </text>
            <path class="stack-span core" d={span(middle[0], middle[1], tall - BOTTOM + 17)} />
            <text
              class="stack-span-name core"
              x={narrow ? x(middle[1]) + 8 : width / 2}
              y={tall - BOTTOM + 21.5}
              text-anchor={narrow ? "start" : "middle"}
            >
              {t.core(exact(wide))}
            </text>
            <path class="stack-span" d={span(0, size, tall - 14)} />
            <text class="stack-span-name" x={width / 2} y={tall - 9.5} text-anchor="middle">
              {t.whole(exact(size))}
            </text>
          </>
        );
      }}
    </Figure>
  );
}

/** The outer product of the heights with themselves as a picture, at most so many cells wide. */
function picture(heights: readonly number[], colour: readonly [number, number, number]): string {
  const MOST = 160;
  const cells = Math.min(heights.length, MOST);
  const along = Array.from({ length: cells }, (_, k) => heights[Math.floor(((k + 0.5) * heights.length) / cells)]!);
  const canvas = document.createElement("canvas");
  canvas.width = cells;
  canvas.height = cells;
  const context = canvas.getContext("2d")!;
  const image = context.createImageData(cells, cells);
  for (let row = 0; row < cells; row++) {
    for (let column = 0; column < cells; column++) {
      image.data.set([...colour, Math.round(255 * along[row]! * along[column]!)], 4 * (row * cells + column));
    }
  }
  context.putImageData(image, 0, 0);
  return canvas.toDataURL();
}

function Heat({ spread }: { spread: Spread }): JSX.Element {
  const t = text();
  const { heights, middle, inside } = spread;
  const size = heights.length;
  const look = shade.value;
  const source = useMemo(() => picture(heights, look === "dark" ? [98, 166, 247] : [10, 98, 201]), [heights, look]);
  const area = ((middle[1] - middle[0]) / size) ** 2;
  const square = percent(inside * inside);
  return (
    <Figure
      name="stack-heat"
      title={t.heatTitle}
      description={t.heatDescription(exact(size), square, percent(area))}
      caption={t.heatCaption(square, percent(area))}
      height={(width) => Math.min(width, 340)}
    >
      {(width, tall) => {
        const left = (width - tall) / 2;
        const scale = (tall - 2) / size;
        const box = (from: number, to: number) => ({ x: left + 1 + from * scale, y: 1 + from * scale, width: (to - from) * scale, height: (to - from) * scale });
        return (
          <>
            <image class="stack-heat" href={source} {...box(0, size)} preserveAspectRatio="none" />
            <rect class="stack-field-box" {...box(0, size)} />
            <rect class="stack-core-box" {...box(middle[0], middle[1])} />
          </>
        );
      }}
    </Figure>
  );
}

export function Effective(): JSX.Element {
  const t = text();
  const list = counted.value;
  const key = stackText(list);
  const spread = useMemo(() => (list.length ? spreadOf(list) : undefined), [key]);
  // Four times as many layers: where these have no strides, the field grows fourfold and its middle twofold.
  const four = useMemo(() => {
    const once = layers.value;
    const plain = once.every(({ stride }) => stride === 1) && once.some(({ window }) => window > 1);
    if (!plain || list.length === 0) return undefined;
    const more = Array.from({ length: 4 }, () => list).flat();
    return fieldOf(more).size <= WIDEST_COUNTED / 4 ? spreadOf(more) : undefined;
  }, [key]);
  return (
    <>
      {mostRounds.value > 1 && (
        <Controls>
          <Slider
            label={t.rounds}
            value={Math.min(rounds.value, mostRounds.value)}
            low={1}
            high={mostRounds.value}
            show={(value) => t.roundsShown(value, value * layers.value.length)}
            onChange={(value) => {
              rounds.value = value;
            }}
          />
        </Controls>
      )}
      {spread ? (
        <>
          <div class="stack-pair">
            <Bell spread={spread} />
            <Heat spread={spread} />
          </div>
          {four && (
            <p>
              {t.four(
                list.length,
                exact(spread.heights.length),
                exact(spread.middle[1] - spread.middle[0]),
                4 * list.length,
                exact(four.heights.length),
                exact(four.middle[1] - four.middle[0]),
              )}
            </p>
          )}
        </>
      ) : (
        <p>{t.tooWide(exact(fieldOf(layers.value).size), exact(WIDEST_COUNTED))}</p>
      )}
    </>
  );
}
