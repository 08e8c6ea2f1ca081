"""The main job: what comes out, and that it comes out the same however often the run was cut off."""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import striate
from striate.errors import RequestError, UnreachableBudget
from striate.jobs import deliver
from striate.jobs.api import _problem
from striate.jobs.problem import Problem
from striate.jobs.progress import Silent
from striate.jobs.request import Settings
from striate.jobs.steps import Finished, Shrinking
from striate.reduce.export import Exported
from striate.reduce.finetune import Training
from striate.reduce.latency import latency
from striate.runs import Run

SETTINGS = Settings(budget=("30%",), epochs=3, pretrain=2, seed=3)
FREE = ("seconds", "latency", "command")


def digits(start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
    found = load_digits()
    images = torch.from_numpy(found.images[start:stop, None] / 16).float()
    return images, torch.from_numpy(found.target[start:stop])


def network(hidden: int = 24, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Dropout(0.1), nn.Linear(hidden, 10)
    )


def trained(hidden: int = 24) -> nn.Module:
    """A network that knows the digits 0 to 600."""
    model = network(hidden)
    images, labels = digits(0, 600)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return model.eval()


def problem(settings: Settings = SETTINGS) -> Problem:
    return _problem(network(), digits(0, 600), digits(600, 800), None, settings, None)


def work(path: Path, settings: Settings = SETTINGS) -> Finished:
    """Begin or go on with the run at `path`, without exports."""
    resumed = (path / "run.json").exists()
    with Run.resume(path) if resumed else Run.create(path, {"model": "net"}) as run:
        return Shrinking(run, problem(settings), settings, Silent(), keep=False).work()


def lasting(path: Path) -> dict[str, Any]:
    """All that a resumed run must share with an unbroken one, bit for bit."""
    files: dict[str, Any] = {
        name: (path / name).read_bytes()
        for name in (
            "run.json",
            "plan.json",
            "ledger.json",
            "model.safetensors",
            "baseline.safetensors",
        )
    }
    result = json.loads((path / "result.json").read_text())
    steps = [json.loads(line) for line in (path / "journal.jsonl").read_text().splitlines()]
    files["result"] = {key: value for key, value in result.items() if key not in FREE}
    files["steps"] = [(step["key"], step["value"]) for step in steps if step["key"] != "latency"]
    return files


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """No second is spent on timing the forward."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deliver, "latency", partial(latency, seconds=0.001))
        yield


@pytest.fixture
def no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exported program takes seconds, as another process reads it back."""
    monkeypatch.setattr(deliver, "export_program", lambda *_: Exported("it cannot be traced"))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """A finished run, and what its directory was like each time a line had been journaled."""
    place = tmp_path_factory.mktemp("unbroken")
    moments: list[Path] = []
    append = Run._append

    def watched(run: Run, *line: Any) -> None:
        append(run, *line)
        moments.append(place / f"moment-{len(moments)}")
        shutil.copytree(run.path, moments[-1])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "_append", watched)
        work(place / "run")
    return place / "run", moments


# ---- what comes out


def test_the_result_document(unbroken: tuple[Path, list[Path]]) -> None:
    run, _ = unbroken
    result = json.loads((run / "result.json").read_text())
    assert result["schema"] == "striate.shrink/1"
    assert result["status"] == "done"
    assert result["met"] is True
    before, after = result["baseline"], result["shrunk"]
    assert before["params"] == 24 * 64 + 24 + 240 + 10
    assert after["params"] <= before["params"] * 30 // 100
    assert result["budget"] == [
        {"metric": "params", "limit": 543, "value": after["params"], "met": True}
    ]
    assert before["examples"] == after["examples"] == 200
    assert before["validation"]["examples"] == 200
    for score in (before, after, before["validation"], after["validation"]):
        low, high = score["metric"]["interval"]
        assert low <= score["accuracy"] == score["metric"]["value"] <= high
    discordant = result["test"]["only_after_right"] - result["test"]["only_before_right"]
    assert round(200 * (after["accuracy"] - before["accuracy"])) == discordant
    for stage in ("replaced", "fitted"):
        assert result[stage]["params"] == after["params"]
        assert result[stage]["validation"]["examples"] == 200
    assert len(result["frontier"]) == 4
    assert sum(entry["chosen"] for entry in result["frontier"]) == 1
    assert {layer["name"] for layer in result["layers"]} == {"1", "4"}
    saved = sum(layer["params_before"] - layer["params_after"] for layer in result["layers"])
    assert before["params"] - saved == after["params"]
    for layer in result["layers"]:
        assert (layer["from"] == layer["to"]) == (layer["params_before"] == layer["params_after"])
    latency = result["latency"]
    changed = [layer["name"] for layer in result["layers"] if layer["from"] != layer["to"]]
    assert sorted(layer["name"] for layer in latency["layers"]) == sorted(changed)
    assert [latency["batch"], latency["larger"]["batch"]] == [1, 32]
    for pair in (latency, latency["larger"], *latency["layers"]):
        low, high = pair["middle_half"]
        assert 0 < low <= pair["ratio"] <= high
    assert (latency["device"], latency["dtype"]) == ("cpu", "float32")
    has_local = any("local" in layer["to"] or "block" in layer["to"] for layer in result["layers"])
    assert (latency["backend"] is not None) == has_local


