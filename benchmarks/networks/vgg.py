"""VGG-16 (Simonyan and Zisserman 2014, their configuration D, no BatchNorm): 138,357,544 parameters."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

#: Channels of the convolutions between one pooling and the next.
STAGES = ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3)


class VGG(nn.Module):
    """Images (N, 3, 224, 224) to logits (N, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(*_features(3))
        self.pool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.pool(self.features(images)).flatten(1))
        return logits


def _features(channels: int) -> Iterator[nn.Module]:
    for stage in STAGES:
        for width in stage:
            yield nn.Conv2d(channels, width, 3, padding=1)
            yield nn.ReLU()
            channels = width
        yield nn.MaxPool2d(2)


def vgg16(classes: int = 1000) -> nn.Module:
    return VGG(classes)
