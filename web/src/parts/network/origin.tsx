// The numbers of all five in a table, what was saved and given up, and where the numbers come from.

import type { JSX } from "preact";
import { networks, type Difference, type Network } from "../../networks";
import { exact, percent, times } from "../../numbers";
import { names, text, type Comparison, type Points } from "./text";

/** The accuracy of a network less the dense one's, seed by seed, in points. */
const against = (name: string): Difference | undefined =>
  networks.differences.find((difference) => difference.in === "variants" && difference.of === name && difference.less === "dense");

export function Numbers(): JSX.Element {
  const t = text();
  const heads = [t.hiddenWeights, t.headWeights, t.params, t.mean, t.interval, t.against];
  const rows = networks.variants.map(({ name, weights, params, accuracy }) => {
    const [low = 0, high = 1] = accuracy.interval;
    const less = against(name);
    return {
      name,
      cells: [exact(weights.hidden), exact(weights.head), exact(params), percent(accuracy.mean), `${(100 * low).toFixed(1)} – ${percent(high)}`, less ? t.spread(spread(less)) : "–"],
    };
  });
  return (
    <div class="scroll" tabIndex={0} role="group" aria-label={t.chart}>
      <table class="network-table">
        <thead>
          <tr>
            <th scope="col">{t.variant}</th>
            {heads.map((head) => (
              <th key={head} scope="col" class="num">{head}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ name, cells }) => (
            <tr key={name}>
              <th scope="row" class={`network-${name}`}>{names()[name]}</th>
              {cells.map((cell, k) => (
                <td key={heads[k]} class="num" data-head={heads[k]}>{cell}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** A difference in points with its sign: +0.2, −0.5, 0.0. */
function points(difference: number): string {
  const written = (100 * Math.abs(difference)).toFixed(1);
  return written === "0.0" ? written : `${difference < 0 ? "−" : "+"}${written}`;
}

const spread = ({ mean, lowest, highest }: Difference): Points => ({ mean: points(mean), lowest: points(lowest), highest: points(highest) });

const overlap = (one: Network, other: Network): boolean =>
  (one.accuracy.interval[0] ?? 0) <= (other.accuracy.interval[1] ?? 1) && (other.accuracy.interval[0] ?? 0) <= (one.accuracy.interval[1] ?? 1);

/** Whether the intervals tell any of the networks apart, and which. */
export function Told(): JSX.Element {
  const t = text();
  const { variants, data, seeds } = networks;
  const apart = variants.flatMap((one, k) => variants.slice(k + 1).filter((other) => !overlap(one, other)).map((other) => [one, other] as const));
  const named = ({ name }: Network) => names()[name] ?? "";
  return (
    <p>
      {apart.length === 0 ? t.allOverlap(variants.length, data.test) : t.apart(apart.map(([one, other]) => t.pair(named(one), named(other))))}
      {t.gap}
      {t.paired(seeds.length)}
    </p>
  );
}

function found(name: string): Network {
  const network = networks.variants.find((variant) => variant.name === name);
  if (!network) throw new Error(`networks.json has no variant ${name}`);
  return network;
}

function comparison(before: Network, after: Network): Comparison {
  const { images } = before.accuracy;
  const less = against(after.name);
  if (!less) throw new Error(`networks.json does not compare ${after.name} with ${before.name}`);
  return {
    hidden: [before.weights.hidden, after.weights.hidden],
    params: [before.params, after.params],
    kernel: after.hidden.kernel,
    pool: after.pool ?? 1,
    difference: spread(less),
    more: Math.round(less.mean * images),
    images,
    overlap: overlap(before, after),
  };
}

const STEPS = [
  ["dense", "local"],
  ["local", "shared"],
  ["shared", "pooled"],
] as const;

/** What one idea alone changed: the weights that it made fewer. */
function step(from: string, to: string): string {
  const t = text();
  const [before, after] = [found(from), found(to)];
  const fold = (part: "hidden" | "head") => times(BigInt(before.weights[part]), BigInt(after.weights[part]));
  const fewer = before.weights.hidden > after.weights.hidden ? t.fewerHidden(fold("hidden")) : t.fewerHead(fold("head"));
  return t.step(names()[from] ?? "", names()[to] ?? "", fewer);
}

export function Balance(): JSX.Element {
  const t = text();
  const both = comparison(found("dense"), found("pooled"));
  return (
    <>
      <p>{t.steps}</p>
      <ul class="network-steps">
        {STEPS.map(([from, to]) => (
          <li key={to}>{step(from, to)}</li>
        ))}
      </ul>
      <p>
        <strong>{t.savedHead}</strong>
        {t.gap}
        {t.saved(both)}
      </p>
      <p>
        <strong>{t.lostHead}</strong>
        {t.gap}
        {t.lost(both)}
      </p>
    </>
  );
}

export function Origin(): JSX.Element {
  const t = text();
  const { data, seeds, command } = networks;
  const { epochs, batch, learning_rate, weight_decay, shift } = networks.recipe.variants;
  const [before, name, after] = t.made(command);
  return (
    <div class="network-origin small quiet">
      <h3>{t.how}</h3>
      <p>
        {before}
        <code>{name}</code>
        {after}
      </p>
      <p>{t.split(data.train, data.validation, data.test)}</p>
      <p>{t.recipe(epochs, batch, String(learning_rate), String(weight_decay), String(shift))}</p>
      <p>{t.seeds(seeds.length)}</p>
    </div>
  );
}
