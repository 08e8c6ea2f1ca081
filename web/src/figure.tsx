// A figure: a drawing as wide as its column, words for those who cannot see it, and buttons that save it.

import type { ComponentChildren, JSX } from "preact";
import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Raised } from "./numbers";
import { savePng, saveSvg } from "./save";
import { words } from "./words";

const text = words("figure", {
  en: { svg: "SVG", png: "PNG", save: (what: string, kind: string) => `Save “${what}” as ${kind}` },
  zh: { svg: "SVG", png: "PNG", save: (what: string, kind: string) => `将“${what}”存为 ${kind}` },
});

/** The width of an element in CSS pixels, followed. */
export function useWidth<E extends Element>(): [ref: { current: E | null }, width: number] {
  const ref = useRef<E>(null);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const element = ref.current;
    if (!element) return;
    setWidth(Math.floor(element.getBoundingClientRect().width));
    const observer = new ResizeObserver(([entry]) => entry && setWidth(Math.floor(entry.contentRect.width)));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [ref, width];
}

export interface FigureProps {
  /** Names the saved file and the element: letters, digits, hyphens. */
  readonly name: string;
  readonly title: string;
  /** What the figure shows, now, in a sentence or two: read out in place of the drawing. */
  readonly description: string;
  readonly caption?: ComponentChildren;
  /** The height in CSS pixels for a width. */
  readonly height: (width: number) => number;
  /** The drawing, in CSS pixels. */
  readonly children: (width: number, height: number) => ComponentChildren;
  /** Handlers and attributes of the drawing's frame: keys, pointers, `tabIndex`. */
  readonly frame?: JSX.HTMLAttributes<HTMLDivElement>;
}

export function Figure({ name, title, description, caption, height, children, frame }: FigureProps): JSX.Element {
  const [ref, width] = useWidth<HTMLDivElement>();
  const svg = useRef<SVGSVGElement>(null);
  const id = useId();
  const t = text();
  const tall = Math.round(height(width));
  const save = (kind: string, run: (drawing: SVGSVGElement, name: string) => void) => (
    <button type="button" class="save" aria-label={t.save(title, kind)} onClick={() => svg.current && run(svg.current, name)}>
      ↓ {kind}
    </button>
  );
  return (
    <figure class="figure" id={`figure-${name}`}>
      <div class="figure-head">
        <h3>
          <Raised text={title} />
        </h3>
        <span class="saves">
          {save(t.svg, saveSvg)}
          {save(t.png, savePng)}
        </span>
      </div>
      <div class="frame" {...frame} ref={ref}>
        {width > 0 && (
          <svg ref={svg} role="img" aria-labelledby={`${id}t ${id}d`} width={width} height={tall} viewBox={`0 0 ${width} ${tall}`}>
            <title id={`${id}t`}>{title}</title>
            <desc id={`${id}d`}>{description}</desc>
            {children(width, tall)}
          </svg>
        )}
      </div>
      {caption && <figcaption>{caption}</figcaption>}
    </figure>
  );
}

/** Where a pointer is in the drawing of a figure, in its pixels. */
export function placeIn(event: { currentTarget: EventTarget | null; clientX: number; clientY: number }): [x: number, y: number] {
  const box = (event.currentTarget as Element).getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

/** Handlers that follow a pointer pressed on the frame (mouse, pen or finger) until it is let go. */
export function dragging(move: (x: number, y: number) => void): JSX.HTMLAttributes<HTMLDivElement> {
  return {
    onPointerDown: (event) => {
      if (event.button !== 0) return;
      event.currentTarget.setPointerCapture(event.pointerId);
      move(...placeIn(event));
    },
    onPointerMove: (event) => {
      if (event.currentTarget.hasPointerCapture(event.pointerId)) move(...placeIn(event));
    },
  };
}

/** A key handler: arrow keys as steps in (rows, columns); with Shift ten at once. */
export function arrows(step: (rows: number, columns: number) => void) {
  const directions: Record<string, [number, number]> = {
    ArrowUp: [-1, 0],
    ArrowDown: [1, 0],
    ArrowLeft: [0, -1],
    ArrowRight: [0, 1],
  };
  return (event: KeyboardEvent): void => {
    const direction = directions[event.key];
    if (!direction || event.target !== event.currentTarget) return;
    event.preventDefault();
    const far = event.shiftKey ? 10 : 1;
    step(direction[0] * far, direction[1] * far);
  };
}
