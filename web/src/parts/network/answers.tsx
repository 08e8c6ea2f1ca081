import type { JSX } from "preact";
import { Figure } from "../../figure";
import { networks, SIDE, type Network } from "../../networks";
import { exact, percent } from "../../numbers";
import { Shades, type Placed } from "./shades";
import { example, replies, type Reply } from "./state";
import { names, text, wirings } from "./text";

const CLASSES = 10;
const GAP = 4;
const BAR_TALL = 54;
const HEAD = 26;

/** Where the pieces of a network's row are, for a width. */
interface Layout {
  readonly wide: boolean;
  readonly cell: number;
  readonly maps: readonly [x: number, y: number];
  /** Under the maps where there is no room beside them. */
  readonly bars: readonly [x: number, y: number] | undefined;
  readonly bar: number;
  readonly answer: readonly [x: number, y: number];
  readonly accuracy: readonly [x: number, y: number];
  /** The bar of the weights: its place, and its length for the most that a network has. */
  readonly weights: readonly [x: number, y: number, long: number];
  readonly tall: (network: Network) => number;
}

function layoutFor(width: number): Layout {
  if (width >= 840) {
    const cell = 4;
    const maps = 194;
    const bars = maps + 8 * (SIDE * cell + GAP) + 24;
    const bar = Math.min(18, (width - bars - 210) / CLASSES);
    const answer = bars + CLASSES * bar + 34;
    return {
      wide: true,
      cell,
      maps: [maps, 16],
      bars: [bars, 12],
      bar,
      answer: [answer, 50],
      accuracy: [answer + 44, 30],
      tall: (network) => (network.pool ? 128 : 114),
      weights: [0, 95, 176],
    };
  }
  const cell = Math.max(Math.min(Math.floor((width - 7 * GAP) / (8 * SIDE)), 5), 1);
  const below = (network: Network) => 80 + SIDE * cell + (network.pool ? SIDE * cell + 8 : 0);
  const right = 8 * (SIDE * cell + GAP) + 24;
  const beside = width - right >= 240;
  return {
    wide: false,
    cell,
    maps: [0, 74],
    bars: beside ? [right, 74] : undefined,
    bar: Math.min((width - (beside ? right : 8)) / CLASSES, 30),
    answer: [width - 24, 42],
    accuracy: [0, 0],
    tall: (network) => (beside ? Math.max(below(network) + 14, 74 + BAR_TALL + 36) : below(network) + BAR_TALL + 46),
    weights: [0, 61, width - 60],
  };
}

/** The hidden maps in a row and, under each, what pooling keeps of it. */
function placedMaps(reply: Reply, network: Network, { maps: [x, y], cell }: Layout): Placed[] {
  const step = SIDE * cell + GAP;
  const placed = Array.from({ length: network.hidden.maps }, (_, k): Placed => ({
    values: reply.hidden, from: k * SIDE * SIDE, side: SIDE, x: x + k * step, y, cell,
  }));
  if (!reply.pooled || !network.pool) return placed;
  const side = Math.floor(SIDE / network.pool);
  const values = reply.pooled;
  return placed.concat(
    placed.map((map, k) => ({ ...map, values, from: k * side * side, side, y: y + SIDE * cell + 8, cell: cell * network.pool! })),
  );
}

/** The outlines of the maps, whether anything is drawn or not. */
function outlines(network: Network, { maps: [x, y], cell }: Layout): string {
  const side = SIDE * cell;
  const rows = network.pool ? [y, y + side + 8] : [y];
  return rows
    .flatMap((top) => Array.from({ length: network.hidden.maps }, (_, k) => `M${x + k * (side + GAP)} ${top}h${side}v${side}h${-side}z`))
    .join("");
}

const MOST = Math.max(...networks.variants.map(({ weights }) => weights.hidden + weights.head));

/** The weights as lengths, all networks to one scale: hidden layer, then head. */
function Weights({ network, layout }: { network: Network; layout: Layout }): JSX.Element {
  const [x, y, long] = layout.weights;
  const length = (weights: number) => (long * weights) / MOST;
  const { hidden, head } = network.weights;
  return (
    <g class={`network-${network.name}`}>
      <rect class="network-bar" x={x} y={y} width={Math.max(length(hidden), 1)} height={7} />
      <rect class="network-head" x={x + Math.max(length(hidden), 1)} y={y} width={length(head)} height={7} />
    </g>
  );
}

