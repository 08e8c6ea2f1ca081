"""A local layer as integer tables: every backend can treat all dimensions, maps and paddings alike.

Positions are numbered row by row (the last axis fastest), and so are a window's taps.
"""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from striate.geometry.grid import LocalGrid
from striate.geometry.windows import padding_sources


def kernel_of_position(grid: LocalGrid) -> NDArray[np.int64]:
    """The number of each output position's kernel: (positions,), numbers below `grid.kernels`.

    Kernels are numbered as a weight's first axes hold them.

    >>> from striate.geometry import local_grid
    >>> kernel_of_position(local_grid(5, 2, share=3, axes=1)).tolist()
    [0, 0, 0, 1]
    """
    if grid.sharing is not None:
        return grid.sharing.array.reshape(-1).astype(np.int64)
    along = [
        np.arange(count) // block for count, block in zip(grid.output_size, grid.share, strict=True)
    ]
    numbers = np.ravel_multi_index(np.ix_(*along), grid.blocks)
    return np.asarray(numbers, dtype=np.int64).reshape(-1)


def tap_sources(grid: LocalGrid, axis: int) -> NDArray[np.int64]:
    """Along one axis, the input index that each tap reads: (outputs, kernel), not to be written to; -1 is a zero.

    >>> from striate.geometry import local_grid
    >>> tap_sources(local_grid(3, 3, padding=1, axes=1), 0).tolist()
    [[-1, 0, 1], [0, 1, 2], [1, 2, -1]]
    """
    padded = np.asarray(
        padding_sources(grid.input_size[axis], grid.padding[axis], grid.padding_mode[axis]),
        dtype=np.int64,
    )
    # A view: a long axis with many taps would be a large table.
    span = (grid.kernel_size[axis] - 1) * grid.dilation[axis] + 1
    windows = np.lib.stride_tricks.sliding_window_view(padded, span)
    return windows[:: grid.stride[axis], :: grid.dilation[axis]][: grid.output_size[axis]]


def input_of_tap(grid: LocalGrid) -> NDArray[np.int64]:
    """The input position that each tap of each window reads: (positions, taps); -1 is a zero.

    It takes 8 bytes a tap; `tap_sources` is the same, axis by axis, and small.

    >>> from striate.geometry import local_grid
    >>> input_of_tap(local_grid(3, 2)).tolist()
    [[0, 1, 3, 4], [1, 2, 4, 5], [3, 4, 6, 7], [4, 5, 7, 8]]
    """
    axes = grid.axes
    position = np.zeros((1,) * (2 * axes), dtype=np.int64)
    zero = np.zeros((1,) * (2 * axes), dtype=bool)
    for axis in range(axes):
        shape = [1] * (2 * axes)
        shape[axis], shape[axes + axis] = grid.output_size[axis], grid.kernel_size[axis]
        along = tap_sources(grid, axis).reshape(shape)
        position = position * grid.input_size[axis] + along
        zero = zero | (along < 0)
    table = np.where(zero, -1, position)
    return table.reshape(prod(grid.output_size), prod(grid.kernel_size))
