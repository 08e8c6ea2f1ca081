// How many digits the four networks name rightly, over the seeds that they were trained with.

import type { JSX } from "preact";
import { Figure } from "../../figure";
import { exact, percent } from "../../numbers";
import { networks } from "../../networks";
import { shareOf, trainedShare } from "./state";
import { text } from "./text";

const ROW = 50;
const NUMBERS = 150;

/** A line from end to end, with a stroke across each. */
const interval = (ends: readonly number[], length: number, y: number): string =>
  `M${ends[0]! * length} ${y}H${ends[1]! * length}` + ends.map((end) => `M${end * length} ${y - 5}v10`).join("");

export function Accuracy(): JSX.Element {
  const t = text();
  const rows = networks.sharing.map(({ share, kernels, weights, accuracy }) => ({
    name: shareOf(share),
    label: t.accuracyRow(kernels ?? 0, exact(weights.hidden)),
    numbers: `${percent(accuracy.mean)} (${(100 * accuracy.lowest).toFixed(1)}–${(100 * accuracy.highest).toFixed(1)})`,
    accuracy,
  }));
  return (
    <Figure
      name="sharing-accuracy"
      title={t.accuracy}
      description={t.accuracySaid(rows.map(({ label, numbers }) => `${label}: ${numbers}`).join("; "))}
      caption={t.accuracyCaption(networks.data.test, networks.seeds.length, networks.command)}
      height={() => rows.length * ROW}
    >
      {(width) => {
        const length = Math.max(40, Math.min(width - NUMBERS, 560));
        return rows.map(({ name, label, numbers, accuracy }, k) => {
          const y = k * ROW;
          return (
            <g key={name} class={name === trainedShare.value ? "sharing-way chosen" : "sharing-way"}>
              <text class="label" x={0} y={y + 15}>{label}</text>
              <rect class="sharing-whole" x={0} y={y + 22} width={length} height={16} />
              <rect class="bar" x={0} y={y + 22} width={length * accuracy.mean} height={16} />
              <path class="sharing-interval" d={interval(accuracy.interval, length, y + 30)} />
              {accuracy.each.map((each, seed) => (
                <circle key={seed} class="sharing-seed" cx={length * each} cy={y + 30} r={3} />
              ))}
              <text x={length + 8} y={y + 30} dominant-baseline="central">{numbers}</text>
            </g>
          );
        });
      }}
    </Figure>
  );
}

/** What the same step does to the networks of part 6. */
export function Elsewhere(): JSX.Element | null {
  const mean = (kind: string) => networks.variants.find(({ hidden, pool }) => hidden.kind === kind && pool === null)?.accuracy.mean;
  const [local, shared] = [mean("local"), mean("shared")];
  if (local === undefined || shared === undefined) return null;
  return <p>{text().elsewhere(percent(local), percent(shared))}</p>;
}

