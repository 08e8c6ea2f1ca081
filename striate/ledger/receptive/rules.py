"""What each operator makes of what its inputs see: one rule an operator, looked up by name.

A rule gives the sight of each output that it can say something of, in order; where it cannot, None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import TypeAlias

from striate.ledger.effects import (
    Contraction,
    ElementWise,
    Joined,
    Moved,
    Padding,
    Pooling,
    Window,
)
from striate.ledger.graph import Argument, Operator, Tensor
from striate.ledger.known import BY_POSITION
from striate.ledger.provenance import Reading
from striate.ledger.receptive import layout, mixing, windows
from striate.ledger.receptive.sight import Sight, plain


@dataclass(frozen=True, slots=True)
class Seen:
    """An operator call, and what those of its inputs see that depend on the network's first input."""

    reading: Reading
    sights: Mapping[int, Sight]
    #: What was padded with zeros to make a tensor, and how much along each axis.
    paddings: Mapping[int, tuple[Sight, tuple[tuple[int, int], ...]]]
    #: Tensors some of whose elements a mask may have taken out.
    masked: AbstractSet[int]
    #: Whether a tensor that sees nothing may hold zeros or minus infinities: it is made of constants.
    may_mask: Callable[[Tensor], bool]

    @property
    def operator(self) -> Operator:
        return self.reading.operator

    @property
    def data(self) -> Sight | None:
        """Of the first argument."""
        tensor = self.operator.tensor(0)
        return None if tensor is None else self.sights.get(tensor.id)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.operator.outputs[0].shape

    def of(self, tensor: Tensor) -> Sight | None:
        return self.sights.get(tensor.id)

    def without_padding(
        self, tensor: Tensor, windows: tuple[Window, ...]
    ) -> tuple[Sight | None, tuple[Window, ...]]:
        """What slides along a tensor that was padded slides along what it was made of."""
        before = self.paddings.get(tensor.id)
        first = len(tensor.shape) - len(windows)
        if before is None or any(window.copies for window in windows):
            return self.of(tensor), windows
        sight, amounts = before
        if any(min(pair) < 0 for pair in amounts) or any(any(pair) for pair in amounts[:first]):
            return self.of(tensor), windows
        return sight, tuple(
            replace(w, padding=(w.padding[0] + low, w.padding[1] + high))
            for w, (low, high) in zip(windows, amounts[first:], strict=True)
        )

    def argument(self, index: int, name: str, default: Argument = None) -> Argument:
        named = dict(self.operator.named)
        return named[name] if name in named else self.operator.argument(index, default)

    def number(self, index: int, name: str, default: int) -> int:
        value = self.argument(index, name)
        return int(value) if isinstance(value, int) else default

    def places(self, index: int, name: str = "dim") -> tuple[int, ...] | None:
        """The axes that an argument names; None where it names none."""
        value = self.argument(index, name)
        values = value if isinstance(value, tuple) else (value,)
        rank = len(self.operator.inputs[0].shape)
        found = tuple(int(v) % max(1, rank) for v in values if isinstance(v, int))
        return found or None


Result: TypeAlias = "Sight | Sequence[Sight | None] | None"
Rule: TypeAlias = Callable[[Seen], Result]


def through(seen: Seen) -> Sequence[Sight | None]:
    """What the units of an operator's outputs see; a shorter list than there are outputs where the rest is not
    known."""
    operator = seen.operator
    name = operator.name.removeprefix("aten.").removeprefix("striate.")
    base = name[:-1] if name.endswith("_") and not name.startswith("_") else name
    rule = RULES.get(base)
    if rule is None:
        rule = EFFECTS.get(type(seen.reading.effect))
    found = None if rule is None else rule(seen)
    return [found] if found is None or isinstance(found, Sight) else found


# -- contractions ------------------------------------------------------------------------------


def _contraction(seen: Seen) -> Result:
    found = seen.reading.effect
    assert isinstance(found, Contraction)
    data, weight = seen.of(found.data), seen.of(found.weight)
    if found.form != "matmul":
        return _windows(seen, found) if data and weight is None else None
    if found.swapped:
        data, weight = weight, data
    left, right = (found.weight, found.data) if found.swapped else (found.data, found.weight)
    # Of two stacks of matrices and one matrix as the result, the products were added up.
    summed = len(left.shape) == len(right.shape) == 3 and len(found.output.shape) == 2
    shape = left.shape[:1] * summed + found.output.shape
    hidden = (left.id in seen.masked, right.id in seen.masked)
    result = _product(data, weight, left, right, shape, hidden)
    if result is None or result.shape != shape:
        return None
    return mixing.reduced(result, (0,), keeps=False) if summed else result


