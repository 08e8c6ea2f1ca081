"""Random grids of local layers, and what they compute, written as a loop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from hypothesis import assume
from hypothesis import strategies as st
from torch import Tensor

from striate.geometry import (
    PADDING_MODES,
    LocalGrid,
    SharingMap,
    input_of_tap,
    kernel_of_position,
    local_grid,
    transposed_grid,
)

MODES = PADDING_MODES
#: The largest input and kernel along an axis, by the number of axes.
_LARGEST = {1: (12, 5), 2: (7, 3), 3: (4, 2)}


def each(axes: int, low: int, high: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.tuples(*[st.integers(low, high)] * axes)


@st.composite
def grids(
    draw: st.DrawFn,
    axes: st.SearchStrategy[int] | None = None,
    modes: tuple[str, ...] = MODES,
    maps: bool = True,
    largest: tuple[int, int] | None = None,
) -> LocalGrid:
    count = draw(st.integers(1, 3) if axes is None else axes)
    size, kernel = largest or _LARGEST[count]
    padding: object = draw(each(count, 0, 2))
    stride: object = draw(each(count, 1, 3))
    if draw(st.booleans()):
        padding, stride = "same", 1
    try:
        grid = local_grid(
            draw(each(count, 1, size)),
            draw(each(count, 1, kernel)),
            stride,
            padding,
            draw(each(count, 1, 2)),
            draw(shares(count)),
            padding_mode=draw(st.tuples(*[st.sampled_from(modes)] * count)),
            axes=count,
        )
    except ValueError:
        assume(False)
        raise
    return draw(with_map(grid)) if maps and draw(st.booleans()) else grid


def shares(axes: int) -> st.SearchStrategy[Any]:
    entry = st.one_of(st.just("all"), st.integers(1, 5))
    return st.one_of(entry, st.tuples(*[entry] * axes))


@st.composite
def with_map(draw: st.DrawFn, grid: LocalGrid) -> LocalGrid:
    """The grid with a sharing map in place of its blocks."""
    positions = int(np.prod(grid.output_size))
    kernels = draw(st.integers(1, min(6, positions)))
    numbers = draw(st.lists(st.integers(0, kernels - 1), min_size=positions, max_size=positions))
    _, used = np.unique(np.array(numbers), return_inverse=True)
    sharing = SharingMap.of(used.reshape(grid.output_size))
    ones = (1,) * grid.axes
    return replace(grid, share=ones, blocks=(sharing.kernels,), sharing=sharing)


@st.composite
def transposed_grids(draw: st.DrawFn, axes: st.SearchStrategy[int] | None = None) -> LocalGrid:
    count = draw(st.integers(1, 3) if axes is None else axes)
    size, kernel = _LARGEST[count]
    stride, dilation = draw(each(count, 1, 3)), draw(each(count, 1, 3))
    extra = tuple(
        draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True)
    )
    try:
        grid = transposed_grid(
            draw(each(count, 1, size - 1)),
            draw(each(count, 1, kernel)),
            stride,
            draw(each(count, 0, 2)),
            extra,
            dilation,
            draw(shares(count)),
            axes=count,
        )
    except ValueError:
        assume(False)
        raise
    return draw(with_map(grid)) if draw(st.booleans()) else grid


def share_of(grid: LocalGrid) -> Any:
    """What makes a layer with this grid's kernels."""
    return grid.share if grid.sharing is None else grid.sharing


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def loop(
    input: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, grid: LocalGrid, groups: int
) -> np.ndarray:
    """The local connection in float64, unit by unit and tap by tap, straight from the tables."""
    batch, channels = input.shape[:2]
    per = channels // groups
    lead = len(grid.blocks)
    outputs = weight.shape[lead]
    kernels = weight.reshape(grid.kernels, outputs, per, -1)
    flat = input.reshape(batch, channels, -1)
    numbers, taps = kernel_of_position(grid), input_of_tap(grid)
    out = np.zeros((batch, outputs, len(numbers)))
    offsets = None if bias is None or bias.ndim == 1 else bias.reshape(grid.kernels, outputs)
    for position, kernel in enumerate(numbers):
        for o in range(outputs):
            first = o // (outputs // groups) * per
            for tap, source in enumerate(taps[position]):
                for c in range(per):
                    if source >= 0:
                        out[:, o, position] += (
                            kernels[kernel, o, c, tap] * flat[:, first + c, source]
                        )
            if bias is not None:
                out[:, o, position] += bias[o] if offsets is None else offsets[kernel, o]
    return out.reshape(batch, outputs, *grid.output_size)
