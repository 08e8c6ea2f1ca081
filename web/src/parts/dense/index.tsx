// Part 1: a dense layer, what its wires are, and how much its weights come to.

import type { JSX } from "preact";
import { Controls, SizeControls } from "../../controls";
import { exact, extent, memory, Power, readingTime, short } from "../../numbers";
import type { Part } from "../../part";
import { account, setting } from "../../state";
import { Areas } from "./area";
import { Costs } from "./cost";
import { text } from "./words";
import { Wiring } from "./wiring";

function View(): JSX.Element {
  const t = text();
  const { height, width, kernel } = setting.value;
  const { rows, columns, pixels, units, dense, connections, kernels, weights } = account.value;
  const alike = rows === height && columns === width;
  const power = short(dense) === exact(dense) ? null : <Power value={dense} />;
  return (
    <>
      <p>{t.what}</p>
      <Controls>
        <SizeControls />
      </Controls>
      <p>{t.product(extent(height, width), exact(pixels), extent(rows, columns), exact(units), exact(dense), power, alike)}</p>
      <Wiring />
      <p>
        {t.toScale(
          <Power value={dense} />,
          extent(kernel, kernel),
          <Power value={connections} />,
          <Power value={weights} />,
          t.kernels(exact(kernels)),
        )}
      </p>
      <Areas />
      <Costs />
      <p>{t.saved(<Power value={dense} />, memory(dense), readingTime(dense))}</p>
      <p>{t.lost}</p>
    </>
  );
}

export const dense: Part = { id: "dense", title: () => text().title, View };
