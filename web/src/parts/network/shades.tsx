// Maps of activations, as few elements: one path for each of a few shades, not one rectangle for each unit.

import type { JSX } from "preact";

/** As many as the counts of black pixels in a block have. */
const SHADES = 16;

export interface Placed {
  readonly values: ArrayLike<number>;
  /** Where its values begin, and the side of the map. */
  readonly from: number;
  readonly side: number;
  readonly x: number;
  readonly y: number;
  readonly cell: number;
}

/** Maps drawn in one colour, paper at 0 and full at `most`. */
export function Shades({ maps, most, class: name }: { maps: readonly Placed[]; most: number; class: string }): JSX.Element {
  const paths = Array.from({ length: SHADES + 1 }, () => "");
  for (const { values, from, side, x, y, cell } of maps) {
    for (let k = 0; k < side * side; k++) {
      const shade = most > 0 ? Math.round((SHADES * Math.max(values[from + k]!, 0)) / most) : 0;
      if (shade === 0) continue;
      const [left, top] = [x + (k % side) * cell, y + Math.floor(k / side) * cell];
      paths[Math.min(shade, SHADES)] += `M${left} ${top}h${cell}v${cell}h${-cell}z`;
    }
  }
  return (
    <g class={name}>
      {paths.map((d, shade) => d && <path key={shade} class="unit" d={d} style={{ fillOpacity: shade / SHADES }} />)}
    </g>
  );
}
