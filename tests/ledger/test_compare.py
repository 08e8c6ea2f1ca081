"""Ledgers read back, compared, and printed for pull requests, spreadsheets and workflows."""

from __future__ import annotations

import copy
import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ledger_networks import NETWORKS
from rich.console import Console
from torch import nn

from striate.errors import RequestError
from striate.ledger import Ledger, Limit, count
from striate.ledger.compare import compare, document
from striate.ledger.render import changes, difference, html, markdown, records, workflow
from striate.ledger.render.document import render
from striate.ledger.saved import read


def ledger(name: str) -> Ledger:
    make, inputs = NETWORKS[name]
    return count(make(), *inputs, name=name)


def of(*layers: nn.Module, width: int = 4) -> Ledger:
    return count(nn.Sequential(*layers), (1, width), name="net")


@pytest.mark.parametrize("name", list(NETWORKS))
def test_a_document_reads_back_as_the_ledger(name: str) -> None:
    found = ledger(name).with_gates([Limit("params", 10, "10")])
    assert read(render(found), name) == found
    assert compare(found, read(render(found), name)).totals == compare(found, found).totals


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: "nothing", "its schema is None; expected a striate.ledger/1 document"),
        (lambda d: {**d, "schema": "striate.ledger/9"}, "its schema is 'striate.ledger/9'"),
        (lambda d: {k: v for k, v in d.items() if k != "totals"}, "KeyError: 'totals'"),
        (lambda d: {**d, "totals": {**d["totals"], "params": "12"}}, "params is '12'"),
        (lambda d: {**d, "totals": {**d["totals"], "params": True}}, "params is True"),
        (lambda d: {**d, "layers": [None]}, "TypeError"),
        (lambda d: {**d, "layers": [{**d["layers"][0], "name": None}]}, "name is None"),
        (lambda d: {**d, "receptive_field": {"size": "a"}}, "receptive_field is {'size': 'a'}"),
        (lambda d: {**d, "receptive_field": {"size": []}}, "receptive_field is {'size': []}"),
        (lambda d: {**d, "receptive_field": {}}, "receptive_field is {}"),
        (lambda d: {**d, "batch": "2"}, "batch is '2'"),
        (lambda d: {**d, "batch": 0}, "batch is 0"),
        (lambda d: {**d, "totals": {**d["totals"], "params": -1}}, "params is -1"),
        (lambda d: {**d, "totals": {**d["totals"], "params": 10**400}}, "params is 10000"),
        (lambda d: {**d, "notes": [1]}, "notes is (1,)"),
        (lambda d: {**d, "schema": "x" * 10**6}, "its schema is 'xxx"),
    ],
)
def test_what_is_no_ledger_is_refused(change, words: str) -> None:
    changed = change(json.loads(render(ledger("lenet"))))
    with pytest.raises(RequestError, match=r"base\.json: ") as caught:
        read(json.dumps(changed), "base.json")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "nested too deep"),
        ('{"batch": NaN}', "no JSON: NaN is no number"),
        ('{"batch": ' + "1" * 5000 + "}", "no JSON"),
    ],
)
def test_what_is_no_json_is_refused(text: str, words: str) -> None:
    with pytest.raises(RequestError, match=rf"base\.json: {words}"):
        read(text, "base.json")


def leaves(value: Any, *path: str | int) -> Iterator[tuple[str | int, ...]]:
    yield path
    if isinstance(value, dict | list):
        for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(entry, *path, key)


LENET = ledger("lenet")
DOCUMENT = json.loads(render(LENET))


@given(
    path=st.sampled_from(list(leaves(DOCUMENT))[1:]),
    value=st.sampled_from(
        [None, True, -1, 0, 0.5, -1e99, 10**99, "", "a", [], ["a"], [2], {}, {"size": [1]}]
    ),
)
def test_whatever_stands_in_a_document_is_refused_or_compared(
    path: tuple[str | int, ...], value: object
) -> None:
    changed = copy.deepcopy(DOCUMENT)
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    try:
        before = read(json.dumps(changed), "base.json")
    except RequestError:
        return
    found = compare(before, LENET)
    gates = found.growth_gates(Fraction(2))
    Console(file=io.StringIO()).print(difference.render(found, gates))
    html.render(found.after, found, gates)
    assert markdown.difference(found, gates)
    assert json.dumps(document(found))


def became(before: Ledger, after: Ledger) -> list[tuple[str | None, str | None, str]]:
    return [
        (row.before and row.before.name, row.after and row.after.name, row.change)
        for row in compare(before, after).rows
    ]


