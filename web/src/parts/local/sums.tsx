// The weights of all units: dense, local, and how many of the local ones meet a pixel.

import type { JSX } from "preact";
import type { Account } from "../../account";
import { exact, Raised, times } from "../../numbers";
import { account, setting } from "../../state";
import { text } from "./words";

/** How many times fewer the local weights are: every digit where it divides, else rounded, as its sign says. */
export function factorOf({ dense, connections }: Account): { sign: "=" | "≈"; text: string } {
  return dense % connections === 0n
    ? { sign: "=", text: exact(dense / connections) }
    : { sign: "≈", text: times(dense, connections) };
}

export function Sums(): JSX.Element {
  const t = text();
  const { kernel } = setting.value;
  const { pixels, units, dense, connections, connectionsInside } = account.value;
  const factor = factorOf(account.value);
  const rows = [
    { name: t.denseSum, formula: `${exact(units)} × ${exact(pixels)}`, value: exact(dense), kind: "dense" },
    { name: t.localSum, formula: `${exact(units)} × ${exact(kernel)}²`, value: exact(connections), kind: "local" },
    { name: t.insideSum, formula: "", value: exact(connectionsInside), kind: "of-these" },
    { name: t.paddingSum, formula: "", value: exact(connections - connectionsInside), kind: "of-these" },
    { name: t.factorSum, formula: "", value: factor.sign === "=" ? factor.text : `${factor.sign} ${factor.text}`, kind: "factor" },
  ];
  return (
    <>
      <h3>{t.sums}</h3>
      <dl class="local-sums">
        {rows.map(({ name, formula, value, kind }) => (
          <div key={name} class={kind}>
            <dt>
              <span>{name}</span> {formula && <span class="local-formula">{formula}</span>}
            </dt>
            <dd>
              <Raised text={value} />
            </dd>
          </div>
        ))}
      </dl>
    </>
  );
}
