"""What locality, sharing and pooling each saved, and the network recounted without its poolings.

locality = dense_params / connections; sharing = connections / weights; pooling = dense_params counted
again with every pooling layer taken out (strides of other layers stay) / dense_params; total = their
product. Saved weights: the difference at each step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod

from striate.geometry import output_size
from striate.ledger.effects import (
    Contraction,
    ElementWise,
    Joined,
    Moved,
    Padding,
    Plain,
    Pooling,
    Product,
    Window,
)
from striate.ledger.graph import Graph, Tensor
from striate.ledger.provenance import Reading

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Idea:
    """How many times fewer weights, and how many; None where it cannot be known or means nothing."""

    factor: int | float | None
    saved: int | None

    def to_dict(self) -> dict[str, object]:
        return {"factor": self.factor, "saved": self.saved}


@dataclass(frozen=True, slots=True)
class Ideas:
    """The three ideas and their product."""

    locality: Idea
    sharing: Idea
    pooling: Idea
    total: Idea

    def to_dict(self) -> dict[str, object]:
        return {
            name: getattr(self, name).to_dict()
            for name in ("locality", "sharing", "pooling", "total")
        }


@dataclass(frozen=True, slots=True)
class Unpooled:
    """The operator at which the recount without poolings could not go on, and why."""

    index: int
    reason: str


def ratio(numerator: int, denominator: int) -> int | float | None:
    """An exact integer where the quotient is one; None for a quotient that means nothing.

    >>> ratio(10**12, 10**8), ratio(3, 2), ratio(3, 0)
    (10000, 1.5, None)
    """
    if numerator <= 0 or denominator <= 0:
        return None
    quotient = Fraction(numerator, denominator)
    return quotient.numerator if quotient.denominator == 1 else float(quotient)


def ideas(dense: int, connections: int, weights: int, unpooled: int | None) -> Ideas:
    """The ideas of a network from its totals, biases left out.

    >>> ideas(10**12, 10**8, 100, 10**12).total
    Idea(factor=10000000000, saved=999999999900)
    """
    if not weights or not connections:
        nothing = Idea(None, None)
        return Ideas(nothing, nothing, nothing, nothing)
    known = unpooled is not None
    return Ideas(
        Idea(ratio(dense, connections), dense - connections),
        Idea(ratio(connections, weights), connections - weights),
        Idea(ratio(unpooled, dense) if known else None, unpooled - dense if known else None)
        if unpooled is not None
        else Idea(None, None),
        Idea(ratio(unpooled, weights), unpooled - weights)
        if unpooled is not None
        else Idea(None, None),
    )


def without_pooling(
    graph: Graph, readings: Sequence[Reading]
) -> tuple[dict[int, tuple[int, int]], Unpooled | None]:
    """Units into and out of each contraction (by operator index) once all poolings are taken out.

    Only contractions whose shapes change are in the result. The second value says where shapes did
    not permit to go on (branches that no longer fit together, for example), if they did not.
    """
    shapes: dict[int, Shape | None] = {}
    spoiled: set[int] = set()
    counts: dict[int, tuple[int, int]] = {}
    reason: dict[int, Unpooled] = {}
    for index, reading in enumerate(readings):
        found, operator = reading.effect, reading.operator
        changed = [t for t in reading.active if t.id in shapes or t.storage in spoiled]
        if not changed and not isinstance(found, Pooling):
            for output in operator.outputs:
                shapes.pop(output.id, None)
            continue
        lost = next(
            (t for t in changed if shapes.get(t.id, ()) is None or t.storage in spoiled), None
        )
        if lost is not None:
            shape: Shape | None = None
            problem = reason.get(lost.id) or reason.get(-lost.storage)
        else:
            shape, text = _shape_without(reading, shapes)
            problem = None if shape is not None else Unpooled(index, text)
        if isinstance(found, Contraction) and reading.is_layer:
            if shape is None:
                return counts, problem
            data = shapes.get(found.data.id) or found.data.shape
            before = _stands_for(reading, data)
            counts[index] = (before, prod(shape))
        main = operator.outputs[0] if operator.outputs else None
        for output in operator.outputs:
            if main is None or (output.shape != main.shape and shape is not None):
                continue
            shapes[output.id] = shape
            if problem is not None:
                reason[output.id] = problem
            if shape == output.shape:
                shapes.pop(output.id)
        if operator.name in ("aten.copy_", "aten.index_put_") and main is not None:
            # Only a part of that memory was written: what the whole looks like is not followed.
            spoiled.add(main.storage)
            reason[-main.storage] = problem or Unpooled(
                index, "a part of a tensor is written whose size depends on a pooling"
            )
    return counts, None


def _stands_for(reading: Reading, data: Shape) -> int:
    """Units of the changed data without the padding that was put around it before."""
    padding = reading.padding
    if padding is None or len(padding.amounts) != len(data):
        return prod(data)
    return prod(size - sum(amount) for size, amount in zip(data, padding.amounts, strict=True))


def _shape_without(
    reading: Reading, shapes: Mapping[int, Shape | None]
) -> tuple[Shape | None, str]:
    """The first output's shape, and why there is none."""
    found, operator = reading.effect, reading.operator

    def shape(tensor: Tensor) -> Shape:
        return shapes.get(tensor.id) or tensor.shape

    result: Shape | None = None
    text = "its effect on sizes is not followed"
    if isinstance(found, Pooling):
        result = shape(found.data)
        if not found.keeps_axes:  # the mean that left no axes: its inputs, one behind the other
            result = (result[0], prod(result[1:]))
    elif isinstance(found, Contraction):
        if reading.is_layer or found.form != "matmul":
            result = _contracted(found, shape(found.data))
            text = "the larger input does not fit"
        else:
            result = _product(shape(found.data), shape(found.weight))
            text = "the two activations no longer fit together"
    elif isinstance(found, Product) and found.scores:
        query, *_, value = (shape(operand) for operand in found.operands)
        result = (*query[:-1], value[-1])
    elif isinstance(found, ElementWise):
        if operator.pointwise:
            result = _broadcast([shape(t) for t in operator.inputs])
            text = "branches no longer have the same size"
        else:
            result = shape(operator.inputs[-1 if operator.name == "aten.copy_" else 0])
    elif isinstance(found, Padding):
        result = tuple(
            size + sum(amount)
            for size, amount in zip(shape(found.data), found.amounts, strict=True)
        )
    elif isinstance(found, Joined):
        result = _joined([shape(t) for t in found.parts], found.axis)
        text = "branches no longer have the same size"
    elif isinstance(found, Moved):
        result = _moved(found, shape(found.data))
        text = "the larger map does not divide into this shape"
    elif isinstance(found, Plain) and len(reading.active) == 1:
        data = reading.active[0]
        result = _axis_by_axis(data.shape, shape(data), operator.outputs[0].shape)
    return result, text