def test_a_layer_put_between_renames_the_ones_behind_it() -> None:
    before = of(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    after = of(nn.Linear(4, 3), nn.Tanh(), nn.ReLU(), nn.Linear(3, 2))
    assert became(before, after) == [
        ("0", "0", "same"),
        (None, "1", "added"),
        ("1", "2", "renamed"),
        ("2", "3", "renamed"),
    ]
    assert became(after, before)[1] == ("1", None, "removed")


def test_a_layer_of_another_kind_in_the_same_place_has_changed() -> None:
    before = of(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    after = of(nn.Conv1d(1, 1, 1), nn.ReLU(), nn.Linear(4, 2))
    assert became(before, after)[0] == ("0", "0", "changed")


def test_a_layer_of_another_size_and_name_is_found_between_its_neighbours() -> None:
    before, after = of(nn.Linear(4, 3), nn.Linear(3, 4)), of(nn.Linear(4, 5), nn.Linear(5, 4))
    renamed = replace(
        after, layers=tuple(replace(layer, name=f"body.{layer.name}") for layer in after.layers)
    )
    assert became(before, renamed) == [("0", "body.0", "changed"), ("1", "body.1", "changed")]


layers = st.lists(
    st.sampled_from(
        [lambda: nn.Linear(4, 4), nn.ReLU, nn.Tanh, lambda: nn.Linear(4, 4, bias=False)]
    ),
    min_size=1,
    max_size=6,
)


@given(first=layers, second=layers)
def test_every_row_is_there_once_and_in_order(first: list, second: list) -> None:
    before, after = (of(*(make() for make in makes)) for makes in (first, second))
    found = compare(before, after)
    assert tuple(row.before for row in found.rows if row.before) == before.layers
    assert tuple(row.after for row in found.rows if row.after) == after.layers
    moved = sum(
        (r.after.params if r.after else 0) - (r.before.params if r.before else 0)
        for r in found.rows
    )
    was, now = found.totals["params"]
    assert moved == now - was
    assert all(row.change == "same" for row in compare(before, before).rows)


def at_batch(name: str, batch: int) -> Ledger:
    """One of the networks, its inputs brought to a batch."""
    make, inputs = NETWORKS[name]
    sized = [
        torch.zeros(batch, *given.shape[1:], dtype=given.dtype)
        if isinstance(given, torch.Tensor)
        else (batch, *given[1:])
        for given in inputs
    ]
    torch.manual_seed(0)
    return count(make(), *sized, name=name)


@given(
    name=st.sampled_from(list(NETWORKS)),
    first=st.integers(1, 6),
    second=st.integers(1, 6),
)
def test_a_network_is_the_same_on_any_batch(name: str, first: int, second: int) -> None:
    found = compare(at_batch(name, first), at_batch(name, second))
    assert [row.change for row in found.rows] == ["same"] * len(found.before.layers)
    gates = {gate.metric: gate for gate in found.growth_gates(Fraction(0))}
    judged = ("params", "macs", "weight_bytes", "flops")
    before = found.before.uncertain
    assert all(gates[metric].met is (None if metric in before else True) for metric in judged)
    differ = first != second
    assert (gates["peak_activation_bytes"].met is None) == (
        differ or "peak_activation_bytes" in before
    )
    assert found.batches_differ == differ


@given(
    makes=layers,
    place=st.integers(0, 5),
    change=st.sampled_from([lambda: nn.Linear(4, 4), nn.GELU, lambda: nn.AvgPool1d(1)]),
    batches=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    tokens=st.integers(1, 5),
)
def test_the_batches_do_not_change_what_is_the_same(
    makes: list, place: int, change, batches: tuple[int, int], tokens: int
) -> None:
    """Whatever the second network is counted on, the rows are those of the same batch."""
    other = list(makes)
    other.insert(min(place, len(makes)), change)

    def counted(of: list, batch: int) -> Ledger:
        return count(nn.Sequential(*(make() for make in of)), (batch, tokens, 4), name="net")

    first, second = batches
    before = counted(makes, first)
    found = compare(before, counted(other, second))
    expected = compare(before, counted(other, first))
    assert [row.change for row in found.rows] == [row.change for row in expected.rows]
    assert [row.macs for row in found.rows] == [row.macs for row in expected.rows]
    assert [row.layer.name for row in found.rows] == [row.layer.name for row in expected.rows]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 3, padding=1)),
        (nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 3, dilation=2)),
        (nn.Conv2d(1, 2, 3), nn.Conv2d(1, 4, 3)),
        (nn.Conv2d(1, 2, 3), nn.ConvTranspose2d(1, 2, 3)),
        (nn.AvgPool2d(2), nn.AvgPool2d(3)),
        (nn.ReLU(), nn.GELU()),
        (nn.Identity(), nn.ReLU()),
    ],
)
def test_what_changed_has_changed_on_any_batch(before: nn.Module, after: nn.Module) -> None:
    nets = [count(nn.Sequential(net), (batch, 1, 8, 8)) for batch, net in ((2, before), (6, after))]
    assert [row.change for row in compare(*nets).rows] == ["changed"]
    assert [row.change for row in compare(*nets[::-1]).rows] == ["changed"]


