"""The field's example: its three numbers, and what changes them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import RequestError
from striate.ledger import Ledger, count
from striate.ledger.render.steps import EXAMPLE, three_steps
from striate.ledger.render.table import text
from striate.sources.zoo.article import build, input_shape


def ledger(**options: object) -> Ledger:
    model = build(**options)  # type: ignore[arg-type]
    return count(model, (1, *input_shape(**options)), name=EXAMPLE)  # type: ignore[arg-type]


def test_the_three_numbers() -> None:
    local, pool = ledger().layers
    assert (local.dense_params, local.connections, local.weights) == (10**12, 10**8, 100)
    assert (local.locality_factor, local.sharing_factor) == (10_000, 1_000_000)
    assert pool.pooling_factor == 4
    assert local.params == 100


@settings(max_examples=15)
@given(st.integers(2, 40), st.integers(2, 40), st.integers(1, 12), st.integers(1, 2))
def test_arguments_change_the_numbers(rows: int, columns: int, kernel: int, pool: int) -> None:
    local, _ = ledger(size=f"{rows}x{columns}", kernel=kernel, pool=pool).layers
    units = rows * columns
    assert (local.dense_params, local.connections, local.weights) == (
        units**2,
        units * kernel**2,
        kernel**2,
    )


def test_it_runs() -> None:
    assert build(size="8x6", kernel=3, pool=2)(torch.rand(2, 1, 8, 6)).shape == (2, 1, 4, 3)
    assert input_shape(size=7) == (1, 7, 7)


def test_the_words() -> None:
    words = " ".join(three_steps(ledger()))
    for part in (
        "(10^12)", "(10^8)", "100 are left", "10,000 times", "1,000,000 times", "500×500",
        "250,000 of 1,000,000", "4 times fewer", "a thousandth", "1/10,000", "10×10",
    ):  # fmt: skip
        assert part in words
    for width in (80, 120):
        table = text(ledger(), width)
        assert max(map(len, table.splitlines())) <= width
        assert "should read" in table
        assert "1,000,000,000,000" in table
    assert "1/16 of them" in three_steps(ledger(size=8, kernel=2))[1]


def test_the_words_are_only_of_that_network() -> None:
    other = count(torch.nn.Linear(3, 2), (1, 3), name="other")
    with pytest.raises(ValueError, match="other has 1 layers"):
        three_steps(other)
    assert "thousandth" not in text(other)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": "big"}, "size='big'"),
        ({"size": "3x"}, "size='3x'"),
        ({"size": 0}, "at least 1"),
        ({"size": True}, "size=True"),
        ({"kernel": 0}, "kernel=0"),
        ({"kernel": 2.5}, r"kernel=2\.5"),
        ({"pool": "2"}, "pool='2'"),
        ({"size": "4x2", "pool": 3}, "pool=3 does not fit"),
    ],
)
def test_wrong_arguments(options: dict[str, object], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        build(**options)  # type: ignore[arg-type]
