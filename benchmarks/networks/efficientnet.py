"""EfficientNet-B0 (Tan and Le 2019): 5,288,548 parameters."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

#: Expansion, window, first stride, channels and blocks of each stage.
STAGES = (
    (1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3), (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)  # fmt: skip
STEM, LAST = 32, 1280


class Gate(nn.Module):
    """Each channel scaled by a number in (0, 1) that all channels' means decide."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.factors = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, hidden, 1),
            nn.SiLU(),
            nn.Conv2d(hidden, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        gated: Tensor = x * self.factors(x)
        return gated


class Block(nn.Module):
    """Wider by a 1×1 convolution, a window per channel, the gate, narrow again without an activation."""

    def __init__(self, inputs: int, outputs: int, expansion: int, window: int, stride: int) -> None:
        super().__init__()
        hidden = expansion * inputs
        self.body = nn.Sequential(
            *(_activated(inputs, hidden, 1) if expansion > 1 else ()),
            *_activated(hidden, hidden, window, stride, groups=hidden),
            Gate(hidden, inputs // 4),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.body(x)
        return x + found if self.residual else found


class EfficientNet(nn.Module):
    """Images (N, 3, H, W) to logits (N, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(*_features())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(LAST, classes))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.pool(self.features(images)).flatten(1))
        return logits


def _activated(
    inputs: int, outputs: int, window: int, stride: int = 1, groups: int = 1
) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(inputs, outputs, window, stride, window // 2, groups=groups, bias=False)
    return convolution, nn.BatchNorm2d(outputs), nn.SiLU()


def _features() -> Iterator[nn.Module]:
    yield from _activated(3, STEM, 3, 2)
    channels = STEM
    for expansion, window, stride, width, count in STAGES:
        for index in range(count):
            yield Block(channels, width, expansion, window, 1 if index else stride)
            channels = width
    yield from _activated(channels, LAST, 1)


def efficientnet_b0(classes: int = 1000) -> nn.Module:
    return EfficientNet(classes)
