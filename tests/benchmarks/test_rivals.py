"""The rivals: fair from the first weight on, and the same however often they were cut off."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pruning
import pytest
import rivals
import tables
import torch
from pruning import CANDIDATES, Candidate, Pruning, parameters
from shrink import Row, Task
from sklearn.datasets import load_digits
from torch import nn

import striate
from striate.errors import RequestError
from striate.jobs.named import shrink_named
from striate.jobs.progress import Advance, Silent
from striate.jobs.request import Settings, ShrinkRequest
from striate.reduce.examples import TensorExamples
from striate.reduce.plan import Plan
from striate.sources.models import resolve

TASK = Task("toy", "zoo:digits", "digits", 2)
ROW = Row("toy-20", "toy", "20%", 2, 5.0)


class Cut(Silent):
    """Reports nowhere, and stops the job like Ctrl-C when a line is said that begins so."""

    def __init__(self, line: str) -> None:
        self.line = line

    def say(self, text: str) -> None:
        if text.startswith(self.line):
            raise KeyboardInterrupt

    @contextmanager
    def bar(self, total: int | None, label: str) -> Iterator[Advance]:
        yield lambda _: None


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    found = load_digits()
    return torch.from_numpy(found.images[:400, None] / 16).float(), torch.from_numpy(
        found.target[:400]
    )


def planned() -> tuple[nn.Module, Plan]:
    model = resolve("zoo:mlp", {"hidden": 24}, shape=(1, 8, 8), classes=10).build()
    return model, striate.plan(model, digits()[0], budget="30%")


def test_every_layer_of_a_fresh_network_is_drawn_anew() -> None:
    model, plan = planned()
    nets = [rivals.fresh(model, plan, seed) for seed in (0, 0, 1)]
    first, again, other = ([*net.parameters()] for net in nets)
    assert sum(parameter.numel() for parameter in first) == plan.params
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    kept = dict(model.named_parameters())
    assert not any(
        name in kept and torch.equal(p, kept[name]) for name, p in nets[0].named_parameters()
    )
    # Tables of positions are structure, not weights.
    assert all(torch.equal(a, b) for a, b in zip(nets[0].buffers(), nets[2].buffers(), strict=True))


def test_layers_of_one_shape_do_not_start_alike() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    net = rivals.fresh(model, Plan((), (), params=162, macs=144, weight_bytes=648), 0)
    assert not torch.equal(net[0].weight, net[2].weight)


def test_a_module_that_cannot_draw_its_weights_is_named() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

    model = nn.Sequential(nn.Linear(3, 3), Odd())
    with pytest.raises(TypeError, match="1 is a Odd"):
        rivals.fresh(model, Plan((), (), params=15, macs=9, weight_bytes=60), 0)


@pytest.fixture
def small_cnn() -> Pruning:
    pytest.importorskip("torch_pruning")
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(96, 40), nn.ReLU(),
        nn.Linear(40, 10),
    )  # fmt: skip
    images, labels = digits()
    return Pruning(model, images[:2], TensorExamples(images, labels), 1000, 0)


@pytest.mark.parametrize("scope", pruning.SCOPES)
def test_pruning_fills_the_budget_and_can_be_repeated(small_cnn: Pruning, scope: str) -> None:
    before = [parameter.clone() for parameter in small_cnn.original.parameters()]
    found = small_cnn.prune(Candidate("taylor", scope))
    assert found is not None
    _, model, history = found
    assert parameters(model) <= small_cnn.limit
    # No other ratio leaves more, as far as the limit allows.
    sizes = [
        parameters(small_cnn._at(Candidate("taylor", scope), ratio / 50)[0]) for ratio in range(50)
    ]
    assert parameters(model) >= max(size for size in sizes if size <= small_cnn.limit)
    assert model(small_cnn.example).shape == (2, 10)
    again = small_cnn.again(json.loads(json.dumps(history)))
    for ours, theirs in zip(again.parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    if scope == "dense":
        assert torch.equal(model[0].weight, small_cnn.original[0].weight)
    for parameter, was in zip(small_cnn.original.parameters(), before, strict=True):
        assert torch.equal(parameter, was)
        assert parameter.grad is None


def test_a_scope_that_cannot_come_down_to_the_budget_is_left_out(small_cnn: Pruning) -> None:
    small_cnn.limit = 60  # the convolution alone has as many
    assert small_cnn.prune(Candidate("filter norm", "dense")) is None


def test_finalists_are_of_every_scope_and_no_two_are_the_same_network() -> None:
    accuracy = dict(zip(CANDIDATES, np.linspace(0.9, 0.1, len(CANDIDATES)), strict=True))
    values: dict[Candidate, dict[str, Any]] = {
        candidate: {"validation": {"accuracy": value}, "history": [candidate.key]}
        for candidate, value in accuracy.items()
    }
    values[CANDIDATES[1]]["history"] = values[CANDIDATES[0]]["history"]
    values[CANDIDATES[8]]["history"] = None
    chosen = pruning.choose(values, lambda score: (score["accuracy"],))
    assert chosen == [CANDIDATES[0], CANDIDATES[3], CANDIDATES[6], CANDIDATES[2]]


def test_rivals_of_what_is_not_there_say_what_comes_first(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="--part ours"):
        rivals.from_scratch(tmp_path, ROW, TASK, 0, progress=Silent())
    with pytest.raises(RequestError, match="--part base"):
        rivals.torch_pruning(tmp_path, TASK, 0, 1, progress=Silent())


# ---- whole rivals, on the digits


def shrink(out: Path, name: str, budget: str, **options: Any) -> None:
    weights = options.pop("weights", None)
    settings = Settings(budget=(budget,), seed=0, **options)
    request = ShrinkRequest("zoo:digits", "digits", settings, {"hidden": 24}, weights)
    shrink_named(request, out / name, Silent())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An original and a run of `ROW`, done."""
    out = tmp_path_factory.mktemp("bench")
    shrink(out, "toy-base-0", "100%", pretrain=TASK.pretrain)
    shrink(
        out, f"{ROW.name}-0", ROW.budget, epochs=ROW.epochs,
        weights=str(out / "toy-base-0" / "baseline.safetensors"), accept_baseline=True,
    )  # fmt: skip
    return out


