// Two paths over the same pixels that meet in one unit, and what comes of many such blocks in a row.

import type { JSX } from "preact";
import { Button, Controls, Slider } from "../../controls";
import { Figure } from "../../figure";
import { exact } from "../../numbers";
import { coneOf, fieldOf, routesOf, unionOf, type Layer, type Range } from "./stack";
import { blocks, BRANCHES, branches, branchesFrom, branchesText, MOST_BLOCKS } from "./state";
import { text } from "./words";

const ROW = 18;
const GAP = 30;
const TOP = 58;
const BOTTOM = 34;
/** A letter's width, roughly. */
const LETTER = 7.6;

interface Panel {
  readonly x: number;
  readonly cell: number;
  /** Pixels drawn; the unit in the middle stands over the pixel `middle`. */
  readonly many: number;
  readonly middle: number;
  readonly bottom: number;
  /** Rows of the longer path: a shorter one is drawn as tall. */
  readonly step: number;
}

function Row({ panel, y, range, kind }: { panel: Panel; y: number; range: Range; kind: string }): JSX.Element {
  const { x, cell, many, middle } = panel;
  const box = (k: number) => `M${(x + k * cell + 0.75).toFixed(1)} ${y}h${(cell - 1.5).toFixed(1)}v${ROW}h${(1.5 - cell).toFixed(1)}Z`;
  const places = Array.from({ length: many }, (_, k) => k);
  const inside = (k: number) => k - middle >= range[0] && k - middle < range[1];
  return (
    <g class={kind}>
      <path class="stack-units" d={places.filter((k) => !inside(k)).map(box).join("")} />
      <path class="stack-seen" d={places.filter(inside).map(box).join("")} />
    </g>
  );
}

function Path({ panel, layers, name }: { panel: Panel; layers: readonly Layer[]; name: "deep" | "short" }): JSX.Element {
  const { x, cell, middle, bottom, step } = panel;
  const cone = coneOf(layers, layers.length, 0);
  const top = TOP;
  const yOf = (layer: number) => (layers.length === 0 ? bottom : bottom - (layer * step));
  const at = (place: number) => x + (place + middle) * cell;
  const end = layers.length === 0 ? [bottom, 0] : [yOf(layers.length), layers.length];
  const centre = at(0.5);
  return (
    <g class={`stack-path ${name}`}>
      {layers.map((_, k) => {
        const [above, below] = [cone[k + 1]!, cone[k]!];
        const [y, floor] = [yOf(k + 1) + ROW, yOf(k)];
        return (
          <path
            key={k}
            class="stack-wash"
            d={`M${at(above[0])} ${y}L${at(below[0])} ${floor}H${at(below[1])}L${at(above[1])} ${y}Z`}
          />
        );
      })}
      <path class="stack-join" d={`M${centre} ${end[0]}V${top}`} />
      {cone.map((range, layer) => (
        <Row key={layer} panel={panel} y={yOf(layer)} range={range} kind={layer === 0 ? "pixels" : "conv"} />
      ))}
    </g>
  );
}

