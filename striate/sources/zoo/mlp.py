"""A multilayer perceptron over images: every hidden unit sees every pixel."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from striate.sources.zoo.checks import fraction, sizes, whole


def build(
    shape: Sequence[int] = (1, 28, 28),
    classes: int = 10,
    hidden: int | Sequence[int] = 1024,
    dropout: float = 0.0,
) -> nn.Module:
    """Flatten, then Linear and ReLU for each entry of `hidden`, then Linear to `classes`.

    Takes `(N, *shape)`, flat data included, and gives logits `(N, classes)`. `dropout` acts on hidden units.
    On MNIST it is the 784-1024-10 network, 814,090 weights.

    >>> sum(p.numel() for p in build().parameters())
    814090
    """
    name = "zoo:mlp"
    widths = [math.prod(sizes(name, "shape", shape)), *sizes(name, "hidden", hidden)]
    rate = fraction(name, "dropout", dropout)
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for place, (fan_in, fan_out) in enumerate(pairwise(widths), start=1):
        layers[f"fc{place}"] = nn.Linear(fan_in, fan_out)
        layers[f"relu{place}"] = nn.ReLU()
        if rate:
            layers[f"dropout{place}"] = nn.Dropout(rate)
    layers[f"fc{len(widths)}"] = nn.Linear(widths[-1], whole(name, "classes", classes))
    return nn.Sequential(layers)
