// Pooling of a real digit beside the same digit moved by one pixel: which pixels won, what changed and what did not.

import type { ComponentChildren, JSX } from "preact";
import { Choice, Controls } from "../../controls";
import { Grid, Pixels } from "../../drawing";
import { arrows, Figure } from "../../figure";
import { SIDE } from "../../networks";
import { percent } from "../../numbers";
import { DIGITS } from "./digits";
import { changeBetween, filtered, pooledOf, shifted, type Change, type Picture, type Pooled } from "./pool";
import { digit, digitUnit, map, pool, shift, type Map_, type Shift } from "./state";
import { text } from "./text";
import { fine } from "./window-figure";

/** Sobel's kernels (Sobel and Feldman 1968): a dark side right of a light one, and below one. */
const KERNELS: Record<Exclude<Map_, "pixels">, readonly number[]> = {
  upright: [-1, 0, 1, -2, 0, 2, -1, 0, 1],
  level: [-1, -2, -1, 0, 0, 0, 1, 2, 1],
};

const MOVES: Record<Shift, readonly [down: number, right: number]> = {
  none: [0, 0],
  left: [0, -1],
  right: [0, 1],
  up: [-1, 0],
  down: [1, 0],
};

interface Layout {
  readonly side: number;
  readonly places: readonly (readonly [x: number, y: number])[];
  readonly gap: number;
  readonly height: number;
}

const LABEL = 24;

/** Four pictures in a row, or two and two. */
function layoutOf(width: number): Layout {
  const wide = width >= 640;
  const gap = 32;
  const across = wide ? 4 : 2;
  const side = SIDE * Math.min(24, Math.floor((width - 2 - gap * (across - 1)) / across / SIDE));
  const step = side + gap;
  const places = [0, 1, 2, 3].map((k): [number, number] => [1 + (k % across) * step, LABEL + Math.floor(k / across) * (side + LABEL + 14)]);
  return { side, places, gap, height: places[3]![1] + side + 2 };
}

function Panel(props: { picture: Picture; scale: number; at: readonly [number, number]; side: number; label: string; children: ComponentChildren }): JSX.Element {
  const { picture, scale, at, side, label } = props;
  const cell = side / picture.columns;
  return (
    <g transform={`translate(${at[0]} ${at[1]})`}>
      <text class="label" x={0} y={-9}>
        {label}
      </text>
      <rect class="pooling-paper" width={side} height={side} />
      <Pixels values={picture.values.map((value) => value / scale)} columns={picture.columns} cell={cell} />
      <Grid rows={picture.rows} columns={picture.columns} cell={cell} />
      {props.children}
    </g>
  );
}

/** The pixels that won, with how often where that is more than once. */
function Winners({ picture, pooled, cell }: { picture: Picture; pooled: Pooled; cell: number }): JSX.Element {
  return (
    <>
      {pooled.wins.map((wins, k) => {
        if (wins === 0 || picture.values[k] === 0) return null;
        const [x, y] = [((k % picture.columns) + 0.5) * cell, (Math.floor(k / picture.columns) + 0.5) * cell];
        return (
          <g key={k}>
            <circle class="pooling-winner" cx={x} cy={y} r={wins > 1 ? 8 : 4} />
            {wins > 1 && (
              <text class="pooling-wins" x={x} y={y}>
                {wins}
              </text>
            )}
          </g>
        );
      })}
    </>
  );
}

/** A dot on everything that the move changed. */
function Changed({ change, columns, cell }: { change: Change; columns: number; cell: number }): JSX.Element {
  return (
    <>
      {change.cells.map((changed, k) =>
        changed ? <circle key={k} class="pooling-changed" cx={((k % columns) + 0.5) * cell} cy={(Math.floor(k / columns) + 0.5) * cell} r={3.5} /> : null,
      )}
    </>
  );
}

/** A veil over what no window sees. */
function Unseen({ pooled, columns, cell }: { pooled: Pooled; columns: number; cell: number }): JSX.Element {
  const hatch = pooled.seen.flatMap((times, k) =>
    times > 0 ? [] : [`M${(k % columns) * cell} ${Math.floor(k / columns) * cell + cell}l${cell} ${-cell}`],
  );
  return <path class="pooling-hatch" d={hatch.join("")} />;
}

function Turned(): JSX.Element {
  const t = text();
  const maps: readonly Map_[] = ["pixels", "upright", "level"];
  const shifts: readonly Shift[] = ["none", "left", "right", "up", "down"];
  return (
    <Controls>
      <div class="pooling-digits">
        <Choice
          label={t.digit}
          value={String(digit.value)}
          options={DIGITS.map((_, k) => [String(k), String(k)] as const)}
          onChange={(value) => {
            digit.value = Number(value);
          }}
        />
      </div>
      <div class="pooling-maps">
        <Choice
          label={t.what}
          value={map.value}
          options={maps.map((name) => [name, t.maps[name]] as const)}
          onChange={(value) => {
            map.value = value;
          }}
        />
      </div>
      <Choice
        label={t.shift}
        value={shift.value}
        options={shifts.map((name) => [name, t.shifts[name]] as const)}
        onChange={(value) => {
          shift.value = value;
        }}
      />
    </Controls>
  );
}

