"""Whether a plan that was read makes sense: every number of a kind and size that building it can trust."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from striate.errors import RequestError
from striate.reduce.rungs.compose import Rung
from striate.reduce.rungs.local import Grid
from striate.reduce.rungs.low_rank import LowRank
from striate.reduce.rungs.pooled import Pooled
from striate.reduce.rungs.split import Split
from striate.reduce.rungs.stage import Place

_MODES = ("avg", "max")
# Where zero is a size like any other.
_FROM_ZERO = frozenset({"padding"})
_TEXTS = frozenset({"mode", "padding_mode"})
_FLAGS = frozenset({"bias", "ordered", "foldable"})


def check_decision(site: object, rung: Rung, place: Place, index: object, reader: object) -> None:
    """Raise `RequestError` that names the field which no plan of striate has so."""
    if not isinstance(site, str):
        raise RequestError(f"plan: the name of a site is {site!r}; expected the name of a layer")
    where = f"plan: {site}"
    if reader is not None and not isinstance(reader, str):
        raise RequestError(f"{where}: reader is {reader!r}; expected the name of a layer or null")
    _check_values(f"{where}: place", place)
    if place.layout is not None:
        layout = place.layout
        if place.patch is None and layout.channels * layout.height * layout.width != place.inputs:
            raise RequestError(
                f"{where}: layout {layout.channels}x{layout.height}x{layout.width} does not hold the"
                f" {place.inputs:,} inputs of the place"
            )
    if index is not None and not (
        isinstance(index, tuple)
        and all(type(number) is int for number in index)
        and sorted(index) == list(range(place.inputs))
    ):
        raise RequestError(f"{where}: index does not name each of {place.inputs:,} inputs once")
    inner = place
    for stage in rung.stages:
        what = f"{where}: {stage.kind}"
        _check_values(what, stage)
        needs_map = isinstance(stage, Pooled | Split) or hasattr(stage, "grid")
        if needs_map and inner.layout is None:
            raise RequestError(f"{what}: works on a map, and the place has no layout")
        if isinstance(stage, Pooled):
            _check_pooled(what, stage, inner)
        elif isinstance(stage, LowRank):
            largest = min(inner.inputs, inner.outputs)
            if stage.rank > largest:
                raise RequestError(
                    f"{what}: rank {stage.rank} of {inner.inputs:,} inputs and {inner.outputs:,}"
                    f" outputs; expected 1 to {largest:,}"
                )
        elif isinstance(stage, Split):
            assert inner.layout is not None
            if stage.channels > inner.layout.channels:
                raise RequestError(
                    f"{what}: channels {stage.channels} of {inner.layout.channels}; expected no more"
                )
        elif hasattr(stage, "grid"):
            _check_grid(what, stage.grid, inner)
        if isinstance(stage, Pooled | Split):
            inner = stage.after(inner)


def _check_values(where: str, value: Any) -> None:
    """Every field a positive whole number, a pair of them, a flag or a text, as its name has it."""
    for field in fields(value):
        name, found = field.name, getattr(value, field.name)
        if found is None or is_dataclass(found):
            if found is not None:
                _check_values(f"{where}: {name}", found)
            continue
        if name in _TEXTS or (name == "padding" and isinstance(found, str)):
            good, expected = isinstance(found, str), "text"
        elif name in _FLAGS:
            good, expected = isinstance(found, bool), "true or false"
        else:
            least = 0 if name in _FROM_ZERO else 1
            numbers = found if isinstance(found, tuple) else (found,)
            good = len(numbers) in (1, 2) and all(
                type(number) is int and number >= least for number in numbers
            )
            expected = f"whole numbers from {least} on"
        if not good:
            raise RequestError(f"{where}: {name} is {found!r}; expected {expected}")


def _pair(where: str, name: str, value: object) -> tuple[int, int]:
    if not isinstance(value, tuple) or len(value) != 2:
        raise RequestError(f"{where}: {name} is {value!r}; expected two whole numbers")
    return value


def _check_pooled(where: str, stage: Pooled, place: Place) -> None:
    assert place.layout is not None
    if stage.mode not in _MODES:
        raise RequestError(f"{where}: mode {stage.mode!r}; expected {' or '.join(_MODES)}")
    sides = (place.layout.height, place.layout.width)
    size = _pair(where, "size", stage.size)
    if any(one > side for one, side in zip(size, sides, strict=True)):
        raise RequestError(f"{where}: size {size} of a map of {sides}; expected no more")
    if (stage.window is None) != (stage.stride is None):
        raise RequestError(f"{where}: window and stride go together; one of them is missing")
    if stage.window is None or stage.stride is None:
        return
    window, stride = _pair(where, "window", stage.window), _pair(where, "stride", stage.stride)
    reached = tuple(
        (side - one) // step + 1 for side, one, step in zip(sides, window, stride, strict=True)
    )
    if reached != size:
        raise RequestError(
            f"{where}: window {window} with stride {stride} on a map of {sides} does not give the"
            f" size {size}"
        )


def _check_grid(where: str, grid: Grid, place: Place) -> None:
    assert place.layout is not None
    sides = (place.layout.height, place.layout.width)
    size, window = _pair(where, "size", grid.size), _pair(where, "window", grid.window)
    stride, padding = _pair(where, "stride", grid.stride), _pair(where, "padding", grid.padding)
    reached = tuple(
        (side + 2 * around - one) // step + 1
        for side, around, one, step in zip(sides, padding, window, stride, strict=True)
    )
    if reached != size:
        raise RequestError(
            f"{where}: window {window} with stride {stride} and padding {padding} on a map of {sides}"
            f" does not give the grid {size}"
        )
    if grid.slots < place.outputs:
        raise RequestError(f"{where}: {grid.slots:,} slots for {place.outputs:,} outputs")