def test_the_batch_may_be_any_axis_and_put_together_with_others() -> None:
    """Sequence first, and as rows of a matrix."""

    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rows, self.steps = nn.Linear(4, 3), nn.GRU(3, 2)

        def forward(self, x):
            rows = self.rows(x.flatten(0, 1)).unflatten(0, x.shape[:2])
            return self.steps(rows.transpose(0, 1))[0]

    found = compare(count(Turned(), (1, 5, 4)), count(Turned(), (3, 5, 4)))
    assert {row.change for row in found.rows} == {"same"}


def test_attention_is_the_same_where_pytorch_takes_other_operators_for_one_example() -> None:
    one, two = (
        count(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (n, 5, 8)) for n in (1, 2)
    )
    attention = [next(row for row in found.layers if "attn" in row.name) for found in (one, two)]
    assert attention[1].activation_bytes != 2 * attention[0].activation_bytes
    assert {row.change for row in compare(one, two).rows} == {"same"}


def test_growth_of_activations_is_of_an_example_where_the_batches_differ() -> None:
    before, after = count(nn.Linear(4, 8), (4, 4)), count(nn.Linear(4, 9), (1, 4))
    gates = {gate.metric: gate for gate in compare(before, after).growth_gates(Fraction(0))}
    assert (gates["activation_bytes"].limit, gates["activation_bytes"].value) == (32, 36)
    assert gates["activation_bytes"].met is False
    assert gates["peak_activation_bytes"].met is None
    assert document(compare(before, after))["batch"] == {"before": 4, "after": 1}


def test_growth_is_judged_metric_by_metric() -> None:
    before, after = of(nn.Linear(4, 100)), of(nn.Linear(4, 101))
    gates = {gate.metric: gate for gate in compare(before, after).growth_gates(Fraction(1))}
    assert gates["params"].limit == 505  # floor of 505.0: 1 % of 500
    assert (gates["params"].value, gates["params"].met) == (505, True)
    gates = {gate.metric: gate for gate in compare(before, after).growth_gates(Fraction(0))}
    assert not gates["params"].met
    assert not gates["macs"].met
    assert all(gate.met for gate in compare(after, before).growth_gates(Fraction(0)))


def test_growth_of_what_is_known_in_part_is_not_judged() -> None:
    partial = next(found for name in NETWORKS if (found := ledger(name)).uncertain)
    for one, other in ((partial, of(nn.Linear(4, 2))), (of(nn.Linear(4, 2)), partial)):
        for gate in compare(one, other).growth_gates(Fraction(10**9)):
            assert gate.met is (None if gate.metric in partial.uncertain else True)


def drawn(before: Ledger, after: Ledger, width: int) -> str:
    stream = io.StringIO()
    found = compare(before, after)
    Console(file=stream, width=width).print(
        difference.render(found, found.growth_gates(Fraction(0)))
    )
    return stream.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_the_difference_as_a_table(width: int) -> None:
    text = drawn(of(nn.Linear(4, 4), nn.ReLU()), of(nn.Linear(4, 8), nn.ReLU()), width)
    assert max(map(len, text.splitlines())) <= width
    for words in (
        "20 → 40",
        "+100 %",
        "0 layers unchanged",
        "params: 40 does not meet the limit of 20",
    ):
        assert words in text


def test_the_difference_as_markdown() -> None:
    found = compare(of(nn.Linear(4, 4), nn.ReLU()), of(nn.Linear(4, 8), nn.ReLU()))
    text = markdown.difference(found, found.growth_gates(Fraction(0)))
    assert "| parameters | 20 | 40 | +100 % |" in text
    assert "| changed | 0 | Linear | 20 → 40 | 16 → 32 |" in text
    assert "- params: 40 does not meet the limit of 20" in text
    assert document(found)["totals"]["params"] == {"before": 20, "after": 40}


