"""Intervals and the paired test, against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.reduce.statistics import mcnemar_exact, paired, wilson


@given(st.integers(1, 5000), st.floats(0, 1))
def test_the_interval_is_that_of_wilson(count: int, part: float) -> None:
    right = round(part * count)
    z, p = 1.959963984540054, right / count
    middle = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(p * (1 - p) / count + z * z / (4 * count**2))
    low, high = wilson(right, count)
    assert low == pytest.approx(max(0, middle - half), abs=1e-9)
    assert high == pytest.approx(min(1, middle + half), abs=1e-9)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_two_sided_binomial(before: int, after: int) -> None:
    total = before + after
    tail = sum(math.comb(total, k) for k in range(min(before, after) + 1)) / 2**total
    assert mcnemar_exact(before, after) == pytest.approx(min(1.0, 2 * tail))
    assert mcnemar_exact(before, after) == mcnemar_exact(after, before)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1))
def test_only_discordant_examples_count(answers: list[tuple[bool, bool]]) -> None:
    before, after = (np.array(column) for column in zip(*answers, strict=True))
    result = paired(before, after)
    assert result.only_before_right == answers.count((True, False))
    assert result.only_after_right == answers.count((False, True))
    assert result.mcnemar_p == mcnemar_exact(result.only_before_right, result.only_after_right)


@pytest.mark.parametrize(("right", "count"), [(-1, 5), (6, 5), (0, 0)])
def test_an_impossible_count_is_said(right: int, count: int) -> None:
    with pytest.raises(ValueError, match=f"right={right} of count={count}"):
        wilson(right, count)


def test_unpaired_answers_are_refused() -> None:
    with pytest.raises(ValueError, match="same examples"):
        paired(np.ones(3, dtype=bool), np.ones(4, dtype=bool))
