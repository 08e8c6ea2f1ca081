"""Transposed locally connected layers: the adjoints of the layers in `local`."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from striate.geometry import LocalGrid, SharingMap, per_axis, transposed_grid
from striate.nn import functional
from striate.nn.functional import Share, Sizes
from striate.nn.layer import LazyLocal, LocalLayer
from striate.ops import local as operators
from striate.ops.backend import Backend

__all__ = [
    "LazyLocallyConnectedTranspose1d",
    "LazyLocallyConnectedTranspose2d",
    "LazyLocallyConnectedTranspose3d",
    "LocallyConnectedTranspose1d",
    "LocallyConnectedTranspose2d",
    "LocallyConnectedTranspose3d",
]


class LocallyConnectedTranspose(LocalLayer):
    """The layers of any dimension; `LocallyConnectedTranspose2d` has the documentation."""

    transposed = True
    bias_per = "output position"
    function: ClassVar[Callable[..., Tensor]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        input_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool | str = True,
        dilation: Sizes = 1,
        *,
        share: Share = 1,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.padding, self.output_padding = padding, output_padding
        self._asked = (kernel_size, stride, padding, output_padding, dilation)
        self.share = share
        self._set_up(in_channels, out_channels, input_size, groups, bias, device, dtype)

    def _grid(self, input_size: object) -> LocalGrid:
        return transposed_grid(input_size, *self._asked, self.share, axes=self.axes)

    def _probe(self) -> LocalGrid:
        pads = per_axis("padding", self.padding, self.axes, minimum=0)
        size = tuple(2 * pad + 2 for pad in pads)
        share = 1 if isinstance(self.share, SharingMap) else self.share
        return transposed_grid(size, *self._asked, share, axes=self.axes)

    def _positions(self, grid: LocalGrid) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return grid.output_size, grid.input_size

    def _shapes(self, grid: LocalGrid) -> dict[str, tuple[int, ...]]:
        window = (self.out_channels // self.groups, *grid.kernel_size)
        # Output positions know no blocks of input positions: only axes that share throughout share.
        shared = (
            (grid.kernels == 1,) * grid.axes
            if grid.sharing is not None
            else tuple(count == 1 for count in grid.blocks)
        )
        per_position = (
            1 if one else size for one, size in zip(shared, grid.input_size, strict=True)
        )
        return {
            "weight": (*grid.blocks, self.in_channels, *window),
            "bias": (*per_position, self.out_channels),
        }

    def forward(self, input: Tensor) -> Tensor:
        self._check_input(input)
        return type(self).function(
            input,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            groups=self.groups,
            dilation=self.dilation,
            share=self.share,
        )

    def _backend(self, input: Tensor) -> Backend:
        return operators.backend(input, self.weight, self.bias, self.grid, transposed=True)

    def extra_repr(self) -> str:
        return self._described(padding=(self.padding, 0), output_padding=(self.output_padding, 0))


class LocallyConnectedTranspose1d(LocallyConnectedTranspose):
    """`LocallyConnectedTranspose2d` of one dimension: (N, C, L) or (C, L) to (N, O, Lo) or (O, Lo).

    >>> layer = LocallyConnectedTranspose1d(4, 1, kernel_size=4, input_size=50, stride=2, padding=1)
    >>> layer(torch.rand(2, 4, 50)).shape, layer.weight.shape
    (torch.Size([2, 1, 100]), torch.Size([50, 4, 1, 4]))
    """

    axes = 1
    function = staticmethod(functional.locally_connected_transpose1d)


class LocallyConnectedTranspose2d(LocallyConnectedTranspose):
    """A transposed convolution whose kernel depends on where it stands.

    Each *input* position has its own kernel (`share=1`), or a block of adjacent ones or those that a
    sharing map says; with `share="all"` this is `nn.ConvTranspose2d`, to rounding. It is the adjoint of
    the `LocallyConnected2d` with the same weight, from that layer's output to its input: decoders that
    undo an encoder's positions, and backprojection.

    Args:
        in_channels: C, channels of the input.
        out_channels: O, channels of the output.
        kernel_size: the window of outputs that an input position reaches.
        input_size: (H, W) of the input; a position-dependent layer has one size.
        stride, padding, output_padding, groups, dilation: as in `nn.ConvTranspose2d`.
        bias: True for one per output position and channel, "channel" for one per channel, or False.
        share: input positions to a kernel, as `LocallyConnected2d` takes it.

    Shape:
        input (N, C, H, W) or (C, H, W); output (N, O, Ho, Wo) or (O, Ho, Wo) with
        Ho = (H - 1) * stride - 2 * padding + dilation * (kernel_size - 1) + output_padding + 1.

    Attributes:
        weight: (H', W', C, O/groups, kh, kw) with H' = ceil(H / share), W' alike, or with a map
            (K, C, O/groups, kh, kw); it starts as that of `nn.ConvTranspose2d`.
        bias: (Ho, Wo, O), with 1 for the size of an axis that shares its kernels throughout, (O,), or
            None; drawn alike.
        output_size, share, blocks, sharing_map, grid: as in `LocallyConnected2d`; `grid` is that of
            the layer whose adjoint this is.

    Raises:
        ValueError, TypeError: name the argument, its value and what to give instead.

    >>> layer = LocallyConnectedTranspose2d(8, 1, 3, input_size=7, stride=2, padding=1, output_padding=1)
    >>> layer(torch.rand(2, 8, 7, 7)).shape, layer.weight.shape
    (torch.Size([2, 1, 14, 14]), torch.Size([7, 7, 8, 1, 3, 3]))
    """

    axes = 2
    function = staticmethod(functional.locally_connected_transpose2d)


class LocallyConnectedTranspose3d(LocallyConnectedTranspose):
    """`LocallyConnectedTranspose2d` of three dimensions: (N, C, D, H, W) or (C, D, H, W).

    >>> layer = LocallyConnectedTranspose3d(2, 1, 2, input_size=(2, 3, 4), stride=2)
    >>> layer(torch.rand(1, 2, 2, 3, 4)).shape
    torch.Size([1, 1, 4, 6, 8])
    """

    axes = 3
    function = staticmethod(functional.locally_connected_transpose3d)


class LazyLocallyConnectedTranspose(LazyLocal, LocallyConnectedTranspose):
    """The lazy layers of any dimension."""

    def __init__(
        self,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool | str = True,
        dilation: Sizes = 1,
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
            output_padding,
            groups,
            bias,
            dilation,
            share=share,
            device=device,
            dtype=dtype,
        )


class LazyLocallyConnectedTranspose1d(LazyLocallyConnectedTranspose):
    """`LocallyConnectedTranspose1d` that takes `in_channels` and `input_size` from its first input.

    >>> LazyLocallyConnectedTranspose1d(4, kernel_size=3)(torch.rand(2, 5, 7)).shape
    torch.Size([2, 4, 9])
    """

    axes = 1
    cls_to_become: type[nn.Module] = LocallyConnectedTranspose1d


class LazyLocallyConnectedTranspose2d(LazyLocallyConnectedTranspose):
    """`LocallyConnectedTranspose2d` that takes `in_channels` and `input_size` from its first input.

    >>> LazyLocallyConnectedTranspose2d(4, kernel_size=3)(torch.rand(2, 5, 6, 6)).shape
    torch.Size([2, 4, 8, 8])
    """

    axes = 2
    cls_to_become: type[nn.Module] = LocallyConnectedTranspose2d


class LazyLocallyConnectedTranspose3d(LazyLocallyConnectedTranspose):
    """`LocallyConnectedTranspose3d` that takes `in_channels` and `input_size` from its first input.

    >>> LazyLocallyConnectedTranspose3d(4, kernel_size=2)(torch.rand(1, 2, 2, 3, 4)).shape
    torch.Size([1, 4, 3, 4, 5])
    """

    axes = 3
    cls_to_become: type[nn.Module] = LocallyConnectedTranspose3d
