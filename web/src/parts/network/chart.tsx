import { scaleLinear, scaleLog } from "d3-scale";
import type { JSX } from "preact";
import { keptAs, oneOf } from "../../address";
import { Choice, Controls } from "../../controls";
import { Figure } from "../../figure";
import { networks, type Network } from "../../networks";
import { exact, percent } from "../../numbers";
import { names, text } from "./text";

const counted = keptAs<"all" | "hidden">("network-count", "all", oneOf("all", "hidden"));
const weightsOf = (network: Network): number => (counted.value === "all" ? network.params : network.weights.hidden);

const MARGIN = { left: 52, right: 16, top: 34, bottom: 50 };
/** Points nearer than this in x are set apart. */
const APART = 22;

/** Places of the points in x, in their order, moved apart where they would hide each other. */
function apart(places: readonly number[], low: number, high: number): number[] {
  const order = places.map((_, k) => k).sort((a, b) => places[a]! - places[b]! || b - a);
  const moved = [...places];
  // Each group of near points spreads about its own middle.
  for (let first = 0; first < order.length; ) {
    let last = first;
    while (last + 1 < order.length && places[order[last + 1]!]! - places[order[last]!]! < APART) last++;
    const group = order.slice(first, last + 1);
    const middle = group.reduce((sum, k) => sum + places[k]!, 0) / group.length;
    const half = ((group.length - 1) * APART) / 2;
    const centre = Math.min(Math.max(middle, low + half), high - half);
    if (group.length > 1) group.forEach((k, place) => (moved[k] = centre - half + place * APART));
    first = last + 1;
  }
  return moved;
}

const bounds = (network: Network): [number, number] => [network.accuracy.interval[0] ?? 0, network.accuracy.interval[1] ?? 1];

/** All that is drawn of a network: its interval, and the dots of its seeds. */
function reach(network: Network): [number, number] {
  const [low, high] = bounds(network);
  return [Math.min(low, network.accuracy.lowest - 0.001), Math.max(high, network.accuracy.highest + 0.001)];
}

