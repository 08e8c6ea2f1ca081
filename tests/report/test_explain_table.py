"""The account of the three ideas on a terminal: nothing cut off, within 80 columns."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from striate.geometry import Setting, three_ideas
from striate.report.explain_table import table


def drawn(setting: Setting, width: int = 80) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width).print(table(three_ideas(setting)))
    return stream.getvalue()


sides = st.one_of(st.integers(1, 12), st.integers(1, 100_000), st.sampled_from([99_999, 100_000]))


@st.composite
def settings(draw: st.DrawFn) -> Setting:
    size = draw(st.tuples(sides, sides))
    kernel = draw(st.integers(1, min(1000, *size)))
    step = draw(st.integers(1, 100_000))
    share = draw(st.sampled_from(["own", "all", f"block-{step}", f"tile-{step}"]))
    padding = draw(st.sampled_from(["same", "valid"]))
    stride = draw(st.integers(1, 3))
    return Setting(
        size, kernel, stride, padding, share, pool=1, pool_stride=draw(st.integers(1, 4))
    )


@given(settings())
def test_every_count_stands_whole_in_80_columns(setting: Setting) -> None:
    text, account = drawn(setting), three_ideas(setting)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for count in (account.dense, account.connections, account.head, account.pooled_head):
        assert f" {count:,} " in text
    assert (f" {account.weights:,} " in text) or setting.share == "own"
    assert ("padding" in text) == (account.connections_outside > 0)


def test_the_example() -> None:
    lines = drawn(Setting()).splitlines()
    assert lines[0] == "1000×1000 pixels, 1000×1000 units, windows of 10×10"
    cells = [line.split("  ") for line in lines[4:10]]
    found = [[cell.strip() for cell in row if cell.strip()] for row in cells]
    assert found[:3] == [
        ["dense", "1,000,000,000,000", "10^12", "4 TB", "2 h 13 min"],
        ["local", "100,000,000", "10^8", "400 MB", "0.8 s", "÷10,000"],
        ["shared", "100", "400 B", "0.8 µs", "÷1,000,000"],
    ]
    assert 'the popular text calls the first step "a thousandth"; it is 1/10,000' in lines[-1]


@pytest.mark.parametrize(
    "other",
    [
        Setting(kernel=9),
        Setting(size=(1000, 999)),
        Setting(stride=2),
        Setting(padding="valid"),
    ],
)
def test_the_popular_texts_slip_is_told_where_it_was_made(other: Setting) -> None:
    assert "thousandth" not in drawn(other)


@pytest.mark.parametrize(("share", "name"), [("block-4", "blocks 4×4"), ("tile-3", "tiles 3×3")])
def test_a_degree_between_has_a_row(share: str, name: str) -> None:
    text = drawn(Setting(share=share))
    order = [text.index(row) for row in ("dense", "local", name, "if all shared", "head")]
    assert order == sorted(order)
    assert "shared" not in text.replace("if all shared", "")


def test_pooling_is_told_with_its_overlap() -> None:
    text = " ".join(drawn(Setting(pool=3, pool_stride=2, pool_kind="average")).split())
    assert "the average of 3×3 units, stride 2, overlapping: 1000×1000 units become 499×499" in text
    assert "overlapping" not in drawn(Setting(pool=3, pool_stride=3))
