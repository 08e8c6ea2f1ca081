"""The layers that `local.py` times: what they compute, what they must move, and tensors for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch
from torch import Tensor

from striate.geometry import LocalGrid, local_grid
from striate.ops import reference

#: Bytes of a float32.
FLOAT = 4
DIRECTIONS = ("forward", "backward")


@dataclass(frozen=True)
class Shape:
    """A local layer and a batch for it. Integers stand for every axis of `size`."""

    name: str
    images: int
    channels: int
    size: tuple[int, ...]
    outputs: int
    kernel: int | tuple[int, ...]
    padding: int | str = "valid"
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    share: int = 1

    @cached_property
    def grid(self) -> LocalGrid:
        return local_grid(
            self.size,
            self.kernel,
            self.stride,
            self.padding,
            self.dilation,
            self.share,
            axes=len(self.size),
        )

    @property
    def text(self) -> str:
        """As in "8×16×63×63→16 k9 valid"."""
        kernel = self.kernel if isinstance(self.kernel, int) else "×".join(map(str, self.kernel))
        padding = self.padding if isinstance(self.padding, str) else f"padding {self.padding}"
        extra = "".join(
            f", {name} {value}"
            for name, value in (
                ("stride", self.stride),
                ("dilation", self.dilation),
                ("groups", self.groups),
                ("share", self.share),
            )
            if value != 1
        )
        sizes = "×".join(map(str, (self.images, self.channels, *self.size)))
        return f"{sizes}→{self.outputs} k{kernel} {padding}{extra}"

    @property
    def positions(self) -> int:
        return prod(self.grid.output_size)

    @property
    def taps(self) -> int:
        return prod(self.grid.kernel_size)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        grid = self.grid
        return (*grid.blocks, self.outputs, self.channels // self.groups, *grid.kernel_size)

    @property
    def options(self) -> dict[str, int | str]:
        """The arguments of `striate.nn.functional.locally_connected…` beside the tensors."""
        return {
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
            "share": self.share,
        }

    @property
    def input_bytes(self) -> int:
        return FLOAT * self.images * self.channels * prod(self.size)

    @property
    def output_bytes(self) -> int:
        return FLOAT * self.images * self.outputs * self.positions

    @property
    def weight_bytes(self) -> int:
        return FLOAT * prod(self.weight_shape)

    @property
    def window_bytes(self) -> int:
        """A copy of every window, which `unfold` makes."""
        return FLOAT * self.images * self.channels * self.taps * self.positions

    def tensor_bytes(self, direction: str) -> int:
        """Inputs, weights and outputs; backward with the output's gradient and both results of it."""
        once = self.input_bytes + self.weight_bytes + self.output_bytes
        return once if direction == "forward" else 2 * once

    def moved_bytes(self, direction: str) -> int:
        """The least that goes over the memory bus.

        Forward: input, weight and output once. Backward (with the forward before it): the weight is read again
        and its gradient written, the input is read again and its gradient written, the output's gradient is read.
        """
        if direction == "forward":
            return self.input_bytes + self.weight_bytes + self.output_bytes
        return 3 * self.input_bytes + 3 * self.weight_bytes + 2 * self.output_bytes

    def flops(self, direction: str) -> int:
        """Two for each tap that falls on the input; backward (with the forward) three times those of forward."""
        products = self.images * self.grid.taps_inside * self.outputs * self.channels // self.groups
        return 2 * products * (1 if direction == "forward" else 3)


#: Seven with targets, then odd ones: few and many images, prime sizes, every option, one and three dimensions.
SHAPES = (
    Shape("A", 1, 1, (1000, 1000), 1, 10, "same"),
    Shape("B", 8, 16, (63, 63), 16, 9),
    Shape("C", 16, 8, (28, 28), 24, 5),
    Shape("D", 32, 1024, (7, 7), 256, 3, "same"),
    Shape("E", 128, 3, (32, 32), 64, 3, "same"),
    Shape("F", 32, 64, (16, 16), 64, 3, "same"),
    Shape("G", 1, 64, (16, 16), 64, 3, "same"),
    Shape("batch-1", 1, 13, (53, 47), 17, 5, "same"),
    Shape("batch-3", 3, 3, (96, 96), 8, 7, padding=3, stride=2),
    Shape("batch-256", 256, 8, (14, 14), 16, 3, "same"),
    Shape("primes", 7, 11, (37, 41), 13, 5),
    Shape("stride-2", 16, 32, (56, 56), 32, 3, padding=1, stride=2),
    Shape("dilation-2", 16, 16, (32, 32), 16, 3, padding=2, dilation=2),
    Shape("groups-8", 16, 64, (16, 16), 64, 3, "same", groups=8),
    Shape("depthwise", 32, 64, (28, 28), 64, 3, "same", groups=64),
    Shape("k1x7", 16, 16, (32, 64), 16, (1, 7), "same"),
    Shape("share-2", 32, 32, (28, 28), 32, 3, "same", share=2),
    Shape("share-4", 32, 32, (32, 32), 64, 3, "same", share=4),
    Shape("1d", 16, 1, (16000,), 8, 25, "same"),
    Shape("3d", 2, 4, (32, 32, 32), 4, 3, "same"),
)
#: Those that the project's targets are about.
TARGETS = tuple("ABCDEFG")


@dataclass(frozen=True, eq=False)
class Problem:
    """Tensors for a shape: x (N, C, *size), weight as `striate.nn` keeps it, and the output's gradient."""

    shape: Shape
    x: Tensor
    weight: Tensor
    y_gradient: Tensor

    @staticmethod
    def of(shape: Shape) -> Problem:
        generator = torch.Generator().manual_seed(0)

        def normal(*sizes: int) -> Tensor:
            return torch.randn(sizes, generator=generator)

        return Problem(
            shape,
            normal(shape.images, shape.channels, *shape.size),
            normal(*shape.weight_shape),
            normal(shape.images, shape.outputs, *shape.grid.output_size),
        )

    def expected(self, direction: str) -> tuple[Tensor, ...]:
        """The output, and backward both gradients, computed in float64 by the plain path."""
        leaves = [tensor.double().requires_grad_() for tensor in (self.x, self.weight)]
        with torch.set_grad_enabled(direction == "backward"):
            out = reference.local(*leaves, None, self.shape.grid, self.shape.groups)
        if direction == "forward":
            return (out.float(),)
        gradients = torch.autograd.grad(out, leaves, self.y_gradient.double())
        return (out.detach().float(), *(gradient.float() for gradient in gradients))
