"""ConvNeXt-T (Liu et al. 2022): 28,589,128 parameters."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

#: Width and depth of each stage.
STAGES = ((96, 3), (192, 3), (384, 9), (768, 3))


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Block(nn.Module):
    """A 7×7 convolution per channel, then a perceptron at each position, scaled, beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.perceptron = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.scale = nn.Parameter(torch.full((width, 1, 1), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        inside = self.perceptron(self.norm(self.spatial(x).permute(0, 2, 3, 1)))
        joined: Tensor = x + self.scale * inside.permute(0, 3, 1, 2)
        return joined


class ConvNeXt(nn.Module):
    """Images (N, 3, H, W) to logits (N, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_body())
        width = STAGES[-1][0]
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.norm = ChannelNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.norm(self.pool(self.body(images))).flatten(1))
        return logits


def _body() -> Iterator[nn.Module]:
    channels = STAGES[0][0]
    yield nn.Conv2d(3, channels, 4, 4)
    yield ChannelNorm(channels, eps=1e-6)
    for index, (width, depth) in enumerate(STAGES):
        if index:
            yield ChannelNorm(channels, eps=1e-6)
            yield nn.Conv2d(channels, width, 2, 2)
        yield from (Block(width) for _ in range(depth))
        channels = width


def convnext_tiny(classes: int = 1000) -> nn.Module:
    return ConvNeXt(classes)
