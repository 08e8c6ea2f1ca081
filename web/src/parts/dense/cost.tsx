// What the weights of each layer cost: a table.

import type { JSX } from "preact";
import { BYTES_PER_SECOND, BYTES_PER_WEIGHT } from "../../account";
import { duration, exact, memory, Power, short } from "../../numbers";
import { account } from "../../state";
import { squaresOf } from "./squares";
import { text } from "./words";

/** The time to read so many weights once from the disk that the page states. */
export const readingTime = (weights: bigint): string =>
  duration(Number(weights * BYTES_PER_WEIGHT) / Number(BYTES_PER_SECOND));

/** Every digit, with places where a narrow column may break it. */
const Digits = ({ value }: { value: bigint }): JSX.Element => (
  <span class="dense-digits">
    {exact(value)
      .split(",")
      .map((group, k) => (k === 0 ? group : <>,<wbr />{group}</>))}
  </span>
);

export function Costs(): JSX.Element {
  const t = text();
  return (
    <table class="dense-costs">
      <caption class="heard">{t.tableTitle}</caption>
      <thead>
        <tr>
          <th scope="col">{t.layer}</th>
          <th scope="col" class="num">{t.weights}</th>
          <th scope="col" class="num">{t.memory}</th>
          <th scope="col" class="num">{t.readOnce}</th>
        </tr>
      </thead>
      <tbody>
        {squaresOf(account.value).map(({ idea, weights }) => (
          <tr key={idea} class={idea}>
            <th scope="row">{t.names[idea]}</th>
            <td class="num">
              <Digits value={weights} />
              {short(weights) !== exact(weights) && <div class="dense-power" aria-hidden="true"><Power value={weights} /></div>}
            </td>
            <td class="num">{memory(weights)}</td>
            <td class="num">{readingTime(weights)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
