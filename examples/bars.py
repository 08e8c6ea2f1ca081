"""Data of your own, made by a function: it returns a training and a test `torch.utils.data.Dataset`.

    striate shrink zoo:mlp --data examples/bars.py:make --pretrain 3 --budget 5% --out run

The pictures are noise with one bar in it; the class is the bar's direction. Bars lie anywhere, so a network that
looks at windows and shares its weights needs few of them.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

SIZE = 16
DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))


def make(train: int = 2000, test: int = 600, seed: int = 0) -> tuple[TensorDataset, TensorDataset]:
    """Training and test pictures `(1, 16, 16)`, float32, each with its class 0 to 3, int64."""
    generator = torch.Generator().manual_seed(seed)
    return pictures(train, generator), pictures(test, generator)


def pictures(count: int, generator: torch.Generator) -> TensorDataset:
    targets = torch.randint(len(DIRECTIONS), (count,), generator=generator)
    images = 0.5 * torch.randn(count, 1, SIZE, SIZE, generator=generator)
    starts = torch.randint(4, SIZE - 4, (count, 2), generator=generator)
    for image, target, start in zip(images, targets.tolist(), starts.tolist(), strict=True):
        draw(image[0], start, DIRECTIONS[target])
    return TensorDataset(images, targets)


def draw(image: Tensor, centre: list[int], direction: tuple[int, int]) -> None:
    """Brighten seven pixels in a line."""
    for step in range(-3, 4):
        image[centre[0] + step * direction[0], centre[1] + step * direction[1]] += 1.5
