// What pooling saves behind it: units, and the weights of a dense layer to ten classes, at the setting's own size.

import type { JSX } from "preact";
import { Figure } from "../../figure";
import { exact, memory, short, times } from "../../numbers";
import { account, setting } from "../../state";
import { unseen } from "./pool";
import { text } from "./text";

/** Which units no window sees, in words and exactly. */
function leftOver(): string {
  const t = text();
  const { rows, columns, pooledRows, pooledColumns, units } = account.value;
  const { pool, poolStride } = setting.value;
  const [down, across] = [unseen(rows, pool, poolStride), unseen(columns, pool, poolStride)];
  const along = (size: number, { edge, between }: { edge: number; between: number }) => BigInt(size - edge - between);
  const lost = exact(units - along(rows, down) * along(columns, across));
  const edges = down.edge + across.edge > 0;
  if (poolStride > pool && (pooledRows > 1 || pooledColumns > 1)) {
    return edges ? t.betweenAndEdge(down.between, across.between, down.edge, across.edge, lost) : t.between(down.between, across.between, lost);
  }
  return edges ? t.edge(down.edge, across.edge, lost) : t.even;
}

const BAR = 26;
const ROW = 62;
const HEIGHT = 4 * ROW + 22;

export function DownstreamFigure(): JSX.Element {
  const t = text();
  const { units, pooledUnits, headBefore, headAfter } = account.value;
  const fewer = units > pooledUnits ? t.fewer(times(units, pooledUnits)) : t.notFewer;
  const bars = [
    { label: t.unitsBefore, value: units, of: units, idea: "before", note: "" },
    { label: t.unitsAfter, value: pooledUnits, of: units, idea: "after", note: fewer },
    { label: t.headBefore, value: headBefore, of: headBefore, idea: "before", note: memory(headBefore) },
    { label: t.headAfter, value: headAfter, of: headBefore, idea: "after", note: memory(headAfter) },
  ];
  return (
    <Figure
      name="pooling-saves"
      title={t.savesTitle}
      description={t.savesDescription(exact(units), exact(pooledUnits), exact(headBefore), exact(headAfter))}
      caption={
        <>
          {t.own} {leftOver()}
        </>
      }
      height={() => HEIGHT}
    >
      {(width) =>
        bars.map(({ label, value, of, idea, note }, k) => {
          const y = k * ROW + (k > 1 ? 22 : 0);
          // BigInt first: a quotient of two doubles is fine, their sizes may not be.
          const long = Math.max(Number((value * 1_000_000n) / of) / 1_000_000 * width, 2);
          const number = `${String(value).length > 12 ? short(value) : exact(value)}${note ? ` · ${note}` : ""}`;
          return (
            <g key={k} transform={`translate(0 ${y})`}>
              <text class="label" x={0} y={14}>
                {label}
              </text>
              <rect class={`pooling-bar ${idea}`} x={0} y={22} width={long} height={BAR} rx={3} />
              <BarNumber long={long} width={width} idea={idea} number={number} />
            </g>
          );
        })
      }
    </Figure>
  );
}

/** The number in its bar where there is room, else behind it. */
function BarNumber({ long, width, idea, number }: { long: number; width: number; idea: string; number: string }): JSX.Element {
  const needed = number.length * 8.2 + 16;
  const inside = long > needed || long + needed > width;
  return (
    <text class={`pooling-bar-number ${inside ? "inside" : ""} ${idea}`} x={inside ? 8 : long + 8} y={22 + BAR / 2}>
      {number}
    </text>
  );
}
