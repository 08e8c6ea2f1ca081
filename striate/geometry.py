"""The integers of windows on a grid: output sizes, paddings, taps inside, receptive fields.

Everything is per axis; a two-dimensional count is the product of its axes' counts. Positions are
0-based input indices; a window is the half-open range from its first to past its last tap.
Conventions are those of `torch.nn`: padding is a pair (low, high), and the window at output
position `o` starts at `o * stride - low`.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "LocalGrid",
    "ReceptiveField",
    "adaptive_windows",
    "block_count",
    "integer",
    "local_grid",
    "output_size",
    "pair",
    "same_padding",
    "span",
    "taps_inside",
    "window",
]


def integer(name: str, value: object, minimum: int = 1) -> int:
    """`value` as an int of at least `minimum`; anything with `__index__` but bool is accepted.

    Raises TypeError for what is no integer and ValueError below the minimum, naming the argument.

    >>> integer("stride", 2)
    2
    """
    expected = f"{name}={_shown(value)}: expected an integer >= {minimum}"
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(expected)
    try:
        number = operator.index(value)
    except TypeError:  # arrays and tensors have the method whether or not they are one integer
        raise TypeError(expected) from None
    if number < minimum:
        raise ValueError(expected)
    return number


def _shown(value: object) -> str:
    """The value as it was written, on one line (arrays print on several)."""
    return " ".join(repr(value).split())


def pair(name: str, value: object, minimum: int = 1) -> tuple[int, int]:
    """`value` for both axes (rows, columns): an integer for both, or a sequence of two integers.

    Raises TypeError or ValueError that name the argument and the value.

    >>> pair("kernel_size", 3), pair("kernel_size", (3, 5))
    ((3, 3), (3, 5))
    """
    expected = f"expected an integer >= {minimum} or two of them (rows, columns)"
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        if len(value) != 2:
            raise ValueError(f"{name}={_shown(value)}: {expected}, got {len(value)} entries")
        entries = tuple(value)
    else:
        entries = (value, value)
    try:
        rows, columns = (integer(name, entry, minimum) for entry in entries)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}={_shown(value)}: {expected}") from None
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


@dataclass(frozen=True)
class LocalGrid:
    """The windows of a two-dimensional local layer and who shares a kernel: (rows, columns) each.

    `padding` is ((top, bottom), (left, right)); `share` is the block of adjacent output positions
    that use one kernel, cut to `output_size`; `blocks` is the number of kernels along each axis.
    """

    input_size: tuple[int, int]
    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]
    dilation: tuple[int, int]
    output_size: tuple[int, int]
    share: tuple[int, int]
    blocks: tuple[int, int]

    @property
    def taps_inside(self) -> int:
        """Taps of all windows that fall on the input, for one input and one output channel."""
        rows, columns = (
            taps_inside(size, kernel, stride, padding, dilation, outputs)
            for size, kernel, stride, padding, dilation, outputs in zip(
                self.input_size,
                self.kernel_size,
                self.stride,
                self.padding,
                self.dilation,
                self.output_size,
                strict=True,
            )
        )
        return rows * columns


def local_grid(
    input_size: object,
    kernel_size: object,
    stride: object = 1,
    padding: object = 0,
    dilation: object = 1,
    share: object = 1,
) -> LocalGrid:
    """The grid of a local layer from arguments as `striate.nn.LocallyConnected2d` takes them.

    Raises TypeError or ValueError that name the argument, its value and what to give instead.

    >>> grid = local_grid((28, 28), 5, padding="same", share=(4, "all"))
    >>> grid.output_size, grid.share, grid.blocks
    ((28, 28), (4, 28), (7, 1))
    """
    size = pair("input_size", input_size)
    kernel = pair("kernel_size", kernel_size)
    steps = pair("stride", stride)
    gaps = pair("dilation", dilation)
    pads = _paddings(padding, kernel, steps, gaps)
    for axis, unit in enumerate(("rows", "columns")):
        reach, room = span(kernel[axis], gaps[axis]), size[axis] + sum(pads[axis])
        if reach > room:
            needed = max(
                -((s - span(k, d)) // 2) for s, k, d in zip(size, kernel, gaps, strict=True)
            )
            dilated = gaps != (1, 1)
            raise ValueError(
                f"kernel_size={kernel}{f' with dilation={gaps}' if dilated else ''} does not fit "
                f"input_size={size} with padding={padding!r}: a window of {reach} {unit} on {room}; "
                f"use padding >= {needed}{', a smaller dilation' if dilated else ''} "
                "or a smaller kernel_size"
            )
    rows, columns = (
        output_size(size[axis], kernel[axis], steps[axis], pads[axis], gaps[axis])
        for axis in (0, 1)
    )
    shares = _shares(share, (rows, columns))
    blocks = (block_count(rows, shares[0]), block_count(columns, shares[1]))
    return LocalGrid(size, kernel, steps, pads, gaps, (rows, columns), shares, blocks)


def _paddings(
    value: object, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    if isinstance(value, str):
        if value == "valid":
            return (0, 0), (0, 0)
        if value != "same":
            raise ValueError(f"padding={value!r}: expected an integer, two, 'same' or 'valid'")
        if stride != (1, 1):
            raise ValueError(
                f"padding='same' with stride={stride}: 'same' keeps the size only at stride 1; "
                "give padding as a number"
            )
        return same_padding(kernel[0], dilation[0]), same_padding(kernel[1], dilation[1])
    rows, columns = pair("padding", value, minimum=0)
    return (rows, rows), (columns, columns)


def _shares(value: object, outputs: tuple[int, int]) -> tuple[int, int]:
    expected = "expected an integer >= 1, 'all', or two of these (rows, columns)"
    entries = (value, value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        if len(value) != 2:
            raise ValueError(f"share={_shown(value)}: {expected}, got {len(value)} entries")
        entries = (value[0], value[1])
    sizes = []
    for entry, output in zip(entries, outputs, strict=True):
        if isinstance(entry, str) and entry != "all":
            raise ValueError(f"share={_shown(value)}: {expected}")
        try:
            sizes.append(output if isinstance(entry, str) else min(integer("share", entry), output))
        except (TypeError, ValueError) as error:
            raise type(error)(f"share={_shown(value)}: {expected}") from None
    return sizes[0], sizes[1]
