"""A small network for 8x8 digits, whose weights are nearly all dense over a map: the demo's subject."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from striate.sources.zoo.checks import fraction, image_shape, whole


def build(
    shape: Sequence[int] = (1, 8, 8),
    classes: int = 10,
    hidden: int = 128,
    dropout: float = 0.3,
) -> nn.Module:
    """A 3x3 convolution to 16 channels, padding 1, then `hidden` and `classes` units.

    Takes `(N, channels, rows, columns)` and gives logits `(N, classes)`. On 8x8 its first dense
    layer sees a 16x8x8 map and holds 99 % of the 132,650 weights. `dropout` acts on hidden units.

    >>> sum(p.numel() for p in build().parameters())
    132650
    """
    name = "zoo:digits"
    channels, rows, columns = image_shape(name, shape, least=2)
    width = whole(name, "hidden", hidden)
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(channels, 16, 3, padding=1),
            relu1=nn.ReLU(),
            flatten=nn.Flatten(),
            fc1=nn.Linear(16 * rows * columns, width),
            relu2=nn.ReLU(),
            dropout=nn.Dropout(fraction(name, "dropout", dropout)),
            fc2=nn.Linear(width, whole(name, "classes", classes)),
        )
    )
