"""Windows along an axis, forwards and backwards: convolutions, poolings, unfoldings, their transposes."""

from __future__ import annotations

from collections.abc import Sequence

from striate.geometry import span
from striate.ledger.effects import Window
from striate.ledger.receptive.layout import even, exchange, join
from striate.ledger.receptive.sight import (
    LOOSE,
    UNSURE,
    WHOLE,
    Factor,
    Sight,
    Term,
    joined,
    last_start,
    length,
    lose,
    plain,
)


def slide(sight: Sight, place: int, window: Window, outputs: int) -> Sight | None:
    """Every unit from a window of units along an axis."""
    w = window
    if w.kernel == w.stride == 1 and w.padding == (0, 0):
        return sight
    if even(sight, place):
        if _misses(length(sight.axes[place]), w, outputs):
            return None
        return exchange(sight, place, plain(outputs, len(sight.terms)))
    axis = joined(sight.axes[place])
    factor = axis[0]
    if len(axis) > 1 or WHOLE in factor.steps or (w.copies and w.padding != (0, 0)):
        return _blurred(sight, place, w, outputs)
    units = seen(factor.length, w, outputs)
    if units is None:
        return None
    steps = tuple(step * w.stride for step in factor.steps)
    terms = tuple(
        _through(sight, place, index, w, outputs, units) if factor.steps[index] else term
        for index, term in enumerate(sight.terms)
    )
    return Sight((*sight.axes[:place], (Factor(outputs, steps),), *sight.axes[place + 1 :]), terms)


def _through(
    sight: Sight, place: int, index: int, w: Window, outputs: int, units: tuple[int, int]
) -> Term:
    term = sight.terms[index]
    assert term.size is not None
    size = length(sight.axes[place])
    step = sight.axes[place][-1].steps[index]
    return Term(
        term.axis,
        term.start - w.padding[0] * step,
        term.size + (span(w.kernel, w.dilation) - 1) * step,
        _reach(sight, place, index, term, step, units),
        _border(term, w, size, outputs, units),
    )


def _border(term: Term, w: Window, size: int, outputs: int, units: tuple[int, int]) -> int:
    last = (outputs - 1) * w.stride - w.padding[0]
    every = (w.stride <= w.kernel and w.dilation == 1) or (w.stride == 1 and w.dilation <= outputs)
    if term.border and not (every and units == (0, size - 1)):
        return UNSURE
    padding = w.padding[0] > 0 or last + span(w.kernel, w.dilation) > size
    # A window with gaps, or all in the padding, sees less there than its span says.
    if padding and (w.dilation > 1 or w.padding[0] >= w.kernel or last >= size):
        return max(term.border, LOOSE)
    return term.border


def _reach(
    sight: Sight, place: int, index: int, term: Term, step: int, units: tuple[int, int]
) -> tuple[int, int]:
    """What the units from the lowest to the highest of an axis see together."""
    others = [axis for where, axis in enumerate(sight.axes) if where != place]
    last = last_start(others, index, term.start + units[1] * step)
    return (
        max(term.reach[0], term.start + units[0] * step),
        min(term.reach[1], last + (term.size or 0)),
    )


