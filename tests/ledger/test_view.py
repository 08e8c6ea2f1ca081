"""Which rows are shown: nothing is lost by folding, to no depth, in no order."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_networks import NETWORKS
from torch import Tensor, nn

from striate.errors import RequestError
from striate.ledger import Ledger, count
from striate.ledger.render.table import text
from striate.ledger.view import ORDERS, View, lines, select

SUMS = (
    "params",
    "macs",
    "activation_bytes",
    "connections",
    "dense_params",
    "weights",
    "elementwise",
)


@st.composite
def networks(draw: st.DrawFn) -> Ledger:
    """Blocks of a few kinds, one after the other, some of them nested."""
    kinds = {
        "wide": lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4)),
        "norm": lambda: nn.LayerNorm(4),
        "deep": lambda: nn.Sequential(nn.Sequential(nn.Linear(4, 4)), nn.LayerNorm(4)),
        "line": lambda: nn.Linear(4, 4, bias=False),
    }
    names = draw(st.lists(st.sampled_from(sorted(kinds)), min_size=1, max_size=12))
    times = draw(st.integers(1, 4))
    return count(nn.Sequential(*(kinds[name]() for name in names * times)), (2, 4))


def totals(found: Ledger, view: View) -> dict[str, int]:
    return {
        name: sum((getattr(line.layer, name) or 0) * line.times for line in lines(found, view))
        for name in SUMS
    }


@settings(max_examples=60, deadline=None)
@given(found=networks(), depth=st.none() | st.integers(0, 4), folded=st.booleans())
def test_what_is_shown_adds_up_to_the_network(
    found: Ledger, depth: int | None, folded: bool
) -> None:
    shown = totals(found, View(depth=depth, folded=folded))
    rows = [layer for layer in found.layers if layer.matters or depth is not None]
    for name in ("params", "macs", "connections", "dense_params", "weights"):
        assert shown[name] == sum(getattr(layer, name) or 0 for layer in rows)


@settings(max_examples=60, deadline=None)
@given(found=networks())
def test_folding_makes_no_more_lines_and_keeps_their_order(found: Ledger) -> None:
    plain, folded = lines(found, View(folded=False)), lines(found, View())
    assert len(folded) <= len(plain)
    assert sum(line.times for line in folded) == len(plain)
    firsts = [line.layer.type for line in folded if line.times == 1]
    assert firsts == [t for t in firsts if t in {line.layer.type for line in plain}]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("depth", [0, 1, 2, 9])
def test_every_depth_of_the_golden_networks_adds_up(name: str, depth: int) -> None:
    make, inputs = NETWORKS[name]
    found = count(make(), *inputs)
    shown = totals(found, View(depth=depth))
    for metric in ("params", "macs", "connections", "dense_params"):
        assert shown[metric] == getattr(found.totals, metric)
    assert depth or len(lines(found, View(depth=0))) == 1


@pytest.mark.parametrize("order", ORDERS)
def test_sorted_rows_begin_with_the_most(order: str) -> None:
    make, inputs = NETWORKS["residual"]
    found = count(make(), *inputs, training=True)
    shown = [getattr(line.layer, ORDERS[order]) or 0 for line in lines(found, View(sort=order))]
    assert all(a >= b for a, b in pairwise(shown))


def test_rows_are_found_by_name_and_by_kind_whatever_their_case() -> None:
    make, inputs = NETWORKS["residual"]
    found = count(make(), *inputs)
    kinds = {line.layer.type for line in lines(found, View(pattern="conv*"))}
    assert kinds == {"Conv2d"}
    names = [line.layer.name for line in lines(found, View(pattern="5.*", folded=False))]
    assert names
    assert all(name.startswith("5.") for name in names)
    assert lines(found, View(pattern="nothing")) == ()


def test_blocks_that_differ_are_not_folded() -> None:
    same = [nn.Linear(4, 4) for _ in range(3)]
    found = count(nn.Sequential(*same, nn.Linear(4, 5), nn.Linear(5, 4), nn.Linear(4, 4)), (1, 4))
    assert [(line.layer.name, line.times) for line in lines(found, View())] == [
        ("0-2", 3), ("3", 1), ("4", 1), ("5", 1),
    ]  # fmt: skip


def test_steps_of_more_than_one_are_written_as_such() -> None:
    steps = [layer for _ in range(3) for layer in (nn.Linear(4, 4), nn.ReLU())]
    (line,) = lines(count(nn.Sequential(*steps), (1, 4)), View())
    assert (line.layer.name, line.times) == ("0…4", 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"depth": -1}, "--depth -1: expected 0"), ({"sort": "size"}, "--sort size: expected one of")],
)
def test_a_wrong_view_is_refused(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        View(**arguments)  # type: ignore[arg-type]


def test_rows_that_hold_what_is_asked_for_are_shown() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2), nn.Flatten())
    found = count(net, (3, 4), training=True)
    assert select(found, View()).left_out == 2
    for key, field in (("saved", "saved_bytes"), ("elementwise", "elementwise")):
        chosen = select(found, View(sort=key), [key])
        assert "ReLU" in {line.layer.type for line in chosen.lines}
        shown = sum(getattr(line.layer, field) or 0 for line in chosen.lines)
        assert shown == getattr(found.totals, field)
    with pytest.raises(RequestError, match="--sort saved: not known; give --training too"):
        select(count(net, (3, 4)), View(sort="saved"))


def test_a_pattern_says_how_many_rows_it_chose_and_what_kinds_there_are() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    found = count(net, (3, 4))
    assert "1 of 3 rows are like relu" in text(found, 100, View(pattern="relu"))
    words = " ".join(text(found, 100, View(pattern="Conv")).split())
    assert "0 of 3 rows are like Conv; the kinds are Linear, ReLU" in words


def test_the_column_that_rows_are_sorted_by_is_shown() -> None:
    found = count(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), (3, 4))
    for key, head in (("activation", "made"), ("elementwise", "elements")):
        assert head not in text(found, 100).splitlines()[1].split()
        assert head in text(found, 100, View(sort=key)).splitlines()[1].split()


def test_rows_say_whose_weights_they_use_and_whether_they_ran() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(9, 4), nn.Linear(4, 9, bias=False)
            self.head.weight = self.embed.weight
            self.spare = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.head(self.embed(x))
            return y

    found = text(count(Tied(), torch.zeros(2, 3, dtype=torch.long)), 120)
    assert "Linear = embed" in found
    assert "Linear (unused)" in found
    assert "MACs of a row are of the batch of 2" in found


def test_a_module_in_one_row_has_its_own_shapes() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Linear(4, 2), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([self.left(x), self.right(x)], 1)

    found = count(nn.Sequential(Branches(), nn.Linear(5, 1)), (2, 4))
    first, _ = lines(found, View(depth=1))
    assert (first.layer.input_shape, first.layer.output_shape) == ((2, 4), (2, 5))


def test_a_ledger_prints_its_table() -> None:
    found = count(nn.Linear(4, 3), (1, 4), name="net")
    assert str(found) == text(found, 100)
