"""Rectangles whose areas are given numbers: the squarified treemap of Bruls, Huizing and van Wijk (2000)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Left and top edge, width and height, as parts of the frame's width and height."""

    left: float
    top: float
    width: float
    height: float


def squarified(values: Sequence[int], aspect: float) -> list[Rectangle | None]:
    """A rectangle a value, in its place; none where the value is 0. They fill the frame, do not overlap,
    and are as square as can be in a frame `aspect` times as wide as it is high.

    Values may be as large as integers get. Raises `ValueError` for one below 0 and for an `aspect`
    that is not above 0.

    >>> squarified([1, 0, 1], aspect=2.0)
    [Rectangle(left=0.0, top=0.0, width=0.5, height=1.0), None, Rectangle(left=0.5, top=0.0, width=0.5, height=1.0)]
    """
    if min(values, default=0) < 0:
        raise ValueError(f"squarified: values={min(values)}; an area is at least 0")
    if not aspect > 0:
        raise ValueError(f"squarified: aspect={aspect}; expected a width over a height, above 0")
    found: list[Rectangle | None] = [None] * len(values)
    order = sorted((i for i, value in enumerate(values) if value), key=lambda i: -values[i])
    remaining = sum(values)
    # In a frame of `aspect` x 1: where the free rectangle begins, and its sides.
    left, top, width, height = 0.0, 0.0, aspect, 1.0
    start = 0
    while start < len(order):
        upright = width >= height  # a column of tiles at the left, else a row of them at the top
        side, depth = (height, width) if upright else (width, height)
        free = side * depth
        stop, held = start + 1, values[order[start]]
        shape = _worst(side, free, remaining, held, held, held)
        while stop < len(order):
            smallest = values[order[stop]]
            wider = _worst(side, free, remaining, held + smallest, values[order[start]], smallest)
            if wider > shape:
                break
            shape, held, stop = wider, held + smallest, stop + 1
        thickness = depth * (held / remaining)
        before = 0
        for index in order[start:stop]:
            begin, end = side * (before / held), side * ((before + values[index]) / held)
            if upright:
                found[index] = Rectangle(
                    left / aspect, top + begin, thickness / aspect, end - begin
                )
            else:
                found[index] = Rectangle(
                    (left + begin) / aspect, top, (end - begin) / aspect, thickness
                )
            before += values[index]
        if upright:
            left, width = left + thickness, max(0.0, width - thickness)
        else:
            top, height = top + thickness, max(0.0, height - thickness)
        remaining -= held
        start = stop
    return found


def _worst(
    side: float, free: float, remaining: int, held: int, largest: int, smallest: int
) -> float:
    """The longest of a row's tiles: its longer side over its shorter one."""
    if free <= 0:
        return 1.0  # nothing left that could be seen: one row takes it all
    row = free * (held / remaining)
    square = side * side / row if row else float("inf")
    high = square * (largest / held)
    low = square * (smallest / held)
    return max(high, 1 / low if low else float("inf"))