def test_the_best_checkpoint_wins(unbroken: tuple[Path, list[Path]]) -> None:
    run, _ = unbroken
    values = {
        step["key"]: step["value"]
        for step in map(json.loads, (run / "journal.jsonl").read_text().splitlines())
    }
    chosen = values["chosen"]
    finalist = chosen["finalist"]

    def rank(value: dict[str, Any]) -> tuple[float, float]:
        return value["validation"]["accuracy"], -value["validation"]["loss"]

    raced = {k: v for k, v in values.items() if k.startswith("race/")}
    assert len(raced) == 4
    assert rank(raced[f"race/{finalist}/epoch/1"]) == max(map(rank, raced.values()))
    candidates = [v for k, v in values.items() if k.startswith(("distill/", "labels/"))]
    assert len(candidates) == 4
    candidates += [raced[f"race/{finalist}/epoch/1"], values[f"finalist/{finalist}/fitted"]]
    assert rank(chosen) == max(map(rank, candidates))


def test_the_test_set_is_read_once_each_and_chooses_nothing(
    tmp_path: Path, unbroken: tuple[Path, list[Path]]
) -> None:
    whole = problem()
    reads: list[int] = []

    class Watched:
        def __len__(self) -> int:
            return len(whole.test or ())

        def batch(self, index: np.ndarray, augment: object = None) -> Any:
            reads.extend(index.tolist())
            return whole.test.batch(index)  # type: ignore[union-attr]

    settings = Settings(budget=("30%",), epochs=0, pretrain=1, seed=3)
    watched = Problem(**{**vars(whole), "test": Watched()})
    with Run.create(tmp_path / "run", {}) as run:
        Shrinking(run, watched, settings, Silent(), keep=False).work()
    # Each network sees two of them once more, which show the memory format that it takes.
    assert Counter(reads) == Counter({row: 4 if row < 2 else 2 for row in range(200)})


def test_without_epochs_nothing_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("nothing is to be trained")

    monkeypatch.setattr(Training, "run_epoch", refuse)
    images, labels = digits(0, 600)
    model = trained()
    before = copy.deepcopy(model.state_dict())
    result = striate.shrink(model, (images, labels), digits(600, 800), budget="30%", epochs=0)
    assert result.result["chosen"]["from"] == "fitted"
    assert result.result["shrunk"]["accuracy"] > 0.6
    assert result.run is None
    assert result.result["files"] is None
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert sum(p.numel() for p in result.model.parameters()) == result.result["shrunk"]["params"]
    # Given weights, and rows that they were probably trained on: the choice goes by the original's outputs.
    scores = [entry["validation_accuracy"] for entry in result.result["frontier"]]
    assert all(score is not None for score in scores)
    assert "divergence" in result.result["shrunk"]["validation"]


def test_labels_are_optional() -> None:
    images, _ = digits(0, 600)
    result = striate.shrink(trained(), images, budget="30%", epochs=2).result
    assert result["status"] == "done"
    for key in ("baseline", "shrunk"):
        assert result[key]["accuracy"] is None
        assert result[key]["validation"]["metric"]["name"] == "agreement"
    assert result["baseline"]["validation"]["metric"]["value"] == 1.0
    assert result["shrunk"]["validation"]["metric"]["value"] > 0.7
    assert result["chosen"]["from"] in ("fitted", "race", "distill")
    assert result["test"] is None


@pytest.mark.usefixtures("no_program")
def test_a_budget_that_is_met_changes_nothing(tmp_path: Path) -> None:
    model = trained()
    out = tmp_path / "run"
    result = striate.shrink(model, digits(0, 600), digits(600, 800), budget="100%", out=out)
    assert result.result["status"] == "already-met"
    assert result.result["met"] is True
    assert result.result["shrunk"]["params"] == result.result["baseline"]["params"]
    assert result.result["latency"] is None  # there is nothing to compare
    loaded = striate.load(out, source=network())
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, result.model.state_dict()[name])
        assert torch.equal(tensor, loaded.state_dict()[name])


