"""Inception v3 (Szegedy et al. 2015): 27,161,264 parameters, 23,834,568 without the auxiliary classifier."""

from __future__ import annotations

import torch
from torch import Tensor, nn

Window = int | tuple[int, int]


class Normalised(nn.Sequential):
    """Convolution, BatchNorm, ReLU; padded to the same size unless `padding` says otherwise."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        window: Window,
        stride: int = 1,
        padding: int | None = None,
    ) -> None:
        sides = (window, window) if isinstance(window, int) else window
        same = (sides[0] // 2, sides[1] // 2)
        convolution = nn.Conv2d(
            inputs, outputs, sides, stride, same if padding is None else padding, bias=False
        )
        super().__init__(convolution, nn.BatchNorm2d(outputs, eps=1e-3), nn.ReLU())


class Branches(nn.Module):
    """The branches' channels side by side."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


def _chain(channels: int, *steps: tuple[int, Window]) -> nn.Module:
    """Convolutions one after another, (outputs, window) each."""
    layers = []
    for outputs, window in steps:
        layers.append(Normalised(channels, outputs, window))
        channels = outputs
    return nn.Sequential(*layers)


def _pooled(channels: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.AvgPool2d(3, 1, 1), Normalised(channels, outputs, 1))


def _square(channels: int, pooled: int) -> nn.Module:
    """At 35×35: 5×5 windows, and 3×3 twice."""
    return Branches(
        _chain(channels, (64, 1)),
        _chain(channels, (48, 1), (64, 5)),
        _chain(channels, (64, 1), (96, 3), (96, 3)),
        _pooled(channels, pooled),
    )


def _factored(channels: int, width: int) -> nn.Module:
    """At 17×17: 7×7 windows as 1×7 and 7×1."""
    across, down = (1, 7), (7, 1)
    return Branches(
        _chain(channels, (192, 1)),
        _chain(channels, (width, 1), (width, across), (192, down)),
        _chain(channels, (width, 1), (width, down), (width, across), (width, down), (192, across)),
        _pooled(channels, 192),
    )


def _spread(channels: int) -> nn.Module:
    """At 8×8: 1×3 and 3×1 beside each other."""

    def both(inputs: int) -> nn.Module:
        return Branches(Normalised(inputs, 384, (1, 3)), Normalised(inputs, 384, (3, 1)))

    return Branches(
        _chain(channels, (320, 1)),
        nn.Sequential(_chain(channels, (384, 1)), both(384)),
        nn.Sequential(_chain(channels, (448, 1), (384, 3)), both(384)),
        _pooled(channels, 192),
    )


def _to_17(channels: int) -> nn.Module:
    return Branches(
        Normalised(channels, 384, 3, 2, 0),
        nn.Sequential(_chain(channels, (64, 1), (96, 3)), Normalised(96, 96, 3, 2, 0)),
        nn.MaxPool2d(3, 2),
    )


def _to_8(channels: int) -> nn.Module:
    return Branches(
        nn.Sequential(_chain(channels, (192, 1)), Normalised(192, 320, 3, 2, 0)),
        nn.Sequential(
            _chain(channels, (192, 1), (192, (1, 7)), (192, (7, 1))), Normalised(192, 192, 3, 2, 0)
        ),
        nn.MaxPool2d(3, 2),
    )


class Inception(nn.Module):
    """Images (N, 3, 299, 299) to logits (N, classes); in training with those of the auxiliary classifier."""

    def __init__(self, classes: int, auxiliary: bool) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            Normalised(3, 32, 3, 2, 0),
            Normalised(32, 32, 3, 1, 0),
            Normalised(32, 64, 3),
            nn.MaxPool2d(3, 2),
            Normalised(64, 80, 1),
            Normalised(80, 192, 3, 1, 0),
            nn.MaxPool2d(3, 2),
        )
        self.to_17 = nn.Sequential(
            _square(192, 32), _square(256, 64), _square(288, 64), _to_17(288)
        )
        self.at_17 = nn.Sequential(*(_factored(768, width) for width in (128, 160, 160, 192)))
        self.at_8 = nn.Sequential(_to_8(768), _spread(1280), _spread(2048))
        self.auxiliary = _auxiliary(classes) if auxiliary else None
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Dropout(), nn.Flatten(), nn.Linear(2048, classes)
        )

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        middle = self.at_17(self.to_17(self.stem(images)))
        logits: Tensor = self.head(self.at_8(middle))
        if self.training and self.auxiliary is not None:
            return logits, self.auxiliary(middle)
        return logits


def _auxiliary(classes: int) -> nn.Module:
    return nn.Sequential(
        nn.AvgPool2d(5, 3),
        Normalised(768, 128, 1),
        Normalised(128, 768, 5, 1, 0),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(768, classes),
    )


def inception_v3(classes: int = 1000, auxiliary: bool = True) -> nn.Module:
    return Inception(classes, auxiliary)
