"""Budgets: what is read, what is refused and how, what is judged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.errors import RequestError
from striate.ledger.gates import SHRINK_KEYS, Limit, judge, parse_budget, resolve


@pytest.mark.parametrize(
    ("text", "metric", "amount"),
    [
        ("200k", "params", 200_000),
        ("1.5M", "params", 1_500_000),
        ("3", "params", 3),
        ("params=2G", "params", 2 * 10**9),
        ("macs=30M", "macs", 30_000_000),
        ("flops=1T", "flops", 10**12),
        ("bytes=500KB", "weight_bytes", 500_000),
        ("bytes=500KiB", "weight_bytes", 512_000),
        ("bytes=123", "weight_bytes", 123),
        ("activation=1.5MiB", "activation_bytes", 1_572_864),
        ("peak=2MB", "peak_activation_bytes", 2_000_000),
        (" receptive-field = 64 ", "receptive_field", 64),
    ],
)
def test_an_amount_is_read_exactly(text: str, metric: str, amount: int) -> None:
    request = parse_budget(text)
    assert (request.metric, request.amount, request.percent) == (metric, amount, None)
    assert resolve(request) == Limit(metric, amount, text)


@given(st.integers(1, 10**12), st.integers(1, 100))
def test_a_share_is_the_floor(value: int, percent: int) -> None:
    request = parse_budget(f"{percent}%")
    floor = value * percent // 100
    if floor:
        assert resolve(request, {"params": value}).limit == floor
    else:
        with pytest.raises(RequestError, match="less than one"):
            resolve(request, {"params": value})


def test_a_share_keeps_its_decimals() -> None:
    assert resolve(parse_budget("0.5%"), {"params": 814_090}).limit == 4070
    assert resolve(parse_budget("macs=12.5%"), {"macs": 1000}).limit == 125


@pytest.mark.parametrize(
    "text",
    [
        "", "%", "k", "five", "0", "0%", "-5%", "-3", "101%", "100.1%", "5 parrots", "5m", "3Q",
        "macs=", "macs=30MB", "bytes=5k", "speed=3", "=5", "1.5", "1e6", "nan", "inf",
        "receptive-field=5%", "receptive-field=3k", "params=5%%", "macs=1=2",
    ],
)  # fmt: skip
def test_what_is_no_budget_is_refused_in_one_line_with_its_value(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_budget(text)
    message = str(caught.value)
    assert message.startswith(f"--budget {text}")
    assert "\n" not in message


def test_only_the_allowed_keys_are_known() -> None:
    with pytest.raises(RequestError, match="expected one of params=, macs=, bytes="):
        parse_budget("flops=3M", allowed=SHRINK_KEYS)
    with pytest.raises(RequestError, match="--max-growth"):
        parse_budget("x", "--max-growth")


def test_a_share_without_a_baseline_is_refused() -> None:
    with pytest.raises(RequestError, match="needs a network"):
        resolve(parse_budget("5%"))


def test_gates() -> None:
    limits = [Limit("params", 100, ""), Limit("receptive_field", 64, ""), Limit("macs", 5, "")]
    values = {"params": 100, "receptive_field": 63, "macs": None}
    assert [gate.met for gate in judge(limits, values)] == [True, False, None]


@given(st.integers(1, 50), st.integers(1, 50))
def test_a_lower_bound_never_shows_that_an_upper_limit_is_met(limit: int, value: int) -> None:
    (gate,) = judge([Limit("macs", limit, "")], {"macs": value}, uncertain={"macs"})
    assert gate.met is (False if value > limit else None)
    (gate,) = judge(
        [Limit("receptive_field", limit, "")], {"receptive_field": value}, {"receptive_field"}
    )
    assert gate.met is (True if value >= limit else None)
