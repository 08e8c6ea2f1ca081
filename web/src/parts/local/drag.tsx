// The window over the image, to scale: dragged on the image, in the lens, or by its unit.

import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import { Button, Controls, NumberField } from "../../controls";
import { Grid } from "../../drawing";
import { arrows, Figure, placeIn } from "../../figure";
import { exact, extent } from "../../numbers";
import { outputsOf, paddingOf } from "../../setting";
import { account, setting } from "../../state";
import { boardHeight, boardWidth, HEAD, heldAt, layoutOf, middleOf, unitOn, unitOver, type Board, type Held, type Layout } from "./layout";
import { Lens } from "./lens";
import { moveTo, unit, type Place } from "./place";
import { nextInLens, seenFrom, type Seen } from "./window";
import { text } from "./words";

/** Lines between cells that are large enough to be told apart. */
function Cells({ board }: { board: Board }): JSX.Element | null {
  if (board.row !== board.column || board.row < 5) return null;
  return <Grid rows={board.rows} columns={board.columns} x={board.x} y={board.y} cell={board.row} />;
}

function Head(props: { x: number; y: number; name: string; size: string; note?: string | false }): JSX.Element {
  return (
    <>
      <text class="local-head" x={props.x} y={props.y - HEAD + 14}>
        {props.name} {props.note && <tspan class="label">({props.note})</tspan>}
      </text>
      <text class="label" x={props.x} y={props.y - HEAD + 31}>
        {props.size}
      </text>
    </>
  );
}

/** The window on the image, and the square around it that the lens magnifies. */
function OnImage({ layout, seen }: { layout: Layout; seen: Seen }): JSX.Element {
  const { image, imageBox, lensCells, lensBox, narrow } = layout;
  const { rows, columns } = seen;
  const [x, y] = middleOf(layout, seen);
  // Neither may be so small that it is lost.
  const width = Math.max((columns.stop - columns.start) * image.column, 4);
  const height = Math.max((rows.stop - rows.start) * image.row, 4);
  const around = {
    width: Math.max(lensCells * image.column, width + 8),
    height: Math.max(lensCells * image.row, height + 8),
  };
  const cut = {
    left: Math.max(x - around.width / 2, imageBox.x),
    right: Math.min(x + around.width / 2, imageBox.x + imageBox.side),
    top: Math.max(y - around.height / 2, imageBox.y - 4),
    bottom: Math.min(y + around.height / 2, imageBox.y + imageBox.side + 4),
  };
  const beam = narrow
    ? `M${cut.left} ${cut.bottom}L${lensBox.x} ${lensBox.y}M${cut.right} ${cut.bottom}L${lensBox.x + lensBox.side} ${lensBox.y}`
    : `M${cut.right} ${cut.top}L${lensBox.x} ${lensBox.y}M${cut.right} ${cut.bottom}L${lensBox.x} ${lensBox.y + lensBox.side}`;
  return (
    <>
      <path class="local-beam" d={beam} />
      <rect class="local-around" x={cut.left} y={cut.top} width={cut.right - cut.left} height={cut.bottom - cut.top} />
      <rect
        class={Math.min(width, height) > 12 ? "local-on-image large" : "local-on-image"}
        x={x - width / 2}
        y={y - height / 2}
        width={width}
        height={height}
      />
    </>
  );
}

/** The unit in its plane, and the beam to it from its window in the lens. */
function OnPlane({ layout, place, kernel }: { layout: Layout; place: Place; kernel: number }): JSX.Element {
  const { plane, lensBox, lensCells, cell, narrow } = layout;
  const x = plane.x + (place.column + 0.5) * plane.column;
  const y = plane.y + (place.row + 0.5) * plane.row;
  const margin = ((lensCells - kernel) / 2) * cell;
  const [left, right] = [lensBox.x + margin, lensBox.x + lensBox.side - margin];
  const [top, bottom] = [lensBox.y + margin, lensBox.y + lensBox.side - margin];
  const from = narrow ? [left, top, right, top] : [right, top, right, bottom];
  return (
    <>
      <path class="local-to-unit" d={`M${from[0]} ${from[1]}L${x} ${y}L${from[2]} ${from[3]}`} />
      {plane.row >= 6 && plane.column >= 6 ? (
        <rect class="local-here" x={x - plane.column / 2} y={y - plane.row / 2} width={plane.column} height={plane.row} />
      ) : (
        <circle class="local-here" cx={x} cy={y} r={4} />
      )}
    </>
  );
}

const Ground = ({ board, padding }: { board: Board; padding?: readonly [number, number] }): JSX.Element => (
  <>
    {padding && padding[1] > 0 && (
      <rect
        class="local-padding"
        x={board.x - padding[0] * board.column}
        y={board.y - padding[0] * board.row}
        width={boardWidth(board) + (padding[0] + padding[1]) * board.column}
        height={boardHeight(board) + (padding[0] + padding[1]) * board.row}
      />
    )}
    <rect class="local-board" x={board.x} y={board.y} width={boardWidth(board)} height={boardHeight(board)} />
    <Cells board={board} />
  </>
);

