import type { JSX } from "preact";
import { Button } from "../../controls";
import type { Part } from "../../part";
import { Answers } from "./answers";
import { Chart } from "./chart";
import { Balance, Numbers, Origin, Told } from "./origin";
import { Pad } from "./pad";
import { Seen } from "./reduced";
import { clear, example, showDigit, undo } from "./state";
import { text } from "./text";

const DIGITS = Array.from({ length: 10 }, (_, label) => label);

function Tools(): JSX.Element {
  const t = text();
  const shown = example.value?.label;
  return (
    <>
      <div class="network-tools">
        {shown === undefined ? (
          <>
            <Button onClick={undo}>{t.undo}</Button>
            <Button onClick={clear}>{t.clear}</Button>
          </>
        ) : (
          <button type="button" class="button network-draw" onClick={clear}>
            ✎ {t.draw}
          </button>
        )}
      </div>
      <div class="network-tools digits" role="group" aria-label={t.real}>
        <span class="small quiet">{t.real}</span>
        {DIGITS.map((label) => (
          <button
            key={label}
            type="button"
            class="button"
            aria-pressed={shown === label}
            aria-label={t.realOne(label)}
            onClick={() => showDigit(label)}
          >
            {label}
          </button>
        ))}
      </div>
      <p class="small quiet">{t.padKeys}</p>
    </>
  );
}

function View(): JSX.Element {
  const t = text();
  return (
    <>
      <p>{t.intro}</p>
      <div class="network-desk">
        <div>
          <Pad />
          <Tools />
        </div>
        <div>
          <Seen />
          <p class="small quiet">{t.foreign}</p>
        </div>
      </div>
      <Answers />
      <Chart />
      <Numbers />
      <Told />
      <Balance />
      <Origin />
    </>
  );
}

export const network: Part = { id: "network", title: () => text().title, View };
