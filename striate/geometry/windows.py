"""The integers of windows along one axis: output sizes, paddings, taps inside, receptive fields.

Everything is per axis; a two-dimensional count is the product of its axes' counts. Positions are
0-based input indices; a window is the half-open range from its first to past its last tap.
Conventions are those of `torch.nn`: padding is a pair (low, high), and the window at output
position `o` starts at `o * stride - low`.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass


def integer(name: str, value: object, minimum: int = 1) -> int:
    """`value` as an int of at least `minimum`; anything with `__index__` but bool is accepted.

    Raises TypeError for what is no integer and ValueError below the minimum, naming the argument.

    >>> integer("stride", 2)
    2
    """
    if type(value) is int and value >= minimum:
        return value
    expected = f"{name}={shown(value)}: expected an integer >= {minimum}"
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(expected)
    try:
        number = operator.index(value)
    except TypeError:  # arrays and tensors have the method whether or not they are one integer
        raise TypeError(expected) from None
    if number < minimum:
        raise ValueError(expected)
    return number


def shown(value: object) -> str:
    """The value as it was written, on one line (arrays print on several), for errors' texts."""
    return " ".join(repr(value).split())


#: What the axes of a grid of one, two or three dimensions are called.
AXES = {1: ("positions",), 2: ("rows", "columns"), 3: ("planes", "rows", "columns")}
_COUNTS = {2: "two", 3: "three"}


def each_axis(axes: int, of: str) -> str:
    """How an argument with an entry for each axis is described, for errors' texts.

    >>> each_axis(2, "them")
    ' or two of them (rows, columns)'
    """
    return f" or {_COUNTS[axes]} of {of} ({', '.join(AXES[axes])})" if axes > 1 else ""


def per_axis(name: str, value: object, axes: int, minimum: int = 1) -> tuple[int, ...]:
    """`value` for every axis: an integer for all of them, or a sequence with one for each.

    Raises TypeError or ValueError that name the argument and the value.

    >>> per_axis("kernel_size", 3, 3), per_axis("kernel_size", (3, 5), 2)
    ((3, 3, 3), (3, 5))
    """
    expected = f"expected an integer >= {minimum}{each_axis(axes, 'them')}"
    entries = (value,) * axes
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        if len(value) != axes:
            raise ValueError(f"{name}={shown(value)}: {expected}, got {len(value)} entries")
        entries = tuple(value)
    try:
        return tuple(integer(name, entry, minimum) for entry in entries)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}={shown(value)}: {expected}") from None


def pair(name: str, value: object, minimum: int = 1) -> tuple[int, int]:
    """`per_axis` for two axes (rows, columns).

    >>> pair("kernel_size", 3), pair("kernel_size", (3, 5))
    ((3, 3), (3, 5))
    """
    rows, columns = per_axis(name, value, 2, minimum)
    return rows, columns


def span(kernel: int, dilation: int = 1) -> int:
    """Indices from the first to the last tap of a window, both included.

    >>> span(3, dilation=4)
    9
    """
    return dilation * (kernel - 1) + 1


def same_padding(kernel: int, dilation: int = 1) -> tuple[int, int]:
    """Padding (low, high) that keeps the size at stride 1; an odd total puts the extra one high, as
    `torch.nn.Conv2d(padding="same")` does.

    >>> same_padding(10)
    (4, 5)
    """
    total = dilation * (kernel - 1)
    return total // 2, total - total // 2


