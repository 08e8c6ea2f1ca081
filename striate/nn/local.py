"""Locally connected layers: a window per unit, and as much weight sharing as asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from striate.geometry import LocalGrid, SharingMap, local_grid, per_axis, span
from striate.nn import functional
from striate.nn.functional import Modes, Share, Sizes
from striate.nn.layer import LazyLocal, LocalLayer
from striate.ops import short

__all__ = [
    "LazyLocallyConnected1d",
    "LazyLocallyConnected2d",
    "LazyLocallyConnected3d",
    "LocallyConnected1d",
    "LocallyConnected2d",
    "LocallyConnected3d",
]


class WindowLayer(LocalLayer):
    """The base of the layers with a window of inputs to each output position."""

    def _ask(
        self,
        kernel_size: Sizes,
        stride: Sizes,
        padding: Sizes | str,
        dilation: Sizes,
        padding_mode: Modes,
        share: Share,
    ) -> None:
        """Keep the arguments of the grid until the size of the input is known."""
        self.padding, self.padding_mode, self.share = padding, padding_mode, share
        self._asked = (kernel_size, stride, padding, dilation)

    def _grid(self, input_size: object) -> LocalGrid:
        return local_grid(
            input_size,
            *self._asked,
            self.share,
            padding_mode=self.padding_mode,
            axes=self.axes,
        )

    def _probe(self) -> LocalGrid:
        kernel_size, stride, padding, dilation = self._asked
        kernel = per_axis("kernel_size", kernel_size, self.axes)
        gaps = per_axis("dilation", dilation, self.axes)
        pads = 0 if isinstance(padding, str) else padding
        both = per_axis("padding", pads, self.axes, minimum=0)
        size = tuple(2 * p + span(k, d) + 1 for p, k, d in zip(both, kernel, gaps, strict=True))
        share = 1 if isinstance(self.share, SharingMap) else self.share
        return local_grid(
            size,
            kernel,
            stride,
            padding,
            gaps,
            share,
            padding_mode=self.padding_mode,
            axes=self.axes,
        )

    def extra_repr(self) -> str:
        return self._described(padding=(self.padding, 0), padding_mode=(self.padding_mode, "zeros"))


class LocallyConnected(WindowLayer):
    """The layers of any dimension; `LocallyConnected2d` has the documentation."""

    function: ClassVar[Callable[..., Tensor]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        input_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool | str = True,
        padding_mode: Modes = "zeros",
        *,
        share: Share = 1,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self._ask(kernel_size, stride, padding, dilation, padding_mode, share)
        self._set_up(in_channels, out_channels, input_size, groups, bias, device, dtype)

    def _shapes(self, grid: LocalGrid) -> dict[str, tuple[int, ...]]:
        window = (self.in_channels // self.groups, *grid.kernel_size)
        return {
            "weight": (*grid.blocks, self.out_channels, *window),
            "bias": (*grid.blocks, self.out_channels),
        }

    def forward(self, input: Tensor) -> Tensor:
        if not torch.compiler.is_compiling() and self._arguments() == self._made:
            out = short.local(input, self.weight, self.bias, self._layer)
            if out is not None:
                return out
        self._check_input(input)
        return type(self).function(
            input,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
            share=self.share,
            padding_mode=self.padding_mode,
        )


class LocallyConnected1d(LocallyConnected):
    """`LocallyConnected2d` of one dimension: (N, C, L) or (C, L) to (N, O, Lo) or (O, Lo).

    The weight is (Lo', O, C/groups, k) with Lo' = ceil(Lo / share), or (kernels, O, C/groups, k) with a
    sharing map over the Lo output positions; the bias (Lo', O) or (kernels, O), or (O,).

    >>> layer = LocallyConnected1d(1, 4, kernel_size=25, input_size=16000, stride=4, share=100)
    >>> layer(torch.rand(2, 1, 16000)).shape, layer.weight.shape
    (torch.Size([2, 4, 3994]), torch.Size([40, 4, 1, 25]))
    """

    axes = 1
    function = staticmethod(functional.locally_connected1d)


class LocallyConnected2d(LocallyConnected):
    """A convolution whose kernel depends on where it stands.

    Each output position has its own kernel (`share=1`), or a block of adjacent positions has one
    (`share=k`, or a pair), or all have one (`share="all"`: then this is `nn.Conv2d`, to rounding,
    and runs as fast), or a sharing map says which have. Local connections without sharing go back to
    LeCun, "Generalization and Network Design Strategies", 1989; DeepFace (Taigman et al., CVPR 2014)
    uses them for faces; sharing in tiles is from Le et al., "Tiled convolutional neural networks", 2010.

    Args:
        in_channels: C, channels of the input.
        out_channels: O, channels of the output.
        kernel_size: the window, in input positions.
        input_size: (H, W) of the input; a position-dependent layer has one size.
        stride: input positions between neighbouring windows.
        padding: how much is put around the input; "valid" is 0, "same" keeps the size (stride 1 only).
        dilation: input positions between the taps of a window.
        groups: as in `nn.Conv2d`; both channel counts must be divisible by it.
        bias: True for one per kernel and channel, "channel" for one per channel, or False.
        padding_mode: what is put there: "zeros", "reflect", "replicate" or "circular", or one of these
            per axis (a globe is circular from east to west only).
        share: output positions to a kernel: an integer, "all", or one of these per axis. The last
            block of an axis is smaller where `share` does not divide the output size; a `share`
            above it means "all". Or an integer array over the output positions (a sharing map) with the
            number of each one's kernel, 0 to K - 1, all used.

    Sizes are an integer or a pair (rows, columns).

    Shape:
        input (N, C, H, W) or (C, H, W); output (N, O, Ho, Wo) or (O, Ho, Wo) with
        Ho = (H + padding - dilation * (kernel_size - 1) - 1) // stride + 1, Wo alike.

    Attributes:
        weight: (Ho', Wo', O, C/groups, kh, kw) with Ho' = ceil(Ho / share), Wo' alike, or with a map
            (K, O, C/groups, kh, kw); uniform in ±1/sqrt(fan-in of a window), as `nn.Conv2d` starts.
        bias: (Ho', Wo', O) or (K, O), (O,), or None; drawn alike.
        sharing_map: the map as an int32 buffer, saved with the weights that it gives their places; None
            without one. A state saved under another map is refused.
        output_size: (Ho, Wo).
        share: the block (rows, columns), in numbers, at most the output size; or the `SharingMap`.
        blocks: (Ho', Wo'), kernels along each axis; (K,) with a map.
        grid: all these integers, as `striate.geometry.LocalGrid`.

    Raises:
        ValueError, TypeError: name the argument, its value and what to give instead.

    >>> layer = LocallyConnected2d(1, 8, kernel_size=5, input_size=(28, 28), stride=2, share=4)
    >>> layer(torch.rand(3, 1, 28, 28)).shape, layer.weight.shape
    (torch.Size([3, 8, 12, 12]), torch.Size([3, 3, 8, 1, 5, 5]))
    >>> tiles = torch.arange(6)[:, None] % 2 * 2 + torch.arange(6) % 2
    >>> LocallyConnected2d(1, 8, kernel_size=3, input_size=8, share=tiles).weight.shape
    torch.Size([4, 8, 1, 3, 3])
    >>> LocallyConnected2d(1, 1, kernel_size=30, input_size=8)
    Traceback (most recent call last):
    ValueError: LocallyConnected2d: kernel_size=(30, 30) does not fit input_size=(8, 8) ...
    """

    axes = 2
    function = staticmethod(functional.locally_connected2d)


class LocallyConnected3d(LocallyConnected):
    """`LocallyConnected2d` of three dimensions: (N, C, D, H, W) or (C, D, H, W).

    Axes are (planes, rows, columns). The weight is (Do', Ho', Wo', O, C/groups, kd, kh, kw), or
    (kernels, O, C/groups, kd, kh, kw) with a sharing map.

    >>> layer = LocallyConnected3d(1, 2, 3, input_size=(8, 6, 6), share=("all", 1, 1))
    >>> layer(torch.rand(1, 1, 8, 6, 6)).shape, layer.weight.shape
    (torch.Size([1, 2, 6, 4, 4]), torch.Size([1, 4, 4, 2, 1, 3, 3, 3]))
    """

    axes = 3
    function = staticmethod(functional.locally_connected3d)


class LazyLocallyConnected(LazyLocal, LocallyConnected):
    """The lazy layers of any dimension."""

    def __init__(
        self,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool | str = True,
        padding_mode: Modes = "zeros",
        *,
        share: Share = 1,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            0,
            out_channels,
            kernel_size,
            0,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
            share=share,
            device=device,
            dtype=dtype,
        )


class LazyLocallyConnected1d(LazyLocallyConnected):
    """`LocallyConnected1d` that takes `in_channels` and `input_size` from its first input.

    >>> layer = LazyLocallyConnected1d(4, kernel_size=3)
    >>> layer(torch.rand(2, 5, 9)).shape, layer.weight.shape
    (torch.Size([2, 4, 7]), torch.Size([7, 4, 5, 3]))
    """

    axes = 1
    cls_to_become: type[nn.Module] = LocallyConnected1d


class LazyLocallyConnected2d(LazyLocallyConnected):
    """`LocallyConnected2d` that takes `in_channels` and `input_size` from its first input.

    >>> layer = LazyLocallyConnected2d(4, kernel_size=3, share=2)
    >>> layer(torch.rand(2, 5, 8, 8)).shape, layer
    (torch.Size([2, 4, 6, 6]), LocallyConnected2d(5, 4, kernel_size=(3, 3), input_size=(8, 8), ...))
    """

    axes = 2
    cls_to_become: type[nn.Module] = LocallyConnected2d


class LazyLocallyConnected3d(LazyLocallyConnected):
    """`LocallyConnected3d` that takes `in_channels` and `input_size` from its first input.

    >>> LazyLocallyConnected3d(4, kernel_size=2)(torch.rand(1, 2, 3, 4, 5)).shape
    torch.Size([1, 4, 2, 3, 4])
    """

    axes = 3
    cls_to_become: type[nn.Module] = LocallyConnected3d
