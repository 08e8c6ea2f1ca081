"""LeNet-5 (LeCun et al. 1998) in its present-day form: ReLU and max pooling, every map connected."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from striate.sources.zoo.checks import image_shape, whole


def build(shape: Sequence[int] = (1, 28, 28), classes: int = 10) -> nn.Module:
    """Two 5x5 convolutions with pooling, then 120, 84 and `classes` units.

    Takes `(N, channels, rows, columns)` and gives logits `(N, classes)`. The first convolution pads by 2, which
    turns the paper's 32x32 input into 28x28. 61,706 weights on 28x28.

    >>> sum(p.numel() for p in build().parameters())
    61706
    """
    name = "zoo:lenet5"
    channels, rows, columns = image_shape(name, shape, least=12)
    outputs = whole(name, "classes", classes)
    after = [(size // 2 - 4) // 2 for size in (rows, columns)]
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 6, 5, padding=2),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(6, 16, 5),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(16 * after[0] * after[1], 120),
            relu3=nn.ReLU(),
            fc2=nn.Linear(120, 84),
            relu4=nn.ReLU(),
            fc3=nn.Linear(84, outputs),
        )
    )
