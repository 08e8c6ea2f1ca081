"""The field's standard example, for any size: how many weights each of the three ideas leaves.

Every unit of a layer wired to every pixel; a window a unit; units that share kernels; units pooled. The numbers are
exact integers. Connections are nominal: they count the taps that fall on padding, as the example does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import NamedTuple

from striate.geometry.windows import (
    block_count,
    integer,
    output_size,
    pair,
    same_padding,
    shown,
    taps_inside,
)

#: The most rows or columns of an image, and the most that any step can be.
MOST_SIDE = 100_000
#: The most rows (and columns) of a window.
MOST_KERNEL = 1_000
#: Outputs of the dense layer by which the units after and before the pooling are compared.
CLASSES = 10
#: Of a float32.
WEIGHT_BYTES = 4
#: What a SATA solid-state disk reads in a second.
READ_SPEED = 500_000_000

_PADDINGS = ("same", "valid")
_POOLINGS = ("max", "average")
_SHARE = re.compile(r"(?P<kind>own|all|(?:block|tile)(?=-))(?:-(?P<step>[0-9]{1,7}))?")


class SettingError(ValueError):
    """A field of a `Setting` is wrong: its `name`, and what is `expected` of it."""

    def __init__(self, name: str, value: object, expected: str) -> None:
        super().__init__(f"{name}={shown(value)}: {expected}")
        self.name = name
        self.expected = expected


class Sharing(NamedTuple):
    """Who shares a kernel: kind "own", "all", "block" or "tile"; `step` is 1 where it says nothing."""

    kind: str
    step: int = 1


@dataclass(frozen=True)
class Setting:
    """An image, a window for each unit, who shares a kernel, a pooling; the default is the field's example.

    Args:
        size: (rows, columns) of the image, or one integer for both; 1 to 100,000 each.
        kernel: Rows and columns of a window, at most 1,000, and at most what the image has.
        stride: Pixels from a window to the next.
        padding: "same" puts kernel - 1 zeros around each axis, the odd one high, at any stride; "valid" puts none.
        share: "own": each unit has a kernel; "block-4": so have 4×4 adjacent units; "tile-3": units 3 steps apart
            have the same, 3×3 kernels in all; "all": there is one.
        pool: Rows and columns of a pooling window, at most what there is of units.
        pool_stride: Units from a pooling window to the next.
        pool_kind: "max" or "average".

    Raises TypeError where an integer is none and `SettingError`, a ValueError, where a value is out of range.

    >>> Setting(size=64, kernel=5).size
    (64, 64)
    >>> Setting(size=8, kernel=9)
    Traceback (most recent call last):
    striate.geometry.three_ideas.SettingError: kernel=9: expected an integer from 1 to 8, as the image has 8×8 pixels
    """

    size: tuple[int, int] = (1000, 1000)
    kernel: int = 10
    stride: int = 1
    padding: str = "same"
    share: str = "all"
    pool: int = 2
    pool_stride: int = 2
    pool_kind: str = "max"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", _size(self.size))
        image = f", as the image has {self.size[0]}×{self.size[1]} pixels"
        smaller = min(self.size)
        self._whole("kernel", *((smaller, image) if smaller < MOST_KERNEL else (MOST_KERNEL, "")))
        self._whole("stride", MOST_SIDE)
        self._one_of("padding", _PADDINGS)
        _sharing(self.share)
        units = self.outputs
        there = f", as there are {units[0]}×{units[1]} units"
        self._whole("pool", min(units), there)
        self._whole("pool_stride", MOST_SIDE)
        self._one_of("pool_kind", _POOLINGS)

    def _whole(self, name: str, most: int, why: str = "") -> None:
        value = getattr(self, name)
        try:
            number = integer(name, value)
        except ValueError:
            number = 0
        if not 1 <= number <= most:
            raise SettingError(name, value, f"expected an integer from 1 to {most:,}{why}")
        object.__setattr__(self, name, number)

    def _one_of(self, name: str, words: tuple[str, ...]) -> None:
        value = getattr(self, name)
        if value not in words:
            raise SettingError(name, value, f"expected {' or '.join(map(repr, words))}")

    @property
    def sharing(self) -> Sharing:
        """`share`, read.

        >>> Setting(share="tile-3").sharing
        Sharing(kind='tile', step=3)
        """
        return _sharing(self.share)

    @property
    def pads(self) -> tuple[int, int]:
        """Zeros (low, high) along each axis.

        >>> Setting(kernel=10).pads, Setting(padding="valid").pads
        ((4, 5), (0, 0))
        """
        return same_padding(self.kernel) if self.padding == "same" else (0, 0)

    @property
    def outputs(self) -> tuple[int, int]:
        """(rows, columns) of units.

        >>> Setting(stride=3).outputs, Setting(padding="valid").outputs
        ((334, 334), (991, 991))
        """
        rows, columns = (
            output_size(side, self.kernel, self.stride, self.pads) for side in self.size
        )
        return rows, columns


@dataclass(frozen=True)
class ThreeIdeas:
    """The account of a `Setting`: what each idea leaves.

    `outputs` and `pooled_outputs` are (rows, columns). `dense` counts the weights between every pixel and every unit,
    `connections` those where each unit has a window of its own, `connections_inside` those of them that read a pixel
    rather than padding; `weights` is `kernels` of the window's size. `head` and `pooled_head` are the weights of a
    dense layer to 10 classes from all units, and from the pooled ones.
    """

    setting: Setting
    pixels: int
    outputs: tuple[int, int]
    units: int
    dense: int
    connections: int
    connections_inside: int
    kernels: int
    weights: int
    pooled_outputs: tuple[int, int]
    pooled_units: int
    head: int
    pooled_head: int

    @property
    def connections_outside(self) -> int:
        """Taps that fall on padding."""
        return self.connections - self.connections_inside

    @property
    def locality(self) -> Fraction:
        """By how much windows divide the dense layer's weights."""
        return Fraction(self.dense, self.connections)

    @property
    def sharing(self) -> Fraction:
        """By how much sharing divides the connections' weights."""
        return Fraction(self.connections, self.weights)

    @property
    def pooling(self) -> Fraction:
        """By how much pooling divides the units, and so the weights of a dense layer downstream."""
        return Fraction(self.units, self.pooled_units)


