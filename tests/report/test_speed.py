"""What a report says of speed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.errors import RequestError
from striate.report.documents import Node
from striate.report.speed import comparison, speed


def pair(batch: int, ratio: float, low: float, high: float, **more: Any) -> dict[str, Any]:
    times = {"before_ms": 2.0, "after_ms": 2.0 / ratio}
    return {
        "batch": batch,
        **times,
        "ratio": ratio,
        "middle_half": [low, high],
        "turns": 90,
        **more,
    }


def node(latency: dict[str, Any]) -> Node:
    return Node("result.json", latency)


def test_both_batches_and_how_they_were_timed() -> None:
    found = speed(
        node(
            pair(1, 3.12, 2.9, 3.4, threads=2, device="cpu", dtype="float32")
            | {"larger": pair(32, 0.5, 0.48, 0.52), "backend": "cpu: compiled kernels, avx2"}
        )
    )
    assert found is not None
    assert found.findings == (
        "answers one image 3.1 times as fast (2.9–3.4)",
        "takes 2.0 times as long for 32 images (1.9–2.1)",
    )
    assert [(row.images, row.before) for row in found.rows] == [("one image", 2), ("32 images", 2)]
    assert found.how == (
        "Timed in turns in one process (cpu, 2 threads, float32), 90 of them for one image; brackets hold "
        "the middle half of the ratios. Local layers: cpu: compiled kernels, avx2."
    )


def test_a_layer_that_became_slower_is_said_to_be() -> None:
    layers = [
        pair(1, 0.5, 0.4, 0.6, name="a"),
        pair(1, 1.02, 0.98, 1.05, name="b"),
        pair(1, 12.4, 11.2, 13.0, name="c"),
    ]
    found = speed(node(pair(1, 1.1, 1.05, 1.2) | {"layers": layers}))
    assert found is not None
    assert found.findings == ("answers one image 1.10 times as fast (1.05–1.20)",)
    assert [text.split(":")[0] for text in found.layers.values()] == [
        "For one image it takes 2.0 times as long (1.7–2.5)",
        "For one image it is about as fast (0.98–1.05 times)",
        "For one image it is 12 times as fast (11–13)",
    ]


def test_an_older_run_has_no_spread_and_none_is_claimed() -> None:
    old = {"batch": 1, "threads": 1, "before_ms": 0.3, "after_ms": 0.1, "ratio": 0.333}
    found = speed(node(old))
    assert found is not None
    assert found.findings == ("answers one image 3.0 times as fast",)
    assert found.how == "Timed in turns in one process (1 thread)."


@pytest.mark.parametrize("latency", [None, {}, {"before_ms": 1.0, "after_ms": None}])
def test_what_was_not_measured_is_not_said(latency: dict[str, Any] | None) -> None:
    assert speed(None if latency is None else node(latency)) is None


def test_a_wrong_type_is_pointed_at() -> None:
    with pytest.raises(RequestError, match=r"middle_half\[1\] is 'x', expected a number"):
        speed(node(pair(1, 2.0, 1.9, 2.1) | {"middle_half": [1.9, "x"]}))
    with pytest.raises(RequestError, match="middle_half is 3, expected a list of numbers"):
        speed(node(pair(1, 2.0, 1.9, 2.1) | {"middle_half": 3}))


@given(st.lists(st.floats(0.001, 1000), min_size=3, max_size=3).map(sorted))
def test_faster_slower_and_neither_are_told_apart_by_the_spread(ratios: list[float]) -> None:
    low, middle, high = ratios
    text = comparison(middle, low, high)
    if low <= 1 <= high:
        assert text.startswith("about as fast")
    else:
        assert ("as fast" in text) == (low > 1)
        assert ("as long" in text) == (high < 1)
        inside = text.split("(")[1].rstrip(")").replace(",", "").split("–")
        assert float(inside[0]) <= float(inside[1])
