"""Shadow tensors: integer positions that go through a network's shape operations beside its features.

A map (the model's input, the output of a convolution, of a pool) is a *source*; its shadow holds the flat
position of each element in it. A shape operation acts on the shadow as it acts on the features, so whatever a
forward does with views, permutations and slices, the shadow says where each feature came from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._pytree import tree_map


@dataclass(frozen=True)
class Layout:
    """The shape of one example's map: channels, rows, columns.

    >>> str(Layout(1, 28, 28)), Layout(1, 28, 28).size
    ('1x28x28', 784)
    """

    channels: int
    height: int
    width: int

    def __post_init__(self) -> None:
        for name in ("channels", "height", "width"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"Layout: {name}={value!r} is not a positive whole number")

    @property
    def size(self) -> int:
        """Positions in the map: channels * height * width."""
        return self.channels * self.height * self.width

    def __str__(self) -> str:
        return f"{self.channels}x{self.height}x{self.width}"


@dataclass(frozen=True, eq=False)
class Source:
    """A tensor in which features start: its name, its shape with the batch, its layout where it is a map.

    `channels_last` says that the tensor is (N, H, W, C); positions are in (C, H, W) order all the same.
    `mixed` names the sources that were joined to make it, where no layout describes the whole.
    """

    name: str
    shape: tuple[int, ...]
    layout: Layout | None = None
    channels_last: bool = False
    mixed: tuple[str, ...] = ()

    @cached_property
    def positions(self) -> Tensor:
        """int64, of the source's shape: each element's flat position, the batch counted in."""
        flat = torch.arange(math.prod(self.shape), dtype=torch.int64)
        if not self.channels_last:
            return flat.reshape(self.shape)
        rows, height, width, channels = self.shape
        return flat.reshape(rows, channels, height, width).permute(0, 2, 3, 1)


@dataclass(frozen=True, eq=False)
class Shadow:
    """Where the elements of one tensor come from.

    `index` holds positions in the source (None: the tensor has the source's own order). `commutes` is true while
    everything between was element-wise and the same at all positions, so that it commutes with a permutation of
    the features. `layers` names the linear layers whose output arrives here.
    """

    source: Source
    index: Tensor | None = None
    commutes: bool = True
    layers: frozenset[str] = field(default_factory=frozenset)

    @property
    def positions(self) -> Tensor:
        return self.source.positions if self.index is None else self.index

    @property
    def is_map(self) -> bool:
        """The source's map as (N, C, H, W)."""
        layout = self.source.layout
        if layout is None or (self.index is None and self.source.channels_last):
            return False
        shape = (self.source.shape[0], layout.channels, layout.height, layout.width)
        if self.index is None:
            return self.source.shape == shape
        return self.index.shape == shape and torch.equal(
            self.index.reshape(-1), torch.arange(self.index.numel())
        )

    def passed_on(self, commutes: bool = False) -> Shadow:
        """After an operation that leaves each feature at its place."""
        return replace(self, commutes=self.commutes and commutes)

    def broadcast(self, shape: tuple[int, ...]) -> Shadow:
        """As features of another shape, to which they are repeated."""
        own = self.source.shape if self.index is None else tuple(self.index.shape)
        return self if own == shape else replace(self, index=self.positions.expand(shape))

    def reduced(self, dims: object) -> Layout | None:
        """The layout of a reduction over `dims`: a whole map leaves its channels, as a map of one position."""
        layout = self.source.layout
        if layout is None or not isinstance(dims, (list, tuple)) or not self.is_map:
            return None
        return Layout(layout.channels, 1, 1) if {dim % 4 for dim in dims} == {2, 3} else None

    def same_features(self, other: Shadow) -> bool:
        """Whether the other tensor holds, element by element, the same positions of the same source."""
        if self.source is not other.source:
            return False
        return self.index is other.index or torch.equal(self.positions, other.positions)


class NeedsValuesError(Exception):
    """A shape operation depends on the values of an index tensor, which the meta device does not have."""


RESHAPES = frozenset({"view", "_unsafe_view", "reshape", "_reshape_alias"})
COPIES = frozenset({"clone", "_to_copy", "detach", "alias", "lift_fresh", "contiguous", "_conj"})
# Shape operations that read a tensor of indices beside the features.
SELECTIONS = frozenset({"index", "index_select", "gather", "take", "masked_select"})
JOINS = frozenset({"cat", "stack"})
MOVES = frozenset(
    {
        "permute",
        "transpose",
        "t",
        "numpy_T",
        "squeeze",
        "unsqueeze",
        "expand",
        "slice",
        "select",
        "split",
        "split_with_sizes",
        "unsafe_split",
        "unsafe_split_with_sizes",
        "unsafe_chunk",
        "chunk",
        "unbind",
        "narrow",
        "flip",
        "roll",
        "repeat",
        "unfold",
        "diagonal",
        "rot90",
        "movedim",
        "swapaxes",
    }
)
SHAPES = RESHAPES | COPIES | SELECTIONS | JOINS | MOVES

# Element-wise, though torch does not tag them `pointwise`.
ELEMENTWISE = frozenset(
    {
        "hardswish",
        "log_sigmoid_forward",
        "_prelu_kernel",
        "masked_fill",
        "where",
        "rsub",
        "rrelu_with_noise",
        "floor_divide",
        "native_dropout",
        "dropout",
    }
)
# Each output stands at its input's position, but depends on where that is or on its neighbours.
NORMS = frozenset(
    {
        "native_batch_norm",
        "_native_batch_norm_legit",
        "_native_batch_norm_legit_no_training",
        "cudnn_batch_norm",
        "miopen_batch_norm",
        "_batch_norm_no_update",
        "_batch_norm_with_update",
        "native_layer_norm",
        "native_group_norm",
        "_fused_rms_norm",
    }
)
# These make a map (N, C, *space) by summarising or moving whole windows: what is read is still read.
WINDOWS = frozenset(
    {
        "max_pool2d_with_indices",
        "max_pool3d_with_indices",
        "avg_pool2d",
        "avg_pool3d",
        "_adaptive_avg_pool2d",
        "_adaptive_avg_pool3d",
        "adaptive_max_pool2d",
        "adaptive_max_pool3d",
        "fractional_max_pool2d",
        "max_unpool2d",
        "adaptive_avg_pool2d",
        "mkldnn_max_pool2d",
        "constant_pad_nd",
        "reflection_pad1d",
        "reflection_pad2d",
        "replication_pad1d",
        "replication_pad2d",
        "upsample_nearest1d",
        "upsample_nearest2d",
        "_upsample_nearest_exact2d",
        "upsample_linear1d",
        "upsample_bilinear2d",
        "_upsample_bilinear2d_aa",
        "upsample_bicubic2d",
        "_upsample_bicubic2d_aa",
        "pixel_shuffle",
        "pixel_unshuffle",
        "channel_shuffle",
    }
)
# Of those, what takes any shape: of what is no map, the last axes need not be rows and columns.
OF_ANY_SHAPE = frozenset({"constant_pad_nd"})
REDUCTIONS = frozenset({"mean", "sum", "amax", "amin"})
CONVOLUTIONS = frozenset(
    {
        "convolution",
        "_convolution",
        "cudnn_convolution",
        "mkldnn_convolution",
        "convolution_overrideable",
    }
)


def operator_name(func: OpOverload[..., Any]) -> str:
    """The operator's name without namespace, overload and the underscore of in-place variants.

    >>> operator_name(torch.ops.aten.relu_.default)
    'relu'
    """
    namespace, name = func._schema.name.split("::", 1)
    if namespace != "aten":
        return f"{namespace}::{name}"
    return name.removesuffix("_") if not name.endswith("__") else name


def is_elementwise(func: OpOverload[..., Any]) -> bool:
    """Whether each output element depends on the input elements at its own place alone."""
    if torch.Tag.pointwise in func.tags:
        return True
    name = operator_name(func)
    if name in ELEMENTWISE:
        return True
    # In-place variants do not always carry the tag of their twin.
    twin = getattr(torch.ops.aten, name, None)
    overload = getattr(twin, func._overloadname, None) if twin is not None else None
    return overload is not None and torch.Tag.pointwise in overload.tags


def makes_constant(func: OpOverload[..., Any]) -> bool:
    """Whether only the shape of what it is given matters (`zeros_like`, `new_empty`)."""
    name = operator_name(func)
    return name.startswith("new_") or name.endswith("_like")


def is_shape_operation(func: OpOverload[..., Any]) -> bool:
    """Whether the operator only moves, repeats or drops elements."""
    return operator_name(func) in SHAPES and func._overloadname != "dtype"


def reindex(
    func: OpOverload[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    shadow_of: Callable[[Tensor], Shadow | None],
) -> list[Tensor]:
    """Apply a shape operation to the positions of its tensors; one index tensor per output."""

    def positions(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        shadow = shadow_of(value)
        if shadow is not None:
            return shadow.positions
        if value.is_meta:
            raise NeedsValuesError(func._schema.name)
        return value.cpu()

    name = operator_name(func)
    given, named = tree_map(positions, (list(args), kwargs))
    if name in COPIES:
        return [given[0]]
    if name in RESHAPES:
        # A shadow need not have its tensor's strides, and a view is a reshape in logical order.
        return [given[0].reshape(given[1])]
    if func._schema.is_mutable:
        given[0] = given[0].clone()
    out = func(*given, **named)
    return [out] if isinstance(out, Tensor) else list(out)
