// What the weights of each layer cost: a table.

import type { JSX } from "preact";
import { exact, memory, Power, readingTime, short } from "../../numbers";
import { account } from "../../state";
import { squaresOf } from "./squares";
import { text } from "./words";

/** A row for each layer; every digit stands on a line of its own, or a narrow column would have to break it. */
export function Costs(): JSX.Element {
  const t = text();
  return (
    <table class="dense-costs">
      <caption class="heard">{t.tableTitle}</caption>
      <thead>
        <tr>
          <th scope="col">{t.layer}</th>
          <th scope="col">{t.weights}</th>
          <th scope="col" class="num">{t.memory}</th>
          <th scope="col" class="num">{t.readOnce}</th>
        </tr>
      </thead>
      {squaresOf(account.value).map(({ idea, weights }) => {
        const abridged = short(weights) !== exact(weights);
        return (
          <tbody key={idea} class={idea}>
            <tr class={abridged ? "dense-abridged" : undefined}>
              <th scope="row" rowSpan={abridged ? 2 : 1}>
                {t.names[idea]}
              </th>
              <td>
                <span class="number">{abridged ? <Power value={weights} /> : exact(weights)}</span>
              </td>
              <td class="num">{memory(weights)}</td>
              <td class="num">{readingTime(weights)}</td>
            </tr>
            {abridged && (
              <tr>
                <td colSpan={3} class="dense-digits">
                  {exact(weights)}
                </td>
              </tr>
            )}
          </tbody>
        );
      })}
    </table>
  );
}
