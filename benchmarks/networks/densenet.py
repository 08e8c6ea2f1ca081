"""DenseNet-121 (Huang et al. 2016): 7,978,856 parameters."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

GROWTH, STEM, BOTTLENECK = 32, 64, 4
LAYERS = (6, 12, 24, 16)


class DenseLayer(nn.Module):
    """`GROWTH` new channels from all before them, beside which they are laid."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        hidden = BOTTLENECK * GROWTH
        self.body = nn.Sequential(
            *_activated(inputs),
            nn.Conv2d(inputs, hidden, 1, bias=False),
            *_activated(hidden),
            nn.Conv2d(hidden, GROWTH, 3, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.body(x)], 1)


class DenseNet(nn.Module):
    """Images (N, 3, H, W) to logits (N, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, STEM, 7, 2, 3, bias=False), *_activated(STEM), nn.MaxPool2d(3, 2, 1)
        )
        self.features = nn.Sequential(*_features())
        channels = STEM
        for index, layers in enumerate(LAYERS):
            channels = (channels // 2 if index else channels) + GROWTH * layers
        self.last = nn.Sequential(*_activated(channels), nn.AdaptiveAvgPool2d(1))
        self.classifier = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.last(self.features(self.stem(images))).flatten(1))
        return logits


def _activated(channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm2d(channels), nn.ReLU()


def _features() -> Iterator[nn.Module]:
    channels = STEM
    for index, layers in enumerate(LAYERS):
        if index:
            yield from _activated(channels)
            yield nn.Conv2d(channels, channels // 2, 1, bias=False)
            yield nn.AvgPool2d(2)
            channels //= 2
        for _ in range(layers):
            yield DenseLayer(channels)
            channels += GROWTH


def densenet121(classes: int = 1000) -> nn.Module:
    return DenseNet(classes)
