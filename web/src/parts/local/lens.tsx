// The surroundings of a window, magnified until every tap can be seen.

import type { JSX } from "preact";
import { useId } from "preact/hooks";
import { Grid } from "../../drawing";
import { exact } from "../../numbers";
import { paddingOf, type Setting } from "../../setting";
import type { Layout } from "./layout";
import type { Seen } from "./window";
import { text } from "./words";

// Below these sizes of a pixel its lines, then its mark, would only be a grey.
const FOR_LINES = 4;
const FOR_MARKS = 8;

interface Area {
  readonly top: number;
  readonly bottom: number;
  readonly left: number;
  readonly right: number;
}

const shared = (one: Area, other: Area): Area => ({
  top: Math.max(one.top, other.top),
  bottom: Math.max(Math.max(one.top, other.top), Math.min(one.bottom, other.bottom)),
  left: Math.max(one.left, other.left),
  right: Math.max(Math.max(one.left, other.left), Math.min(one.right, other.right)),
});

/** An area cut a little outside the view: coordinates of a hundred thousand pixels are no place for a line. */
const nearby = (area: Area, view: Area): Area => ({
  top: Math.max(area.top, view.top - 2),
  left: Math.max(area.left, view.left - 2),
  bottom: Math.min(area.bottom, view.bottom + 2),
  right: Math.min(area.right, view.right + 2),
});

export function Lens({ layout, seen, setting }: { layout: Layout; seen: Seen; setting: Setting }): JSX.Element {
  const t = text();
  const id = useId();
  const { lensBox: box, cell, lensCells } = layout;
  const { rows, columns } = seen;
  const margin = (lensCells - setting.kernel) / 2;
  const [top, left] = [rows.start - margin, columns.start - margin];
  const x = (column: number) => box.x + (column - left) * cell;
  const y = (row: number) => box.y + (row - top) * cell;
  const boxOf = (area: Area) => ({
    x: x(area.left),
    y: y(area.top),
    width: (area.right - area.left) * cell,
    height: (area.bottom - area.top) * cell,
  });
  const outline = (area: Area) => {
    const { x, y, width, height } = boxOf(area);
    return `M${x} ${y}h${width}v${height}h${-width}Z`;
  };
  const view: Area = { top, left, bottom: top + lensCells, right: left + lensCells };
  const image: Area = { top: 0, left: 0, bottom: setting.height, right: setting.width };
  const [low, high] = paddingOf(setting);
  const padded: Area = { top: -low, left: -low, bottom: setting.height + high, right: setting.width + high };
  const shown = shared(image, view);
  const paddedShown = shared(padded, view);
  const window: Area = { top: rows.start, bottom: rows.stop, left: columns.start, right: columns.stop };
  const inside: Area = { top: rows.first, bottom: rows.end, left: columns.first, right: columns.end };
  const next = (down: number, right: number): Area => ({
    top: window.top + down,
    bottom: window.bottom + down,
    left: window.left + right,
    right: window.right + right,
  });
  // The next windows are shown where there are such units: within the padded image.
  const neighbours = [next(0, setting.stride), next(setting.stride, 0)].filter(
    (area) => area.right <= padded.right && area.bottom <= padded.bottom,
  );
  const marks = { dots: "", crosses: "" };
  const marked = cell >= FOR_MARKS;
  if (marked) {
    const arm = Math.min(0.18 * cell, 6);
    for (let row = window.top; row < window.bottom; row++) {
      for (let column = window.left; column < window.right; column++) {
        const [cx, cy] = [x(column + 0.5), y(row + 0.5)];
        const onImage = row >= inside.top && row < inside.bottom && column >= inside.left && column < inside.right;
        if (onImage) marks.dots += `M${cx} ${cy}h0`;
        else marks.crosses += `M${cx - arm} ${cy - arm}l${2 * arm} ${2 * arm}m0 ${-2 * arm}l${-2 * arm} ${2 * arm}`;
      }
    }
  }
  return (
    <>
      <clipPath id={id}>
        <rect x={box.x} y={box.y} width={box.side} height={box.side} />
      </clipPath>
      <g clip-path={`url(#${id})`} class="local-hold local-pan">
        <rect class="local-nothing" x={box.x} y={box.y} width={box.side} height={box.side} />
        <rect class="local-padding" {...boxOf(paddedShown)} />
        <rect class="local-paper" {...boxOf(shown)} />
        {cell >= FOR_LINES && (
          <Grid
            rows={paddedShown.bottom - paddedShown.top}
            columns={paddedShown.right - paddedShown.left}
            x={x(paddedShown.left)}
            y={y(paddedShown.top)}
            cell={cell}
          />
        )}
        <path class="local-edge" d={outline(nearby(image, view))} />
        <path class="local-outside" fill-rule="evenodd" d={outline(window) + outline(inside)} />
        <rect class="local-inside" {...boxOf(inside)} />
        <path class="local-dots" d={marks.dots} style={{ strokeWidth: Math.max(2.5, 0.24 * cell) }} />
        <path class="local-crosses" d={marks.crosses} />
        <path class="local-next" d={neighbours.map(outline).join("")} />
        <path class="local-window" d={outline(window)} />
      </g>
      <rect class="local-frame" x={box.x} y={box.y} width={box.side} height={box.side} />
      <text class="local-count local" x={box.x} y={box.y + box.side + 20}>
        {marked ? "●" : "■"} {t.onPixels(exact(seen.inside))}
      </text>
      <text class={seen.outside ? "local-count lost" : "local-count none"} x={box.x} y={box.y + box.side + 38}>
        {marked ? "×" : "■"} {t.outside(exact(seen.outside))}
      </text>
    </>
  );
}
