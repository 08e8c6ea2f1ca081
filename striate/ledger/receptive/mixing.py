"""Sums over an axis: each unit of the result sees what all units along it see together."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from striate.ledger.receptive.layout import drop, even, exchange, insert, union
from striate.ledger.receptive.sight import (
    WHOLE,
    Axis,
    Factor,
    Sight,
    joined,
    length,
    lose,
    plain,
    settle,
)


def spread(sight: Sight, places: Collection[int]) -> Sight:
    """Every unit from all units along these axes, which stay as long as they are: a softmax, a
    normalisation, a Fourier transform."""
    grown = [0] * len(sight.terms)
    axes = list(sight.axes)
    changed = False
    for place in places:
        for factor in axes[place]:
            for index, step in enumerate(factor.steps):
                changed = changed or step != 0
                if step > 0:
                    grown[index] += (factor.length - 1) * step
        axes[place] = plain(length(axes[place]), len(sight.terms))
    if not changed:
        return Sight(tuple(axes), sight.terms)
    terms = tuple(
        term if term.size is None or not more else replace(term, size=term.size + more)
        for term, more in zip(sight.terms, grown, strict=True)
    )
    return settle(Sight(tuple(axes), terms))


def reduced(sight: Sight, places: Collection[int], *, keeps: bool) -> Sight:
    """One unit from all units along these axes: a mean, a maximum, a sum."""
    found = spread(sight, places)
    for place in places:
        found = exchange(found, place, plain(1, len(found.terms)))
    return found if keeps else drop(found, frozenset(places))


def dense(sight: Sight, place: int, outputs: int) -> Sight:
    """A weight for each pair of a unit along an axis and one of `outputs`."""
    if not even(sight, place):
        sight = spread(sight, (place,))
    return exchange(sight, place, plain(outputs, len(sight.terms)))


def product(left: Sight, right: Sight, shape: Sequence[int]) -> Sight | None:
    """The matrix product (..., i, c) x (..., c, j) of two activations."""
    if len(left.axes) < 2 or len(left.axes) != len(right.axes):
        return None
    inner = len(left.axes) - 1
    rows = reduced(left, (inner,), keeps=False)
    columns = reduced(right, (inner - 1,), keeps=False)
    return union([insert(rows, inner), insert(columns, inner - 1)], shape)


def masked(sight: Sight) -> Sight:
    """Scores of an attention some of which may be taken out: which, is not known."""
    times: dict[int, int] = {}
    for term in sight.terms:
        times[term.axis] = times.get(term.axis, 0) + 1
    several = [t for t, term in enumerate(sight.terms) if times[term.axis] > 1]
    if not several:
        return sight
    # A score is not of one pair then, so that a softmax over one of the two does not see all of it.
    axes: list[Axis] = []
    for axis in sight.axes:
        factors = []
        for factor in axis:
            moving = {sight.terms[t].axis for t in several if factor.steps[t]}
            steps = (
                WHOLE if index in several and sight.terms[index].axis in moving else step
                for index, step in enumerate(factor.steps)
            )
            factors.append(Factor(factor.length, tuple(steps)))
        axes.append(tuple(factors))
    return settle(lose(Sight(tuple(axes), sight.terms), several))


def grouped(sight: Sight, place: int, groups: int, outputs: int) -> Sight:
    """Every output channel from the channels of its group."""
    if groups == 1:
        return dense(sight, place, outputs)
    terms = len(sight.terms)
    axis = sight.axes[place]
    if even(sight, place):
        return exchange(sight, place, plain(outputs, terms))
    if groups == length(axis):
        each = outputs // groups
        return exchange(sight, place, joined((*axis, *plain(each, terms))) if each > 1 else axis)
    moving = [t for t in range(terms) if any(factor.steps[t] for factor in axis)]
    stepping = [t for t in moving if any(factor.steps[t] > 0 for factor in axis)]
    marks = tuple(WHOLE if t in moving else 0 for t in range(terms))
    return settle(exchange(lose(sight, stepping), place, (Factor(outputs, marks),)))
