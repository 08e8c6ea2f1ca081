import type { JSX } from "preact";
import { Grid } from "../../drawing";
import { Figure } from "../../figure";
import { DEEPEST, SIDE } from "../../networks";
import { BITMAP } from "./reduce";
import { Shades } from "./shades";
import { seen } from "./state";
import { text } from "./text";

const GAP = 24;
const LABEL = 24;
/** Counts up to this are on paper light enough for ink. */
const LIGHT = 9;

/** The ink of a bitmap: a bar for each run of black pixels in a row. */
function runs(bitmap: Uint8Array, cell: number): string {
  let path = "";
  for (let row = 0; row < BITMAP; row++) {
    for (let column = 0; column < BITMAP; column++) {
      if (!bitmap[row * BITMAP + column]) continue;
      let end = column;
      while (end < BITMAP && bitmap[row * BITMAP + end]) end++;
      path += `M${column * cell} ${row * cell}h${(end - column) * cell}v${cell}h${(column - end) * cell}z`;
      column = end;
    }
  }
  return path;
}

export function Seen(): JSX.Element {
  const t = text();
  const { pixels, bitmap } = seen.value;
  const side = (width: number) => Math.max(Math.min(bitmap ? (width - 1 - GAP) / 2 : width - 1, 276), 8);
  const said = bitmap ? t.reducedSaid(bitmap.reduce((sum, black) => sum + black, 0)) : t.reducedRealSaid;
  return (
    <Figure name="network-seen" title={t.reduced} description={said} caption={bitmap ? t.reducedCaption : t.reducedRealCaption} height={(width) => side(width) + LABEL}>
      {(width) => {
        const wide = side(width);
        const cell = wide / SIDE;
        const ink = cell >= 16;
        const left = bitmap ? wide + GAP : 0;
        return (
          <>
            {bitmap && (
              <>
                <path class="pixel" d={runs(bitmap, wide / BITMAP)} />
                <Grid rows={SIDE} columns={SIDE} cell={cell} />
                <text class="label" x={0} y={wide + 18}>
                  {t.bitmap}
                </text>
              </>
            )}
            <g transform={`translate(${left} 0)`}>
              <Shades class="network-paint" most={DEEPEST} maps={[{ values: pixels, from: 0, side: SIDE, x: 0, y: 0, cell }]} />
              <Grid rows={SIDE} columns={SIDE} cell={cell} />
              {ink &&
                pixels.map((pixel, k) => (
                  <text
                    key={k}
                    class={pixel > LIGHT ? "network-count over" : "network-count"}
                    x={((k % SIDE) + 0.5) * cell}
                    y={(Math.floor(k / SIDE) + 0.5) * cell + 4}
                    text-anchor="middle"
                  >
                    {pixel}
                  </text>
                ))}
            </g>
            <text class="label" x={left} y={wide + 18}>
              {bitmap ? t.counts : t.alone}
            </text>
          </>
        );
      }}
    </Figure>
  );
}
