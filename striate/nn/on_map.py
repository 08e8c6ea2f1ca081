"""A module that takes and gives flat features and works on them as a map of channels x rows x columns inside."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class OnMap(nn.Module):
    """Unflatten `(N, C*H*W)` to `(N, C, H, W)`, run `body`, flatten what it gives.

    Parameters
    ----------
    shape:
        `(C, H, W)` of the map.
    body:
        Takes `(N, C, H, W)`.
    index:
        Where the map's positions, in C, H, W order, stand among the flat input features: `(C*H*W,)` integers.
        None where the flat input is in that order already.
    units:
        Which of the body's flat outputs each output unit is: `(units,)` integers. None: all, in order.

    Both tables are buffers (int32), so they are saved, moved and counted with the module.

    >>> layer = OnMap((2, 2, 2), nn.AvgPool2d(2), index=torch.arange(7, -1, -1))
    >>> layer(torch.arange(8.0)[None]).tolist()
    [[5.5, 1.5]]
    """

    index: Tensor | None
    units: Tensor | None

    def __init__(
        self,
        shape: tuple[int, int, int],
        body: nn.Module,
        index: Tensor | None = None,
        units: Tensor | None = None,
    ) -> None:
        super().__init__()
        channels, height, width = shape
        if index is not None and index.shape != (channels * height * width,):
            raise ValueError(
                f"OnMap: index has shape {tuple(index.shape)}; expected one entry for each of the "
                f"{channels * height * width} positions of shape={shape}"
            )
        self.shape = shape
        self.register_buffer("index", None if index is None else index.to(torch.int32))
        self.register_buffer("units", None if units is None else units.to(torch.int32))
        self.body = body

    def forward(self, input: Tensor) -> Tensor:
        if self.index is not None:
            input = input.index_select(-1, self.index)
        output: Tensor = self.body(input.unflatten(-1, self.shape)).flatten(1)
        return output if self.units is None else output.index_select(-1, self.units)

    def extra_repr(self) -> str:
        channels, height, width = self.shape
        return f"{channels}x{height}x{width}"
