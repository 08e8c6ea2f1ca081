// How far the reader has zoomed, from the dense square by the local to the shared one, and the flight there.

import { keptAs } from "../../address";
import { stillness } from "../../state";
import { IDEAS } from "./squares";

/** The zoom in hundredths of a step from one square to the next. */
export const FULL = 100;
export const LAST = FULL * (IDEAS.length - 1);

const within = (zoom: number) => Math.min(Math.max(zoom, 0), LAST);

export const zoom = keptAs<number>(
  "dense-zoom",
  0,
  (text) => {
    const stop = IDEAS.findIndex((idea) => idea === text);
    if (stop >= 0) return stop * FULL;
    return /^[0-9]{1,3}$/.test(text) && Number(text) <= LAST ? Number(text) : undefined;
  },
  (value) => (value % FULL === 0 ? IDEAS[value / FULL]! : String(Math.round(value))),
);

let flying: number | undefined;

/** Sets the zoom; ends a flight. */
export function zoomTo(value: number): void {
  if (flying !== undefined) cancelAnimationFrame(flying);
  flying = undefined;
  zoom.value = within(value);
}

const eased = (p: number) => (p < 0.5 ? 2 * p * p : 1 - 2 * (1 - p) ** 2);

/** Flies to the square at `index`, each step in its own time. */
export function flyTo(index: number, steps: readonly number[]): void {
  const goal = index * FULL;
  if (stillness.matches) return zoomTo(goal);
  if (flying !== undefined) cancelAnimationFrame(flying);
  const timeAt = (value: number) =>
    steps.reduce((sum, step, k) => sum + step * Math.min(Math.max(value / FULL - k, 0), 1), 0);
  const zoomAt = (time: number) => {
    let [rest, value] = [time, 0];
    for (const step of steps) {
      value += FULL * Math.min(Math.max(rest / step, 0), 1);
      rest -= step;
    }
    return value;
  };
  const from = timeAt(zoom.peek());
  const to = timeAt(goal);
  const began = performance.now();
  const frame = (now: number) => {
    const p = Math.min(Math.max(now - began, 0) / Math.abs(to - from), 1);
    if (!(p < 1)) return zoomTo(goal);
    zoom.value = zoomAt(from + eased(p) * (to - from));
    flying = requestAnimationFrame(frame);
  };
  flying = requestAnimationFrame(frame);
}
