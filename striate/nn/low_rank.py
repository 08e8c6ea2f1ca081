"""Locally connected layers whose kernels are mixed from a small bank."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from striate.geometry import LocalGrid, integer
from striate.geometry.sharing import is_map
from striate.nn import checks
from striate.nn.functional import Modes, Share, Sizes, low_rank_locally_connected2d
from striate.nn.layer import LazyLocal
from striate.nn.local import WindowLayer
from striate.ops.backend import Backend

__all__ = ["LazyLowRankLocallyConnected2d", "LowRankLocallyConnected2d"]


class LowRankLocallyConnected2d(WindowLayer):
    """Between a convolution and a local layer: each position mixes its kernel from a bank of `rank`.

    The kernel at a position is the sum over r of mixing[r] there times weight[r] (Elsayed, Ramachandran,
    Shlens and Kornblith, "Revisiting spatial invariance with low-rank local connectivity", ICML 2020;
    their mixing weights may also be put through a softmax, which is not done here: a mix is linear, so
    a local layer of that rank has one). With rank 1 and equal mixing it is a convolution; with as many
    kernels as positions it can be any local layer.

    Args:
        rank: kernels in the bank.
        bias: "channel" for one per channel, True for one per output position and channel, or False.
        mixing: "free": each position (or block of them) has its own mixing weights; "row+column": they
            are the sum of those of its row and those of its column.
        The others are as in `LocallyConnected2d`; `share` says which positions mix alike.

    Shape:
        As `LocallyConnected2d`.

    Attributes:
        weight: the bank, (rank, O, C/groups, kh, kw), uniform in ±1/sqrt(fan-in of a window).
        mixing: (Ho', Wo', rank), or (K, rank) with a sharing map; None with "row+column".
        mixing_rows, mixing_columns: (Ho', rank) and (Wo', rank); None with "free".
        bias: (O,), (Ho, Wo, O), or None.

        Mixing starts at 1/sqrt(rank) everywhere: the layer starts as a convolution does.

    Raises:
        ValueError, TypeError: name the argument, its value and what to give instead.

    >>> layer = LowRankLocallyConnected2d(3, 8, 3, input_size=32, rank=2, padding="same")
    >>> layer(torch.rand(4, 3, 32, 32)).shape, sum(p.numel() for p in layer.parameters())
    (torch.Size([4, 8, 32, 32]), 2488)
    >>> layer = LowRankLocallyConnected2d(3, 8, 3, 32, rank=2, padding="same", mixing="row+column")
    >>> sum(p.numel() for p in layer.parameters())
    568
    """

    axes = 2
    bias_per = "output position"
    mixing: nn.Parameter | None
    mixing_rows: nn.Parameter | None
    mixing_columns: nn.Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        input_size: Sizes,
        rank: int,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool | str = "channel",
        padding_mode: Modes = "zeros",
        *,
        mixing: str = "free",
        share: Share = 1,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self._ask(kernel_size, stride, padding, dilation, padding_mode, share)
        with checks.named(type(self).__name__):
            self.rank = integer("rank", rank)
            if mixing not in ("free", "row+column"):
                raise ValueError(f"mixing={mixing!r}: expected 'free' or 'row+column'")
            if mixing == "row+column" and is_map(share):
                raise ValueError(
                    "mixing='row+column' with a sharing map in share, which has no rows and columns; "
                    "use mixing='free', or share by blocks"
                )
        self.mixing_form = mixing
        names = ("mixing",) if mixing == "free" else ("mixing_rows", "mixing_columns")
        for name in {"mixing", "mixing_rows", "mixing_columns"}.difference(names):
            self.register_parameter(name, None)
        self.weights = ("weight", *names)
        self._set_up(in_channels, out_channels, input_size, groups, bias, device, dtype)

    def _shapes(self, grid: LocalGrid) -> dict[str, tuple[int, ...]]:
        window = (self.in_channels // self.groups, *grid.kernel_size)
        shapes = {
            "weight": (self.rank, self.out_channels, *window),
            "bias": (*grid.output_size, self.out_channels),
        }
        if self.mixing_form == "free":
            return shapes | {"mixing": (*grid.blocks, self.rank)}
        rows, columns = grid.blocks
        return shapes | {"mixing_rows": (rows, self.rank), "mixing_columns": (columns, self.rank)}

    def reset_parameters(self) -> None:
        """Draw bank and bias anew, uniform in ±1/sqrt(fan-in of a window); mixing becomes the same
        everywhere."""
        super().reset_parameters()
        with torch.no_grad():
            for name in self.weights[1:]:
                getattr(self, name).fill_(1 / math.sqrt(self.rank) / (len(self.weights) - 1))

    def mixed(self) -> Tensor:
        """The mixing weights of each block: (Ho', Wo', rank), or (K, rank) with a sharing map."""
        if self.mixing is not None:
            return self.mixing
        assert self.mixing_rows is not None
        assert self.mixing_columns is not None
        return self.mixing_rows[:, None] + self.mixing_columns

    def _backend(self, input: Tensor) -> Backend:
        return Backend(
            "reference", "the bank's kernels are convolved, and torch computes convolutions"
        )

    def forward(self, input: Tensor) -> Tensor:
        self._check_input(input)
        return low_rank_locally_connected2d(
            input,
            self.weight,
            self.mixed(),
            self.bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
            share=self.share,
            padding_mode=self.padding_mode,
        )

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, rank={self.rank}, mixing={self.mixing_form!r}"


class LazyLowRankLocallyConnected2d(LazyLocal, LowRankLocallyConnected2d):
    """`LowRankLocallyConnected2d` that takes `in_channels` and `input_size` from its first input.

    >>> layer = LazyLowRankLocallyConnected2d(4, kernel_size=3, rank=2)
    >>> layer(torch.rand(2, 5, 8, 8)).shape, layer.mixing.shape
    (torch.Size([2, 4, 6, 6]), torch.Size([6, 6, 2]))
    """

    cls_to_become: type[nn.Module] = LowRankLocallyConnected2d

    def __init__(
        self,
        out_channels: int,
        kernel_size: Sizes,
        rank: int,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool | str = "channel",
        padding_mode: Modes = "zeros",
        *,
        mixing: str = "free",
        share: Share = 1,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            0,
            out_channels,
            kernel_size,
            0,
            rank,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
            mixing=mixing,
            share=share,
            device=device,
            dtype=dtype,
        )
