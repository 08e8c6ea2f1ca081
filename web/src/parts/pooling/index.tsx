import type { JSX } from "preact";
import { Button, Controls, PoolControls } from "../../controls";
import { exact } from "../../numbers";
import type { Part } from "../../part";
import { account, change, setting } from "../../state";
import { DigitFigure } from "./digit-figure";
import { DownstreamFigure } from "./downstream-figure";
import { lessOf } from "./factor";
import { text } from "./text";
import { WindowFigure } from "./window-figure";

/** The two pools that everyone has met: without and with overlap. */
function Known(): JSX.Element {
  const t = text();
  const { pool, poolStride } = setting.value;
  const one = (side: number, name: string) => (
    <Button pressed={pool === side && poolStride === 2} onClick={() => change({ pool: side, poolStride: 2 })}>
      {name}
    </Button>
  );
  return (
    <Controls>
      {one(2, t.classic)}
      {one(3, t.alexnet)}
    </Controls>
  );
}

function View(): JSX.Element {
  const t = text();
  const { rows, columns, units, pooledUnits } = account.value;
  const less = lessOf(units, pooledUnits);
  const say = { same: () => t.savedNothing, share: t.savedLittle, factor: t.saved }[less.kind];
  return (
    <>
      <p>{t.intro}</p>
      <Controls>
        <PoolControls />
      </Controls>
      <Known />
      <WindowFigure />
      <p>{t.digitIntro[setting.value.poolKind]}</p>
      <DigitFigure />
      <p>{t.savesIntro(exact(rows), exact(columns))}</p>
      <DownstreamFigure />
      <p>
        <strong>{t.savedHead}</strong>
        {t.gap}
        {say(less.text, less.exactly)}
      </p>
      <p>
        <strong>{t.lostHead}</strong>
        {t.gap}
        {t.lost}
      </p>
      <p class="small quiet">{t.name}</p>
    </>
  );
}

export const pooling: Part = { id: "pooling", title: () => text().title, View };
