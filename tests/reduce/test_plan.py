"""Plans: pure data, in and out of JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import RequestError
from striate.reduce.plan import SCHEMA, Decision, Plan
from striate.reduce.rungs.compose import Rung
from striate.reduce.rungs.dense import Dense
from striate.reduce.rungs.local import Grid
from striate.reduce.rungs.low_rank import LowRank
from striate.reduce.rungs.pooled import Pooled
from striate.reduce.rungs.shared import Shared
from striate.reduce.rungs.stage import Place
from striate.reduce.sites import Layout
from tests.reduce.reductions import conv_places, placed_rungs

names = st.text(st.sampled_from("abc.0_"), min_size=1, max_size=6)
numbers = st.none() | st.floats(0, 10)


@st.composite
def decisions(draw: st.DrawFn) -> Decision:
    if draw(st.booleans()):
        place, _, _ = draw(conv_places())
        rung = Rung((LowRank(draw(st.integers(1, min(place.inputs, place.outputs, 9)))),))
    else:
        place, rung = draw(placed_rungs())
    index = None if place.ordered else tuple(draw(st.permutations(range(place.inputs))))
    return Decision(
        site=draw(names),
        rung=rung,
        place=place,
        params_before=draw(st.integers(0, 10**12)),
        params_after=draw(st.integers(0, 10**12)),
        residual=draw(numbers),
        harm=draw(numbers),
        index=index,
        reader=draw(st.none() | names),
    )


plans = st.builds(
    Plan,
    decisions=st.lists(decisions(), max_size=4).map(tuple),
    refitted=st.lists(names, max_size=3).map(tuple),
    params=st.integers(0, 10**12),
    macs=st.integers(0, 10**15),
    weight_bytes=st.integers(0, 10**13),
)


@given(plan=plans)
@settings(max_examples=60)
def test_plans_survive_json(plan: Plan) -> None:
    text = json.dumps(plan.to_dict(), allow_nan=False)
    again = Plan.from_dict(json.loads(text))
    assert again == plan
    assert json.dumps(again.to_dict()) == text
    assert hash(again) == hash(plan)


GRID = Grid(2, (2, 2), (3, 3), (1, 1), (0, 0))
PLACE = Place(32, 8, True, Layout(2, 4, 4))
SHARED = Decision("fc1", Rung((Shared(GRID),)), PLACE, 264, 38, 0.5, 0.1, None, "fc2")
POOLED = Decision("fc2", Rung((Pooled("avg", (2, 2)), Dense())), PLACE, 264, 72)
LOW = Decision("fc3", Rung((Pooled("avg", (2, 2)), LowRank(2))), PLACE, 264, 40)
PLAN = Plan((SHARED, POOLED), ("fc4",), 1000, 2000, 4000)


def test_a_plan_says_what_is_done_where() -> None:
    assert PLAN.structure == "fc1: shared; fc2: pooled"
    assert PLAN.label == "fc1: shared 3x3 to 2x2x2; fc2: avg pool to 2x2"
    assert PLAN.kinds == {"shared", "pooled"}
    assert PLAN.permuted == ("fc2",)
    assert SHARED.from_label == "dense"


def test_structure_leaves_sizes_out() -> None:
    one, two = (
        replace(PLAN, decisions=(replace(LOW, rung=Rung((Pooled(mode, size), LowRank(rank)))),))
        for mode, size, rank in (("avg", (2, 2), 3), ("max", (1, 2), 1))
    )
    assert one.structure == two.structure == "fc3: pooled+low-rank"
    assert one.label != two.label
    assert one.structure != PLAN.structure


def test_the_document_says_what_it_is() -> None:
    document = PLAN.to_dict()
    assert document["schema"] == SCHEMA == "striate.plan/1"
    assert isinstance(document["striate"], str)
    assert document["permuted"] == ["fc2"]
    assert document["refitted"] == ["fc4"]


def test_a_document_without_the_weights_size_means_float32() -> None:
    document: Any = json.loads(json.dumps(PLAN.to_dict()))
    del document["sites"][0]["place"]["itemsize"]
    assert Plan.from_dict(document) == PLAN


def spoiled(*path: Any, value: Any = None, remove: bool = False) -> Any:
    document: Any = json.loads(json.dumps(PLAN.to_dict()))
    inner = document
    for step in path[:-1]:
        inner = inner[step]
    if remove:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return document


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (spoiled("schema", value="striate.plan/2"), r"schema 'striate.plan/2'; expected"),
        (spoiled("schema", remove=True), "schema None"),
        (spoiled("sites", remove=True), "'sites'"),
        (spoiled("sites", value=3), "lacks or garbles"),
        (spoiled("params", value="many"), "lacks or garbles"),
        (spoiled("params", value=None), "lacks or garbles"),
        (spoiled("refitted", value=None), "refitted is None"),
        (spoiled("refitted", value=[3]), "refitted is"),
        (spoiled("sites", 0, "reader", value=5), "reader is 5"),
        (spoiled("sites", 0, "name", value=5), "name of a site is 5"),
        (spoiled("sites", 0, "index", value=[0, 1]), "index does not name"),
        (spoiled("sites", 0, value="fc1"), "lacks or garbles"),
        (spoiled("sites", 0, "place", value="here"), "lacks or garbles"),
        (spoiled("sites", 0, "place", "depth", value=2), "depth"),
        (spoiled("sites", 0, "place", "layout", value={"rows": 2}), "rows"),
        (spoiled("sites", 0, "index", value=7), "index does not name"),
        (spoiled("sites", 0, "rung", remove=True), "'rung'"),
        (spoiled("sites", 0, "rung", "stages", 0, "kind", value="pruned"), "unknown rung kind"),
        (spoiled("sites", 0, "rung", "stages", value=[]), "cannot be built"),
        ([], "expected"),
        ("striate.plan/1", "expected"),
        (None, "expected"),
    ],
)
def test_what_is_no_plan_is_refused(document: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        Plan.from_dict(document)


def pooled_document(stage: int, **changes: Any) -> Any:
    place = Place(256, 32, True, Layout(4, 8, 8))
    rung = Rung((Pooled("avg", (4, 4), (2, 2), (2, 2)), LowRank(9)))
    plan = Plan((Decision("fc1", rung, place, 8224, 900),), (), 900, 900, 3600)
    document: Any = json.loads(json.dumps(plan.to_dict()))
    assert Plan.from_dict(document) == plan
    document["sites"][0]["rung"]["stages"][stage].update(changes)
    return document


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (pooled_document(0, window=[0, 0]), r"fc1: pooled: window is \(0, 0\)"),
        (pooled_document(0, stride=[0, 0]), r"fc1: pooled: stride is \(0, 0\)"),
        (pooled_document(0, stride=[3, 3]), r"pooled: window \(2, 2\) with stride \(3, 3\).*size"),
        (pooled_document(0, window=[2]), r"window is \(2,\); expected two"),
        (pooled_document(0, window=None), "window and stride go together"),
        (pooled_document(0, size=[9, 9], window=None, stride=None), r"size \(9, 9\) of a map"),
        (pooled_document(0, mode="med"), "pooled: mode 'med'; expected avg or max"),
        (pooled_document(0, mode=3), "pooled: mode is 3"),
        (pooled_document(1, rank="x"), "low-rank: rank is 'x'"),
        (pooled_document(1, rank=-1), "low-rank: rank is -1"),
        (pooled_document(1, rank=True), "low-rank: rank is True"),
        (pooled_document(1, rank=33), "rank 33 of 64 inputs and 32 outputs; expected 1 to 32"),
        (pooled_document(1, rank=10**12), "low-rank: rank 1000000000000"),
    ],
)
def test_what_cannot_be_built_is_refused_by_its_field(document: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        Plan.from_dict(document)
