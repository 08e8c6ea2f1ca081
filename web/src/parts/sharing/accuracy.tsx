// How many digits the four networks name rightly, over the seeds that they were trained with.

import { scaleLinear } from "d3-scale";
import type { JSX } from "preact";
import { Figure } from "../../figure";
import { exact, percent } from "../../numbers";
import { networks } from "../../networks";
import { shareOf, trainedShare } from "./state";
import { text } from "./text";

const LANE = 20;
const LINE = 18;
const GAP = 14;
const AXIS = 22;
/** Room at both ends, for half a dot and half a number of the axis. */
const INSET = 20;

/** Label and numbers stand on one line where there is room. */
const textOf = (width: number) => (width < 440 ? 2 * LINE : LINE);
const rowOf = (width: number) => textOf(width) + 4 + LANE + GAP;

/** A line from end to end, with a stroke across each. */
const interval = ([low, high]: readonly number[], y: number): string => `M${low} ${y}H${high}M${low} ${y - 5}v10M${high} ${y - 5}v10`;

export function Accuracy(): JSX.Element {
  const t = text();
  const rows = networks.sharing.map(({ share, kernels, weights, accuracy }) => ({
    name: shareOf(share),
    label: t.accuracyRow(kernels ?? 0, exact(weights.hidden)),
    numbers: `${percent(accuracy.mean)} (${(100 * accuracy.lowest).toFixed(1)}–${(100 * accuracy.highest).toFixed(1)})`,
    accuracy,
  }));
  // From the ten per cent below the lowest: dots, unlike bars, need no zero.
  const least = Math.min(...rows.map(({ accuracy }) => Math.min(accuracy.lowest, accuracy.interval[0]!)));
  const first = Math.floor(10 * least) / 10;
  return (
    <Figure
      name="sharing-accuracy"
      title={t.accuracy}
      description={t.accuracySaid(rows.map(({ label, numbers }) => `${label}: ${numbers}`).join("; "))}
      caption={t.accuracyCaption(networks.data.test, networks.seeds.length, percent(first, 0), networks.command)}
      height={(width) => rows.length * rowOf(width) + AXIS}
    >
      {(width) => {
        const wide = Math.min(width, 672);
        const x = scaleLinear([first, 1], [INSET, wide - INSET]);
        const foot = rows.length * rowOf(wide) - GAP / 2;
        const oneLine = textOf(wide) === LINE;
        return (
          <>
            {x.ticks(5).map((tick) => (
              <g key={tick}>
                {rows.map(({ name }, k) => (
                  <path key={name} class="grid" d={`M${x(tick)} ${(k + 1) * rowOf(wide) - GAP - LANE}v${LANE}`} />
                ))}
                <text class="label" x={x(tick)} y={foot + 16} text-anchor="middle">{percent(tick, 0)}</text>
              </g>
            ))}
            {rows.map(({ name, label, numbers, accuracy }, k) => {
              const y = k * rowOf(wide);
              const middle = y + textOf(wide) + 4 + LANE / 2;
              return (
                <g key={name} class={name === trainedShare.value ? "sharing-way chosen" : "sharing-way"}>
                  <text class="label" x={0} y={y + 14}>{label}</text>
                  <text x={oneLine ? wide : 0} y={y + textOf(wide) - 4} text-anchor={oneLine ? "end" : "start"}>{numbers}</text>
                  <rect class="sharing-lane" x={0.5} y={middle - LANE / 2} width={wide - 1} height={LANE} />
                  <path class="sharing-interval" d={interval(accuracy.interval.map(x), middle)} />
                  {accuracy.each.map((each, seed) => (
                    <circle key={seed} class="sharing-seed" cx={x(each)} cy={middle} r={4} />
                  ))}
                  <path class="sharing-mean" d={`M${x(accuracy.mean)} ${middle - LANE / 2}v${LANE}`} />
                </g>
              );
            })}
          </>
        );
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

