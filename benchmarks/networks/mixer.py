"""MLP-Mixer-B/16 (Tolstikhin et al. 2021): 59,880,472 parameters."""

from __future__ import annotations

from torch import Tensor, nn


class MixerBlock(nn.Module):
    """A perceptron over the patches of each channel, then one over the channels of each patch."""

    def __init__(
        self, patches: int, width: int, between_patches: int, between_channels: int
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.mix_patches = _perceptron(patches, between_patches)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mix_channels = _perceptron(width, between_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.mix_patches(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        mixed: Tensor = x + self.mix_channels(self.norm2(x))
        return mixed


class Mixer(nn.Module):
    """Images (N, 3, size, size) to logits (N, classes)."""

    def __init__(self, size: int, patch: int, width: int, depth: int, classes: int) -> None:
        super().__init__()
        patches = (size // patch) ** 2
        self.patches = nn.Conv2d(3, width, patch, patch)
        blocks = (MixerBlock(patches, width, width // 2, 4 * width) for _ in range(depth))
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.blocks(self.patches(images).flatten(2).transpose(1, 2))
        logits: Tensor = self.head(self.norm(tokens).mean(1))
        return logits


def _perceptron(width: int, hidden: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))


def mixer_b16(classes: int = 1000) -> nn.Module:
    return Mixer(size=224, patch=16, width=768, depth=12, classes=classes)
