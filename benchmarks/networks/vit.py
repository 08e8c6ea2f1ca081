"""ViT-B/16 (Dosovitskiy et al. 2020): 86,567,656 parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class EncoderBlock(nn.Module):
    """Self-attention and a perceptron, each after a LayerNorm and beside the identity."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.perceptron = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        normed = self.norm1(tokens)
        attended, _ = self.attention(normed, normed, normed, need_weights=False)
        tokens = tokens + attended
        encoded: Tensor = tokens + self.perceptron(self.norm2(tokens))
        return encoded


class ViT(nn.Module):
    """Images (N, 3, size, size) to logits (N, classes)."""

    def __init__(
        self, size: int, patch: int, width: int, depth: int, heads: int, classes: int
    ) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(0.02 * torch.randn(1, (size // patch) ** 2 + 1, width))
        blocks = (EncoderBlock(width, heads, 4 * width) for _ in range(depth))
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(patches), -1, -1), patches], dim=1)
        encoded = self.norm(self.blocks(tokens + self.positions))
        logits: Tensor = self.head(encoded[:, 0])
        return logits


def vit_b16(classes: int = 1000) -> nn.Module:
    return ViT(size=224, patch=16, width=768, depth=12, heads=12, classes=classes)
