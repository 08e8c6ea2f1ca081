from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.reduce.statistics import mcnemar_exact
from striate.report import words
from striate.report.charts import _ticks


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_in_words_never_claims_more_than_the_test(before: int, after: int) -> None:
    p = mcnemar_exact(before, after)
    text = words.mcnemar(before, after, p, 1000)
    assert ("is better on images like these" in text) == (p < 0.05)
    if p < 0.05:
        assert (("the shrunk network is better") in text) == (after > before)
    assert "about 0 of" not in text


@given(st.floats(0, 10) | st.none())
def test_a_residual_and_a_harm_are_one_sentence_with_the_number(value: float | None) -> None:
    for text in (words.residual(value), words.harm(value)):
        assert text.endswith(".")
        assert value is None or words.figure(value) in text


@pytest.mark.parametrize("odd", [math.nan, math.inf, None])
def test_what_is_no_number_is_a_dash(odd: float | None) -> None:
    assert words.figure(odd) == words.percent(odd) == words.NONE


@given(st.integers(1, 10**10), st.floats(1.0001, 1e4))
def test_ticks_of_a_log_axis_differ_and_lie_on_it(least: int, ratio: float) -> None:
    low, high = least / 1.06, least * ratio * 1.06
    ticks = _ticks(low, high)
    assert ticks == sorted(set(ticks))
    assert low <= ticks[0]
    assert ticks[-1] <= high
