// How many weights each way to share leaves: a bar each, on a logarithmic scale.

import { scaleLog } from "d3-scale";
import type { JSX } from "preact";
import { accountOf } from "../../account";
import { Figure, placeIn } from "../../figure";
import { exact, Raised, short } from "../../numbers";
import { change, setting } from "../../state";
import { text } from "./text";
import { chosenWay, ways, wayText } from "./ways";

const ROW = 26;
const NUMBER = 90;

export function Weights(): JSX.Element {
  const t = text();
  const all = ways();
  const chosen = chosenWay(all);
  const rows = all.map((share) => ({ share, weights: accountOf({ ...setting.value, share }).weights }));
  const names = all.map((share) => wayText(share, "waysShort"));
  const label = Math.max(92, 8.2 * Math.max(...names.map((name) => name.length)) + 8);
  const most = Math.max(10, Number(rows[0]!.weights));
  return (
    <Figure
      name="sharing-weights"
      title={t.weights}
      description={t.weightsSaid(rows.map(({ share, weights }) => `${wayText(share)} ${exact(weights)}`).join(", "))}
      caption={t.weightsCaption(exact(rows[0]!.weights), exact(rows[rows.length - 1]!.weights))}
      height={() => rows.length * ROW + 2}
      frame={{
        class: "frame sharing-bars",
        onClick: (event: JSX.TargetedMouseEvent<HTMLDivElement>) => {
          const row = rows[Math.floor(placeIn(event)[1] / ROW)];
          if (row) change({ share: row.share });
        },
      }}
    >
      {(width) => {
        const length = scaleLog([1, most], [2, Math.max(2, width - label - NUMBER)]);
        return rows.map(({ weights }, k) => {
          const bar = length(Number(weights));
          return (
            <g key={k} class={k === chosen ? "sharing-way chosen" : "sharing-way"}>
              <rect class="back" x={0} y={k * ROW + 1} width={width} height={ROW - 2} />
              <text x={label - 8} y={k * ROW + ROW / 2} text-anchor="end" dominant-baseline="central">
                {names[k]}
              </text>
              <rect class="bar" x={label} y={k * ROW + 5} width={bar} height={ROW - 10} />
              <text x={label + bar + 6} y={k * ROW + ROW / 2} dominant-baseline="central">
                <Raised text={short(weights)} drawn />
              </text>
            </g>
          );
        });
      }}
    </Figure>
  );
}
