"""The compressed tables say what the full ones do, and are small."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from striate.ops import tables as module
from striate.ops.tables import WindowTables
from tests.ops.local_problems import axis_table


@given(st.data())
def test_full_gives_back_any_table(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 12), st.integers(1, 6)))
    table = data.draw(arrays(np.int64, shape, elements=st.integers(-1, 19)))
    assert np.array_equal(WindowTables.from_table(20, table).full(), table)


@given(st.data())
def test_axes_are_the_table_of_their_product(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    axes = []
    for size in sizes:
        shape = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 3)))
        axes.append(data.draw(arrays(np.int64, shape, elements=st.integers(-1, size - 1))))
    full = np.zeros((1, 1), np.int64)
    for size, along in zip(sizes, axes, strict=True):
        left, right = full[:, None, :, None], along[None, :, None, :]
        joined = np.where((left < 0) | (right < 0), -1, left * size + right)
        full = joined.reshape(len(full) * len(along), -1)
    assert np.array_equal(WindowTables.from_axes(sizes, axes).full(), full)


def test_a_large_layer_has_small_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    along = axis_table(1000, 10, 1, 1, 5, "zeros")[:1000]
    tables = WindowTables.from_axes([1000, 1000], [along, along])
    assert (tables.positions, tables.taps, len(tables.offsets)) == (1_000_000, 100, 100)
    monkeypatch.setattr(module, "_AT_ONCE", 50)  # parts of five rows
    again = WindowTables.from_axes([1000, 1000], [along, along])
    sample = np.arange(0, 1_000_000, 997)
    for one in (tables, again):
        at = one.offsets[one.pattern[sample]]
        row, column = along[sample // 1000], along[sample % 1000]
        inside = (row[:, :, None] >= 0) & (column[:, None, :] >= 0)
        read = row[:, :, None] * 1000 + column[:, None, :]
        expected = np.where(inside, read, -1).reshape(len(sample), -1)
        assert np.array_equal(np.where(at < 0, -1, at + one.base[sample, None]), expected)


def test_a_map_that_gives_each_its_own_is_no_map() -> None:
    assert WindowTables.from_table(3, [[0], [1], [2]], [0, 1, 2]).kernel is None
    shared = WindowTables.from_table(3, [[0], [1], [2]], [[1, 0, 1]])
    assert shared.kernels == 2
    assert shared.kernel is not None
    assert shared.kernel.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (([3], []), ValueError, "axes: 0 tables for the 1 axes"),
        (([3], [[[0, 3]]]), ValueError, r"axes\[0\]: entries from 0 to 3: expected -1 to 2"),
        (([3], [[[-2, 1]]]), ValueError, "entries from -2"),
        (([3], [[[0.5]]]), TypeError, r"axes\[0\] of float64"),
        (([3], [[0, 1]]), ValueError, r"axes\[0\] of shape \(2,\)"),
        (([2**20, 2**20], [[[0]], [[0]]]), ValueError, "sizes=.*expected a product"),
        (([0], [[[-1]]]), ValueError, "sizes="),
        (([3], [[[0]]], [0, 1]), ValueError, "kernel: 2 entries for 1 output positions"),
        (([3], [[[0]]], [-1]), ValueError, "kernel: entries from -1"),
        (([3], [[[0]]], [0.0]), TypeError, "kernel of float64"),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: tuple[Any, ...], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        WindowTables.from_axes(*arguments)