def output_size(
    size: int,
    kernel: int,
    stride: int = 1,
    padding: tuple[int, int] = (0, 0),
    dilation: int = 1,
    ceil_mode: bool = False,
) -> int:
    """Number of windows along an axis of `size` inputs, as the layers of `torch.nn` count them.

    With `ceil_mode` a last window may reach past the high padding, if it starts inside the input or
    the low padding. Raises ValueError that names the numbers when no window fits.

    >>> output_size(28, 5, stride=2, padding=(1, 1))
    13
    >>> output_size(4, 5)
    Traceback (most recent call last):
    ValueError: a window of 5 does not fit 4 inputs
    """
    room = size + padding[0] + padding[1]
    reach = span(kernel, dilation)
    if reach > room:
        padded = f" + {padding[0]} + {padding[1]} of padding" if padding != (0, 0) else ""
        raise ValueError(f"a window of {reach} does not fit {size} inputs{padded}")
    if not ceil_mode:
        return (room - reach) // stride + 1
    outputs = -((reach - room) // stride) + 1
    # A window that would start in the high padding sees no input and is not counted.
    return outputs - 1 if (outputs - 1) * stride >= size + padding[0] else outputs


def padding_sources(size: int, padding: tuple[int, int], mode: str) -> tuple[int, ...]:
    """The input index that stands at each place of a padded axis; -1 is a zero.

    The modes are those of `torch.nn`: "zeros", "reflect" (mirrored at the outermost inputs, which
    are not repeated), "replicate" (the outermost input again) and "circular".

    >>> padding_sources(4, (2, 1), "reflect"), padding_sources(4, (2, 1), "circular")
    ((2, 1, 0, 1, 2, 3, 2), (2, 3, 0, 1, 2, 3, 0))
    """
    places = range(-padding[0], size + padding[1])
    if mode == "zeros":
        return tuple(place if 0 <= place < size else -1 for place in places)
    if mode == "replicate":
        return tuple(min(max(place, 0), size - 1) for place in places)
    if mode == "circular":
        return tuple(place % size for place in places)
    mirrored = (abs(place) for place in places)
    return tuple(min(place, 2 * (size - 1) - place) for place in mirrored)


def window(
    position: int,
    kernel: int,
    stride: int = 1,
    padding: tuple[int, int] = (0, 0),
    dilation: int = 1,
    size: int | None = None,
) -> tuple[int, int]:
    """Input indices (start, stop) that the window at an output position spans.

    They lie outside the input where the window meets padding; with `size` they are cut to [0, size)
    (an empty window has start == stop).

    >>> window(0, 3, padding=(1, 1)), window(0, 3, padding=(1, 1), size=8)
    ((-1, 2), (0, 2))
    """
    start = position * stride - padding[0]
    stop = start + span(kernel, dilation)
    if size is None:
        return start, stop
    return min(max(start, 0), size), min(max(stop, 0), size)


def taps_inside(
    size: int,
    kernel: int,
    stride: int = 1,
    padding: tuple[int, int] = (0, 0),
    dilation: int = 1,
    outputs: int | None = None,
) -> int:
    """Taps of all windows along an axis that fall on the input rather than on padding.

    `outputs` is the number of windows (default: `output_size` of the other arguments). O(kernel).

    >>> taps_inside(3, 3, padding=(1, 1))  # 2 + 3 + 2
    7
    """
    if outputs is None:
        outputs = output_size(size, kernel, stride, padding, dilation)
    total = 0
    for tap in range(kernel):
        # The window at o reads index o * stride + first; count the o for which it is in [0, size).
        first = tap * dilation - padding[0]
        lowest = max(0, -(first // stride))
        highest = min(outputs - 1, (size - 1 - first) // stride)
        total += max(0, highest - lowest + 1)
    return total


def adaptive_windows(size: int, outputs: int) -> tuple[tuple[int, int], ...]:
    """The windows (start, stop) of adaptive pooling, which differ by one in length and may overlap.

    >>> adaptive_windows(5, 2)
    ((0, 3), (2, 5))
    """
    integer("size", size)
    integer("outputs", outputs)
    return tuple(
        (position * size // outputs, -(-(position + 1) * size // outputs))
        for position in range(outputs)
    )


def block_count(outputs: int, share: int) -> int:
    """Blocks of `share` adjacent positions along an axis of `outputs`; the last may be smaller.

    >>> block_count(8, 3)
    3
    """
    return -(-outputs // share)


@dataclass(frozen=True)
class ReceptiveField:
    """What a unit sees of the network's input, along one axis, in input indices.

    `size` is the extent of a unit's field, `stride` the distance between the fields of neighbouring
    units, `centre` the middle of the first unit's field (a half-integer for even sizes; padding
    makes it smaller). `ReceptiveField()` is the input itself. The composition rule is that of
    Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural Networks",
    Distill 2019.

    >>> ReceptiveField().through(3, stride=2, padding=(1, 1)).through(3)
    ReceptiveField(size=7, stride=2, centre=2.0)
    """

    size: int = 1
    stride: int = 1
    centre: float = 0.0

    def through(
        self,
        kernel: int,
        stride: int = 1,
        padding: tuple[int, int] = (0, 0),
        dilation: int = 1,
    ) -> ReceptiveField:
        """The field of a unit of a windowed layer whose input units have this field."""
        reach = dilation * (kernel - 1)
        return ReceptiveField(
            size=self.size + reach * self.stride,
            stride=self.stride * stride,
            centre=self.centre + (reach / 2 - padding[0]) * self.stride,
        )

    def window(self, position: int) -> tuple[int, int]:
        """Input indices (start, stop) that the unit at `position` sees, padding not cut off."""
        middle = self.centre + position * self.stride
        start = round(middle - (self.size - 1) / 2)
        return start, start + self.size
