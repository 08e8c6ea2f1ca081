// How the field grows layer by layer, by addition or by doubling, until it is the whole image.

import { scaleLinear, scaleLog } from "d3-scale";
import type { JSX } from "preact";
import { Figure } from "../../figure";
import { exact, Power, short } from "../../numbers";
import { setting } from "../../state";
import { fieldsOf, layersToSee, stackFrom, stackText, type Layer } from "./stack";
import { layers, side } from "./state";
import { text } from "./words";

interface Way {
  readonly name: "plain" | "own" | "halving";
  readonly layers: readonly Layer[];
}

const PLAIN = stackFrom("3")!;
const HALVING = stackFrom("3-p2")!;

function waysOf(): readonly Way[] {
  return [
    { name: "plain", layers: PLAIN },
    { name: "halving", layers: HALVING },
    { name: "own", layers: layers.value },
  ];
}

/** The stack's layers, again and again, so many in all. */
const repeated = (list: readonly Layer[], many: number): readonly Layer[] =>
  Array.from({ length: many }, (_, k) => list[k % list.length]!);

const LEFT = 52;
const RIGHT = 14;
const TOP = 34;
const BOTTOM = 42;

export function Growth(): JSX.Element {
  const t = text();
  const all = side.value;
  const { height, width } = setting.value;
  const ways = waysOf().map((way) => ({ ...way, reach: layersToSee(way.layers, all) }));
  const needed = ways.map(({ reach }) => reach?.layers ?? 0).filter((many) => many <= 36);
  const shown = Math.max(8, ...needed);
  const counts = (many: number | undefined) => (many === undefined ? t.never : exact(many));
  const pixels = BigInt(height) * BigInt(width);
  return (
    <>
      <Figure
        name="stack-growth"
        title={t.growthTitle}
        description={t.growthDescription(exact(all), ways.map(({ name, reach }) => `${t.ways[name](stackText(layers.value))}: ${counts(reach?.layers)}`).join("; "))}
        caption={t.growthCaption}
        height={(wide) => (wide < 560 ? 270 : 320)}
      >
        {(wide, tall) => {
          const x = scaleLinear([0, shown], [LEFT, wide - RIGHT]);
          const log = scaleLog([1, Math.max(all, 10)], [tall - BOTTOM, TOP]);
          // The last layer may see more than there is; its ring stays between the line and the line's name.
          const y = (value: number) => Math.max(log(value), TOP - 8);
          const powers = Array.from({ length: 6 }, (_, k) => 10 ** k).filter((value) => value <= Math.max(all, 10) && (value <= all * 0.6 || value > all));
          const steps = Math.ceil(shown / (wide < 560 ? 6 : 12));
          return (
            <>
              {powers.map((value) => (
                <g key={value}>
                  <path class="grid" d={`M${LEFT} ${Math.round(y(value))}H${wide - RIGHT}`} />
                  <text class="label" x={LEFT - 8} y={y(value) + 4.5} text-anchor="end">
                    {short(value)}
                  </text>
                </g>
              ))}
              <path class="stack-whole" d={`M${LEFT} ${y(all)}H${wide - RIGHT}`} />
              <text class="label" x={LEFT - 8} y={y(all) + 4.5} text-anchor="end">
                {short(all)}
              </text>
              <text class="stack-whole-name" x={LEFT} y={y(all) - 19}>
                {t.wholeImage}
              </text>
              {Array.from({ length: Math.floor(shown / steps) + 1 }, (_, k) => (
                <text key={k} class="label" x={x(k * steps)} y={tall - BOTTOM + 20} text-anchor="middle">
                  {k * steps}
                </text>
              ))}
              <text class="label" x={wide - RIGHT} y={tall - 4} text-anchor="end">
                {t.layersAxis}
              </text>
              {ways.map(({ name, layers: list, reach }) => {
                const many = Math.min(shown, reach?.layers ?? shown);
                const points = fieldsOf(repeated(list, many)).map(({ size }, k) => `${x(k).toFixed(1)} ${y(size).toFixed(1)}`);
                const last = points[points.length - 1]!.split(" ").map(Number);
                return (
                  <g key={name} class={`stack-way ${name}`}>
                    <path class="stack-line" d={`M${points.join("L")}`} />
                    <path class="stack-dots" d={points.map((point) => `M${point}h.01`).join("")} />
                    {reach && reach.layers <= shown && <circle class="stack-end" cx={last[0]} cy={last[1]} r={5} />}
                  </g>
                );
              })}
            </>
          );
        }}
      </Figure>
      <table class="stack-reach">
        <thead>
          <tr>
            <th scope="col">{t.way}</th>
            <th scope="col" class="num">
              {t.layers}
            </th>
            <th scope="col" class="num">
              {t.field}
            </th>
            <th scope="col" class="num">
              {t.weights}
            </th>
          </tr>
        </thead>
        <tbody>
          {ways.map(({ name, reach }) => (
            <tr key={name} class={`stack-way ${name}`}>
              <th scope="row">
                <i class="stack-swatch" />
                {t.ways[name](stackText(layers.value))}
              </th>
              <td class="num">{counts(reach?.layers)}</td>
              <td class="num">{reach ? exact(reach.size) : "–"}</td>
              <td class="num">{reach ? exact(reach.weights) : "–"}</td>
            </tr>
          ))}
          <tr class="stack-way dense">
            <th scope="row">{t.denseUnit}</th>
            <td class="num">1</td>
            <td class="num">{exact(all)}</td>
            <td class="num">
              <Power value={pixels} />
            </td>
          </tr>
        </tbody>
      </table>
      <p>{t.growthFormula(exact(all), exact(ways[0]!.reach!.layers))}</p>
    </>
  );
}