def test_rows_alike_are_shown_once() -> None:
    def net(blocks: int, batch: int) -> Ledger:
        """Blocks of square layers: within one, two that differ in another number of the name."""
        each = [nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 8)) for _ in range(blocks)]
        return count(
            nn.ModuleDict({"blocks": nn.Sequential(*each)})["blocks"], (batch, 8), name="n"
        )

    found = compare(net(3, 1), net(12, 2))
    assert [(row.change, row.names, row.times) for row in changes.shown(found)] == [
        ("added", ("3-11.0",), 9),
        ("added", ("3-11.2",), 9),
    ]
    text = markdown.difference(found)
    assert "| added | 3-11.0 ×9 | Linear | 72 | 64 |" in text
    assert "params | MACs of an example |" in text
    assert "9 layers unchanged, and 9 that changed are not shown (no weights" in text
    assert "×N: N layers alike" in text
    assert "**n** against n (before)" in text
    was, now = found.totals["peak_activation_bytes"]
    assert f"| bytes of activations at once | {was:,} | {now:,} | other batches |" in text
    assert len(document(found)["layers"]) == 27
    for shown in (found._repr_html_(), html.render(found.after, found)):
        assert "3-11.0 ×9" in shown or "3-11.0 &#215;9" in shown
        assert "n (before)" in shown


def test_renamed_rows_are_shown_once() -> None:
    """The numbers before and after are not the same."""
    before = of(*(nn.Linear(4, 4) for _ in range(5)))
    named = [replace(row, name=f"body.{i + 3}.fc") for i, row in enumerate(before.layers)]
    found = compare(before, replace(before, layers=tuple(named)))
    assert {(row.change, row.names, row.times) for row in changes.shown(found)} == {
        ("renamed", ("0-4", "body.3-7.fc"), 5)
    }


def test_a_difference_of_what_holds_nothing_is_said() -> None:
    found = compare(of(nn.Linear(4, 4), nn.ReLU()), of(nn.Linear(4, 4), nn.GELU(), nn.GELU()))
    assert changes.shown(found) == ()
    for text in (markdown.difference(found), drawn(found.before, found.after, 100)):
        assert "1 layer unchanged, and 2 that changed are not shown" in text
        assert "GELU" not in text
    found = compare(of(nn.Linear(4, 4), nn.ReLU()), of(nn.Linear(4, 4), nn.GELU()))
    assert "and 1 that changed is not shown" in markdown.difference(found)


@given(first=layers, second=layers, batches=st.tuples(st.integers(1, 3), st.integers(1, 3)))
def test_what_is_shown_adds_up(first: list, second: list, batches: tuple[int, int]) -> None:
    before, after = (
        count(nn.Sequential(*(make() for make in makes)), (batch, 4))
        for makes, batch in zip((first, second), batches, strict=True)
    )
    found = compare(before, after)
    shown = changes.shown(found)
    assert sum(row.times for row in shown) == sum(row.matters for row in found.changed)

    def moved(figure: str) -> int:
        signs = {"added": 1, "removed": -1, "renamed": 0}
        return sum(
            row.times
            * (
                getattr(row, figure)[0] * signs[row.change]
                if row.change in signs
                else getattr(row, figure)[-1] - getattr(row, figure)[0]
            )
            for row in shown
        )

    for figure, total in (("params", "params"), ("macs", "macs_per_example")):
        was, now = found.totals[total]
        assert moved(figure) == now - was


class Hostile(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.add_module("a|b\n::error::x<script>", nn.Linear(4, 2))

    def forward(self, x):
        return next(iter(self.children()))(x)


def test_names_from_outside_stay_text() -> None:
    found = count(Hostile(), (1, 4), name="x\n::error::y,z").with_gates([Limit("params", 1, "1")])
    table = markdown.render(found)
    assert "<script>" not in table
    assert len({line.count("|") for line in table.splitlines() if line.startswith("|")}) == 1
    lines = workflow.render(found).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("::error title=striate count x%0A%3A%3Aerror%3A%3Ay%2Cz::params")


@pytest.mark.parametrize("name", list(NETWORKS))
def test_csv_has_every_row_and_the_sums_of_the_totals(name: str) -> None:
    found = ledger(name)
    rows = list(csv.DictReader(io.StringIO(records.render(found))))
    assert [row["type"] for row in rows] == [layer.type for layer in found.layers]
    assert sum(int(row["params"]) for row in rows) == found.totals.params
    assert sum(int(row["macs"]) for row in rows) == found.totals.macs


def test_a_name_is_no_formula() -> None:
    found = of(nn.Linear(4, 2))
    named = replace(found, layers=(replace(found.layers[0], name="=1+1"),))
    assert "'=1+1" in records.render(named)