function Row({ network, reply, layout, y }: { network: Network; reply: Reply | undefined; layout: Layout; y: number }): JSX.Element {
  const t = text();
  const { wide, bar } = layout;
  const name = `network-${network.name}`;
  const most = reply ? Math.max(...reply.hidden) : 0;
  const under = layout.maps[1] + SIDE * layout.cell * (network.pool ? 2 : 1) + (network.pool ? 8 : 0);
  const [barsX, barsY] = layout.bars ?? [4, under + 12];
  const label = example.value?.label;
  const right = label === undefined || !reply ? "" : reply.digit === label ? "✓" : "✗";
  const weights = `${t.hidden(exact(network.weights.hidden))} ${t.head(exact(network.weights.head))}`;
  const accuracy = t.accuracy(percent(network.accuracy.mean));
  const [low = 0, high = 0] = network.accuracy.interval;
  return (
    <g transform={`translate(0 ${y})`}>
      <path class="grid" d={`M0 0.5h4000`} />
      <text class={`network-name ${name}`} x={0} y={wide ? 28 : 20}>
        {names()[network.name]}
      </text>
      {wide ? (
        <>
          <text class="label" x={0} y={47}>{wirings()[network.name]}</text>
          <text x={0} y={66}>{t.hidden(exact(network.weights.hidden))}</text>
          <text x={0} y={84}>{t.head(exact(network.weights.head))}</text>
          <text x={layout.accuracy[0]} y={layout.accuracy[1]}>{accuracy}</text>
          <text class="label" x={layout.accuracy[0]} y={layout.accuracy[1] + 19}>{`${percent(low)} – ${percent(high)}`}</text>
        </>
      ) : (
        <>
          <text x={0} y={37}>{weights}</text>
          <text class="label" x={0} y={53}>{`${accuracy} (${percent(low)} – ${percent(high)})`}</text>
        </>
      )}
      <Weights network={network} layout={layout} />
      {reply && <Shades maps={placedMaps(reply, network, layout)} most={most} class={name} />}
      <path class="grid" d={outlines(network, layout)} />
      <g transform={`translate(${barsX} ${barsY})`}>
        <path class="grid" d={`M0 ${BAR_TALL + 0.5}h${bar * CLASSES}`} />
        {Array.from({ length: CLASSES }, (_, k) => {
          const part = reply?.parts[k] ?? 0;
          const chosen = reply?.digit === k;
          return (
            <g key={k}>
              <rect class={`network-bar ${name}`} x={k * bar + 2} y={BAR_TALL * (1 - part)} width={bar - 4} height={BAR_TALL * part} />
              <text class={chosen ? "network-class chosen" : "network-class"} x={(k + 0.5) * bar} y={BAR_TALL + 17} text-anchor="middle">
                {k}
              </text>
            </g>
          );
        })}
      </g>
      <text class="network-answer" x={layout.answer[0]} y={layout.answer[1]} text-anchor="middle">
        {reply?.digit ?? "–"}
      </text>
      {right && (
        <text class={right === "✓" ? "network-right" : "network-wrong"} x={layout.answer[0]} y={layout.answer[1] + (wide ? 20 : 19)} text-anchor="middle">
          {right}
        </text>
      )}
    </g>
  );
}

export function Answers(): JSX.Element {
  const t = text();
  const all = replies.value;
  const named = (k: number) => names()[networks.variants[k]!.name] ?? "";
  const said = (all ?? []).map((reply, k) => t.saysSure(named(k), reply.digit, percent(Math.max(...reply.parts), 0)));
  const one = all?.every((reply) => reply.digit === all[0]!.digit);
  const summary = !all ? t.nothing : one ? t.agree(all[0]!.digit) : t.differ(all.map((reply, k) => t.says(named(k), reply.digit)));
  const head = (width: number) => (layoutFor(width).wide ? HEAD : 0);
  return (
    <>
      <p class="network-summary" aria-live="polite">{summary}</p>
      <Figure
        name="network-answers"
        title={t.answers}
        description={t.answersSaid(said)}
        caption={t.answersCaption}
        height={(width) => head(width) + networks.variants.reduce((sum, network) => sum + layoutFor(width).tall(network), 0)}
      >
        {(width) => {
          const layout = layoutFor(width);
          let y = head(width);
          return (
            <>
              {layout.wide && (
                <>
                  <text class="label" x={0} y={16}>{t.weightsHead}</text>
                  <text class="label" x={layout.maps[0]} y={16}>{t.units}</text>
                  <text class="label" x={layout.bars?.[0] ?? 0} y={16}>{t.scores}</text>
                  <text class="label" x={layout.answer[0]} y={16} text-anchor="middle">{t.answer}</text>
                  <text class="label" x={layout.accuracy[0]} y={16}>{t.accuracyHead(networks.data.test)}</text>
                </>
              )}
              {networks.variants.map((network, k) => {
                const top = y;
                y += layout.tall(network);
                return <Row key={network.name} network={network} reply={all?.[k]} layout={layout} y={top} />;
              })}
            </>
          );
        }}
      </Figure>
    </>
  );
}