@pytest.mark.usefixtures("no_program")
def test_a_budget_that_cannot_be_met(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Training, "run_epoch", lambda *_: pytest.fail("trained for nothing"))
    out = tmp_path / "run"
    data = digits(0, 600)
    with pytest.raises(UnreachableBudget, match=r"--budget 3: the smallest network") as caught:
        striate.shrink(network(), data, budget=3, pretrain=2, out=out)
    smallest = caught.value.smallest["params"]
    result = json.loads((out / "result.json").read_text())
    assert result["status"] == "unreachable"
    assert result["met"] is False
    assert result["smallest"] == {"params": smallest}
    assert result["shrunk"] is None
    total = result["baseline"]["params"]
    assert result["budget"] == [{"metric": "params", "limit": 3, "value": total, "met": False}]
    assert (out / "run.json").exists()
    # What it names can be reached, in the same directory: a run that has done nothing makes way.
    small = striate.shrink(trained(), data, budget=smallest, epochs=0, out=out)
    assert small.result["shrunk"]["params"] <= smallest
    # And what is smallest does not depend on what was asked for.
    assert small.result["smallest"] == {"params": smallest}
    roomy = striate.shrink(trained(), data, budget=["60%", "macs=1k"], epochs=0)
    assert roomy.result["smallest"]["params"] == smallest


def test_several_budgets_hold_together() -> None:
    result = striate.shrink(
        trained(), digits(0, 600), budget=["40%", "macs=700", "bytes=3KB"], epochs=0
    ).result
    assert [gate["met"] for gate in result["budget"]] == [True] * 3
    assert result["shrunk"]["macs"] <= 700
    assert result["shrunk"]["weight_bytes"] <= 3000


def test_a_network_no_better_than_chance_is_stopped(tmp_path: Path) -> None:
    data = digits(0, 600)
    with pytest.raises(RequestError, match=r"no better than chance.*--accept-baseline"):
        striate.shrink(network(), data, budget="30%", epochs=0)
    result = striate.shrink(network(), data, budget="30%", epochs=0, accept_baseline=True)
    assert result.result["status"] == "done"


def test_what_chooses_is_noted_where_the_network_knows_its_rows() -> None:
    data = digits(0, 600)
    known = striate.shrink(trained(), data, budget="30%", epochs=0)
    assert any("probably trained" in note for note in known.result["notes"])
    assert all(entry["divergence"] >= 0 for entry in known.result["frontier"])
    for options in ({"accept_baseline": True}, {"pretrain": 2}, {"validation": digits(600, 800)}):
        model = trained() if "validation" in options else network()
        other = striate.shrink(model, data, budget="30%", epochs=0, **options)
        assert not any("probably trained" in note for note in other.result["notes"])


def test_the_run_directory_loads_elsewhere(tmp_path: Path) -> None:
    out = tmp_path / "run"
    images, _ = digits(800, 900)
    made = striate.shrink(
        trained(), digits(0, 600), digits(600, 800), budget="30%", epochs=1, out=out
    )
    assert made.run == out
    expected = made.model(images)
    for loaded in (striate.load(out), striate.load(out, source=network())):
        assert torch.allclose(loaded(images), expected, atol=1e-5)
    assert (out / "report.html").read_text().lower().startswith("<!doctype html>")
    for name in ("model", "program", "plan", "ledger", "report"):
        assert (out / made.result["files"][name]).exists()


