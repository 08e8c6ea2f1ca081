"""The network of the field's standard example: one kernel over an image, then a pooling.

An image of 1000x1000 and as many hidden units are 10^12 weights fully connected, 10^8 with a 10x10
window a unit, 100 with one kernel for all units.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from striate.errors import RequestError
from striate.nn import LocallyConnected2d
from striate.sources.zoo.checks import whole


def build(size: int | str = "1000x1000", kernel: int = 10, pool: int = 2) -> nn.Sequential:
    """One `LocallyConnected2d` that shares its kernel everywhere, then a `MaxPool2d`.

    `size` is the image's HEIGHTxWIDTH, or one number for both; input (N, 1, H, W).

    >>> build(size="8x6", kernel=3)[0].input_size
    (8, 6)
    """
    height, width = image_size(size)
    for name, value in (("kernel", kernel), ("pool", pool)):
        whole("zoo:article", name, value)
    if pool > min(height, width):
        raise RequestError(
            f"zoo:article: pool={pool} does not fit an image of {height}x{width}; use a smaller pool"
        )
    local = LocallyConnected2d(
        1,
        1,
        kernel_size=kernel,
        input_size=(height, width),
        share="all",
        padding="same",
        bias=False,
    )
    return nn.Sequential(OrderedDict(local=local, pool=nn.MaxPool2d(pool)))


def image_size(size: int | str) -> tuple[int, int]:
    """(height, width) of a size such as "1000x1000" or 1000."""
    texts = str(size).lower().split("x")
    sides = texts * 2 if len(texts) == 1 else texts
    if isinstance(size, bool) or len(sides) != 2 or not all(side.isdecimal() for side in sides):
        raise RequestError(
            f"zoo:article: size={size!r}: expected HEIGHTxWIDTH, for example 1000x1000"
        )
    height, width = (int(side) for side in sides)
    if height < 1 or width < 1:
        raise RequestError(f"zoo:article: size={size!r}: sides must be at least 1")
    return height, width


def input_shape(size: int | str = "1000x1000", **_: object) -> tuple[int, int, int]:
    """The shape of one example, without the batch, for the same arguments as `build`.

    >>> input_shape(size=8)
    (1, 8, 8)
    """
    return (1, *image_size(size))
