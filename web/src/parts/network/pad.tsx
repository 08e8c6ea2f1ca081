import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import { arrows, Figure } from "../../figure";
import { DEEPEST, SIDE } from "../../networks";
import type { Point } from "./reduce";
import { Shades } from "./shades";
import { begin, example, extend, strokes, undo } from "./state";
import { text } from "./text";

const LARGEST = 300;
/** One press of an arrow key, as a part of the pad. */
const STEP = 1 / 32;

const within = (value: number) => Math.min(Math.max(value, 0), 1);

/** Where the events of a pointer since the last one were, as parts of the pad. */
function pointsOf(event: PointerEvent): Point[] {
  const box = (event.currentTarget as Element).getBoundingClientRect();
  const all = event.getCoalescedEvents?.() ?? [];
  return (all.length ? all : [event]).map(({ clientX, clientY }) => [
    within((clientX - box.left) / box.width),
    within((clientY - box.top) / box.height),
  ]);
}

/** A stroke as a line; of one point, a line of no length, which round ends make a dot. */
const line = (stroke: readonly Point[], side: number): string =>
  stroke.map(([x, y], k) => `${k ? "L" : "M"}${(x * side).toFixed(1)} ${(y * side).toFixed(1)}`).join("") + (stroke.length === 1 ? "h0" : "");

export function Pad(): JSX.Element {
  const t = text();
  const pen = useSignal<Point>([0.5, 0.15]);
  const down = useSignal(false);
  const keyed = useSignal(false);
  const finger = useRef<number>();
  const image = example.value;
  const drawn = strokes.value;

  const step = arrows((rows, columns) => {
    const [x, y] = pen.value;
    pen.value = [within(x + columns * STEP), within(y + rows * STEP)];
    if (down.value) extend([pen.value]);
  });
  const keys = (event: KeyboardEvent) => {
    keyed.value = true;
    step(event);
    if (event.key === " ") {
      event.preventDefault();
      if (!event.repeat) down.value = !down.value;
      if (down.value && !event.repeat) begin(pen.value);
    } else if (event.key === "Backspace" || event.key === "Delete") {
      event.preventDefault();
      down.value = false;
      undo();
    }
  };
  const said = image ? t.padRealSaid(image.label) : drawn.length ? t.padStrokes(drawn.length) : t.padEmpty;

  return (
    <>
      <Figure
        name="network-pad"
        title={t.pad}
        description={said}
        height={(width) => width}
        frame={{
          // A finger draws here and does not scroll; beside the pad it scrolls.
          style: { touchAction: "none", userSelect: "none", maxWidth: `min(${LARGEST}px, 80vw)`, cursor: "crosshair" },
          tabIndex: 0,
          role: "group",
          "aria-label": t.padLabel,
          onKeyDown: keys,
          onFocus: (event) => {
            keyed.value = event.currentTarget.matches(":focus-visible");
          },
          onBlur: () => {
            down.value = false;
            keyed.value = false;
          },
          onPointerDown: (event) => {
            if (event.button !== 0) return;
            event.currentTarget.setPointerCapture(event.pointerId);
            down.value = false;
            keyed.value = false;
            begin(pointsOf(event).at(-1)!);
            finger.current = event.pointerId;
          },
          onPointerMove: (event) => {
            // One finger draws at a time: the one that came last.
            if (event.pointerId === finger.current && event.currentTarget.hasPointerCapture(event.pointerId)) extend(pointsOf(event));
          },
        }}
        caption={image ? <span class="network-invite">{t.padReal(image.label, image.index)}</span> : said}
      >
        {(side) => (
          <>
            {image && <Shades class="network-paint" most={DEEPEST} maps={[{ values: image.pixels, from: 0, side: SIDE, x: 0, y: 0, cell: side / SIDE }]} />}
            <rect class="network-paper" x={0.5} y={0.5} width={side - 1} height={side - 1} rx={6} />
            {!image &&
              drawn.map((stroke, k) => <path key={k} class="network-ink" d={line(stroke, side)} stroke-width={side * 0.065} />)}
            {!image && drawn.length === 0 && (
              <text class="label" x={side / 2} y={side / 2} text-anchor="middle">
                {t.padHint}
              </text>
            )}
            {keyed.value && (
              <circle class={down.value ? "network-pen down" : "network-pen"} cx={pen.value[0] * side} cy={pen.value[1] * side} r={8} />
            )}
          </>
        )}
      </Figure>
      <p class="heard" aria-live="polite">
        {keyed.value && (down.value ? t.penDown : t.penUp)}
      </p>
    </>
  );
}