def three_ideas(setting: Setting) -> ThreeIdeas:
    """The account of a setting, in exact integers.

    >>> example = three_ideas(Setting())
    >>> example.dense, example.connections, example.weights
    (1000000000000, 100000000, 100)
    >>> example.locality, example.sharing, example.pooling  # not a thousandth: 1/10,000
    (Fraction(10000, 1), Fraction(1000000, 1), Fraction(4, 1))
    >>> three_ideas(Setting(share="block-4")).kernels
    62500
    """
    pixels, units = prod(setting.size), prod(setting.outputs)
    taps = setting.kernel**2
    inside = prod(
        taps_inside(side, setting.kernel, setting.stride, setting.pads) for side in setting.size
    )
    kernels = prod(_kernels(count, setting.sharing) for count in setting.outputs)
    rows, columns = (
        output_size(count, setting.pool, setting.pool_stride) for count in setting.outputs
    )
    return ThreeIdeas(
        setting=setting,
        pixels=pixels,
        outputs=setting.outputs,
        units=units,
        dense=units * pixels,
        connections=units * taps,
        connections_inside=inside,
        kernels=kernels,
        weights=kernels * taps,
        pooled_outputs=(rows, columns),
        pooled_units=rows * columns,
        head=CLASSES * units,
        pooled_head=CLASSES * rows * columns,
    )


def weight_bytes(weights: int) -> int:
    """Bytes of so many weights in float32.

    >>> weight_bytes(10**12)
    4000000000000
    """
    return WEIGHT_BYTES * weights


def seconds_to_read(weights: int) -> Fraction:
    """Seconds that a SATA solid-state disk, 500 MB/s, takes to read so many weights in float32.

    >>> seconds_to_read(10**12)
    Fraction(8000, 1)
    """
    return Fraction(weight_bytes(weights), READ_SPEED)


def _size(value: object) -> tuple[int, int]:
    expected = f"expected rows and columns, integers from 1 to {MOST_SIDE:,}"
    try:
        size = pair("size", value)
    except ValueError:
        raise SettingError("size", value, expected) from None
    if max(size) > MOST_SIDE:
        raise SettingError("size", value, expected)
    return size


def _sharing(value: object) -> Sharing:
    found = _SHARE.fullmatch(value) if isinstance(value, str) else None
    if found is not None:
        kind, step = found["kind"], found["step"]
        if step is None:
            return Sharing(kind)
        if kind in ("block", "tile") and 1 <= int(step) <= MOST_SIDE:
            return Sharing(kind, int(step))
    raise SettingError(
        "share", value, f"expected own, all, block-N or tile-N with N from 1 to {MOST_SIDE:,}"
    )


def _kernels(outputs: int, sharing: Sharing) -> int:
    """Kernels along an axis of so many units."""
    if sharing.kind == "tile":
        return min(sharing.step, outputs)
    return block_count(outputs, outputs if sharing.kind == "all" else sharing.step)