export function Chart(): JSX.Element {
  const t = text();
  const { variants } = networks;
  const named = (network: Network) => names()[network.name] ?? "";
  const lowest = Math.min(...variants.map((network) => Math.min(network.accuracy.lowest, bounds(network)[0])));
  // A little below the lowest, so that a name has room there.
  const floor = Math.max(Math.floor((lowest - 0.015) * 50) / 50, 0);
  const said = variants.map((network) => {
    const [low, high] = bounds(network);
    return t.point(named(network), exact(weightsOf(network)), percent(network.accuracy.mean), percent(low), percent(high));
  });
  return (
    <>
      <Controls>
        <Choice
          label={t.count}
          value={counted.value}
          options={[
            ["all", t.whole],
            ["hidden", t.layer],
          ]}
          onChange={(value) => {
            counted.value = value;
          }}
        />
      </Controls>
      <Figure
        name="network-accuracy"
        title={t.chart}
        description={t.chartSaid(said)}
        caption={t.chartCaption(networks.seeds.length, networks.data.test, percent(floor, 0))}
        height={(width) => Math.min(Math.max(width * 0.5, 280), 380)}
      >
        {(width, height) => {
          const weights = variants.map(weightsOf);
          const [left, right] = [MARGIN.left, width - MARGIN.right];
          const bottom = height - MARGIN.bottom;
          const x = scaleLog([10 ** Math.floor(Math.log10(Math.min(...weights))), 10 ** Math.ceil(Math.log10(Math.max(...weights)))], [left, right]);
          const y = scaleLinear([floor, 1], [bottom, MARGIN.top]);
          const places = apart(weights.map((value) => x(value)), left + 10, right - 10);
          const powers = x.ticks().filter((tick) => Number.isInteger(Math.log10(tick)));
          const rows = y.ticks(5);
          // So that numbers along the axis keep clear of one another.
          const every = Math.ceil(86 / ((right - left) / Math.max(powers.length - 1, 1)));
          return (
            <>
              <path class="grid" d={rows.map((tick) => `M${left} ${Math.round(y(tick)) + 0.5}H${right}`).join("") + powers.map((tick) => `M${Math.round(x(tick)) + 0.5} ${MARGIN.top}V${bottom}`).join("")} />
              {rows.map((tick) => (
                <text key={tick} class="label" x={left - 8} y={y(tick) + 4} text-anchor="end">{percent(tick, 0)}</text>
              ))}
              {powers.filter((_, k) => (powers.length - 1 - k) % every === 0).map((tick) => (
                <text key={tick} class="label" x={tick === powers.at(-1) ? right : x(tick)} y={bottom + 18} text-anchor={tick === powers.at(-1) ? "end" : "middle"}>{exact(tick)}</text>
              ))}
              <text class="label" x={left} y={16}>{t.accuracyAxis}</text>
              <text class="label" x={right} y={bottom + 40} text-anchor="end">{counted.value === "all" ? t.wholeAxis : t.layerAxis}</text>
              {variants.map((network, k) => {
                const place = places[k]!;
                const [low, high] = bounds(network);
                return (
                  <g key={network.name} class={`network-${network.name}`}>
                    <path class="network-interval" d={`M${place} ${y(low)}V${y(high)}M${place - 5} ${y(low)}h10M${place - 5} ${y(high)}h10`} />
                    {network.accuracy.each.map((value, seed) => (
                      <circle key={seed} class="network-seed" cx={place + 8} cy={y(value)} r={1.8} />
                    ))}
                    <circle class="network-point" cx={place} cy={y(network.accuracy.mean)} r={6} />
                  </g>
                );
              })}
              {labels(variants, places, (value) => y(value), named, [left, left + widthOf(t.accuracyAxis), 0, 20]).map(({ network, x: at, y: on, anchor }) => (
                <text key={network.name} class={`network-name network-${network.name}`} x={at} y={on} text-anchor={anchor}>{named(network)}</text>
              ))}
            </>
          );
        }}
      </Figure>
    </>
  );
}

interface Label {
  readonly network: Network;
  readonly x: number;
  readonly y: number;
  readonly anchor: "start" | "middle" | "end";
}

const LETTER = 8;
const LINE = 16;
/** A text's width, roughly: Chinese letters are twice as wide. */
const widthOf = (text: string) => [...text].reduce((sum, sign) => sum + (sign > "\u2e80" ? 1.8 : 1) * LETTER, 0);

type Box = readonly [left: number, right: number, top: number, bottom: number];

/** A name for each point, above or below its interval, where it hides no interval and no other name. */
function labels(variants: readonly Network[], places: readonly number[], y: (value: number) => number, named: (network: Network) => string, axis: Box): Label[] {
  const [first, last] = [Math.min(...places), Math.max(...places)];
  const taken: Box[] = variants.map((network, k) => {
    const [low, high] = reach(network);
    return [places[k]! - 6, places[k]! + 11, y(high), y(low)];
  });
  taken.push(axis);
  const free = ([left, right, top, bottom]: Box) => !taken.some((box) => left < box[1] && right > box[0] && top < box[3] && bottom > box[2]);
  return variants.map((network, k) => {
    const place = places[k]!;
    const anchor = place === last ? "end" : place === first ? "start" : "middle";
    const x = place + { end: 10, start: -10, middle: 0 }[anchor];
    const wide = widthOf(named(network));
    const left = x - { start: 0, middle: wide / 2, end: wide }[anchor];
    const [low, high] = reach(network);
    const candidates = [0, 1, 2, 3].flatMap((far) => [y(high) - 8 - far * LINE, y(low) + 18 + far * LINE]);
    const boxAt = (base: number): Box => [left, left + wide, base - 12, base + 4];
    const base = candidates.find((candidate) => free(boxAt(candidate))) ?? candidates[0]!;
    taken.push(boxAt(base));
    return { network, x, y: base, anchor };
  });
}
