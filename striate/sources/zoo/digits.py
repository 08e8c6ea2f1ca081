"""A small network for 8x8 digits, most of whose weights are dense over a map: the demo's subject."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from striate.sources.zoo.checks import image_shape, whole


def build(shape: Sequence[int] = (1, 8, 8), classes: int = 10, hidden: int = 256) -> nn.Module:
    """A 3x3 convolution to 16 channels, pooling by 2, then `hidden` and `classes` units.

    Takes `(N, channels, rows, columns)` and gives logits `(N, classes)`. On 8x8 its first dense layer sees a
    16x4x4 map and holds 96 % of the 68,522 weights.

    >>> sum(p.numel() for p in build().parameters())
    68522
    """
    name = "zoo:digits"
    channels, rows, columns = image_shape(name, shape, least=2)
    width = whole(name, "hidden", hidden)
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(channels, 16, 3, padding=1),
            relu1=nn.ReLU(),
            pool=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(16 * (rows // 2) * (columns // 2), width),
            relu2=nn.ReLU(),
            fc2=nn.Linear(width, whole(name, "classes", classes)),
        )
    )
