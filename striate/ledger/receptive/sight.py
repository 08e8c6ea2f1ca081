"""What the units of one tensor see of the network's first input, as plain data.

Every axis of a tensor is written as factors, like the digits of its index: `flatten` puts the digits of
rows and columns behind each other, a permute moves them, a view into windows splits them. A `Term`
says, along one axis of the input, where the window of the unit at digits 0 starts; each factor says how
far the window moves when its digit grows by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TypeAlias

from striate.geometry import ReceptiveField

#: In place of a step: only all places of this factor together are known to see what the term says.
WHOLE = -1
#: How well a term knows the border: every unit sees its window as far as it lies in the reach; units at the border
#: may see less, the reach is right; the reach, too, may be too large.
SHARP, LOOSE, UNSURE = 0, 1, 2
#: Along one input axis, terms beyond this many are put together.
_MOST_TERMS = 4


@dataclass(frozen=True, slots=True)
class Factor:
    """A digit of an axis's index; `steps` has how far each term's window moves, 0 for not at all."""

    length: int
    steps: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Term:
    """Along the input's axis `axis` (0 is its first spatial one): a window of `size` inputs from `start`
    on, cut to `reach`, which all units together see from end to end.

    A `size` of None: only `reach` is known. Its factors then have no step but `WHOLE`. Where a term
    with a size has a `WHOLE` factor, such as channels joined from branches, all its places together see
    the window.
    """

    axis: int
    start: int
    size: int | None
    reach: tuple[int, int]
    border: int = SHARP


Axis: TypeAlias = tuple[Factor, ...]
Column: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sight:
    """The factors of each axis of a tensor, and the terms: a unit sees what any of them says."""

    axes: tuple[Axis, ...]
    terms: tuple[Term, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(
            axis[0].length if len(axis) == 1 else prod(f.length for f in axis) for axis in self.axes
        )

    def fields(self) -> tuple[ReceptiveField, ...] | None:
        """A field for each axis of the input; None where its units' fields are not evenly spaced.

        A stride of 0: every unit sees the same.
        """
        found: dict[int, ReceptiveField] = {}
        for index, term in enumerate(self.terms):
            if term.size is None or term.axis in found:
                return None
            moving = [f for axis in self.axes for f in axis if f.steps[index] > 0]
            if len(moving) > 1 or not self._evenly(index):
                return None
            stride = moving[0].steps[index] if moving else 0
            found[term.axis] = ReceptiveField(term.size, stride, term.start + (term.size - 1) / 2)
        return tuple(found[axis] for axis in sorted(found))

    def _evenly(self, term: int) -> bool:
        """Whether no factor under which nothing moves lies below the one that the term moves with."""
        for axis in self.axes:
            if len(axis) == 1:
                continue
            below = False
            for factor in axis:
                below = below or factor.steps[term] > 0
                if below and factor.length > 1 and max(factor.steps) <= 0:
                    return False
        return True


def image(shape: Sequence[int], first: int) -> Sight:
    """Of the input itself, whose spatial axes begin at `first`."""
    sizes = shape[first:]
    none = (0,) * len(sizes)
    axes = [(Factor(size, none),) for size in shape[:first]]
    for place, size in enumerate(sizes):
        axes.append((Factor(size, (*none[:place], 1, *none[place + 1 :])),))
    return Sight(tuple(axes), tuple(Term(k, 0, 1, (0, size)) for k, size in enumerate(sizes)))


def plain(length: int, terms: int) -> Axis:
    """An axis along which every unit sees the same."""
    return (Factor(length, (0,) * terms),)


def length(axis: Axis) -> int:
    if len(axis) == 1:
        return axis[0].length
    return prod(factor.length for factor in axis)


def split(factor: Factor, outer: int) -> tuple[Factor, Factor]:
    """The factor as two digits; the second one has its steps."""
    inner = factor.length // outer
    steps = tuple(step if step == WHOLE else step * inner for step in factor.steps)
    return Factor(outer, steps), Factor(inner, factor.steps)


def joined(axis: Iterable[Factor]) -> Axis:
    """The same axis in the fewest factors."""
    if isinstance(axis, tuple) and len(axis) == 1:
        return axis
    result: list[Factor] = []
    for factor in axis:
        if result:
            above = result[-1]
            whole = Factor(above.length * factor.length, factor.steps)
            if split(whole, above.length)[0].steps == above.steps:
                result[-1] = whole
                continue
        result.append(factor)
    return tuple(result)


def steps_of(axes: Iterable[Axis], term: int) -> Column:
    """How the term moves with each factor, in order."""
    return tuple(factor.steps[term] for axis in axes for factor in axis)


def last_start(axes: Iterable[Axis], index: int, start: int) -> int:
    """Where the window of the unit with the highest digits starts."""
    return start + sum(
        (factor.length - 1) * factor.steps[index]
        for axis in axes
        for factor in axis
        if factor.steps[index] > 0
    )


def lose(sight: Sight, terms: Iterable[int]) -> Sight:
    """The same sight when of these terms only the reach is known any more."""
    lost = frozenset(terms)
    if not lost:
        return sight
    axes = tuple(
        tuple(
            Factor(
                factor.length,
                tuple(
                    WHOLE if step and index in lost else step
                    for index, step in enumerate(factor.steps)
                ),
            )
            for factor in axis
        )
        for axis in sight.axes
    )
    kept = [
        replace(term, size=None) if index in lost else term
        for index, term in enumerate(sight.terms)
    ]
    return Sight(axes, tuple(kept))


def settle(sight: Sight) -> Sight:
    """The same in the fewest terms: windows that no longer move are cut to what there is to see, terms that
    move alike are one, and what sees everything along an axis takes in the rest."""
    columns = [steps_of(sight.axes, index) for index in range(len(sight.terms))]
    found: dict[int, list[tuple[Term, Column]]] = {}
    same = True
    for term, column in zip(sight.terms, columns, strict=True):
        ready = _ready(term, column)
        same = same and ready is term and term.axis not in found
        found.setdefault(term.axis, []).append((ready, column))
    if same:
        return sight
    lengths = [factor.length for axis in sight.axes for factor in axis]
    return _with_columns(
        sight.axes, [pair for axis in sorted(found) for pair in _fewest(found[axis], lengths)]
    )


def _ready(term: Term, column: Column) -> Term:
    if any(column) if term.size is None else max(column, default=0) > 0:
        return term
    if term.border == UNSURE:
        return replace(term, size=None)
    if term.size is None:
        return Term(term.axis, term.reach[0], term.reach[1] - term.reach[0], term.reach)
    start = max(term.start, term.reach[0])
    stop = min(term.start + term.size, term.reach[1])
    found = Term(term.axis, start, stop - start, (start, stop))
    return term if term == found else found


def _fewest(pairs: list[tuple[Term, Column]], lengths: Sequence[int]) -> list[tuple[Term, Column]]:
    result: list[tuple[Term, Column]] = []
    for pair in pairs:
        for place, other in enumerate(result):
            both = together(other, pair)
            if both is not None:
                result[place] = both
                break
        else:
            result.append(pair)
    if len(result) > 1:
        for outer in result:
            if all(pair is outer or _takes_in(outer, pair, lengths) for pair in result):
                return [outer]
    if len(result) > _MOST_TERMS:
        column = tuple(
            WHOLE if any(steps) else 0 for steps in zip(*(c for _, c in result), strict=True)
        )
        return [
            (
                Term(
                    pairs[0][0].axis,
                    0,
                    None,
                    _hull([t.reach for t, _ in result]),
                    max(t.border for t, _ in result),
                ),
                column,
            )
        ]
    return result


def together(one: tuple[Term, Column], other: tuple[Term, Column]) -> tuple[Term, Column] | None:
    """One term for two that move alike."""
    (a, one_steps), (b, other_steps) = one, other
    if a == b and one_steps == other_steps:
        return one
    reach, border = _hull([a.reach, b.reach]), max(a.border, b.border)
    if a.size is not None and b.size is not None:
        if any(max(x, 0) != max(y, 0) for x, y in zip(one_steps, other_steps, strict=True)):
            return None
        for (term, steps), (inner, _) in ((one, other), (other, one)):
            holds = _holds(_span(term), _span(inner)) and _holds(term.reach, inner.reach)
            if holds and WHOLE not in steps:
                return term, steps
        start, stop = _hull([_span(a), _span(b)])
        border = border if a.reach == b.reach else max(border, LOOSE)
        hull = Term(a.axis, start, stop - start, reach, border)
        return hull, tuple(map(min, one_steps, other_steps))
    if any(bool(x) != bool(y) for x, y in zip(one_steps, other_steps, strict=True)):
        return None
    found = Term(a.axis, 0, None, reach, border)
    return found, tuple(WHOLE if step else 0 for step in one_steps)


def _span(term: Term) -> tuple[int, int]:
    return term.start, term.start + (term.size or 0)


def _takes_in(
    outer: tuple[Term, Column], inner: tuple[Term, Column], lengths: Sequence[int]
) -> bool:
    """Whether every unit sees all of what the inner term says by what the outer one says."""
    (a, outer_steps), (b, inner_steps) = outer, inner
    if a.size is None or not _holds(a.reach, b.reach):
        return False
    if max(outer_steps, default=0) <= 0:
        return True
    if b.size is None:
        return False
    more = 0
    for above, step, length in zip(outer_steps, inner_steps, lengths, strict=True):
        if above > 0 and above != step:
            return False
        more += (length - 1) * step if above <= 0 < step else 0
    return _holds(_span(a), (b.start, b.start + b.size + more))


def _holds(outer: tuple[int, int], inner: tuple[int, int]) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def _hull(spans: Sequence[tuple[int, int]]) -> tuple[int, int]:
    return min(start for start, _ in spans), max(stop for _, stop in spans)


def _with_columns(axes: Sequence[Axis], pairs: Sequence[tuple[Term, Column]]) -> Sight:
    rows = list(zip(*(column for _, column in pairs), strict=True))
    result, place = [], 0
    for axis in axes:
        result.append(
            tuple(Factor(factor.length, rows[place + offset]) for offset, factor in enumerate(axis))
        )
        place += len(axis)
    return Sight(tuple(result), tuple(term for term, _ in pairs))