@pytest.mark.usefixtures("no_program")
def test_a_failed_export_is_not_a_failed_shrink(tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = striate.shrink(trained(), digits(0, 600), budget="30%", epochs=0, out=out).result
    assert result["files"]["program"] is None
    assert result["files"]["reasons"] == {"program": "it cannot be traced"}
    assert not (out / "model.pt2").exists()
    assert not list(out.glob(".part.*"))


def test_plan_and_apply() -> None:
    model = trained()
    images, labels = digits(0, 600)
    plan = striate.plan(model, images, budget="30%")
    assert plan.params <= 543
    assert striate.Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    replaced, fitted = striate.apply(model, plan), striate.apply(model, plan, images)

    def right(network: nn.Module) -> float:
        return float((network(images).argmax(1) == labels).float().mean())

    assert right(replaced) <= right(fitted)
    assert right(fitted) > 0.7
    assert striate.plan(model, images, budget="100%").decisions == ()


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"budget": "5 parsecs"}, ValueError, "--budget 5 parsecs"),
        ({"budget": 1.5}, TypeError, "budget=1.5"),
        ({"budget": []}, ValueError, "budget="),
        ({"epochs": -1}, ValueError, "epochs=-1: expected a whole number from 0 on"),
        ({"device": "cuda:99"}, ValueError, "cuda:99"),
        ({"precision": "8-bit"}, ValueError, "--precision 8-bit"),
        ({"export": ["onnx"]}, ValueError, "needs out"),
        ({"export": ["tflite"]}, ValueError, "--export tflite"),
        ({"layout": (1, 5, 5)}, ValueError, "layout"),
        ({"test": (torch.zeros(3, 1, 9, 9), torch.zeros(3).long())}, ValueError, "test"),
        ({"train": torch.zeros(600, 1, 7, 7)}, ValueError, "forward"),
        ({"train": (torch.zeros(600, 1, 8, 8), torch.full((600,), 12))}, ValueError, "12"),
        ({"train": "digits"}, TypeError, "train"),
        ({"model": "zoo:mlp"}, TypeError, "model is a str"),
        ({"train": torch.zeros(600, 1, 8, 8), "pretrain": 3}, ValueError, "labels"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], error: type[Exception], match: str) -> None:
    given: dict[str, Any] = {
        "model": network(),
        "train": digits(0, 600),
        "budget": "30%",
        "epochs": 0,
    }
    given |= arguments
    with pytest.raises(error, match=match):
        striate.shrink(given.pop("model"), given.pop("train"), **given)


# ---- cut off and taken up again


def test_the_same_seed_gives_the_same_bits(
    tmp_path: Path, unbroken: tuple[Path, list[Path]]
) -> None:
    work(tmp_path / "run")
    assert lasting(tmp_path / "run") == lasting(unbroken[0])
    other = Settings(**{**vars(SETTINGS), "seed": 4})
    work(tmp_path / "other", other)
    different = lasting(tmp_path / "other")
    assert different["model.safetensors"] != lasting(unbroken[0])["model.safetensors"]


