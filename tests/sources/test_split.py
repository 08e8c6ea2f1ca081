"""Rows of train, validation and test: every row once, every class in every part, the same for a seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.errors import RequestError
from striate.sources.split import draw, parse_split, validation_count

labels_of_rows = st.lists(st.integers(0, 5), min_size=2, max_size=80).map(
    lambda numbers: np.array(numbers, dtype=np.int64)
)


@given(labels_of_rows, st.data(), st.integers(0, 2**31))
def test_a_draw_divides_the_rows(labels: np.ndarray, data: st.DataObject, seed: int) -> None:
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, len(labels) - 1), min_size=1))))
    count = data.draw(st.integers(0, len(rows)))
    rest, drawn = draw(labels, rows, count, seed)
    assert sorted([*rest, *drawn]) == rows.tolist()
    spare = len(rows) - len(np.unique(labels[rows]))
    assert len(drawn) == min(count, spare)
    assert set(labels[rest]) == set(labels[rows])  # no class loses its last row
    again = draw(labels, rows, count, seed)
    assert np.array_equal(again[0], rest)
    assert np.array_equal(again[1], drawn)


@given(labels_of_rows, st.floats(0, 0.5))
def test_each_class_gives_its_share(labels: np.ndarray, part: float) -> None:
    count = int(part * len(labels))
    _, drawn = draw(labels, np.arange(len(labels)), count, 0)
    for number in np.unique(labels):
        size = int((labels == number).sum())
        if size > 2:
            exact = count * size / len(labels)
            singles = sum((labels == other).sum() <= 2 for other in np.unique(labels))
            assert abs(int((labels[drawn] == number).sum()) - exact) <= 1 + singles


def test_without_labels_rows_are_drawn_all_alike() -> None:
    rest, drawn = draw(None, np.arange(10), 4, seed=1)
    assert sorted([*rest, *drawn]) == list(range(10))
    assert len(drawn) == 4
    assert drawn.tolist() != draw(None, np.arange(10), 4, seed=2)[1].tolist()


@given(st.integers(3, 200_000))
def test_held_out_rows_are_a_tenth_within_bounds(rows: int) -> None:
    count = validation_count(rows)
    assert 1 <= count <= min(5_000, rows // 3)
    assert count >= min(200, rows // 3)


@pytest.mark.parametrize("text", ["80/10", "80/10/5/5", "100/0", "a/b", "", "80/30/-10", "nan/50"])
def test_a_wrong_split_names_what_was_given(text: str) -> None:
    with pytest.raises(RequestError, match="--split"):
        parse_split(text)
