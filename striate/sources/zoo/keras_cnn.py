"""The small CNN for CIFAR-10 that the Keras examples made popular; 94 % of its weights sit in one dense layer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from striate.sources.zoo.checks import fraction, image_shape, whole


def build(
    shape: Sequence[int] = (3, 32, 32),
    classes: int = 10,
    hidden: int = 512,
    dropout: float | Sequence[float] = (0.25, 0.25, 0.5),
) -> nn.Module:
    """Four 3x3 convolutions in two pooled pairs (32, 32, 64, 64 channels), then `hidden` and `classes` units.

    Takes `(N, channels, rows, columns)` and gives logits `(N, classes)`. The first convolution of each pair pads
    by 1, the second by 0. `dropout` is one rate for all three places or one for each. 1,250,858 weights on 32x32x3.

    >>> sum(p.numel() for p in build().parameters())
    1250858
    """
    name = "zoo:keras-cnn"
    channels, rows, columns = image_shape(name, shape, least=10)
    width = whole(name, "hidden", hidden)
    given = list(dropout) if isinstance(dropout, Sequence) and len(dropout) == 3 else [dropout] * 3
    rates = [fraction(name, "dropout", rate) for rate in given]
    after = [((size - 2) // 2 - 2) // 2 for size in (rows, columns)]
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 32, 3, padding=1),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(32, 32, 3),
            relu2=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            dropout1=nn.Dropout(rates[0]),
            conv3=nn.Conv2d(32, 64, 3, padding=1),
            relu3=nn.ReLU(),
            conv4=nn.Conv2d(64, 64, 3),
            relu4=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            dropout2=nn.Dropout(rates[1]),
            flatten=nn.Flatten(),
            fc1=nn.Linear(64 * after[0] * after[1], width),
            relu5=nn.ReLU(),
            dropout3=nn.Dropout(rates[2]),
            fc2=nn.Linear(width, whole(name, "classes", classes)),
        )
    )
