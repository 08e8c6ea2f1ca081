// What pooling saves behind it: units, and the weights of a dense layer to ten classes, at the setting's own size.

import type { JSX } from "preact";
import { Figure } from "../../figure";
import { exact, memory } from "../../numbers";
import { account, setting } from "../../state";
import { lessOf } from "./factor";
import { unseen } from "./pool";
import { text } from "./text";

/** Which units no window sees, in words and exactly. */
function leftOver(): string {
  const t = text();
  const { rows, columns, units } = account.value;
  const { pool, poolStride } = setting.value;
  const [down, across] = [unseen(rows, pool, poolStride), unseen(columns, pool, poolStride)];
  const along = (size: number, { edge, between }: { edge: number; between: number }) => BigInt(size - edge - between);
  const lost = exact(units - along(rows, down) * along(columns, across));
  const edge = t.lines(down.edge, across.edge);
  const between = t.lines(down.between, across.between);
  if (between && edge) return t.betweenAndEdge(between, edge, lost);
  if (between) return t.between(between, lost);
  return edge ? t.edge(edge, lost) : t.even;
}

const ROW = 70;
/** Between the units and the weights behind them. */
const APART = 20;

export function DownstreamFigure(): JSX.Element {
  const t = text();
  const { units, pooledUnits, head, pooledHead } = account.value;
  const less = lessOf(units, pooledUnits);
  const fewer = { same: () => t.notFewer, share: t.lower, factor: t.fewer }[less.kind](less.text, less.exactly);
  const bars = [
    { label: t.unitsBefore, value: units, of: units, idea: "before", note: undefined },
    { label: t.unitsAfter, value: pooledUnits, of: units, idea: "after", note: fewer },
    { label: t.head, value: head, of: head, idea: "before", note: memory(head) },
    { label: t.pooledHead, value: pooledHead, of: head, idea: "after", note: memory(pooledHead) },
  ];
  return (
    <Figure
      name="pooling-saves"
      title={t.savesTitle}
      description={t.savesDescription(exact(units), exact(pooledUnits), exact(head), exact(pooledHead))}
      caption={
        <>
          {t.own}
          {t.gap}
          {leftOver()}
        </>
      }
      height={() => bars.length * ROW + APART}
    >
      {(width) =>
        bars.map(({ label, value, of, idea, note }, k) => {
          // Divided as whole numbers first: the quotient fits a double whatever the two are.
          const long = (Number((value * 1_000_000n) / of) / 1_000_000) * width;
          return (
            <g key={k} transform={`translate(0 ${k * ROW + (k > 1 ? APART : 0)})`}>
              <text class="label" y={14}>
                {label}
              </text>
              <text class="pooling-bar-number" y={35}>
                {note ? `${exact(value)} · ${note}` : exact(value)}
              </text>
              <rect class={`pooling-bar ${idea}`} y={43} width={Math.max(long, 2)} height={16} rx={2} />
            </g>
          );
        })
      }
    </Figure>
  );
}
