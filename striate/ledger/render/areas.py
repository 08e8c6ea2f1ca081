"""The modules of a network as areas: each in the rectangle of the one that it is in, one layout for each metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from striate.ledger.account import Ledger
from striate.ledger.render.modules import Part, tree
from striate.ledger.render.numbers import short
from striate.ledger.render.saved_by import kind
from striate.ledger.render.treemap import Rectangle, squarified

#: What areas can be: the field of a part, its name, its unit.
METRICS = (
    ("params", "Weights", "parameters"),
    ("macs", "Work", "MACs"),
    ("activation_bytes", "Memory", "bytes of activations"),
)
#: Width over height of the frame that layouts are made for.
ASPECT = 1.6
#: From this part of the frame on, a module is drawn as its parts.
OPEN = 0.05

Frame = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Node:
    """A part of the network and what is to be said of it, metric by metric."""

    part: Part
    #: Which ideas a layer uses; None of a module.
    kind: str | None
    exact: tuple[str, ...]
    short: tuple[str, ...]
    share: tuple[str, ...]
    #: Left, top, width and height in the rectangle of its parent; None where it has no area.
    frames: tuple[Frame | None, ...]


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of the picture of the whole network, in percent; with no label it says nothing itself."""

    look: str
    label: str | None
    figure: str
    frame: Frame


def nodes(ledger: Ledger) -> list[Node]:
    """The parts of a network, each before those in it, with their places."""
    parts = tree(ledger)
    layouts = [_layout(parts, metric) for metric, _, _ in METRICS]
    whole = parts[0]
    found = []
    for place, part in enumerate(parts):
        values = [getattr(part, metric) for metric, _, _ in METRICS]
        wholes = [getattr(whole, metric) for metric, _, _ in METRICS]
        found.append(
            Node(
                part=part,
                kind=None if part.row is None else kind(ledger.layers[part.row]),
                exact=tuple(f"{value:,}" for value in values),
                short=tuple(short(value) for value in values),
                share=tuple(share(v, w) for v, w in zip(values, wholes, strict=True)),
                frames=tuple(_frame(layout[place]) for layout in layouts),
            )
        )
    return found


def _layout(parts: Sequence[Part], metric: str) -> list[Rectangle | None]:
    below: list[list[int]] = [[] for _ in parts]
    for place, part in enumerate(parts):
        if part.parent is not None:
            below[part.parent].append(place)
    found: list[Rectangle | None] = [None] * len(parts)
    found[0] = Rectangle(0.0, 0.0, 1.0, 1.0) if getattr(parts[0], metric) else None
    aspects = [ASPECT] * len(parts)
    for place, inside in enumerate(below):
        if found[place] is None:
            continue
        # A module is seen in its place among the others, and alone in the whole frame: half way between.
        seen = sqrt(aspects[place] * ASPECT)
        tiles = squarified([getattr(parts[i], metric) for i in inside], seen)
        for i, tile in zip(inside, tiles, strict=True):
            found[i] = tile
            if tile is not None and tile.height:
                aspects[i] = min(20.0, max(0.05, aspects[place] * tile.width / tile.height))
    return found


def _frame(place: Rectangle | None) -> Frame | None:
    if place is None:
        return None
    left, top = round(place.left, 5), round(place.top, 5)
    return (left, top, round(place.width, 5), round(place.height, 5))


def tiles(found: Sequence[Node], metric: int) -> list[Tile]:
    """What the whole network looks like: a tile a layer, over those of a small module one that names it,
    and a line around the parts of a larger one. The script of the page draws the same of a part."""
    frames: list[Frame | None] = []
    closed: list[bool] = []
    drawn = []
    for node in found:
        parent, own = node.part.parent, node.frames[metric]
        around = (0.0, 0.0, 1.0, 1.0) if parent is None else frames[parent]
        if own is None or around is None:
            frames.append(None)
            closed.append(False)
            continue
        left, top, width, height = around
        frame = (left + own[0] * width, top + own[1] * height, own[2] * width, own[3] * height)
        inside = parent is not None and closed[parent]
        layer = node.kind is not None
        shut = inside or (not layer and frame[2] * frame[3] < OPEN)
        frames.append(frame)
        closed.append(shut)
        if parent is None or (inside and not layer):
            continue
        named = not inside and (layer or shut)
        drawn.append(
            Tile(
                look=_look(node.kind, inside, shut),
                label=(node.part.name or node.part.label) if named else None,
                figure=f"{node.short[metric]} · {node.share[metric]}",
                frame=(*(round(100 * side, 2) for side in frame),),  # type: ignore[arg-type]  # four, as in `frame`
            )
        )
    return drawn


def _look(kind_of: str | None, inside: bool, shut: bool) -> str:
    """The classes of a tile: of a layer, of a module that is shut, or the frame of one that is open."""
    if kind_of is None:
        return "tile group" if shut else "frame"
    return f"tile {kind_of} within" if inside else f"tile {kind_of}"


def share(value: int, whole: int) -> str:
    """How much of the whole.

    >>> share(3, 4), share(1, 30), share(1, 10**6), share(0, 0)
    ('75 %', '3.3 %', '< 0.1 %', '0 %')
    """
    if not value:
        return "0 %"
    part = 100 * (value / whole)
    if part < 0.1:
        return "< 0.1 %"
    return f"{part:.0f} %" if part >= 10 else f"{part:.1f} %"