def _contracted(found: Contraction, data: Shape) -> Shape | None:
    if found.form == "einsum":
        return None
    if found.form == "matmul":
        left, right = (found.weight.shape, data) if found.swapped else (data, found.weight.shape)
        if len(left) < 2 or len(right) < 2 or len(found.output.shape) != len(left):
            return None
        # `linear` holds its weight as (out, in); the output's last size is the layer's own.
        last = data[-1] if found.swapped else found.output.shape[-1]
        return (*left[:-1], last)
    axes = len(found.windows)
    if found.form == "transposed":
        spatial = [
            out + (new - old) * window.stride
            for out, new, old, window in zip(
                found.output.shape[-axes:],
                data[-axes:],
                found.data.shape[-axes:],
                found.windows,
                strict=True,
            )
        ]
    else:
        spatial = [_outputs(size, w) for size, w in zip(data[-axes:], found.windows, strict=True)]
    return (*data[: -axes - 1], found.output.shape[-axes - 1], *spatial)


def _product(left: Shape, right: Shape) -> Shape | None:
    """Of two activations: nothing is resized to make them fit."""
    if min(len(left), len(right)) < 2 or left[-1] != right[-2] or left[:-2] != right[:-2]:
        return None
    return (*left[:-1], right[-1])


def _outputs(size: int, w: Window) -> int:
    return output_size(size, w.kernel, w.stride, w.padding, w.dilation, w.ceil)


def _broadcast(shapes: Sequence[Shape]) -> Shape | None:
    rank = max(len(shape) for shape in shapes)
    result = []
    for axis in range(rank):
        sizes = {s[axis - rank + len(s)] for s in shapes if axis - rank + len(s) >= 0} - {1}
        if len(sizes) > 1:
            return None
        result.append(sizes.pop() if sizes else 1)
    return tuple(result)


def _joined(shapes: Sequence[Shape], axis: int) -> Shape | None:
    rests = {shape[:axis] + shape[axis + 1 :] for shape in shapes}
    if len(rests) != 1:
        return None
    first = shapes[0]
    return (*first[:axis], sum(shape[axis] for shape in shapes), *first[axis + 1 :])


def _moved(found: Moved, data: Shape) -> Shape | None:
    if found.how == "copy":
        return data
    if found.how == "permute":
        return tuple(data[axis] for axis in found.order)
    if found.how == "view":
        return regroup(found.data.shape, data, found.output.shape)
    if found.how == "expand":
        return _axis_by_axis(found.data.shape, data, found.output.shape)
    return None


def _axis_by_axis(old: Shape, changed: Shape, new: Shape) -> Shape | None:
    """The new shape where an axis either changed before or is changed by the operator, not both."""
    if len(old) != len(new):
        return None
    result = []
    for before, larger, after in zip(old, changed, new, strict=True):
        if before == larger:
            result.append(after)
        elif before == after:
            result.append(larger)
        else:
            return None
    return tuple(result)


def regroup(old: Shape, changed: Shape, new: Shape) -> Shape | None:
    """What the view from `old` to `new` makes of `changed`, a shape with other sizes on some axes.

    None where a changed size would have to be divided in an unknown way.

    >>> regroup((2, 8, 4, 4), (2, 8, 8, 8), (2, 128))
    (2, 512)
    >>> regroup((2, 8, 1, 1), (2, 8, 6, 6), (2, 8))
    (2, 288)
    """
    if 0 in old or 0 in new:
        return None
    result: list[int] = []
    i = j = 0
    while j < len(new):
        start_i, start_j = i, j
        left = old[i] if i < len(old) else 1
        right = new[j]
        i, j = i + 1, j + 1
        while left != right:
            if left < right:
                left *= old[i]
                i += 1
            else:
                right *= new[j]
                j += 1
        if j == len(new):
            i = len(old)  # axes of size one that are left over belong to the last group
        sizes = list(new[start_j:j])
        if changed[start_i:i] != old[start_i:i]:
            wide = [place for place, size in enumerate(sizes) if size != 1]
            if len(wide) > 1:
                return None
            sizes[wide[0] if wide else -1] = prod(changed[start_i:i])
        result.extend(sizes)
    return tuple(result)
