"""The families of vision networks that people bring, from a few thousand weights up to the published sizes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

Widths = Sequence[int | str]
VGG16: Widths = (
    64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512, "pool",
)  # fmt: skip


def vgg(
    widths: Widths = (4, "pool", 8, "pool"), side: int = 16, hidden: int = 64, classes: int = 10
) -> nn.Module:
    """3×3 convolutions and pools, then three dense layers over the map; `vgg(VGG16, 224, 4096, 1000)` is VGG-16."""
    layers: list[nn.Module] = []
    channels = 3
    for width in widths:
        if isinstance(width, int):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        else:
            layers.append(nn.MaxPool2d(2))
            side //= 2
    return nn.Sequential(
        nn.Sequential(*layers),
        nn.Flatten(),
        nn.Linear(channels * side * side, hidden),
        nn.ReLU(inplace=True),
        nn.Dropout(),
        nn.Linear(hidden, hidden),
        nn.ReLU(inplace=True),
        nn.Dropout(),
        nn.Linear(hidden, classes),
    )


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions, added to what came in."""

    def __init__(self, into: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(into, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or into != 4 * width:
            self.shortcut = nn.Sequential(
                nn.Conv2d(into, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.bn3(self.conv3(y)) + self.shortcut(x))


def resnet(depths: Sequence[int] = (1, 1), width: int = 8, classes: int = 10) -> nn.Module:
    """Bottlenecks behind a 7×7 convolution; `resnet((3, 4, 6, 3), 64, 1000)` is ResNet-50."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, width, 7, 2, 3, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
    ]
    into = width
    for stage, depth in enumerate(depths):
        for block in range(depth):
            layers.append(Bottleneck(into, width << stage, 2 if stage and not block else 1))
            into = 4 * (width << stage)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(into, classes))


def mlp(width: int, hidden: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))


class MixerBlock(nn.Module):
    """Dense over the places, alike in all channels; then dense over the channels, alike at all places."""

    def __init__(self, places: int, width: int, over_places: int, over_channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.tokens = mlp(places, over_places)
        self.channels = mlp(width, over_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norm2(x))


class Mixer(nn.Module):
    """An MLP-Mixer; `Mixer(224, 16, 768, 12, 384, 3072, 1000)` is B/16."""

    def __init__(
        self,
        side: int = 32,
        patch: int = 8,
        width: int = 32,
        depth: int = 2,
        over_places: int = 16,
        over_channels: int = 128,
        classes: int = 10,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, patch, patch)
        places = (side // patch) ** 2
        self.blocks = nn.Sequential(
            *(MixerBlock(places, width, over_places, over_channels) for _ in range(depth))
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2)
        pooled: Tensor = self.norm(self.blocks(x)).mean(1)
        return self.head(pooled)  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Self-attention written out, with one layer for queries, keys and values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, places, width = x.shape
        parts = self.qkv(x).view(n, places, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).reshape(n, places, width))  # type: ignore[no-any-return]


class EncoderBlock(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.mlp = mlp(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """A vision transformer; `ViT(224, 16, 768, 12, 12, 3072, 1000)` is B/16. `fused`: PyTorch's own encoder layers."""

    def __init__(
        self,
        side: int = 32,
        patch: int = 8,
        width: int = 32,
        depth: int = 2,
        heads: int = 4,
        hidden: int = 128,
        classes: int = 10,
        fused: bool = False,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, patch, patch)
        self.start = nn.Parameter(torch.zeros(1, 1, width))
        self.places = nn.Parameter(torch.zeros(1, (side // patch) ** 2 + 1, width))
        self.blocks = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    width, heads, hidden, 0.0, "gelu", batch_first=True, norm_first=True
                )
                if fused
                else EncoderBlock(width, heads, hidden)
                for _ in range(depth)
            )
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.start.expand(len(x), -1, -1), x], 1) + self.places
        return self.head(self.norm(self.blocks(x))[:, 0])  # type: ignore[no-any-return]
