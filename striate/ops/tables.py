"""Which input each tap of each window reads, in the compressed form that the CPU kernels take.

A table over (positions, taps) of a large layer is as large as its weight. But windows far from a border
look alike: what is kept is where each window starts, which pattern of offsets it has, and the patterns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import ArrayLike, NDArray

Integers = NDArray[np.int32]

#: Entries of a table that are looked at together, so that little memory is needed beside it.
_AT_ONCE = 1 << 16
#: The most positions, or taps, that the tables can number.
LIMIT = 2**31 - 2


@dataclass(frozen=True, eq=False)
class WindowTables:
    """Tap t of position p reads input `base[p] + offsets[pattern[p], t]`, or a zero where the offset is -1.

    Attributes:
        inputs: L, input positions, all axes flattened.
        kernels: K, how many kernels there are.
        base, pattern: (P,) int32.
        offsets: (patterns, T) int32, at least -1.
        kernel: (P,) int32, the kernel of each position; None where position p has kernel p to itself.
    """

    inputs: int
    kernels: int
    base: Integers
    pattern: Integers
    offsets: Integers
    kernel: Integers | None

    @property
    def positions(self) -> int:
        """P, output positions, all axes flattened."""
        return len(self.base)

    @property
    def taps(self) -> int:
        """T, taps of a window, all axes flattened."""
        return int(self.offsets.shape[1])

    def full(self) -> NDArray[np.int64]:
        """The input that each tap reads, or -1: (P, T).

        >>> WindowTables.from_axes([4], [[[-1, 0], [0, 1], [2, 3]]]).full().tolist()
        [[-1, 0], [0, 1], [2, 3]]
        """
        offsets = self.offsets[self.pattern].astype(np.int64)
        return np.where(offsets < 0, -1, offsets + self.base[:, None])

    @staticmethod
    def from_axes(
        sizes: Sequence[int], axes: Sequence[ArrayLike], kernel: ArrayLike | None = None
    ) -> WindowTables:
        """The tables of a layer whose axes are independent of each other, as they are on a grid.

        Args:
            sizes: of the input, per axis.
            axes: per axis an integer array (output positions, taps): the input that each tap reads, or
                -1 for padding with zeros. A tap reads a zero where it does along any axis.
            kernel: the kernel of each output position, 0 to K - 1, in any shape; None: each its own.

        Raises ValueError or TypeError that name the argument, the value and what is expected.

        >>> tables = WindowTables.from_axes([2, 3], [[[0, 1]], [[0, 1], [1, 2]]])
        >>> tables.full().tolist(), tables.offsets.tolist()
        ([[0, 1, 3, 4], [1, 2, 4, 5]], [[0, 1, 3, 4]])
        """
        if len(sizes) != len(axes) or not sizes:
            raise ValueError(
                f"axes: {len(axes)} tables for the {len(sizes)} axes of sizes={list(sizes)}"
            )
        inputs = _count("sizes", sizes)
        arrays = [
            _checked(f"axes[{i}]", table, size)
            for i, (size, table) in enumerate(zip(sizes, axes, strict=True))
        ]
        _count("output positions of axes", [len(table) for table in arrays])
        _count("taps of axes", [table.shape[1] for table in arrays])
        base = pattern = np.zeros(1, np.int64)
        offsets, inside = np.zeros((1, 1), np.int64), np.ones((1, 1), bool)
        for size, table in zip(sizes, arrays, strict=True):
            start, row, rows = _patterns(table)
            base = np.add.outer(base * size, start).reshape(-1)
            pattern = np.add.outer(pattern * len(rows), row).reshape(-1)
            offsets = _outer(np.add, offsets * size, np.maximum(rows, 0))
            inside = _outer(np.logical_and, inside, rows >= 0)
        return _made(inputs, base, pattern, np.where(inside, offsets, -1), kernel)

    @staticmethod
    def from_table(inputs: int, table: ArrayLike, kernel: ArrayLike | None = None) -> WindowTables:
        """The tables of any layer: `table` (P, T) names the input that each tap reads, or -1.

        >>> WindowTables.from_table(5, [[4, 0], [3, 4], [2, 3]]).offsets.tolist()
        [[0, 1], [4, 0]]
        """
        array = _checked("table", table, _count("inputs", [inputs]))
        base, pattern, offsets = _patterns(array)
        return _made(inputs, base, pattern, offsets, kernel)


def _count(name: str, sizes: Sequence[int]) -> int:
    count = prod(sizes)
    if not 1 <= count <= LIMIT or min(sizes) < 1:
        raise ValueError(f"{name}={list(sizes)}: expected a product from 1 to {LIMIT:,}")
    return count


def _checked(name: str, table: ArrayLike, size: int) -> NDArray[np.int64]:
    array = np.asarray(table)
    if array.ndim != 2 or not array.size:
        raise ValueError(
            f"{name} of shape {array.shape}: expected (positions, taps), none of them 0"
        )
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} of {array.dtype}: expected integers")
    low, high = int(array.min()), int(array.max())
    if low < -1 or high >= size:
        raise ValueError(f"{name}: entries from {low} to {high}: expected -1 to {size - 1}")
    return array.astype(np.int64, copy=False)


def _patterns(
    table: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """A table's first inputs (P,), its distinct rows (R, T) counted from there, and which is whose (P,)."""
    base = np.empty(len(table), np.int64)
    pattern = np.empty(len(table), np.int64)
    numbers: dict[bytes, int] = {}
    rows: list[NDArray[np.int64]] = []
    step = max(1, _AT_ONCE // table.shape[1])
    for start in range(0, len(table), step):
        part = table[start : start + step]
        inside = part >= 0
        low = np.where(inside, part, np.iinfo(np.int64).max).min(axis=1)
        low = np.where(inside.any(axis=1), low, 0)
        found, which = np.unique(
            np.where(inside, part - low[:, None], -1), axis=0, return_inverse=True
        )
        names = []
        for row in found:
            key = row.tobytes()
            if key not in numbers:
                numbers[key] = len(rows)
                rows.append(row)
            names.append(numbers[key])
        base[start : start + step] = low
        pattern[start : start + step] = np.asarray(names)[which.reshape(-1)]
    return base, pattern, np.stack(rows)


def _outer(operation: np.ufunc, left: NDArray, right: NDArray) -> NDArray:  # type: ignore[type-arg]
    """Every row of `left` with every row of `right`, every column with every column."""
    result = operation(left[:, None, :, None], right[None, :, None, :])
    return np.asarray(result.reshape(len(left) * len(right), -1))


def _made(
    inputs: int,
    base: NDArray[np.int64],
    pattern: NDArray[np.int64],
    offsets: NDArray[np.int64],
    kernel: ArrayLike | None,
) -> WindowTables:
    def narrow(array: NDArray[np.int64]) -> Integers:
        return np.ascontiguousarray(array, dtype=np.int32)

    if kernel is None:
        return WindowTables(inputs, len(base), narrow(base), narrow(pattern), narrow(offsets), None)
    names = np.asarray(kernel)
    if names.dtype.kind not in "iu":
        raise TypeError(f"kernel of {names.dtype}: expected integers")
    names = names.reshape(-1).astype(np.int64)
    if len(names) != len(base):
        raise ValueError(f"kernel: {len(names)} entries for {len(base)} output positions")
    if names.min() < 0 or names.max() > LIMIT:
        raise ValueError(
            f"kernel: entries from {names.min()} to {names.max()}: expected 0 to K - 1"
        )
    kernels = int(names.max()) + 1
    own = kernels == len(base) and bool((names == np.arange(kernels)).all())
    return WindowTables(
        inputs,
        kernels,
        narrow(base),
        narrow(pattern),
        narrow(offsets),
        None if own else narrow(names),
    )
