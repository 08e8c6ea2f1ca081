"""Receptive fields along a captured forward pass, where they are known.

A tensor laid out (batch, channels, *axes) has one field per axis; branches that meet have the union; a
dense layer over everything, or a global pooling, sees from the first to the last input that any of its
inputs sees. What rearranges or mixes positions in another way has no field here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from striate.geometry import ReceptiveField
from striate.ledger.effects import (
    Contraction,
    ElementWise,
    Joined,
    Moved,
    Padding,
    Pooling,
    Window,
)
from striate.ledger.graph import Graph, Tensor
from striate.ledger.known import BY_POSITION
from striate.ledger.provenance import Reading


@dataclass(frozen=True, slots=True)
class Grid:
    """Every position of the last axes has its own field."""

    fields: tuple[ReceptiveField, ...]


@dataclass(frozen=True, slots=True)
class Everything:
    """Every unit sees the inputs [start, stop) along each axis."""

    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Scattered:
    """Units in another order than (channels, *axes); together they see these inputs."""

    spans: tuple[tuple[int, int], ...]


Sight: TypeAlias = Grid | Everything | Scattered


def receptive_fields(graph: Graph, readings: Sequence[Reading]) -> dict[int, Sight]:
    """What the units of each tensor see of the network's first input, by tensor id."""
    seen: dict[int, Sight] = {}
    if graph.batch_dim != 0 or not graph.inputs or len(graph.inputs[0].shape) < 3:
        return seen
    image = graph.inputs[0]
    sizes = image.shape[2:]
    seen[image.id] = Grid(tuple(ReceptiveField() for _ in sizes))
    for reading in readings:
        sight = _through(reading, seen, sizes, graph.batch or 1)
        for output in reading.operator.outputs:
            if sight is None:
                seen.pop(output.id, None)
            else:
                seen[output.id] = sight
    return seen


def as_document(sight: Sight | None) -> dict[str, list[float]] | None:
    """`{size, stride, centre}`, one number per axis; a stride of 0 where every unit sees the same."""
    if isinstance(sight, Grid):
        return {
            "size": [field.size for field in sight.fields],
            "stride": [field.stride for field in sight.fields],
            "centre": [field.centre for field in sight.fields],
        }
    if isinstance(sight, Everything):
        return {
            "size": [stop - start for start, stop in sight.spans],
            "stride": [0 for _ in sight.spans],
            "centre": [(start + stop - 1) / 2 for start, stop in sight.spans],
        }
    return None


def _through(
    reading: Reading, seen: dict[int, Sight], sizes: tuple[int, ...], batch: int
) -> Sight | None:
    sights = [seen.get(tensor.id) for tensor in reading.active]
    if not sights or any(sight is None for sight in sights):
        return None
    found = reading.effect
    sight = sights[0]
    if isinstance(found, Contraction):
        if len(sights) > 1:  # of two activations
            both = all(isinstance(s, Everything) for s in sights)
            return _union([s for s in sights if s is not None]) if both else None
        return _contraction(found, sight, batch)
    if isinstance(found, Pooling):
        return _pooling(found, sight, sizes)
    if isinstance(found, ElementWise):
        known = reading.operator.pointwise or reading.operator.name.partition(".")[2] in BY_POSITION
        return _union([s for s in sights if s is not None]) if known else None
    if isinstance(found, Joined):
        axis_kept = found.axis == 1 or all(isinstance(s, Everything | Scattered) for s in sights)
        return _union([s for s in sights if s is not None]) if axis_kept else None
    if isinstance(found, Padding):
        return _padding(found, sight)
    if isinstance(found, Moved):
        return _moved(found, sight, sizes)
    return None


def _contraction(found: Contraction, sight: Sight | None, batch: int) -> Sight | None:
    if isinstance(sight, Everything):
        return sight
    if found.form in ("convolution", "local") and isinstance(sight, Grid):
        return _windows(sight, found.windows)
    rows = found.data.shape[0] if len(found.data.shape) == 2 and not found.swapped else 0
    if found.form == "matmul" and rows == batch and isinstance(sight, Scattered):
        return Everything(sight.spans)
    return None