function Compared({ before, after, isMap }: { before: Change; after: Change; isMap: boolean }): JSX.Element {
  const t = text();
  const lines = [
    { name: t.before(isMap), change: before },
    { name: t.after, change: after },
  ];
  return (
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <th scope="col">{t.compared}</th>
            <th scope="col" class="num pooling-wrap">
              {t.changed}
            </th>
            <th scope="col" class="num pooling-wrap">
              {t.amount}
            </th>
          </tr>
        </thead>
        <tbody>
          {lines.map(({ name, change }) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td class="num">
                {t.ofAll(change.count, change.cells.length)} ({percent(change.count / change.cells.length, 0)})
              </td>
              <td class="num">{change.relative === undefined ? t.nothing : percent(change.relative, 0)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export function DigitFigure(): JSX.Element {
  const t = text();
  const { side: window, stride, kind, asked, cut } = pool.value;
  const drawn = DIGITS[digit.value]!;
  const moved = shifted(drawn, ...MOVES[shift.value]);
  const mapped = (picture: Picture) => (map.value === "pixels" ? picture : filtered(picture, KERNELS[map.value]));
  const pictures = [mapped(drawn), mapped(moved)] as const;
  const pools = pictures.map((picture) => pooledOf(picture, window, stride, kind)) as [Pooled, Pooled];
  const scale = Math.max(...pictures[0].values, ...pictures[1].values, 1);
  const change = changeBetween(...pictures);
  const pooledChange = changeBetween(...pools);

  const { rows, columns, values } = pools[0];
  const row = Math.min(digitUnit.value[0], rows - 1);
  const column = Math.min(digitUnit.value[1], columns - 1);
  const lit = row * columns + column;
  const choose = (index: number) => {
    digitUnit.value = [Math.floor(index / columns), index % columns];
  };
  const step = arrows((down, right) => {
    const to = (at: number, by: number, count: number) => Math.min(Math.max(at + by, 0), count - 1);
    choose(to(row, down, rows) * columns + to(column, right, columns));
  });

  const winning = pools[0].winners.filter((cell) => pictures[0].values[cell]! > 0);
  const most = Math.max(...pools[0].wins.filter((_, k) => pictures[0].values[k]! > 0), 0);
  const seenMost = Math.max(...pools[0].seen);
  const inked = (picture: Picture) => picture.values.filter((value) => value > 0).length;
  const pushed = inked(drawn) - inked(moved);
  const isMap = map.value !== "pixels";
  const notes = [
    cut && t.cut(asked, window),
    kind === "max" && t.winners(isMap, new Set(winning).size, winning.length),
    kind === "max" && most > 1 && t.repeated(most),
    kind === "average" && (seenMost > 1 ? t.equalTwice(seenMost) : t.equal),
    shift.value !== "none" && t.red,
    pools[0].seen.includes(0) && t.outside(isMap, pools[0].seen.filter((times) => times === 0).length),
    pushed > 0 && t.pushed(pushed),
  ].filter(Boolean);

  return (
    <>
      <Turned />
      <Figure
        name="pooling-digit"
        title={t.digitTitle}
        description={t.digitDescription(
          digit.value,
          t.maps[map.value],
          t.moved[shift.value],
          t.ofAll(change.count, change.cells.length),
          t.ofAll(pooledChange.count, pooledChange.cells.length),
        )}
        caption={
          <>
            <p class="pooling-reading" aria-live="polite">
              {t.unitValue(row + 1, column + 1, fine(values[lit]!), fine(pools[1].values[lit]!))}
            </p>
            <p>{notes.join(t.gap)}</p>
            {(isMap ? [t.mapped, t.source] : [t.source]).join(t.gap)}
          </>
        }
        height={(width) => layoutOf(width).height}
        frame={{ tabIndex: 0, role: "group", "aria-label": t.digitFrame, onKeyDown: step }}
      >
        {(width) => {
          const { side, places, gap } = layoutOf(width);
          const cell = side / SIDE;
          const pooledCell = side / columns;
          return [0, 1].map((k) => {
            const [left, right] = [places[2 * k]!, places[2 * k + 1]!];
            return (
              <g key={k}>
                <Panel picture={pictures[k]!} scale={scale} at={left} side={side} label={k === 0 ? t.original : t.moved[shift.value]}>
                  <Unseen pooled={pools[k]!} columns={SIDE} cell={cell} />
                  {k === 0 ? <Winners picture={pictures[0]} pooled={pools[0]} cell={cell} /> : <Changed change={change} columns={SIDE} cell={cell} />}
                  <rect class="pooling-lit" x={column * stride * cell} y={row * stride * cell} width={window * cell} height={window * cell} />
                </Panel>
                <text class="pooling-arrow" x={left[0] + side + gap / 2} y={left[1] + side / 2}>
                  →
                </text>
                <Panel picture={pools[k]!} scale={scale} at={right} side={side} label={t.pooledLabel}>
                  {k === 1 && <Changed change={pooledChange} columns={columns} cell={pooledCell} />}
                  <rect class="pooling-lit" x={column * pooledCell} y={row * pooledCell} width={pooledCell} height={pooledCell} />
                  {values.map((_, index) => (
                    <rect
                      key={index}
                      class="pooling-target pooling-unit"
                      x={(index % columns) * pooledCell}
                      y={Math.floor(index / columns) * pooledCell}
                      width={pooledCell}
                      height={pooledCell}
                      onPointerEnter={() => choose(index)}
                      onClick={() => choose(index)}
                    />
                  ))}
                </Panel>
              </g>
            );
          });
        }}
      </Figure>
      <Compared before={change} after={pooledChange} isMap={isMap} />
    </>
  );
}