def _product(
    data: Sight | None,
    weight: Sight | None,
    left: Tensor,
    right: Tensor,
    shape: tuple[int, ...],
    hidden: tuple[bool, bool],
) -> Sight | None:
    """Of the operands `left` and `right`, seen as `data` and `weight`; `hidden`: masked."""
    if data and weight:
        return mixing.product(data, weight, shape, hidden)
    side, other = (data, right) if data else (weight, left)
    if side is None or len(left.shape) < 2:
        return None
    rank = len(side.axes)
    if data:
        return mixing.dense(side, rank - 1, shape[-1]) if len(other.shape) > 1 else None
    return mixing.dense(side, rank - 2, left.shape[-2]) if rank > 1 else None


def _windows(seen: Seen, found: Contraction) -> Sight | None:
    sight, moved = seen.of(found.data), found.windows
    if found.form != "transposed":
        sight, moved = seen.without_padding(found.data, found.windows)
    if sight is None:
        return None
    axes = len(found.windows)
    channels = len(sight.axes) - axes - 1
    inner = found.weight.shape[-axes - 1]
    data, output = found.data.shape[channels], found.output.shape[channels]
    groups = (output if found.form == "transposed" else data) // max(1, inner)
    move = windows.write if found.form == "transposed" else windows.slide
    result: Sight | None = sight
    for window, place in zip(moved, range(channels + 1, len(sight.axes)), strict=True):
        result = result and move(result, place, window, found.output.shape[place])
    return result and mixing.grouped(result, channels, groups, output)


# -- pooling, reductions, normalisations ------------------------------------------------------


