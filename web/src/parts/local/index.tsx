// Part 2: each unit keeps the wires to a window of the image.

import type { JSX } from "preact";
import { Controls, SizeControls, WindowControls } from "../../controls";
import { exact, memory, Power, Raised } from "../../numbers";
import type { Part } from "../../part";
import { paddingOf } from "../../setting";
import { account, setting } from "../../state";
import { Compare } from "./compare";
import { Drag } from "./drag";
import { factorOf, Sums } from "./sums";
import { unseen } from "./window";
import { text } from "./words";

/** How padding and stride decide where there are units. */
function Where(): JSX.Element {
  const t = text();
  const { kernel, stride, padding } = setting.value;
  const { rows, columns, units, pixels } = account.value;
  const [low, high] = paddingOf(setting.value);
  return (
    <p>
      {padding === "same"
        ? t.samePadding(exact(low), exact(high), exact(kernel - 1), exact(stride))
        : t.validPadding}
      {stride === 1 ? t.strideOne : t.strideMore(exact(stride))}
      {t.positions(exact(rows), exact(columns), exact(units), exact(pixels))}
    </p>
  );
}

function View(): JSX.Element {
  const t = text();
  const { kernel } = setting.value;
  const { pixels, dense, connections, connectionsInside } = account.value;
  const factor = factorOf(account.value);
  const alone = unseen(setting.value);
  return (
    <>
      <p>{t.what}</p>
      <Compare />
      <p>{t.try}</p>
      <Controls>
        <SizeControls />
        <WindowControls />
      </Controls>
      <Drag />
      <Where />
      <Sums />
      <p class="quiet">{t.nominal(connections === connectionsInside)}</p>
      <p>{t.rule(exact(pixels), exact(kernel), exact(kernel ** 2), factor.sign, <Raised text={factor.text} />)}</p>
      {dense === 10n ** 12n && connections === 10n ** 8n && (
        <p class="local-note">{t.thousandth(<Power value={dense} />, <Power value={connections} />)}</p>
      )}
      <p>
        {t.saved(
          <Power value={dense} />,
          <Power value={connections} />,
          memory(dense),
          memory(connections),
          dense === connections,
        )}
      </p>
      <p>
        {t.lost}
        {alone > 0n && t.unseen(exact(alone), alone > 1n)}
      </p>
    </>
  );
}

export const local: Part = { id: "local", title: () => text().title, View };
