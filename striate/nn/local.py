"""Locally connected layers: a window per unit, and as much weight sharing as asked for."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from striate.geometry import integer, local_grid
from striate.nn.functional import locally_connected2d

__all__ = ["LocallyConnected2d"]


class LocallyConnected2d(nn.Module):
    """A convolution whose kernel depends on where it stands.

    Each output position has its own kernel (`share=1`), or a block of adjacent positions has one
    (`share=k`, or a pair), or all have one (`share="all"`: then this is `nn.Conv2d`, to rounding,
    and runs as fast). Local connections without sharing go back to LeCun, "Generalization and
    Network Design Strategies", 1989; DeepFace (Taigman et al., CVPR 2014) uses them for faces.

    Args:
        in_channels: C, channels of the input.
        out_channels: O, channels of the output.
        kernel_size: the window, in input positions.
        input_size: (H, W) of the input; a position-dependent layer has one size.
        stride: input positions between neighbouring windows.
        padding: zeros around the input; "valid" is 0, "same" keeps the size (stride 1 only).
        dilation: input positions between the taps of a window.
        groups: as in `nn.Conv2d`; both channel counts must be divisible by it.
        bias: True for one per block and channel, "channel" for one per channel, or False.
        share: output positions to a kernel: an integer, "all", or one of these per axis. The last
            block of an axis is smaller where `share` does not divide the output size; a `share`
            above it means "all".

    Sizes are an integer or a pair (rows, columns).

    Shape:
        input (N, C, H, W) or (C, H, W); output (N, O, Ho, Wo) or (O, Ho, Wo) with
        Ho = (H + padding - dilation * (kernel_size - 1) - 1) // stride + 1, Wo alike.

    Attributes:
        weight: (Ho', Wo', O, C/groups, kh, kw) with Ho' = ceil(Ho / share), Wo' alike; uniform in
            ±1/sqrt(fan-in of a window), as `nn.Conv2d` starts.
        bias: (Ho', Wo', O), (O,) or None; drawn alike.
        output_size: (Ho, Wo).
        share: the block (rows, columns), in numbers, at most the output size.
        blocks: (Ho', Wo'), kernels along each axis.

    Raises:
        ValueError, TypeError: name the argument, its value and what to give instead.

    >>> layer = LocallyConnected2d(1, 8, kernel_size=5, input_size=(28, 28), stride=2, share=4)
    >>> layer(torch.rand(3, 1, 28, 28)).shape, layer.weight.shape
    (torch.Size([3, 8, 12, 12]), torch.Size([3, 3, 8, 1, 5, 5]))
    >>> LocallyConnected2d(1, 1, kernel_size=30, input_size=8)
    Traceback (most recent call last):
    ValueError: LocallyConnected2d: kernel_size=(30, 30) does not fit input_size=(8, 8) ...
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        input_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | str = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool | str = True,
        *,
        share: int | str | tuple[int | str, int | str] = 1,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        try:
            self.in_channels = integer("in_channels", in_channels)
            self.out_channels = integer("out_channels", out_channels)
            self.groups = integer("groups", groups)
            grid = local_grid(input_size, kernel_size, stride, padding, dilation, share)
            _check_groups(self.in_channels, self.out_channels, self.groups)
            _check_bias_and_dtype(bias, dtype)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{type(self).__name__}: {error}") from None
        self.kernel_size = grid.kernel_size
        self.input_size = grid.input_size
        self.output_size = grid.output_size
        self.stride = grid.stride
        self.padding = padding
        self.dilation = grid.dilation
        self.share = grid.share
        self.blocks = grid.blocks
        window = (self.in_channels // self.groups, *grid.kernel_size)
        self.weight = nn.Parameter(
            torch.empty(*grid.blocks, self.out_channels, *window, device=device, dtype=dtype)
        )
        if bias is False:
            self.register_parameter("bias", None)
        else:
            shape = (self.out_channels,) if bias == "channel" else self.weight.shape[:3]
            self.bias = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, uniform in ±1/sqrt(fan-in of a window)."""
        bound = 1 / math.sqrt(math.prod(self.weight.shape[3:]))
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        expected = (self.in_channels, *self.input_size)
        if input.dim() not in (3, 4) or tuple(input.shape[-3:]) != expected:
            channels, rows, columns = expected
            raise ValueError(
                f"{type(self).__name__}: input of shape {tuple(input.shape)}: expected "
                f"(N, {channels}, {rows}, {columns}) or ({channels}, {rows}, {columns}), as "
                f"in_channels={channels} and input_size={self.input_size} say"
            )
        return locally_connected2d(
            input,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
            share=self.share,
        )

    def extra_repr(self) -> str:
        share = tuple(
            "all" if size == output else size
            for size, output in zip(self.share, self.output_size, strict=True)
        )
        parts = [
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}",
            f"input_size={self.input_size}, stride={self.stride}",
        ]
        if self.padding not in (0, (0, 0)):
            parts.append(f"padding={self.padding!r}")
        if self.dilation != (1, 1):
            parts.append(f"dilation={self.dilation}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        elif self.bias.dim() == 1:
            parts.append("bias='channel'")
        parts.append(f"share={share}")
        return ", ".join(parts)


def _check_groups(in_channels: int, out_channels: int, groups: int) -> None:
    for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if channels % groups:
            raise ValueError(
                f"groups={groups} does not divide {name}={channels}: use a divisor of both counts"
            )


def _check_bias_and_dtype(bias: object, dtype: torch.dtype | None) -> None:
    if not (isinstance(bias, bool) or bias == "channel"):
        raise ValueError(
            f"bias={bias!r}: expected True (one per block), 'channel' (one per channel) or False"
        )
    if dtype is not None and not dtype.is_floating_point:
        raise TypeError(f"dtype={dtype}: expected a floating-point type, such as torch.float32")
