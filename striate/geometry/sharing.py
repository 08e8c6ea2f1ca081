"""Who shares a kernel: blocks of adjacent positions, or a map that names each position's kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.geometry.windows import each_axis, integer, shown


@dataclass(frozen=True)
class SharingMap:
    """The kernel of each output position, as numbers 0 to `kernels` - 1 that are all used.

    A value: two maps with the same numbers are equal. `numbers` holds them as int64, row by row.

    >>> bands = SharingMap.of([[0, 0, 0], [1, 1, 1]])
    >>> bands.kernels, bands.array.shape
    (2, (2, 3))
    """

    shape: tuple[int, ...]
    kernels: int
    numbers: bytes

    @classmethod
    def of(cls, value: Any) -> SharingMap:
        """The map that an integer array (numpy, torch, nested lists) over output positions states.

        Raises TypeError where it holds no integers and ValueError where kernels are left out.
        """
        if isinstance(value, SharingMap):
            return value
        # Tensors on other devices come over; their kind is not imported here.
        array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
        if array.dtype.kind not in "iu":
            raise TypeError(
                f"share: a sharing map of {array.dtype}: expected integers, "
                "the number of each output position's kernel"
            )
        if not array.size:
            raise ValueError(f"share: a sharing map of shape {array.shape}: expected positions")
        low, high = int(array.min()), int(array.max())
        wrong = None
        if low < 0:
            wrong = f"the number {low}"
        elif high >= array.size:
            wrong = f"the number {high} on {array.size} positions"
        elif (unused := np.flatnonzero(np.bincount(array.ravel()) == 0)).size:
            wrong = f"numbers up to {high} but no position of kernel {unused[0]}"
        if wrong is not None:
            raise ValueError(
                f"share: a sharing map with {wrong}: expected kernel numbers 0 to K - 1, all used; "
                "numpy.unique(map, return_inverse=True)[1] numbers them so"
            )
        exact = np.ascontiguousarray(array, dtype="<i8")
        return cls(tuple(array.shape), high + 1, exact.tobytes())

    @property
    def array(self) -> NDArray[np.int64]:
        """The kernel numbers, int64 in the shape of the output positions; read-only."""
        return np.frombuffer(self.numbers, dtype="<i8").reshape(self.shape)

    def __repr__(self) -> str:
        size = "×".join(map(str, self.shape))
        return f"SharingMap({size} positions, {self.kernels} kernels)"


def is_map(value: object) -> bool:
    """Whether a `share` argument is meant as a sharing map: one, or an array with axes."""
    if isinstance(value, SharingMap):
        return True
    # Arrays and tensors; numpy's own integers have the protocol too, but no axes.
    return hasattr(value, "__array__") and bool(getattr(value, "ndim", 0))


def shares(value: object, outputs: tuple[int, ...]) -> tuple[int, ...] | SharingMap:
    """The block of positions along each axis, at most the output size, or the map.

    >>> shares((4, "all"), (28, 28))
    (4, 28)
    """
    axes = len(outputs)
    if is_map(value):
        sharing = SharingMap.of(value)
        if sharing.shape != outputs:
            raise ValueError(
                f"share: a sharing map of shape {sharing.shape}: expected {outputs}, "
                "one kernel number for each output position"
            )
        return sharing
    expected = (
        f"expected an integer >= 1, 'all',{each_axis(axes, 'these')} "
        "or an integer array over output positions (a sharing map)"
    )
    entries = (value,) * axes
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        if len(value) != axes:
            raise ValueError(f"share={shown(value)}: {expected}, got {len(value)} entries")
        entries = tuple(value)
    sizes = []
    for entry, output in zip(entries, outputs, strict=True):
        if isinstance(entry, str) and entry != "all":
            raise ValueError(f"share={shown(value)}: {expected}")
        try:
            sizes.append(output if isinstance(entry, str) else min(integer("share", entry), output))
        except (TypeError, ValueError) as error:
            raise type(error)(f"share={shown(value)}: {expected}") from None
    return tuple(sizes)
