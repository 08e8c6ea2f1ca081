"""What an operator can do to a network's account: the effects that the rules in `operators` give."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TypeAlias

from striate.geometry import taps_inside
from striate.ledger.graph import Tensor


@dataclass(frozen=True, slots=True)
class Window:
    """A window along one axis; `padding` is (low, high)."""

    kernel: int
    stride: int = 1
    padding: tuple[int, int] = (0, 0)
    dilation: int = 1
    ceil: bool = False
    #: Whether the padding holds copies of inputs: then a unit sees more than its window.
    copies: bool = False

    def inside(self, size: int, outputs: int) -> int:
        """Taps of `outputs` windows that fall on `size` inputs."""
        return taps_inside(size, self.kernel, self.stride, self.padding, self.dilation, outputs)


@dataclass(frozen=True, slots=True)
class Contraction:
    """Products summed: a matrix product of `data` and `weight`, or windows of `data` under `weight`.

    In a matrix product of two activations, such as attention's, the second stands as `weight`.

    `connections` counts every tap, `pairs` those of one window axis combination: the taps inside are
    `pairs` times the product over axes of `Window.inside`.
    """

    form: str  # "matmul", "einsum", "convolution", "transposed" or "local"
    data: Tensor
    weight: Tensor
    output: Tensor
    connections: int
    bias: Tensor | None = None
    windows: tuple[Window, ...] = ()
    pairs: int = 0
    #: Of a matrix product: whether the weight stands left of the data.
    swapped: bool = False
    #: Tensors that the weight is mixed with inside the operator.
    mixing: tuple[Tensor, ...] = ()
    #: Multiply-accumulates, where they are not one a connection.
    work: int | None = None

    @property
    def macs(self) -> int:
        return self.connections if self.work is None else self.work

    def inside(self, padding: Padding | None) -> int:
        """Connections whose tap falls on the input, also when zeros were put around it before."""
        if not self.windows:
            return self.connections
        axes = len(self.windows)
        sizes, outputs = self.data.shape[-axes:], self.output.shape[-axes:]
        if self.form == "transposed":
            # Input position i writes to outputs i * stride - padding + tap: the same count, mirrored.
            sizes, outputs = outputs, sizes
        total = self.pairs
        for axis, window in enumerate(self.windows):
            size, low = sizes[axis], window.padding[0]
            if padding is not None and self.form != "transposed":
                before, after = padding.amounts[axis - axes]
                size, low = size - before - after, low + before
            total *= Window(window.kernel, window.stride, (low, 0), window.dilation).inside(
                size, outputs[axis]
            )
        return total


@dataclass(frozen=True, slots=True)
class Product:
    """A contraction of three tensors: attention as one operator, or a bilinear form. Work, but no connections: what
    an input does to an output depends on the other inputs."""

    operands: tuple[Tensor, ...]
    macs: int
    #: Elements of the softmax between attention's two products.
    scores: int


@dataclass(frozen=True, slots=True)
class Pooling:
    """Windows of the last `axes` axes summarised. `windows` is None for adaptive and random ones."""

    data: Tensor
    output: Tensor
    axes: int
    windows: tuple[Window, ...] | None
    keeps_axes: bool = True

    @property
    def is_global(self) -> bool:
        return not self.keeps_axes or prod(self.output.shape[-self.axes :]) == 1


@dataclass(frozen=True, slots=True)
class Padding:
    """Values put around the last axes; `amounts` has (before, after) per axis of the tensor."""

    data: Tensor
    output: Tensor
    amounts: tuple[tuple[int, int], ...]
    zeros: bool
    #: Whether they are inputs again, mirrored or wrapped around.
    copies: bool = False


@dataclass(frozen=True, slots=True)
class Moved:
    """Units in another order or shape: `how` is "view", "permute", "copy", "expand" or "unfold"."""

    how: str
    data: Tensor
    output: Tensor
    order: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Joined:
    """Tensors put behind each other along one axis."""

    parts: tuple[Tensor, ...]
    output: Tensor
    axis: int


@dataclass(frozen=True, slots=True)
class ElementWise:
    """Each output element from the elements at its place; `works` is false where they are only copied."""

    works: bool = True


@dataclass(frozen=True, slots=True)
class Plain:
    """Known, no contraction, shapes of its own (reductions, transforms, look-ups). `creates` is true where
    nothing is made from the inputs' values, `works` false where values are only looked up or moved."""

    creates: bool = False
    works: bool = True


@dataclass(frozen=True, slots=True)
class Unknown:
    """No rule: what the operator does to these metrics is not known."""

    effect: str
    metrics: tuple[str, ...] = (
        "connections",
        "dense_params",
        "macs",
        "flops",
        "pooling",
        "elementwise",
    )


Effect: TypeAlias = (
    Contraction | Product | Pooling | Padding | Moved | Joined | ElementWise | Plain | Unknown
)