def seen(size: int, w: Window, outputs: int) -> tuple[int, int] | None:
    """The lowest and the highest of `size` inputs on which a tap of any of the windows falls."""
    low = w.padding[0]
    reach = span(w.kernel, w.dilation)
    if w.dilation == 1 and low < w.kernel:
        lowest = max(0, -low)
        last = (outputs - 1) * w.stride - low
        if last < size:
            return lowest, min(size - 1, last + reach - 1)
    found: list[int] = []
    for tap in range(w.kernel):
        # The window at o reads o * stride + first.
        first = tap * w.dilation - low
        a = max(0, -(first // w.stride))
        b = min(outputs - 1, (size - 1 - first) // w.stride)
        if a <= b:
            found += [a * w.stride + first, b * w.stride + first]
    return (min(found), max(found)) if found else None


def _misses(size: int, w: Window, outputs: int) -> bool:
    """Whether some window falls on no input at all."""
    last = (outputs - 1) * w.stride - w.padding[0]
    if w.padding[0] > (w.kernel - 1) * w.dilation or last >= size:
        return True
    if w.dilation <= size:
        return False
    return any(
        all(not 0 <= start + tap * w.dilation < size for tap in range(w.kernel))
        for start in range(-w.padding[0], last + 1, w.stride)
    )


def _blurred(sight: Sight, place: int, w: Window, outputs: int) -> Sight | None:
    """Windows of units that are not evenly spaced: together they see what the units did, if none is left out."""
    last = (outputs - 1) * w.stride - w.padding[0] + w.kernel
    if w.dilation > 1 or w.stride > w.kernel:
        return None
    if w.padding[0] < 0 or last < length(sight.axes[place]):
        return None
    return scattered(sight, place, outputs)


def scattered(sight: Sight, place: int, outputs: int) -> Sight:
    """Other units along an axis, which together see what those before did."""
    moving = [t for t in range(len(sight.terms)) if any(f.steps[t] for f in sight.axes[place])]
    stepping = [t for t in moving if any(f.steps[t] > 0 for f in sight.axes[place])]
    marks = tuple(WHOLE if t in moving else 0 for t in range(len(sight.terms)))
    return exchange(lose(sight, stepping), place, (Factor(outputs, marks),))


def write(sight: Sight, place: int, w: Window, outputs: int) -> Sight | None:
    """A transposed convolution: unit i writes to outputs i * stride - low + tap * dilation."""
    if even(sight, place):
        return exchange(sight, place, plain(outputs, len(sight.terms)))
    low, size = w.padding[0], length(sight.axes[place])
    if w.stride == 1:
        turned = span(w.kernel, w.dilation) - 1 - low
        return slide(sight, place, Window(w.kernel, 1, (turned, 0), w.dilation), outputs)
    whole = w.dilation == 1 and not (w.kernel % w.stride or low % w.stride or outputs % w.stride)
    if whole:
        # The outputs of one stride all see the same units.
        kernel = w.kernel // w.stride
        window = Window(kernel, 1, (kernel - 1 - low // w.stride, 0))
        found = slide(sight, place, window, outputs // w.stride)
        return found and enlarged(found, place, w.stride)
    reach = span(w.kernel, w.dilation)
    last = (size - 1) * w.stride - low
    if w.dilation > 1 or reach <= low or last >= outputs:
        return None
    return scattered(sight, place, outputs)


def enlarged(sight: Sight, place: int, times: int) -> Sight:
    """Every unit along an axis so many times in a row."""
    return exchange(sight, place, (*sight.axes[place], *plain(times, len(sight.terms))))


def unfolded(sight: Sight, place: int, w: Window, outputs: int) -> Sight | None:
    """The windows along an axis, and their taps along a new last one."""
    if even(sight, place):
        found: Sight | None = exchange(sight, place, plain(outputs, len(sight.terms)))
        return found and Sight((*found.axes, plain(w.kernel, len(found.terms))), found.terms)
    axis = joined(sight.axes[place])
    factor = axis[0]
    if len(axis) > 1 or WHOLE in factor.steps:
        return None
    units = seen(factor.length, w, outputs)
    if units is None:
        return None
    axes = list(sight.axes)
    axes[place] = (Factor(outputs, tuple(s * w.stride for s in factor.steps)),)
    axes.append((Factor(w.kernel, tuple(s * w.dilation for s in factor.steps)),))
    terms = []
    for index, term in enumerate(sight.terms):
        step = factor.steps[index]
        if step:
            term = Term(
                term.axis,
                term.start - w.padding[0] * step,
                term.size,
                _reach(sight, place, index, term, step, units),
                max(LOOSE, _border(term, w, factor.length, outputs, units)),
            )
        terms.append(term)
    return Sight(tuple(axes), tuple(terms))


def padded(sight: Sight, amounts: Sequence[tuple[int, int]], *, copies: bool) -> Sight | None:
    """With units put around, or taken away where an amount is negative."""
    found: Sight | None = sight
    for place, (before, after) in enumerate(amounts):
        if found is None or (before, after) == (0, 0):
            continue
        size = length(found.axes[place]) + before + after
        if even(found, place):
            rest = exchange(
                found, place, plain(size - max(0, before) - max(0, after), len(found.terms))
            )
            more = max(0, before) + max(0, after)
            found = join([rest], [size - more, more], place, all_see=copies) if more else rest
        elif copies:
            found = scattered(found, place, size) if min(before, after) >= 0 else None
        else:
            found = slide(found, place, Window(1, 1, (before, after)), size)
    return found