def copied(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "bench"))


def lasting(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != "seconds"}


@pytest.mark.slow
def test_from_scratch_is_the_finished_network_trained_as_long_and_resumes(
    finished: Path, tmp_path: Path
) -> None:
    out = copied(finished, tmp_path)
    whole = rivals.from_scratch(finished, ROW, TASK, 0, progress=Silent())
    with pytest.raises(KeyboardInterrupt):
        rivals.from_scratch(out, ROW, TASK, 0, progress=Cut("toy-20-scratch-0, scratch, epoch 3"))
    journal = out / "toy-20-scratch-0" / "journal.jsonl"
    before = journal.read_bytes()
    assert before.count(b"\n") == 3
    again = rivals.from_scratch(out, ROW, TASK, 0, progress=Silent())
    assert lasting(again) == lasting(whole)
    assert journal.read_bytes().startswith(before)
    keys = [json.loads(line)["key"] for line in journal.read_text().splitlines()]
    assert keys == [*(f"scratch/epoch/{epoch}" for epoch in (1, 2, 3, 4)), "test"]
    result = json.loads((finished / f"{ROW.name}-0" / "result.json").read_text())
    assert whole["params"] == result["shrunk"]["params"]
    assert whole["test"]["examples"] == result["shrunk"]["examples"]
    assert whole["validation"]["examples"] == result["shrunk"]["validation"]["examples"]
    assert whole["test"]["accuracy"] > 0.3  # it learns
    # Asked again, nothing is done; of another plan, it is refused.
    assert rivals.from_scratch(out, ROW, TASK, 0, progress=Silent()) == again
    plan = out / f"{ROW.name}-0" / "plan.json"
    plan.write_text(plan.read_text() + "\n")
    with pytest.raises(RequestError, match="plan"):
        rivals.from_scratch(out, ROW, TASK, 0, progress=Silent())


@pytest.mark.slow
def test_torch_pruning_has_the_budget_both_arms_and_resumes(finished: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch_pruning")
    out = copied(finished, tmp_path)
    whole = rivals.torch_pruning(finished, TASK, 0, 2, percent=20, progress=Silent())
    for line in (
        "toy-20-torch-pruning-0, taylor, layer",
        "toy-20-torch-pruning-0, labels, epoch 1",
    ):
        with pytest.raises(KeyboardInterrupt):
            rivals.torch_pruning(out, TASK, 0, 2, percent=20, progress=Cut(line))
    again = rivals.torch_pruning(out, TASK, 0, 2, percent=20, progress=Silent())
    assert lasting(again) == lasting(whole)
    base = json.loads((finished / "toy-base-0" / "result.json").read_text())["baseline"]
    assert whole["limit"] == base["params"] // 5
    assert all(c["params"] is None or c["params"] <= whole["limit"] for c in whole["candidates"])
    assert set(whole["arms"]) == {"distill", "labels"}
    assert whole["validation"] == whole["arms"][whole["arm"]]
    raced = [c["raced"]["accuracy"] for c in whole["candidates"] if c["raced"]]
    winner = next(
        c
        for c in whole["candidates"]
        if (c["importance"], c["scope"]) == (whole["importance"], whole["scope"])
    )
    assert winner["raced"]["accuracy"] == max(raced)
    assert whole["test"]["accuracy"] > 0.3
    assert whole["test"]["examples"] == base["examples"]


@pytest.mark.slow
def test_the_tables_read_what_runs_and_rivals_really_write(finished: Path) -> None:
    scratch = rivals.from_scratch(finished, ROW, TASK, 0, progress=Silent())
    text = tables.table(finished, [0], [ROW], {"toy": TASK})
    result = json.loads((finished / f"{ROW.name}-0" / "result.json").read_text())
    row = next(line for line in text.splitlines() if line.startswith("| toy"))
    for score in (result["baseline"], result["shrunk"], result["fitted"]["validation"]):
        assert f"| {100 * score['accuracy']:.2f} % |" in row
    assert f"| {100 * scratch['test']['accuracy']:.2f} % (4 epochs) |" in text
    (found,) = tables.lines(finished, [0], [ROW], {"toy": TASK})
    (run,) = found.runs
    assert 0 < run.planning < run.seconds
    assert run.epoch is not None
    assert run.epoch > 0