def test_cut_off_after_any_step_only_what_is_missing_is_done(
    unbroken: tuple[Path, list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, moments = unbroken
    expected = lasting(run)
    epochs: list[str] = []
    train = Training.run_epoch

    def counted(training: Training, *arguments: Any) -> Any:
        epochs.append(f"{training.phase}/epoch/{training.epoch + 1}")
        return train(training, *arguments)

    monkeypatch.setattr(Training, "run_epoch", counted)
    every = [step for step, _ in expected["steps"] if "/epoch/" in step]
    for number, moment in enumerate(moments):
        before = (moment / "journal.jsonl").read_bytes()
        if json.loads(before.splitlines()[-1])["key"].startswith("measure/") and number % 5:
            continue  # one measurement is like another
        path = tmp_path / moment.name
        shutil.copytree(moment, path)
        epochs.clear()
        work(path)
        assert (path / "journal.jsonl").read_bytes().startswith(before)
        done = [json.loads(line)["key"] for line in before.splitlines()]
        assert epochs == [step for step in every if step not in done]
        assert lasting(path) == expected
        shutil.rmtree(path)


def test_any_prefix_of_the_journal_gives_the_same_end(
    unbroken: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    run, _ = unbroken
    expected = lasting(run)
    lines = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    for count in range(len(lines) + 1):
        path = tmp_path / f"cut-{count}"
        shutil.copytree(run, path)
        # A torn line follows the whole ones, as after a kill in the middle of a write.
        torn = b"" if count == len(lines) else lines[count][: len(lines[count]) // 2]
        (path / "journal.jsonl").write_bytes(b"".join(lines[:count]) + torn)
        work(path)
        assert (path / "journal.jsonl").read_bytes().startswith(b"".join(lines[:count]))
        assert lasting(path) == expected
        shutil.rmtree(path)


def test_lost_checkpoints_are_made_again(unbroken: tuple[Path, list[Path]], tmp_path: Path) -> None:
    run, _ = unbroken
    expected = lasting(run)
    shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    journal = (run / "journal.jsonl").read_bytes()
    work(tmp_path / "run")
    assert lasting(tmp_path / "run") == expected
    assert (tmp_path / "run" / "journal.jsonl").read_bytes() == journal


def test_an_interrupt_says_so_and_can_be_resumed(
    unbroken: tuple[Path, list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = Training.run_epoch

    def interrupted(training: Training, *arguments: Any) -> Any:
        if training.phase == "distill" and training.epoch == 1:
            raise KeyboardInterrupt
        return train(training, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "run_epoch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            work(tmp_path / "run")
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["status"] == "interrupted"
    assert result["met"] is False
    assert result["shrunk"] is None
    work(tmp_path / "run")
    assert lasting(tmp_path / "run") == lasting(unbroken[0])


@pytest.mark.usefixtures("no_program")
def test_a_resume_with_other_options_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "run"
    given: dict[str, Any] = {"budget": "30%", "epochs": 0, "out": out}
    striate.shrink(trained(), digits(0, 600), **given)
    again = striate.shrink(trained(), digits(0, 600), **given, resume=True)
    assert again.result["status"] == "done"
    with pytest.raises(RequestError, match=r"begun with epochs 0, and this asks for 2"):
        striate.shrink(trained(), digits(0, 600), **{**given, "epochs": 2}, resume=True)
    with pytest.raises(RequestError, match="fingerprint"):
        striate.shrink(network(seed=5), digits(0, 600), **given, resume=True)
    with pytest.raises(RequestError, match="--resume"):
        striate.shrink(trained(), digits(0, 600), **given)


# ---- killed, really


COMMAND = (
    *("shrink", "net.py:make", "--data", "npz:digits.npz", "--pretrain", "2"),
    *("--budget", "30%", "--epochs", "3", "--quiet"),
)


# The package may be installed, or be that of the clone.
ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(Path(striate.__file__).parents[1]),
}


def start(out: str, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "striate", *COMMAND, "--out", out, *more]
    return subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE)


def finish(out: str, *more: str) -> None:
    process = start(out, *more)
    _, complaint = process.communicate(timeout=300)
    assert process.returncode == 0, complaint.decode()


def stop_at(
    process: subprocess.Popen[bytes], journal: Path, lines: int, delay: float, by: int
) -> bytes:
    """Signal the process `delay` seconds after its journal has so many lines; what it complained."""
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if journal.exists() and journal.read_bytes().count(b"\n") >= lines:
            break
        time.sleep(0.002)
    time.sleep(delay)
    process.send_signal(by)
    return process.communicate(timeout=120)[1]


def killed_often(here: Path, kills: int, seed: int) -> None:
    finish("whole")
    whole = lasting(here / "whole")
    total = len((here / "whole" / "journal.jsonl").read_bytes().splitlines())
    chance = random.Random(seed)
    journal = here / "cut" / "journal.jsonl"
    for _ in range(kills):
        if (here / "cut").exists() and chance.random() < 0.3:
            shutil.rmtree(here / "cut")
        kept = journal.read_bytes() if journal.exists() else b""
        lines = chance.randint(kept.count(b"\n"), total)
        process = start("cut", "--resume")
        stop_at(process, journal, lines, 0.1 * chance.random(), signal.SIGKILL)
        whole_lines = kept[: kept.rfind(b"\n") + 1]
        assert not journal.exists() or journal.read_bytes().startswith(whole_lines)
    kept = journal.read_bytes() if journal.exists() else b""
    finish("cut", "--resume")
    assert journal.read_bytes().startswith(kept[: kept.rfind(b"\n") + 1])
    ours, theirs = lasting(here / "cut"), whole
    for files in (ours, theirs):
        del files["run.json"]  # it holds the command, which names another directory
        files["steps"] = [step for step in files["steps"] if step[0] != "latency"]
    assert ours == theirs


def test_killed_at_random_instants(here: Path) -> None:
    killed_often(here, kills=3, seed=1)


@pytest.mark.slow
def test_killed_at_many_random_instants(here: Path) -> None:
    killed_often(here, kills=20, seed=2)


def test_ctrl_c(here: Path) -> None:
    # A shell's background job ignores the signal, and so would its children: not what is tested here.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = start("run")
    signal.signal(signal.SIGINT, before)
    complaint = stop_at(process, here / "run" / "journal.jsonl", 3, 0.05, signal.SIGINT).decode()
    assert process.returncode == 130
    assert complaint.count("\n") == 1
    assert complaint.startswith(
        "striate shrink: interrupted; go on with: striate shrink net.py:make"
    )
    assert complaint.rstrip().endswith("--resume")
    again = complaint.partition("striate shrink net.py:make")[2].split()
    done = subprocess.run(
        [sys.executable, "-m", "striate", "shrink", "net.py:make", *again],
        env=ENVIRONMENT,
        timeout=300,
    )
    assert done.returncode == 0
    assert json.loads((here / "run" / "result.json").read_text())["status"] == "done"