function Pictures({ width }: { width: number }): JSX.Element {
  const t = text();
  const now = setting.value;
  const place = unit.value;
  const seen = seenFrom(place, now);
  const layout = layoutOf(width, now, account.value);
  const { imageBox, lensBox, planeBox, lensCells } = layout;
  const hold = (box: { x: number; y: number; side: number }) => (
    <rect class="local-hold local-hit" x={box.x} y={box.y} width={box.side} height={box.side} />
  );
  return (
    <>
      <Ground board={layout.image} padding={paddingOf(now)} />
      <Ground board={layout.plane} />
      <OnImage layout={layout} seen={seen} />
      <Lens layout={layout} seen={seen} setting={now} />
      <OnPlane layout={layout} place={place} kernel={now.kernel} />
      <Head {...imageBox} name={t.image} size={extent(now.height, now.width)} note={layout.imageThicker && t.thicker} />
      <Head {...lensBox} name={t.lens} size={t.lensSize(extent(lensCells, lensCells))} />
      <Head {...planeBox} name={t.plane} size={extent(...outputsOf(now))} note={layout.planeThicker ? t.thicker : layout.planeEnlarged && t.enlarged} />
      <text class="label" x={planeBox.x} y={planeBox.y + planeBox.side + 20}>
        {t.unitRow(exact(place.row + 1))}
      </text>
      <text class="label" x={planeBox.x} y={planeBox.y + planeBox.side + 38}>
        {t.unitColumn(exact(place.column + 1))}
      </text>
      {hold(imageBox)}
      {hold(planeBox)}
    </>
  );
}

/** Whether the lens shows the window of a unit to the right or below. */
function hasNext({ row, column }: Place): boolean {
  const { rows, columns } = account.value;
  return nextInLens(setting.value) && (row < rows - 1 || column < columns - 1);
}

/** What a pointer holds since it was pressed. */
interface Hold {
  readonly what: Held;
  readonly at: readonly [x: number, y: number];
  readonly unit: Place;
  /** From the pointer to the window's middle, where the window itself was taken. */
  readonly grip: readonly [x: number, y: number];
}

function moveHeld(hold: Hold, layout: Layout, x: number, y: number): void {
  const now = setting.peek();
  if (hold.what === "plane") moveTo(unitOn(layout, x, y));
  else if (hold.what === "image") moveTo(unitOver(layout, now, x + hold.grip[0], y + hold.grip[1]));
  else {
    // The picture follows the hand, so the window goes the other way over it.
    const step = layout.cell * now.stride;
    moveTo({ row: hold.unit.row - (y - hold.at[1]) / step, column: hold.unit.column - (x - hold.at[0]) / step });
  }
}

function Dragged(): JSX.Element {
  const t = text();
  const hold = useRef<Hold | null>(null);
  const now = setting.value;
  const place = unit.value;
  const seen = seenFrom(place, now);
  const { rows, columns } = seen;
  const span = [exact(rows.first + 1), exact(rows.end), exact(columns.first + 1), exact(columns.end)] as const;
  const counts = [exact(seen.taps), exact(seen.inside), exact(seen.outside)] as const;
  const [row, column] = [exact(place.row + 1), exact(place.column + 1)];
  const layoutIn = (element: Element) => layoutOf(element.clientWidth, setting.peek(), account.peek());

  return (
    <Figure
      name="local-drag"
      title={t.dragTitle}
      description={t.dragDescription(extent(now.height, now.width), row, column, span, ...counts)}
      caption={
        <>
          <span aria-live="polite">{t.dragCaption(row, column, span, ...counts)}</span>
          {t.dragHint}
          {hasNext(place) && t.dashed}
        </>
      }
      height={(width) => layoutOf(width, now, account.value).height}
      frame={{
        tabIndex: 0,
        role: "group",
        "aria-label": t.dragKeys,
        onTouchStart: (event) => {
          // What is dragged does not scroll the page; all around it does.
          if ((event.target as Element).closest(".local-hold")) event.preventDefault();
        },
        onPointerDown: (event) => {
          if (event.button !== 0) return;
          const layout = layoutIn(event.currentTarget);
          const [x, y] = placeIn(event);
          const what = heldAt(layout, x, y);
          if (!what) return;
          event.currentTarget.setPointerCapture(event.pointerId);
          const [middleX, middleY] = middleOf(layout, seen);
          const taken =
            Math.abs(x - middleX) <= (now.kernel * layout.image.column) / 2 &&
            Math.abs(y - middleY) <= (now.kernel * layout.image.row) / 2;
          hold.current = { what, at: [x, y], unit: place, grip: taken ? [middleX - x, middleY - y] : [0, 0] };
          moveHeld(hold.current, layout, x, y);
        },
        onPointerMove: (event) => {
          if (!hold.current || !event.currentTarget.hasPointerCapture(event.pointerId)) return;
          moveHeld(hold.current, layoutIn(event.currentTarget), ...placeIn(event));
        },
        onKeyDown: arrows((down, right) => {
          const { row, column } = unit.peek();
          moveTo({ row: row + down, column: column + right });
        }),
      }}
    >
      {(width) => <Pictures width={width} />}
    </Figure>
  );
}

/** The unit by its numbers, and the places where something happens. */
function UnitControls(): JSX.Element {
  const t = text();
  const { rows, columns } = account.value;
  const { row, column } = unit.value;
  return (
    <Controls>
      <NumberField label={t.row} value={row + 1} low={1} high={rows} onChange={(next) => moveTo({ row: next - 1, column })} />
      <NumberField label={t.column} value={column + 1} low={1} high={columns} onChange={(next) => moveTo({ row, column: next - 1 })} />
      <div class="buttons" role="group" aria-label={t.goTo}>
        <Button onClick={() => moveTo({ row: 0, column: 0 })}>{t.first}</Button>
        <Button onClick={() => moveTo({ row: Math.floor(rows / 2), column: Math.floor(columns / 2) })}>{t.middle}</Button>
        <Button onClick={() => moveTo({ row: rows - 1, column: columns - 1 })}>{t.last}</Button>
      </div>
    </Controls>
  );
}

export const Drag = (): JSX.Element => (
  <>
    <Dragged />
    <UnitControls />
  </>
);
