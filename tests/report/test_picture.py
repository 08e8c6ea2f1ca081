from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.report.documents import Node
from striate.report.picture import LARGEST, MOST_ROWS, SMALLEST, Picture, draw

WEIGHTS = st.integers(1, 10**9)


@st.composite
def networks(some: st.DrawFn) -> tuple[Node, list[Node], int, int]:
    """A ledger of a shrunk network whose changed sites have one to three parts, and the totals."""
    rows, changes, before, after = [], [], 0, 0
    for i in range(some(st.integers(1, 30))):
        name = f"layer{i}"
        if some(st.booleans()):
            rows.append(
                {
                    "name": name,
                    "type": "Conv2d",
                    "params": (n := some(WEIGHTS)),
                    "shared_with": None,
                }
            )
            before, after = before + n, after + n
            continue
        parts = some(st.lists(WEIGHTS, min_size=1, max_size=3))
        rows += [
            {"name": f"{name}.body.{j}", "type": "Linear", "params": n} for j, n in enumerate(parts)
        ]
        was = some(WEIGHTS)
        changes.append({"name": name, "from": "dense", "to": "low-rank 3", "ideas": ["low-rank"],
                        "params_before": was, "params_after": sum(parts)})  # fmt: skip
        before, after = before + was, after + sum(parts)
    ledger = Node("ledger.json", {"layers": rows})
    return ledger, [Node("result.json", change) for change in changes], before, after


@given(networks())
def test_areas_are_weights_and_add_up(network: tuple[Node, list[Node], int, int]) -> None:
    ledger, changes, before, after = network
    picture = draw(ledger, changes, before, after)
    assert picture is not None
    assert sum(row.before.weights for row in picture.rows) == before
    assert sum(row.after.weights for row in picture.rows) == after
    assert {row.name for row in picture.rows if row.changed} == {c.text("name") for c in changes}
    squares = [square for row in picture.rows for square in (row.before, row.after)]
    largest = max(square.weights for square in squares)
    assert max(square.side for square in squares) == pytest.approx(LARGEST, abs=0.01)
    for square in squares:
        if square.side > SMALLEST:
            area = (square.side / LARGEST) ** 2
            assert area == pytest.approx(
                square.weights / largest, abs=0.02 * square.side / LARGEST**2
            )
        assert sum(piece.width for piece in square.slices) == pytest.approx(square.side, abs=0.4)


@given(networks())
def test_an_unchanged_layer_looks_the_same_before_and_after(
    network: tuple[Node, list[Node], int, int],
) -> None:
    picture = draw(*network)
    assert picture is not None
    assert all(row.before == row.after for row in picture.rows if not row.changed)


def test_without_a_ledger_the_rest_is_one_row() -> None:
    change = Node("r", {"name": "fc", "from": "dense", "to": "low-rank 2", "ideas": ["low-rank"],
                        "params_before": 900, "params_after": 90})  # fmt: skip
    picture = draw(None, [change], 1000, 190)
    assert isinstance(picture, Picture)
    assert [(row.name, row.before.weights, row.after.weights) for row in picture.rows] == [
        ("fc", 900, 90),
        ("all other layers", 100, 100),
    ]


@given(networks())
def test_layers_stand_in_the_order_in_which_they_run(
    network: tuple[Node, list[Node], int, int],
) -> None:
    ledger, changes, before, after = network
    for listed in (changes, changes[::-1]):
        picture = draw(ledger, listed, before, after)
        assert picture is not None
        names = [row.name for row in picture.rows if "…" not in row.name]
        assert names == sorted(names, key=lambda name: int(name.removeprefix("layer")))


def test_a_tied_tensor_is_drawn_once() -> None:
    rows = [
        {"name": "a", "type": "Linear", "params": 50, "shared_with": None},
        {"name": "b", "type": "Linear", "params": 50, "shared_with": "a"},
    ]
    picture = draw(Node("ledger.json", {"layers": rows}), [], 50, 50)
    assert picture is not None
    assert [row.name for row in picture.rows] == ["a"]


def test_a_name_that_only_begins_like_a_site_is_not_part_of_it() -> None:
    rows = [{"name": name, "type": "Linear", "params": 10} for name in ("fc1.body", "fc10")]
    change = Node(
        "r",
        {"name": "fc1", "from": "dense", "to": "pooled", "params_before": 40, "params_after": 10},
    )
    picture = draw(Node("ledger.json", {"layers": rows}), [change], 50, 20)
    assert picture is not None
    assert [(row.name, row.after.weights) for row in picture.rows] == [("fc1", 10), ("fc10", 10)]


def test_many_unchanged_layers_become_one_row() -> None:
    rows = [{"name": f"conv{i}", "type": "Conv2d", "params": 10} for i in range(MOST_ROWS)]
    rows.append({"name": "fc.body", "type": "Linear", "params": 5})
    change = Node(
        "r", {"name": "fc", "from": "dense", "to": "pooled", "params_before": 40, "params_after": 5}
    )
    picture = draw(
        Node("ledger.json", {"layers": rows}), [change], 10 * MOST_ROWS + 40, 10 * MOST_ROWS + 5
    )
    assert picture is not None
    assert [row.name for row in picture.rows] == [f"conv0 … conv{MOST_ROWS - 1}", "fc"]
    assert len(picture.rows[0].after.slices) == MOST_ROWS


def test_nothing_known_is_no_picture() -> None:
    assert draw(None, [], 1000, None) is None