def _pooling(seen: Seen) -> Result:
    found = seen.reading.effect
    assert isinstance(found, Pooling)
    sight = seen.of(found.data)
    first = len(found.data.shape) - found.axes
    if sight is None:
        return None
    places = range(first, len(found.data.shape))
    if not found.keeps_axes:
        return mixing.reduced(sight, places, keeps=False)
    if found.windows is None and "fractional" in seen.operator.name:
        return None  # windows at random
    moved = found.windows
    if moved is not None:
        sight, moved = seen.without_padding(found.data, moved)
    result = sight
    for index, place in enumerate(places):
        size, outputs = found.data.shape[place], found.output.shape[place]
        if moved is not None:
            result = result and windows.slide(result, place, moved[index], outputs)
        elif outputs == 1:
            result = result and mixing.reduced(result, (place,), keeps=True)
        elif size % outputs == 0:
            window = Window(size // outputs, size // outputs)
            result = result and windows.slide(result, place, window, outputs)
        else:  # windows of differing lengths, which leave nothing out
            result = result and windows.scattered(result, place, outputs)
    return result


def _reduction(index: int = 1) -> Rule:
    def rule(seen: Seen) -> Result:
        if seen.data is None:
            return None
        rank = len(seen.data.axes)
        places = seen.places(index) or tuple(range(rank))
        keeps = len(seen.shape) == rank
        return [mixing.reduced(seen.data, places, keeps=keeps)] * len(seen.operator.outputs)

    return rule


def _spread(index: int, name: str = "dim") -> Rule:
    """Each unit from all along the axes named."""

    def rule(seen: Seen) -> Result:
        places = seen.places(index, name)
        if seen.data is None or places is None:
            return None
        return mixing.spread(seen.data, places)

    return rule


def _fourier(seen: Seen) -> Result:
    places = seen.places(1)
    if seen.data is None or places is None:
        return None
    found = mixing.spread(seen.data, places)
    for place in places:
        found = layout.exchange(found, place, plain(seen.shape[place], len(found.terms)))
    return found


def _layer_norm(seen: Seen) -> Result:
    sizes = seen.argument(1, "normalized_shape")
    if seen.data is None or not isinstance(sizes, tuple):
        return None
    rank = len(seen.data.axes)
    return mixing.spread(seen.data, range(rank - len(sizes), rank))


def _group_norm(seen: Seen) -> Result:
    sight = seen.data
    if sight is None:
        return None
    # Groups of channels have statistics of their own; a group of one leaves channels apart.
    found = mixing.spread(sight, range(2, len(sight.axes)))
    return (
        found
        if layout.even(found, 1) or seen.shape[1] == seen.number(6, "group", 1)
        else (mixing.grouped(found, 1, seen.number(6, "group", 1), seen.shape[1]))
    )


def _batch_norm(training: int) -> Rule:
    def rule(seen: Seen) -> Result:
        sight = seen.data
        if sight is None or not seen.argument(training, "training", False):
            return sight
        return mixing.spread(sight, [place for place in range(len(sight.axes)) if place != 1])

    return rule


def _disorder(index: int | None, name: str = "dim", otherwise: int | None = None) -> Rule:
    """Units along the axes named in another order, or each from some of the others."""

    def rule(seen: Seen) -> Result:
        sight = seen.data
        places = None if index is None else seen.places(index, name)
        if sight is None or (places is None and otherwise is None):
            return None
        for place in places or (otherwise or 0,):
            sight = windows.scattered(sight, place, seen.shape[place])
        return sight

    return rule


# -- element-wise -----------------------------------------------------------------------------


def _element_wise(seen: Seen) -> Result:
    operator = seen.operator
    if not (operator.pointwise or operator.name.partition(".")[2].rstrip("_") in BY_POSITION):
        return None
    if len(operator.arguments) == 1 and seen.data is not None:
        return seen.data
    found = layout.union(_operands(seen), seen.shape)
    return mixing.masked(found) if found and masks(seen) else found


def masks(seen: Seen) -> bool:
    """Whether constants meet the scores of an attention: some may be zero, or minus infinity, there."""
    return (
        isinstance(seen.reading.effect, ElementWise)
        and any(map(mixing.pairs, seen.sights.values()))
        and any(
            tensor.id not in seen.sights and tensor.units > 1 and seen.may_mask(tensor)
            for tensor in seen.operator.inputs
        )
    )


def _operands(seen: Seen) -> Sequence[Sight]:
    active = {t.id: t for t in seen.reading.active}
    return [seen.sights[number] for number in active if number in seen.sights]


def _copy(seen: Seen) -> Result:
    source = seen.operator.tensor(1)
    sight = None if source is None else seen.of(source)
    return sight and layout.union([sight], seen.shape)


def _gated(seen: Seen) -> Result:
    """Two halves of the channels, multiplied."""
    place = (seen.places(1) or (len(seen.shape) - 1,))[0]
    if seen.data is None:
        return None
    if layout.even(seen.data, place):
        return layout.exchange(seen.data, place, plain(seen.shape[place], len(seen.data.terms)))
    return windows.scattered(seen.data, place, seen.shape[place])


# -- moves ------------------------------------------------------------------------------------


def _moved(seen: Seen) -> Result:
    found = seen.reading.effect
    assert isinstance(found, Moved)
    sight = seen.of(found.data)
    if sight is None or (found.data.shape == found.output.shape and found.how != "permute"):
        return sight
    if found.how == "permute":
        return layout.permute(sight, found.order)
    if found.how == "view":
        return layout.reshape(sight, found.output.shape)
    if found.how == "expand":
        return layout.expand(sight, found.output.shape)
    return None


def _padding(seen: Seen) -> Result:
    found = seen.reading.effect
    assert isinstance(found, Padding)
    sight = seen.of(found.data)
    return sight and windows.padded(sight, found.amounts, copies=found.copies)


def _joined(seen: Seen) -> Result:
    found = seen.reading.effect
    assert isinstance(found, Joined)
    parts = [t for t in found.parts if t.units]
    sights = [(t, s) for t in parts if (s := seen.of(t)) is not None]
    others = sum(t.shape[found.axis] for t in parts) - sum(t.shape[found.axis] for t, _ in sights)
    sizes = [t.shape[found.axis] for t, _ in sights] + [others] * (others > 0)
    return layout.join([s for _, s in sights], sizes, found.axis, all_see=not others)


def _stacked(seen: Seen) -> Result:
    parts = seen.operator.argument(0)
    tensors = [t for t in parts if isinstance(t, Tensor)] if isinstance(parts, tuple) else []
    place = seen.number(1, "dim", 0) % len(seen.shape)
    sights = [s for t in tensors if (s := seen.of(t)) is not None]
    others = len(tensors) - len(sights)
    grown = [layout.insert(sight, place) for sight in sights]
    sizes = [1] * len(sights) + [others] * (others > 0)
    return layout.join(grown, sizes, place, all_see=not others)


def _slice(seen: Seen) -> Result:
    sight = seen.data
    if sight is None:
        return None
    place = seen.number(1, "dim", 0) % len(sight.axes)
    size = sight.shape[place]
    start = seen.number(2, "start", 0)
    start = max(0, start + size) if start < 0 else min(start, size)
    return layout.cut(sight, place, start, seen.shape[place], seen.number(4, "step", 1))


def _select(seen: Seen) -> Result:
    sight = seen.data
    if sight is None:
        return None
    place = seen.number(1, "dim", 0) % len(sight.axes)
    return layout.select(sight, place, seen.number(2, "index", 0) % sight.shape[place])


def _split(seen: Seen) -> Result:
    sight = seen.data
    if sight is None:
        return None
    place = seen.number(2, "dim", 0) % len(sight.axes)
    found, start = [], 0
    for output in seen.operator.outputs:
        found.append(layout.cut(sight, place, start, output.shape[place]))
        start += output.shape[place]
    return found


def _unbind(seen: Seen) -> Result:
    sight = seen.data
    if sight is None:
        return None
    place = seen.number(1, "dim", 0) % len(sight.axes)
    return [layout.select(sight, place, index) for index in range(len(seen.operator.outputs))]


def _repeat(seen: Seen) -> Result:
    times = seen.argument(1, "repeats")
    if seen.data is None or not isinstance(times, tuple):
        return None
    return layout.repeat(seen.data, [int(n) for n in times if isinstance(n, int)])


def _resized(*, copies: bool) -> Rule:
    """An interpolation: nearest units, or sums of neighbours."""

    def rule(seen: Seen) -> Result:
        sight = seen.data
        if sight is None:
            return None
        for place in range(2, len(sight.axes)):
            size, outputs = sight.shape[place], seen.shape[place]
            if layout.even(sight, place):
                sight = layout.exchange(sight, place, plain(outputs, len(sight.terms)))
            elif copies and outputs % size == 0:
                sight = windows.enlarged(sight, place, outputs // size)
            elif outputs >= size:
                sight = windows.scattered(sight, place, outputs)
            else:
                return None
        return sight

    return rule


def _shuffle(seen: Seen) -> Result:
    """(..., C r r, H, W) to (..., C, H r, W r)."""
    sight, times = seen.data, seen.number(1, "upscale_factor", 1)
    if sight is None:
        return None
    *lead, channels, rows, columns = sight.shape
    first = len(lead)
    parts = layout.reshape(sight, (*lead, channels // times**2, times, times, rows, columns))
    order = (*range(first + 1), first + 3, first + 1, first + 4, first + 2)
    return parts and layout.reshape(layout.permute(parts, order), seen.shape)


def _unshuffle(seen: Seen) -> Result:
    """(..., C, H r, W r) to (..., C r r, H, W)."""
    sight, times = seen.data, seen.number(1, "downscale_factor", 1)
    if sight is None:
        return None
    *lead, channels, rows, columns = sight.shape
    first = len(lead)
    parts = layout.reshape(sight, (*lead, channels, rows // times, times, columns // times, times))
    order = (*range(first + 1), first + 2, first + 4, first + 1, first + 3)
    return parts and layout.reshape(layout.permute(parts, order), seen.shape)


def _channel_shuffle(seen: Seen) -> Result:
    sight, groups = seen.data, seen.number(1, "groups", 1)
    if sight is None:
        return None
    lead, channels, *rest = sight.shape
    parts = layout.reshape(sight, (lead, groups, channels // groups, *rest))
    order = (0, 2, 1, *range(3, len(rest) + 3))
    return parts and layout.reshape(layout.permute(parts, order), seen.shape)


def _im2col(seen: Seen) -> Result:
    """(N, C, H, W) to (N, C kh kw, windows)."""
    sight, operator = seen.data, seen.operator
    if sight is None or len(sight.axes) != 4:
        return None
    kernel, dilation, padding, stride = (operator.integers(index, 2) for index in (1, 2, 3, 4))
    found: Sight | None = sight
    for axis in range(2):
        window = Window(kernel[axis], stride[axis], (padding[axis],) * 2, dilation[axis])
        room = sight.shape[2 + axis] + 2 * padding[axis] - dilation[axis] * (kernel[axis] - 1) - 1
        found = found and windows.unfolded(found, 2 + axis, window, room // stride[axis] + 1)
    return found and layout.reshape(layout.permute(found, (0, 1, 4, 5, 2, 3)), seen.shape)


def _unfold(seen: Seen) -> Result:
    sight = seen.data
    if sight is None:
        return None
    place = seen.number(1, "dimension", 0) % len(sight.axes)
    window = Window(seen.number(2, "size", 1), seen.number(3, "step", 1))
    return windows.unfolded(sight, place, window, seen.shape[place])


def _attention(seen: Seen) -> Result:
    """Attention as one operator: (..., positions, depth) thrice."""
    named = dict(seen.operator.named)
    tensors = [
        part if isinstance(part := named.get(name), Tensor) else seen.operator.tensor(index)
        for index, name in enumerate(("query", "key", "value"))
    ]
    sights = [None if t is None else seen.of(t) for t in tensors]
    kind = seen.operator.name.partition(".")[2]
    place = {"scaled_dot_product_attention": 5, "_scaled_dot_product_efficient_attention": 6}
    causal = seen.argument(place.get(kind, 4), "is_causal", False)
    masks = named.get("attn_mask") or (
        seen.operator.argument(3) if isinstance(seen.operator.argument(3), Tensor) else None
    )
    if causal or masks is not None or any(t is None for t in tensors):
        return None
    query, *others = sights
    rank = len(seen.shape)
    found = [mixing.dense(query, rank - 1, 1)] if query else []
    found += [mixing.reduced(s, (rank - 2, rank - 1), keeps=True) for s in others if s]
    return layout.union(found, seen.shape) if found else None


EFFECTS: Mapping[type, Rule] = {
    ElementWise: _element_wise,
    Contraction: _contraction,
    Moved: _moved,
    Pooling: _pooling,
    Joined: _joined,
    Padding: _padding,
}
_NEAREST = [
    f"{kind}{axes}d"
    for axes in (1, 2, 3)
    for kind in ("upsample_nearest", "_upsample_nearest_exact")
]
_SMOOTH = ["upsample_linear1d", "upsample_bilinear2d", "upsample_bicubic2d", "upsample_trilinear3d"]
_REDUCTIONS = [
    *("mean", "sum", "prod", "var", "std", "var_mean", "std_mean", "amax", "amin", "max", "min"),
    *("logsumexp", "median", "all", "any"),
]
_ATTENTION = [
    "scaled_dot_product_attention",
    *(f"_scaled_dot_product_{kind}_attention" for kind in ("flash", "efficient", "cudnn")),
    "_scaled_dot_product_flash_attention_for_cpu",
]

#: By the operator's name without its trailing underscore; `EFFECTS` has the rest.
RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_REDUCTIONS, _reduction()),
    "norm": _reduction(2),
    "linalg_vector_norm": _reduction(2),
    **dict.fromkeys(["_softmax", "_log_softmax", "_safe_softmax", "softmax"], _spread(1)),
    **dict.fromkeys(["_fft_r2c", "_fft_c2c", "_fft_c2r"], _fourier),
    **dict.fromkeys(["native_layer_norm", "rms_norm", "_fused_rms_norm"], _layer_norm),
    "native_group_norm": _group_norm,
    "native_batch_norm": _batch_norm(5),
    "_native_batch_norm_legit": _batch_norm(5),
    "cudnn_batch_norm": _batch_norm(5),
    **dict.fromkeys(
        ["flip", "cumsum", "cumprod", "cummax", "cummin", "logcumsumexp", "sort"],
        _disorder(1, "dims"),
    ),
    "roll": _disorder(2, "dims"),
    "copy": _copy,
    "glu": _gated,
    "stack": _stacked,
    "slice": _slice,
    "select": _select,
    **dict.fromkeys(
        ["split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes", "chunk"], _split
    ),
    "unbind": _unbind,
    "repeat": _repeat,
    **dict.fromkeys(_NEAREST, _resized(copies=True)),
    **dict.fromkeys(_SMOOTH, _resized(copies=False)),
    "pixel_shuffle": _shuffle,
    "pixel_unshuffle": _unshuffle,
    **dict.fromkeys(["channel_shuffle", "native_channel_shuffle"], _channel_shuffle),
    "im2col": _im2col,
    "unfold": _unfold,
    **dict.fromkeys(_ATTENTION, _attention),
}
