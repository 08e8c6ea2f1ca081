"""A network of your own, for a folder of pictures: one file, one function that returns the module.

    striate shrink examples/picture_net.py:make --model-arg classes=10 \\
        --data folder:pictures --size 16x16 --channels grey --pretrain 5 --budget 20% --out run
"""

from __future__ import annotations

from torch import nn


def make(classes: int = 10, channels: int = 1, size: int = 16, hidden: int = 128) -> nn.Module:
    """Two convolutions, a pooling layer each, then two dense layers: most weights are in the first.

    Takes `(N, channels, size, size)`, gives the scores `(N, classes)`.
    """
    if size % 4:
        raise ValueError(f"size={size}: two pooling layers halve it twice; use a multiple of 4")
    return nn.Sequential(
        nn.Conv2d(channels, 16, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * (size // 4) ** 2, hidden),
        nn.ReLU(),
        nn.Linear(hidden, classes),
    )
