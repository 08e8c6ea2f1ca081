"""Swin-T (Liu et al. 2021): 28,288,354 parameters."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: Depth and heads of each stage; the width doubles from one to the next.
STAGES = ((2, 3), (2, 6), (6, 12), (2, 24))
WIDTH, WINDOW, PATCH = 96, 7, 4


class WindowAttention(nn.Module):
    """Attention among the positions of a window, (N, H, W, C) to the same; every other block's windows are shifted."""

    #: Which learned offset stands between two positions of a window, (WINDOW², WINDOW²).
    offsets: Tensor

    def __init__(self, width: int, heads: int, shift: int) -> None:
        super().__init__()
        self.heads, self.shift = heads, shift
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.bias = nn.Parameter(0.02 * torch.randn((2 * WINDOW - 1) ** 2, heads))
        self.register_buffer("offsets", _offsets())

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[1:3]
        down, right = -height % WINDOW, -width % WINDOW
        padded = F.pad(x, (0, 0, 0, right, 0, down))
        rows, columns = padded.shape[1:3]
        # A window that covers the whole map has nothing to be shifted against.
        shifts = (self.shift * (rows > WINDOW), self.shift * (columns > WINDOW))
        rolled = padded.roll((-shifts[0], -shifts[1]), (1, 2)) if any(shifts) else padded
        windows = _cut(rolled)
        q, k, v = self.qkv(windows).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        scores = scores + self.bias[self.offsets].permute(2, 0, 1)
        if any(shifts):
            apart = _apart(rows, columns, shifts, x.device)
            scores = (scores.unflatten(0, (-1, len(apart))) + apart[:, None]).flatten(0, 1)
        attended = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        joined = _join(self.proj(attended), rows, columns)
        back = joined.roll(shifts, (1, 2)) if any(shifts) else joined
        return back[:, :height, :width]


def _offsets() -> Tensor:
    """(WINDOW², WINDOW²): an index for each (rows, columns) that one position lies from another."""
    line = torch.arange(WINDOW)
    where = torch.stack(torch.meshgrid(line, line, indexing="ij")).flatten(1)
    rows, columns = where[:, :, None] - where[:, None, :] + WINDOW - 1
    return rows * (2 * WINDOW - 1) + columns


def _cut(x: Tensor) -> Tensor:
    """(N, H, W, C) to (N · windows, WINDOW², C)."""
    tiles = x.unflatten(2, (-1, WINDOW)).unflatten(1, (-1, WINDOW)).transpose(2, 3)
    return tiles.flatten(0, 2).flatten(1, 2)


def _join(windows: Tensor, rows: int, columns: int) -> Tensor:
    """What `_cut` took apart."""
    grid = (-1, rows // WINDOW, columns // WINDOW, WINDOW, WINDOW, windows.shape[-1])
    return windows.reshape(grid).transpose(2, 3).flatten(3, 4).flatten(1, 2)


def _apart(rows: int, columns: int, shifts: tuple[int, int], device: torch.device) -> Tensor:
    """(windows, WINDOW², WINDOW²): -100 where a shift has brought two positions together from far ends of the map."""
    region = torch.zeros(rows, columns, device=device)
    for axis, shift in enumerate(shifts):
        along = region.movedim(axis, 0)
        along[len(along) - WINDOW :] += 3**axis
        along[len(along) - shift :] += 3**axis
    regions = _cut(region[None, :, :, None]).squeeze(2)
    return torch.where(regions[:, :, None] == regions[:, None, :], 0.0, -100.0)


class Block(nn.Module):
    def __init__(self, width: int, heads: int, shift: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = WindowAttention(width, heads, shift)
        self.norm2 = nn.LayerNorm(width)
        self.perceptron = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        encoded: Tensor = x + self.perceptron(self.norm2(x))
        return encoded


class Merge(nn.Module):
    """Each 2×2 patch of (N, H, W, C) side by side, then to twice the channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        quarters = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        merged: Tensor = self.reduction(self.norm(torch.cat(quarters, -1)))
        return merged


class Swin(nn.Module):
    """Images (N, 3, H, W) to logits (N, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.patch_norm = nn.LayerNorm(WIDTH)
        self.body = nn.Sequential(*_body())
        width = WIDTH * 2 ** (len(STAGES) - 1)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        encoded = self.body(self.patch_norm(self.patches(images).permute(0, 2, 3, 1)))
        logits: Tensor = self.head(self.norm(encoded).mean((1, 2)))
        return logits


def _body() -> Iterator[nn.Module]:
    for stage, (depth, heads) in enumerate(STAGES):
        if stage:
            yield Merge(WIDTH * 2 ** (stage - 1))
        for index in range(depth):
            yield Block(WIDTH * 2**stage, heads, WINDOW // 2 * (index % 2))


def swin_tiny(classes: int = 1000) -> nn.Module:
    return Swin(classes)
