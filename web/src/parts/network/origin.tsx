// The numbers of all five in a table, what was saved and given up, and where the numbers come from.

import type { JSX } from "preact";
import { networks, type Network } from "../../networks";
import { exact, percent, times } from "../../numbers";
import { names, text, type Comparison } from "./text";

export function Numbers(): JSX.Element {
  const t = text();
  return (
    <div class="scroll" tabIndex={0} role="group" aria-label={t.chart}>
      <table class="network-table">
        <thead>
          <tr>
            <th scope="col">{t.variant}</th>
            {[t.hiddenWeights, t.headWeights, t.params, t.mean, t.range, t.interval].map((head) => (
              <th key={head} scope="col" class="num">{head}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {networks.variants.map(({ name, weights, params, accuracy }) => (
            <tr key={name}>
              <th scope="row" class={`network-${name}`}>{names()[name]}</th>
              <td class="num">{exact(weights.hidden)}</td>
              <td class="num">{exact(weights.head)}</td>
              <td class="num">{exact(params)}</td>
              <td class="num">{percent(accuracy.mean)}</td>
              <td class="num">{between(accuracy.lowest, accuracy.highest)}</td>
              <td class="num">{between(accuracy.interval[0] ?? 0, accuracy.interval[1] ?? 1)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const between = (low: number, high: number): string => `${(100 * low).toFixed(1)} – ${percent(high)}`;

function comparison(before: Network, after: Network): Comparison {
  const { images } = before.accuracy;
  const difference = before.accuracy.mean - after.accuracy.mean;
  return {
    hidden: [before.weights.hidden, after.weights.hidden],
    params: [before.params, after.params],
    accuracy: [percent(before.accuracy.mean), percent(after.accuracy.mean)],
    points: (100 * difference).toFixed(1),
    lost: Math.round(difference * images),
    images,
    overlap: (after.accuracy.interval[1] ?? 1) >= (before.accuracy.interval[0] ?? 0),
  };
}

const STEPS = [
  ["dense", "local"],
  ["local", "shared"],
  ["shared", "pooled"],
] as const;

/** What one idea alone changed: the weights that it made fewer, and the accuracy. */
function step(from: string, to: string): string {
  const t = text();
  const find = (name: string) => {
    const network = networks.variants.find((variant) => variant.name === name);
    if (!network) throw new Error(`networks.json has no variant ${name}`);
    return network;
  };
  const [before, after] = [find(from), find(to)];
  const fold = (part: "hidden" | "head") => times(BigInt(before.weights[part]), BigInt(after.weights[part]));
  const fewer = before.weights.hidden > after.weights.hidden ? t.fewerHidden(fold("hidden")) : t.fewerHead(fold("head"));
  return t.step(names()[from] ?? "", names()[to] ?? "", fewer, percent(before.accuracy.mean), percent(after.accuracy.mean));
}

export function Balance(): JSX.Element {
  const t = text();
  const both = comparison(networks.variants[0]!, networks.variants[networks.variants.length - 1]!);
  return (
    <>
      <p>{t.steps}</p>
      <ul class="network-steps">
        {STEPS.map(([from, to]) => (
          <li key={to}>{step(from, to)}</li>
        ))}
      </ul>
      <p>{t.saved(both)}</p>
      <p>{t.lost(both)}</p>
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
