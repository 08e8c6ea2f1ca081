"""MobileNetV2 (Sandler et al. 2018): 3,504,872 parameters."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

#: Expansion, channels, blocks and first stride of each stage.
STAGES = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip
STEM, LAST = 32, 1280


class InvertedResidual(nn.Module):
    """Wider by a 1×1 convolution, 3×3 per channel, narrow again without an activation."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = expansion * inputs
        self.body = nn.Sequential(
            *(_activated(inputs, hidden, 1) if expansion > 1 else ()),
            *_activated(hidden, hidden, 3, stride, groups=hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.body(x)
        return x + found if self.residual else found


class MobileNetV2(nn.Module):
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
    return convolution, nn.BatchNorm2d(outputs), nn.ReLU6()


def _features() -> Iterator[nn.Module]:
    yield from _activated(3, STEM, 3, 2)
    channels = STEM
    for expansion, width, count, stride in STAGES:
        for index in range(count):
            yield InvertedResidual(channels, width, expansion, 1 if index else stride)
            channels = width
    yield from _activated(channels, LAST, 1)


def mobilenet_v2(classes: int = 1000) -> nn.Module:
    return MobileNetV2(classes)
