"""The grids of local layers and their tables: against the definition, position by position."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from striate import geometry
from striate.geometry import (
    LocalGrid,
    SharingMap,
    input_of_tap,
    kernel_of_position,
    local_grid,
    padding_sources,
    tap_sources,
    transposed_grid,
)
from tests.grids import MODES, grids


@given(grids())
def test_tables_say_what_each_tap_reads_and_whose_kernel_it_is(grid: LocalGrid) -> None:
    kernels, taps = kernel_of_position(grid), input_of_tap(grid)
    assert kernels.shape == (prod(grid.output_size),)
    assert taps.shape == (len(kernels), prod(grid.kernel_size))
    assert set(kernels.tolist()) == set(range(grid.kernels))
    along = [
        padding_sources(*of)
        for of in zip(grid.input_size, grid.padding, grid.padding_mode, strict=True)
    ]
    for number, position in enumerate(product(*map(range, grid.output_size))):
        if grid.sharing is None:
            block = tuple(p // s for p, s in zip(position, grid.share, strict=True))
            assert kernels[number] == np.ravel_multi_index(block, grid.blocks)
        else:
            assert kernels[number] == grid.sharing.array[position]
        for place, tap in enumerate(product(*map(range, grid.kernel_size))):
            read = [
                sources[p * stride + t * dilation]
                for sources, p, t, stride, dilation in zip(
                    along, position, tap, grid.stride, grid.dilation, strict=True
                )
            ]
            expected = -1 if min(read) < 0 else np.ravel_multi_index(read, grid.input_size)
            assert taps[number, place] == expected
    zeros = [mode == "zeros" for mode in grid.padding_mode]
    if all(zeros):
        assert grid.taps_inside == (taps >= 0).sum()


@given(st.integers(1, 9), st.integers(0, 8), st.integers(0, 8), st.sampled_from(MODES))
def test_padding_sources_are_those_of_torch(size: int, low: int, high: int, mode: str) -> None:
    most = {"reflect": size - 1, "circular": size}.get(mode, 8)
    assume(max(low, high) <= most)
    values = torch.arange(1.0, size + 1)
    theirs = torch.nn.functional.pad(
        values[None, None], (low, high), "constant" if mode == "zeros" else mode
    )
    ours = [0.0 if i < 0 else float(values[i]) for i in padding_sources(size, (low, high), mode)]
    assert ours == theirs[0, 0].tolist()


@given(grids(modes=("zeros",)))
def test_tables_along_an_axis_are_small_and_the_same(grid: LocalGrid) -> None:
    for axis in range(grid.axes):
        table = tap_sources(grid, axis)
        assert table.shape == (grid.output_size[axis], grid.kernel_size[axis])
        for output, row in enumerate(table.tolist()):
            start = output * grid.stride[axis] - grid.padding[axis][0]
            reads = [start + tap * grid.dilation[axis] for tap in range(grid.kernel_size[axis])]
            assert row == [i if 0 <= i < grid.input_size[axis] else -1 for i in reads]


@given(st.data())
def test_transposed_sizes_are_those_of_torch(data: st.DataObject) -> None:
    axes = data.draw(st.integers(1, 3))
    size, kernel, stride, dilation = (
        data.draw(st.tuples(*[st.integers(1, most)] * axes)) for most in (4, 3, 3, 3)
    )
    extra = tuple(
        data.draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True)
    )
    padding = data.draw(st.tuples(*[st.integers(0, 2)] * axes))
    kind = (torch.nn.ConvTranspose1d, torch.nn.ConvTranspose2d, torch.nn.ConvTranspose3d)[axes - 1]
    conv = kind(1, 1, kernel, stride, padding, extra, dilation=dilation)
    try:
        theirs = tuple(conv(torch.zeros(1, 1, *size)).shape[2:])
    except RuntimeError:
        with pytest.raises(ValueError, match="leaves no output of input_size"):
            transposed_grid(size, kernel, stride, padding, extra, dilation, axes=axes)
        return
    grid = transposed_grid(size, kernel, stride, padding, extra, dilation, axes=axes)
    assert (grid.input_size, grid.output_size) == (theirs, size)


def test_maps_are_values_and_taken_from_anything_that_is_an_array() -> None:
    rows = np.arange(6)[:, None] // 2 + np.zeros(5, int)
    for given_map in (
        rows,
        rows.astype(np.uint8),
        torch.from_numpy(rows),
        SharingMap.of(rows.tolist()),
    ):
        grid = local_grid((7, 6), 2, share=given_map)
        assert grid == local_grid((7, 6), 2, share=rows)
        assert hash(grid) == hash(local_grid((7, 6), 2, share=rows))
        assert (grid.blocks, grid.kernels, grid.share) == ((3,), 3, (1, 1))
    assert grid.sharing is not None
    assert np.array_equal(grid.sharing.array, rows)
    assert grid != local_grid((7, 6), 2, share=rows[::-1] * 0)
    assert repr(grid.sharing) == "SharingMap(6×5 positions, 3 kernels)"


def test_a_one_dimensional_map_and_numpy_integers() -> None:
    assert local_grid(5, 2, share=np.array([0, 1, 0, 1]), axes=1).blocks == (2,)
    assert local_grid(5, 2, share=np.int64(2), axes=1).share == (2,)


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        (
            {"share": np.zeros((3, 3), int)},
            ValueError,
            "a sharing map of shape (3, 3): expected (6, 6)",
        ),
        ({"share": np.full((6, 6), -1)}, ValueError, "a sharing map with the number -1: expected"),
        ({"share": np.full((6, 6), 36)}, ValueError, "with the number 36 on 36 positions"),
        ({"share": np.full((6, 6), 2)}, ValueError, "numbers up to 2 but no position of kernel 0"),
        ({"share": np.zeros((6, 6))}, TypeError, "a sharing map of float64: expected integers"),
        ({"share": np.zeros((6, 6), bool)}, TypeError, "a sharing map of bool: expected integers"),
        ({"share": np.zeros((6, 0), int)}, ValueError, "a sharing map of shape (6, 0)"),
        (
            {"padding_mode": "mirror"},
            ValueError,
            "padding_mode='mirror': expected one of 'zeros', 'refl",
        ),
        ({"padding_mode": ("zeros",) * 3}, ValueError, "or two of these (rows, columns)"),
        ({"padding_mode": 1}, ValueError, "padding_mode=1: expected one of"),
        (
            {"padding_mode": "reflect", "padding": (0, 8)},
            ValueError,
            "padding=(0, 8) with padding_mode='reflect': 8 columns beside 8, of which the mode can copy 7",
        ),
        ({"padding_mode": ("circular", "zeros"), "padding": 9}, ValueError, "the mode can copy 8"),
        (
            {"input_size": 2**40, "kernel_size": 1},
            ValueError,
            "more than 63 bits can count",
        ),
        (
            {"input_size": 2**31, "kernel_size": 3, "padding": 1},
            ValueError,
            "kernel_size=(3, 3) at",
        ),
    ],
    ids=str,
)
def test_wrong_grids(wrong: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error) as caught:
        local_grid(**{"input_size": 8, "kernel_size": 3} | wrong)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        (
            {"output_padding": 2},
            ValueError,
            "output_padding=2: expected less than stride=(2, 2) or",
        ),
        ({"output_padding": -1}, ValueError, "output_padding=-1: expected an integer >= 0 or two"),
        ({"padding": "same"}, TypeError, "padding='same': expected an integer >= 0 or two"),
        ({"padding": 9}, ValueError, "padding=9 leaves no output of input_size=(8, 8)"),
        ({"share": 0}, ValueError, "share=0: expected"),
        ({"input_size": 2**40}, ValueError, "more than 63 bits can count"),
    ],
    ids=str,
)
def test_wrong_transposed_grids(wrong: dict[str, Any], error: type[Exception], said: str) -> None:
    right = {"input_size": 8, "kernel_size": 3, "stride": 2}
    with pytest.raises(error) as caught:
        transposed_grid(**right | wrong)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("axes", "value", "said"),
    [
        (1, (3, 3), "kernel_size=(3, 3): expected an integer >= 1, got 2 entries"),
        (
            3,
            (3, 3),
            "expected an integer >= 1 or three of them (planes, rows, columns), got 2 entries",
        ),
        (3, 0, "kernel_size=0: expected an integer >= 1 or three of them"),
    ],
)
def test_per_axis_names_the_axes(axes: int, value: object, said: str) -> None:
    with pytest.raises(ValueError, match="kernel_size") as caught:
        geometry.per_axis("kernel_size", value, axes)
    assert said in str(caught.value)
    assert geometry.per_axis("kernel_size", [2], 1) == (2,)
