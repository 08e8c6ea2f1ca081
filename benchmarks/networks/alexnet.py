"""AlexNet in one column ("One weird trick", Krizhevsky 2014), the form that is in use: 61,100,840 parameters."""

from __future__ import annotations

from torch import Tensor, nn


class AlexNet(nn.Module):
    """Images (N, 3, 224, 224) to logits (N, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_block(3, 64, 11, stride=4, padding=2),
            nn.MaxPool2d(3, 2),
            *_block(64, 192, 5, padding=2),
            nn.MaxPool2d(3, 2),
            *_block(192, 384, 3, padding=1),
            *_block(384, 256, 3, padding=1),
            *_block(256, 256, 3, padding=1),
            nn.MaxPool2d(3, 2),
        )
        self.pool = nn.AdaptiveAvgPool2d(6)
        self.classifier = nn.Sequential(
            nn.Dropout(),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.pool(self.features(images)).flatten(1))
        return logits


def _block(
    inputs: int, outputs: int, window: int, *, padding: int, stride: int = 1
) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(inputs, outputs, window, stride, padding), nn.ReLU()


def alexnet(classes: int = 1000) -> nn.Module:
    return AlexNet(classes)
