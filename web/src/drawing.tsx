// Pieces that several figures draw with.

import { interpolateRgb } from "d3-interpolate";
import type { JSX } from "preact";

/** A picture of rows × columns values, 0 (paper) to 1 (ink), as squares of `cell` pixels. */
export function Pixels(props: {
  values: ArrayLike<number>;
  columns: number;
  x?: number;
  y?: number;
  cell: number;
}): JSX.Element {
  const { values, columns, x = 0, y = 0, cell } = props;
  return (
    <g transform={`translate(${x} ${y})`}>
      {Array.from(values, (value, k) => (
        <rect
          key={k}
          class="pixel"
          x={(k % columns) * cell}
          y={Math.floor(k / columns) * cell}
          width={cell}
          height={cell}
          style={{ fillOpacity: value }}
        />
      ))}
    </g>
  );
}

/** The lines between rows × columns cells, as one path. */
export function Grid(props: { rows: number; columns: number; x?: number; y?: number; cell: number; class?: string }): JSX.Element {
  const { rows, columns, x = 0, y = 0, cell } = props;
  const down = Array.from({ length: columns + 1 }, (_, k) => `M${x + k * cell} ${y}v${rows * cell}`);
  const across = Array.from({ length: rows + 1 }, (_, k) => `M${x} ${y + k * cell}h${columns * cell}`);
  return <path class={props.class ?? "grid"} d={down.concat(across).join("")} />;
}

/** A colour for a signed value, -1 to 1: blue below zero, orange above, the paper's at zero. */
export function signed(value: number, shade: "light" | "dark"): string {
  const [low, zero, high] = shade === "dark" ? ["#62a6f7", "#22282b", "#ef9350"] : ["#0a62c9", "#ffffff", "#b04a06"];
  return value < 0 ? interpolateRgb(zero!, low!)(Math.min(-value, 1)) : interpolateRgb(zero!, high!)(Math.min(value, 1));
}

/** Colours that tell kernels apart; the same name has the same colour everywhere. */
export function kernelColour(name: number, shade: "light" | "dark"): string {
  // Hues a golden angle apart differ most from their neighbours, however many there are; so few hues can be told
  // apart that three depths of each are used as well.
  const depth = [0, 16, -14][name % 3]!;
  return `hsl(${(24 + name * 137.508) % 360} 60% ${(shade === "dark" ? 60 : 46) + depth}%)`;
}
