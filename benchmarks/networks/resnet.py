"""ResNet-50 (He et al. 2015; the stride in the 3×3 convolution, the form that is in use): 25,557,032 parameters."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

#: Width inside the bottlenecks of a stage, and how many there are.
STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
EXPANSION = 4


class Bottleneck(nn.Module):
    """1×1, 3×3, 1×1, around them the identity, or a projection where the shape changes."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = EXPANSION * width
        self.body = nn.Sequential(
            *_normalised(inputs, width, 1),
            nn.ReLU(),
            *_normalised(width, width, 3, stride),
            nn.ReLU(),
            *_normalised(width, outputs, 1),
        )
        same = inputs == outputs and stride == 1
        self.shortcut = (
            nn.Identity() if same else nn.Sequential(*_normalised(inputs, outputs, 1, stride))
        )

    def forward(self, x: Tensor) -> Tensor:
        joined: Tensor = self.body(x) + self.shortcut(x)
        return joined.relu()


class ResNet(nn.Module):
    """Images (N, 3, 224, 224) to logits (N, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *_normalised(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)
        )
        self.blocks = nn.Sequential(*_blocks(64))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(EXPANSION * STAGES[-1][0], classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.pool(self.blocks(self.stem(images))).flatten(1))
        return logits


def _normalised(
    inputs: int, outputs: int, window: int, stride: int = 1
) -> tuple[nn.Module, nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, window, stride, window // 2, bias=False)
    return convolution, nn.BatchNorm2d(outputs)


def _blocks(channels: int) -> Iterator[nn.Module]:
    for index, (width, count) in enumerate(STAGES):
        for position in range(count):
            yield Bottleneck(channels, width, 2 if index and not position else 1)
            channels = EXPANSION * width


def resnet50(classes: int = 1000) -> nn.Module:
    return ResNet(classes)
