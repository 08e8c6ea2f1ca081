"""Units in another order or shape: views, permutes, slices, joins. What each sees goes along with it."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd, prod

from striate.ledger.receptive.sight import (
    SHARP,
    UNSURE,
    WHOLE,
    Axis,
    Factor,
    Sight,
    Term,
    joined,
    last_start,
    length,
    lose,
    plain,
    settle,
    split,
    steps_of,
    together,
)


def permute(sight: Sight, order: Sequence[int]) -> Sight:
    return Sight(tuple(sight.axes[axis] for axis in order), sight.terms)


def reshape(sight: Sight, shape: Sequence[int]) -> Sight | None:
    """The same units in another shape. Where sizes do not divide into each other, what moved there is known no
    longer."""
    if 0 in shape or prod(shape) != prod(sight.shape):
        return None
    flat = [factor for axis in sight.axes for factor in axis if factor.length > 1]
    axes: list[Axis] = []
    lost: set[int] = set()
    place = first = 0
    while first < len(shape):
        # The least group of new axes that holds whole factors.
        after, stop = shape[first], first + 1
        before, end = 1, place
        while before != after:
            if before < after:
                before, end = before * flat[end].length, end + 1
            else:
                after, stop = after * shape[stop], stop + 1
        factors = flat[place:end]
        group = _divide(factors, shape[first:stop])
        if group is None:
            columns = range(len(sight.terms))
            lost.update(t for t in columns if any(f.steps[t] > 0 for f in factors))
            marks = tuple(WHOLE if any(f.steps[t] for f in factors) else 0 for t in columns)
            group = [(Factor(size, marks),) for size in shape[first:stop]]
        axes.extend(group)
        place, first = end, stop
    found = lose(Sight(tuple(axes), sight.terms), lost)
    # An axis of one that was left out may have been the last one to move.
    settled = not lost and all(f.length > 1 or not any(f.steps) for a in sight.axes for f in a)
    return found if settled else settle(found)


def _divide(flat: Sequence[Factor], sizes: Sequence[int]) -> list[Axis] | None:
    rest = list(reversed(flat))
    axes: list[Axis] = []
    for size in sizes:
        axis: list[Factor] = []
        need = size
        while need > 1:
            factor = rest.pop()
            if need % factor.length == 0:
                axis.append(factor)
                need //= factor.length
            elif factor.length % need == 0:
                outer, inner = split(factor, need)
                axis.append(outer)
                rest.append(inner)
                need = 1
            else:
                return None
        axes.append(joined(axis))
    return axes


def insert(sight: Sight, place: int) -> Sight:
    """With an axis of one more."""
    return Sight((*sight.axes[:place], (), *sight.axes[place:]), sight.terms)


def drop(sight: Sight, places: frozenset[int]) -> Sight:
    """Without axes of one."""
    axes = tuple(axis for place, axis in enumerate(sight.axes) if place not in places)
    return settle(Sight(axes, sight.terms))


def exchange(sight: Sight, place: int, axis: Axis) -> Sight:
    return Sight((*sight.axes[:place], axis, *sight.axes[place + 1 :]), sight.terms)


def even(sight: Sight, place: int) -> bool:
    """Whether all units along an axis see the same."""
    return not any(any(factor.steps) for factor in sight.axes[place])


def cut(sight: Sight, place: int, start: int, count: int, step: int = 1) -> Sight | None:
    """`count` of the units along an axis, from `start` on."""
    axis = sight.axes[place]
    whole = length(axis)
    if count == whole and step == 1:
        return sight
    if count < 1:
        return None
    if even(sight, place):
        return exchange(sight, place, plain(count, len(sight.terms)))
    outer, rest = axis[0], axis[1:]
    inner = length(rest)
    if inner > 1:
        last = start + (count - 1) * step
        if step == 1 and start % inner == 0 and count % inner == 0:
            found = cut(exchange(sight, place, (outer,)), place, start // inner, count // inner)
            return found and exchange(found, place, (*found.axes[place], *rest))
        if start // inner == last // inner:
            found = cut(exchange(sight, place, (outer,)), place, start // inner, 1)
            found = found and exchange(found, place, rest)
            return found and cut(found, place, start % inner, count, step)
        return None
    if WHOLE in outer.steps:
        return None
    factor = Factor(count, tuple(s * step for s in outer.steps))
    found = exchange(sight, place, (factor,))
    terms = []
    for index, term in enumerate(sight.terms):
        moved = outer.steps[index]
        seen = narrowed(found.axes, index, term, term.start + start * moved) if moved else term
        if seen is None:
            return None
        terms.append(seen)
    return Sight(found.axes, tuple(terms))


def narrowed(axes: Sequence[Axis], index: int, term: Term, start: int) -> Term | None:
    """A term with a size that starts elsewhere: its reach is that of its first unit to its last."""
    assert term.size is not None
    low = max(term.reach[0], start)
    high = min(term.reach[1], last_start(axes, index, start) + term.size)
    border = UNSURE if term.border else SHARP
    return Term(term.axis, start, term.size, (low, high), border) if low < high else None


def select(sight: Sight, place: int, position: int) -> Sight | None:
    """The units at one position of an axis, without the axis."""
    found = cut(sight, place, position, 1)
    return found and drop(found, frozenset([place]))


def expand(sight: Sight, shape: Sequence[int]) -> Sight:
    """With axes of one, and new ones before the first, repeated up to `shape`."""
    new = len(shape) - len(sight.axes)
    axes: list[Axis] = [plain(size, len(sight.terms)) for size in shape[:new]]
    changed = False
    for axis, size in zip(sight.axes, shape[new:], strict=True):
        if length(axis) == size:
            axes.append(axis)
        else:
            axes.append(plain(size, len(sight.terms)))
            changed = True
    found = Sight(tuple(axes), sight.terms)
    return settle(found) if changed else found


def repeat(sight: Sight, times: Sequence[int], *, each: bool = False) -> Sight:
    """The units along each axis again and again; with `each`, every one so many times in a row."""
    for _ in range(len(times) - len(sight.axes)):
        sight = insert(sight, 0)
    axes = []
    for axis, count in zip(sight.axes, times, strict=True):
        again = plain(count, len(sight.terms)) if count != 1 else ()
        axes.append((*axis, *again) if each else (*again, *axis))
    return Sight(tuple(axes), sight.terms)


def aligned(axes: Sequence[Axis]) -> list[Axis] | None:
    """The same axis of several tensors, divided alike; None where their factors do not fit each other."""
    if all(_lengths(axis) == _lengths(axes[0]) for axis in axes[1:]):
        return list(axes)
    rests = [list(reversed(axis)) for axis in axes]
    results: list[list[Factor]] = [[] for _ in axes]
    whole = length(axes[0])
    done = 1
    while done < whole:
        for rest in rests:
            while rest[-1].length == 1:
                rest.pop()
        step = min(rest[-1].length for rest in rests)
        for rest, result in zip(rests, results, strict=True):
            factor = rest.pop()
            if factor.length % step:
                return None
            outer, inner = split(factor, step)
            result.append(outer)
            if inner.length > 1:
                rest.append(inner)
        done *= step
    return [tuple(result) for result in results]


def _lengths(axis: Axis) -> list[int]:
    return [factor.length for factor in axis]


def union(sights: Sequence[Sight], shape: Sequence[int]) -> Sight | None:
    """Units that each see what the units at their place in all of `sights` do, broadcast to `shape`."""
    if len(sights) == 1 and sights[0].shape == shape:
        return sights[0]
    grown = [expand(sight, shape) for sight in sights]
    first = grown[0]
    if all(sight == first for sight in grown[1:]):
        return first
    if len(grown) == 2:
        found = _over(*grown)
        if found is not None:
            return found
    axes = _beside(grown)
    if axes is None:
        return None
    return settle(Sight(tuple(axes), tuple(term for sight in grown for term in sight.terms)))


def _over(one: Sight, other: Sight) -> Sight | None:
    """The union of two tensors whose units move alike, as those of a residual do: the quick way to it."""
    if one.axes != other.axes or len(one.terms) != len(other.terms):
        return None
    terms = []
    for index, (a, b) in enumerate(zip(one.terms, other.terms, strict=True)):
        if a.axis != b.axis or (a.size is None) != (b.size is None):
            return None
        column = steps_of(one.axes, index)
        both = together((a, column), (b, column))
        if both is None or both[1] != column:
            return None
        terms.append(both[0])
    return Sight(one.axes, tuple(terms))


def join(
    sights: Sequence[Sight], sizes: Sequence[int], place: int, *, all_see: bool
) -> Sight | None:
    """Tensors put behind each other along an axis, where they are `sizes` long; with `all_see` false some of them
    see nothing and are not among `sights`.

    Channels of branches that see differently are together said to see the union. Of positions only what
    all of them see together is known.
    """
    parts: list[Sight] = []
    moving: list[bool] = []
    for sight in sights:
        moves = [any(f.steps[t] for f in sight.axes[place]) for t in range(len(sight.terms))]
        stepping = [t for t in range(len(moves)) if any(f.steps[t] > 0 for f in sight.axes[place])]
        # One place stands for all of the part: what moves along it is marked below.
        parts.append(exchange(lose(sight, stepping), place, plain(1, len(moves))))
        moving.extend(moves)
    axes = _beside(parts)
    if axes is None:
        return None
    terms = [term for part in parts for term in part.terms]
    marks = tuple(WHOLE if unlike else 0 for unlike in _unlike(parts, axes, terms, moving, all_see))
    again = 1 if any(moving) else gcd(*sizes)
    axes[place] = (Factor(sum(sizes) // again, marks), *plain(again, len(terms)))
    found = Sight(tuple(axes), tuple(terms))
    return settle(
        lose(found, [t for t, mark in enumerate(marks) if mark and not _channels(found, place, t)])
    )


def _unlike(
    parts: Sequence[Sight],
    axes: Sequence[Axis],
    terms: Sequence[Term],
    moving: Sequence[bool],
    all_see: bool,
) -> list[bool]:
    """For each term, whether the parts differ in what they see along its axis of the input."""
    seen: dict[int, list[set[tuple[Term, tuple[int, ...]]]]] = {}
    place = 0
    moves: dict[int, bool] = {}
    for number, part in enumerate(parts):
        for term in part.terms:
            each = seen.setdefault(term.axis, [set() for _ in parts])
            each[number].add((term, steps_of(axes, place)))
            moves[term.axis] = moves.get(term.axis, not all_see) or moving[place]
            place += 1
    return [
        moves[term.axis] or any(each != seen[term.axis][0] for each in seen[term.axis])
        for term in terms
    ]


def _channels(sight: Sight, place: int, term: int) -> bool:
    """Whether an axis holds the channels of a map, or of what was seen of a whole image."""
    elsewhere = (f.steps[term] > 0 for axis in sight.axes for f in axis)
    return any(elsewhere) or (place == 1 and len(sight.axes) != 3)


def _beside(sights: Sequence[Sight]) -> list[Axis] | None:
    """The axes of tensors of one shape with the steps of all their terms."""
    axes: list[Axis] = []
    for parts in zip(*(sight.axes for sight in sights), strict=True):
        alike = aligned(parts)
        if alike is None:
            return None
        axes.append(
            tuple(
                Factor(factors[0].length, tuple(step for f in factors for step in f.steps))
                for factors in zip(*alike, strict=True)
            )
        )
    return axes
