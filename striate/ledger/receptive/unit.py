"""One unit of a tensor: where it is, and the box of inputs that it is said to see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from striate.ledger.receptive.sight import Factor, Sight


@dataclass(frozen=True, slots=True)
class Unit:
    """`places`: its indices along each axis of the tensor, several where all of them see the same or where only
    all together are said to. `box`: (start, stop) along each axis of the input, cut to what there is."""

    places: tuple[tuple[int, ...], ...]
    box: tuple[tuple[int, int], ...]


def middle(length: int) -> int:
    return length // 2


def unit(sight: Sight, digit: Callable[[int], int] = middle) -> Unit | None:
    """The unit with these digits (`digit` gives one for a length); None where its field is not known."""
    if any(term.size is None for term in sight.terms):
        return None
    chosen = [[digit(f.length) if _moves(f) else None for f in axis] for axis in sight.axes]
    places = []
    for axis, digits in zip(sight.axes, chosen, strict=True):
        indices = [0]
        for factor, one in zip(axis, digits, strict=True):
            span = range(factor.length) if one is None else (one,)
            indices = [index * factor.length + place for index in indices for place in span]
        places.append(tuple(indices))
    box: dict[int, tuple[int, int]] = {}
    for number, term in enumerate(sight.terms):
        start = term.start + sum(
            (one or 0) * factor.steps[number]
            for axis, digits in zip(sight.axes, chosen, strict=True)
            for factor, one in zip(axis, digits, strict=True)
        )
        low, high = box.get(term.axis, (term.reach[1], term.reach[0]))
        box[term.axis] = (
            min(low, max(start, term.reach[0])),
            max(high, min(start + (term.size or 0), term.reach[1])),
        )
    return Unit(tuple(places), tuple(box[axis] for axis in sorted(box)))


def _moves(factor: Factor) -> bool:
    return max(factor.steps, default=0) > 0