def _pooling(found: Pooling, sight: Sight | None, sizes: tuple[int, ...]) -> Sight | None:
    if isinstance(sight, Everything):
        return sight
    if not isinstance(sight, Grid) or len(sight.fields) != found.axes:
        return None
    if found.windows is not None:
        return _windows(sight, found.windows)
    inputs = found.data.shape[-found.axes :]
    if found.is_global:
        return Everything(_spans(sight, inputs, sizes))
    outputs = found.output.shape[-found.axes :]
    if any(i % o for i, o in zip(inputs, outputs, strict=True)):
        return None  # adaptive windows of differing lengths
    steps = [i // o for i, o in zip(inputs, outputs, strict=True)]
    return _windows(sight, tuple(Window(step, step) for step in steps))


def _windows(sight: Grid, windows: tuple[Window, ...]) -> Sight | None:
    if len(windows) != len(sight.fields) or any(window.copies for window in windows):
        return None
    return Grid(
        tuple(
            field.through(w.kernel, w.stride, w.padding, w.dilation)
            for field, w in zip(sight.fields, windows, strict=True)
        )
    )


def _union(sights: Sequence[Sight]) -> Sight | None:
    if all(isinstance(sight, Grid) for sight in sights):
        grids = [sight for sight in sights if isinstance(sight, Grid)]
        fields = []
        for axis in zip(*(grid.fields for grid in grids), strict=True):
            if len({field.stride for field in axis}) != 1:
                return None
            low = min(field.centre - (field.size - 1) / 2 for field in axis)
            high = max(field.centre + (field.size - 1) / 2 for field in axis)
            fields.append(ReceptiveField(round(high - low) + 1, axis[0].stride, (low + high) / 2))
        return Grid(tuple(fields))
    flat = [sight for sight in sights if not isinstance(sight, Grid)]
    if len(flat) != len(sights) and any(isinstance(sight, Scattered) for sight in flat):
        return None
    # Where one branch sees everything (a gate after a global pooling), so does the sum.
    spans = tuple(
        (min(start for start, _ in axis), max(stop for _, stop in axis))
        for axis in zip(*(sight.spans for sight in flat), strict=True)
    )
    scattered = any(isinstance(sight, Scattered) for sight in flat)
    return Scattered(spans) if scattered else Everything(spans)


def _padding(found: Padding, sight: Sight | None) -> Sight | None:
    if isinstance(sight, Everything):
        return sight
    if not isinstance(sight, Grid) or not found.zeros:
        return None
    amounts = found.amounts[len(found.amounts) - len(sight.fields) :]
    return Grid(
        tuple(
            field.through(1, 1, before_after)
            for field, before_after in zip(sight.fields, amounts, strict=True)
        )
    )


def _moved(found: Moved, sight: Sight | None, sizes: tuple[int, ...]) -> Sight | None:
    if found.how == "copy" or not isinstance(sight, Grid):
        return sight if found.how != "unfold" else None
    before, after = found.data.shape, found.output.shape
    axes = len(sight.fields)
    if found.how in ("expand", "view") and before[-axes:] == after[-axes:] and before == after:
        return sight
    if found.how in ("view", "permute") and len(before) == axes + 2:
        return Scattered(_spans(sight, before[2:], sizes))
    return None


def _spans(
    sight: Grid, positions: Sequence[int], sizes: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    spans = []
    for field, count, size in zip(sight.fields, positions, sizes, strict=True):
        start, stop = field.window(0)[0], field.window(count - 1)[1]
        spans.append((max(0, start), min(size, stop)))
    return tuple(spans)


def of(tensor: Tensor, seen: dict[int, Sight]) -> dict[str, list[float]] | None:
    """The document of one tensor's receptive field, or None where it is not known."""
    return as_document(seen.get(tensor.id))