function Meeting(): JSX.Element {
  const t = text();
  const { deep, short } = branches.value;
  const [one, other] = [fieldOf(deep), fieldOf(short)];
  const both = unionOf(one, other);
  const reach = Math.max(Math.abs(both.centre) + both.size / 2, 3.5);
  const many = 2 * Math.ceil(reach + 0.5) + 1;
  const most = Math.max(deep.length, short.length, 1);
  /** A path's name, or only what it sees where there is no room for more. */
  const nameFor = (name: string, size: number, room: number) => (name.length * LETTER > room ? t.fieldIs(size) : name);
  const windows = (path: readonly Layer[]) => t.path(path.map(({ window }) => window));
  return (
    <Figure
      name="stack-branches"
      title={t.branchesTitle}
      description={t.branchesDescription(windows(deep), one.size, windows(short), other.size, both.size)}
      caption={t.branchesCaption(one.size, other.size, both.size)}
      height={() => TOP + most * (ROW + GAP) + ROW + BOTTOM}
    >
      {(width, tall) => {
        const between = width < 560 ? 18 : 64;
        const cell = Math.min((width - between) / 2 / many, 34);
        const wide = cell * many;
        const middle = (many - 1) / 2;
        const bottom = tall - BOTTOM - ROW;
        const x = [width / 2 - between / 2 - wide, width / 2 + between / 2];
        const panels = [
          { name: "deep", layers: deep, field: one },
          { name: "short", layers: short, field: other },
        ] as const;
        const centres = x.map((left) => left + (middle + 0.5) * cell);
        return (
          <>
            <path class="stack-join" d={`M${centres[0]} ${TOP}V40H${centres[1]}V${TOP}M${width / 2} 40V26`} />
            <circle class="stack-plus" cx={width / 2} cy={18} r={12} />
            <path class="stack-plus-sign" d={`M${width / 2 - 5} 18h10m-5 -5v10`} />
            <text class="label" x={width / 2 + 20} y={22}>
              {t.fieldIs(both.size)}
            </text>
            {panels.map(({ name, layers, field }, k) => {
              const panel = { x: x[k]!, cell, many, middle, bottom, step: ROW + GAP };
              return (
                <g key={name}>
                  <Path panel={panel} layers={layers} name={name} />
                  <text class={`stack-path-name ${name}`} x={centres[k]} y={bottom + ROW + 22} text-anchor="middle">
                    {nameFor(t.pathName(windows(layers), field.size, width >= 560), field.size, wide + between)}
                  </text>
                </g>
              );
            })}
          </>
        );
      }}
    </Figure>
  );
}

const BAR = 20;
const LINE = 30;

function Stream(): JSX.Element {
  const t = text();
  const { deep, short } = branches.value;
  const all = routesOf(blocks.value, fieldOf(deep).size, fieldOf(short).size);
  const widest = all[all.length - 1]!.size;
  const total = 2n ** BigInt(blocks.value);
  const most = all[Math.floor(all.length / 2)]!.routes;
  return (
    <>
      <Controls>
        <Slider
          label={t.blocks}
          value={blocks.value}
          low={1}
          high={MOST_BLOCKS}
          onChange={(value) => {
            blocks.value = value;
          }}
        />
      </Controls>
      <Figure
        name="stack-routes"
        title={t.routesTitle}
        description={t.routesDescription(blocks.value, exact(total), all[0]!.size, widest)}
        caption={t.routesCaption(exact(total), all[0]!.size, widest)}
        height={() => 24 + all.length * LINE}
      >
        {(width) => {
          const left = width < 560 ? 40 : 64;
          const right = width < 560 ? 92 : 150;
          const unit = (width - left - right) / widest;
          const middle = left + (width - left - right) / 2;
          return (
            <>
              <text class="label" x={0} y={14}>
                {t.deepTimes}
              </text>
              <text class="label" x={width} y={14} text-anchor="end">
                {t.routes}
              </text>
              {all.map(({ deep: times, routes, size }, k) => {
                const y = 24 + k * LINE;
                const span = Math.max(size * unit, 2);
                const share = (44 * Number(routes)) / Number(most);
                const outside = span < 40;
                return (
                  <g key={times}>
                    <text class="label" x={left - 14} y={y + 15} text-anchor="end">
                      {times}
                    </text>
                    <rect class="stack-bar" x={middle - span / 2} y={y} width={span} height={BAR} rx={2} />
                    <text class={`stack-bar-size ${outside ? "outside" : ""}`} x={outside ? middle + span / 2 + 6 : middle} y={y + 15} text-anchor={outside ? "start" : "middle"}>
                      {size}
                    </text>
                    <rect class="stack-share" x={width - right + 8} y={y + 3} width={Math.max(share * (width < 560 ? 0.8 : 1.6), 1)} height={BAR - 6} />
                    <text x={width} y={y + 15} text-anchor="end">
                      {exact(routes)}
                    </text>
                  </g>
                );
              })}
            </>
          );
        }}
      </Figure>
    </>
  );
}

export function Branching(): JSX.Element {
  const t = text();
  const now = branchesText(branches.value);
  return (
    <>
      <Controls>
        {BRANCHES.map((name) => (
          <Button
            key={name}
            pressed={name === now}
            onClick={() => {
              branches.value = branchesFrom(name)!;
            }}
          >
            {t.branchNames[name]}
          </Button>
        ))}
      </Controls>
      <Meeting />
      <p>{t.stream}</p>
      <Stream />
    </>
  );
}
