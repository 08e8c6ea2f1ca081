"""Loading a run: what it is built from, and that nothing a file names is called."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from striate.errors import RequestError, UserCodeError
from striate.jobs.api import shrink
from striate.jobs.count import CountRequest, count_named
from striate.jobs.load import load
from striate.reduce.program import ProgramModule
from striate.sources.models import resolve

ARGUMENTS = {"shape": (1, 8, 8), "classes": 3, "hidden": 24}


def images(count: int = 300) -> Tensor:
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def original() -> nn.Module:
    torch.manual_seed(0)
    return resolve("zoo:mlp", ARGUMENTS).build().eval()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module]:
    path = tmp_path_factory.mktemp("load") / "run"
    return path, shrink(original(), images(), budget="40%", epochs=0, out=path).model


@pytest.fixture
def run(finished: tuple[Path, nn.Module], tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(finished[0], tmp_path / "run"))


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def named(run: Path, text: str | None, arguments: dict[str, Any] | None = None) -> Path:
    factory = {"text": text, "arguments": arguments or {}, "is_zoo": True}
    edit(run / "run.json", lambda document: document.update(factory=factory))
    return run


def same(model: nn.Module, wanted: nn.Module) -> None:
    with torch.no_grad():
        for count in (1, 2, 30):
            torch.testing.assert_close(model(images()[:count]), wanted(images()[:count]))


def test_only_a_network_that_is_built_again_is_counted_in_training(run: Path) -> None:
    asked = CountRequest(str(run), training=True)
    with pytest.raises(RequestError, match=r"^--training: .*run is a program that runs as it was"):
        count_named(asked)
    assert count_named(replace(asked, training=False)).ledger.totals.params
    named(run, "zoo:mlp", {**ARGUMENTS, "shape": [1, 8, 8]})
    assert count_named(asked).ledger.totals.saved_bytes


def test_a_network_of_the_zoo_is_built_again_and_can_be_trained(
    run: Path, finished: tuple[Path, nn.Module]
) -> None:
    said: list[str] = []
    torch.manual_seed(5)
    state = torch.get_rng_state()
    model = load(named(run, "zoo:mlp", {**ARGUMENTS, "shape": [1, 8, 8]}), say=said.append)
    assert torch.equal(torch.get_rng_state(), state)
    same(model, finished[1])
    assert not isinstance(model, ProgramModule)
    assert not model.training
    model.train()(images()[:4]).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert said == [
        f"{run}: loaded from zoo:mlp, plan.json and model.safetensors; it can be trained"
    ]


@pytest.mark.parametrize("text", [None, "subprocess:check_output", "os:getcwd"])
def test_without_a_source_the_program_is_loaded_and_nothing_is_called(
    run: Path,
    finished: tuple[Path, nn.Module],
    text: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def called(*_: object, **__: object) -> None:
        raise AssertionError("a factory was called on a file's word")

    monkeypatch.setattr(subprocess, "check_output", called)
    monkeypatch.setattr("os.getcwd", called)
    model = load(named(run, text, {"args": ["true"]}))
    assert isinstance(model, ProgramModule)
    same(model, finished[1])
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "loaded from the exported program, for inference" in printed.err


def test_a_claim_to_be_of_the_zoo_is_not_believed(run: Path) -> None:
    with pytest.raises(RequestError, match="no such network"):
        load(named(run, "zoo:os", {}), say=None)


def test_a_source_gives_the_network(run: Path, finished: tuple[Path, nn.Module]) -> None:
    source = original()
    stored = {name: value.clone() for name, value in source.state_dict().items()}
    model = load(run, source=source, say=None)
    same(model, finished[1])
    assert all(torch.equal(value, stored[name]) for name, value in source.state_dict().items())
    same(load(run, source=original, say=None), finished[1])


def test_a_source_by_name_gets_the_runs_arguments(
    run: Path, finished: tuple[Path, nn.Module], tmp_path: Path
) -> None:
    file = tmp_path / "net.py"
    file.write_text(
        "from striate.sources.models import resolve\n"
        "def make(hidden=5):\n"
        "    shape = (1, 8, 8)\n"
        "    return resolve('zoo:mlp', {'hidden': hidden}, shape=shape, classes=3).build()\n"
    )
    text = f"{file}:make"
    named(run, text, {"hidden": 24})
    same(load(run, source=text, say=None), finished[1])
    named(run, "elsewhere:make", {"hidden": 24})
    with pytest.raises(RequestError, match="does not give the network that was shrunk"):
        load(run, source=text, say=None)


def test_a_wrong_source_is_said(run: Path) -> None:
    with pytest.raises(RequestError, match=r"Linear does not give the network.*has no layer"):
        load(run, source=nn.Linear(3, 3), say=None)
    with pytest.raises(TypeError, match="source is a int"):
        load(run, source=3, say=None)  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="gave a dict"):
        load(run, source=dict, say=None)  # type: ignore[arg-type]

    def broken() -> nn.Module:
        raise KeyError("depth")

    with pytest.raises(UserCodeError, match=r"source=broken raised KeyError: 'depth'"):
        load(run, source=broken, say=None)


def test_without_a_program_the_reason_and_the_remedy_are_said(run: Path) -> None:
    (run / "model.pt2").unlink()
    edit(
        run / "result.json",
        lambda document: document["files"].update(
            program=None, reasons={"program": "torch.export: no"}
        ),
    )
    named(run, "net.py:make")
    with pytest.raises(
        RequestError, match=r"no exported program .*torch.export: no.*source='net.py:make'"
    ):
        load(run, say=None)


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("run.json", None, "no run.json in it; expected a run directory"),
        ("result.json", None, "no result.json in it; the run has not ended"),
        ("run.json", "{", "run.json is damaged"),
        ("result.json", "[]", "not a striate.shrink/1 document"),
        ("result.json", '{"schema": "striate.shrink/1", "status": "interrupted"}', "interrupted"),
        ("result.json", '{"schema": "striate.shrink/1", "status": "unreachable"}', "unreachable"),
        ("plan.json", None, "no plan.json"),
        ("plan.json", '{"schema": "striate.plan/1"}', "plan"),
        ("model.safetensors", None, "model.safetensors is missing"),
        ("model.safetensors", "x", "not a readable"),
    ],
)
def test_what_is_missing_or_damaged_is_said(
    run: Path, name: str, content: str | None, text: str
) -> None:
    if content is None:
        (run / name).unlink()
    else:
        (run / name).write_text(content)
    with pytest.raises(RequestError, match=text) as raised:
        load(run, source=original, say=None)
    assert "\n" not in str(raised.value)


def test_a_network_that_met_the_budget_is_loaded_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "run"
    found = shrink(original(), images(), budget="90k", epochs=0, out=path)
    assert found.result["status"] == "already-met"
    same(load(path, say=None), original())
    same(load(path, source=original, say=None), original())


def test_absurd_arguments_of_a_file_are_refused(run: Path) -> None:
    with pytest.raises(RequestError, match="zoo:mlp: cannot be built with"):
        load(named(run, "zoo:mlp", {**ARGUMENTS, "hidden": 10**15}), say=None)


@pytest.mark.parametrize("name", ["run.json", "result.json"])
def test_a_directory_in_place_of_a_file(run: Path, name: str) -> None:
    (run / name).unlink()
    (run / name).mkdir()
    with pytest.raises(RequestError, match=f"{name} is a directory"):
        load(run, say=None)
