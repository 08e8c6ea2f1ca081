"""`striate doctor`: what it finds with the kernels, without them, with others, and with libraries missing."""

from __future__ import annotations

import ctypes
import importlib.metadata
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from striate import doctor
from striate.cli import main
from striate.errors import RequestError
from striate.ops import backend, cpu, on_grid
from striate.version import __version__

compiled = pytest.mark.skipif(cpu.library() is None, reason=cpu.missing() or "")
Found = dict[tuple[str, str, bool], dict[str, Any]]


@pytest.fixture(autouse=True)
def _no_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(backend.OVERRIDE, raising=False)


@pytest.fixture
def hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """No library anywhere."""
    monkeypatch.setattr(cpu, "_candidates", lambda: iter(()))
    monkeypatch.setattr(cpu, "_load", cpu._load.__wrapped__)


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let libraries have other versions, or None: not installed."""
    real = importlib.metadata.version

    def change(**others: str | None) -> None:
        def version(name: str) -> str:
            if name not in others:
                return real(name)
            if (other := others[name]) is None:
                raise importlib.metadata.PackageNotFoundError(name)
            return other

        monkeypatch.setattr(importlib.metadata, "version", version)

    return change


def examine() -> dict[str, Any]:
    """As JSON has it: what JSON has no words for fails."""
    return json.loads(json.dumps(doctor.examine(seconds=0), allow_nan=False))


def shown(document: dict[str, Any], width: int = 500) -> str:
    from rich.console import Console

    console = Console(width=width)
    with console.capture() as capture:
        console.print(doctor.render(document))
    return capture.get()


def choices(document: dict[str, Any]) -> Found:
    return {(one["operator"], one["dtype"], one["gradients"]): one for one in document["backends"]}


def remedies(document: dict[str, Any], word: str) -> list[str]:
    return [one["remedy"] for one in document["missing"] if word in one["what"]]


@compiled
def test_with_the_kernels() -> None:
    document = examine()
    assert document["schema"] == "striate.doctor/1"
    assert (document["striate"], document["status"]) == (__version__, "ok")
    kernels = document["kernels"]
    assert kernels["available"]
    assert kernels["reason"] is None
    assert Path(kernels["path"]).is_file()
    assert kernels["instructions"] == cpu.instructions()
    assert document["threads"]["torch"] == torch.get_num_threads()
    assert document["threads"]["processors"] >= 1
    assert not remedies(document, "kernels")

    found = choices(document)
    assert len(found) == 4 * 3 * 2
    by_kernels = {key for key, one in found.items() if one["backend"] == "cpu"}
    assert by_kernels == {
        ("local", "float32", True),
        ("local", "float32", False),
        ("local", "bfloat16", False),
        ("transposed local", "float32", True),
        ("transposed local", "float32", False),
    }
    assert {found[key]["reason"] for key in by_kernels} == {
        f"compiled kernels, {cpu.instructions()}"
    }
    assert "gradients in bfloat16" in found["local", "bfloat16", True]["reason"]
    assert "convolution" in found["low-rank local", "float32", True]["reason"]


@compiled
def test_the_timing_is_of_results_that_agree() -> None:
    timing = examine()["timing"]
    assert timing["agree"] is True
    assert 0 <= timing["difference"] < 1e-5
    assert timing["turns"] >= 15
    assert timing["kernels_ms"] > 0
    assert timing["plain_ms"] > 0
    low, high = timing["ratio"]["quartiles"]
    assert 0 < low <= timing["ratio"]["median"] <= high
    assert "Results agree." in shown(examine())


@compiled
@pytest.mark.parametrize("wrong", [0.01, float("nan")])
def test_kernels_that_compute_something_else_are_a_fault(
    wrong: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = cpu.forward

    def forward(windows: Any, x: Any, weight: Any, bias: Any, out: Any, **options: Any) -> None:
        real(windows, x, weight, bias, out, **options)
        out[-1, -1, -1, -1] += wrong

    monkeypatch.setattr(on_grid.cpu, "forward", forward)
    assert main(["doctor", "--json"]) == 1
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document["status"] == "faulty"
    assert document["timing"]["agree"] is False
    assert (document["timing"]["difference"] is None) == (wrong != wrong)
    assert len(err.splitlines()) == 1
    assert "set STRIATE_BACKEND=reference" in err
    assert "Results DIFFER." in shown(document)


@pytest.mark.usefixtures("hidden")
def test_without_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    document = examine()
    assert document["status"] == "ok"
    kernels = document["kernels"]
    assert (kernels["available"], kernels["path"], kernels["instructions"]) == (False, None, None)
    assert {one["backend"] for one in document["backends"]} == {"reference"}
    (remedy,) = remedies(document, "compiled kernels")
    for says in ("install a C++ compiler", "--force-reinstall", "apt-get install g++"):
        assert says in remedy
    timing = document["timing"]
    assert timing["plain_ms"] > 0
    assert (timing["agree"], timing["kernels_ms"], timing["ratio"]) == (None, None, None)
    assert "not installed" in timing["reason"]
    assert "Not timed by the kernels" in shown(document)
    assert remedy in shown(document)

    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    document = examine()
    assert document["kernels"]["compiler"] == "/usr/bin/c++"
    assert "apt-get" not in remedies(document, "compiled kernels")[0]


@pytest.mark.usefixtures("hidden")
def test_without_the_kernels_the_command_works(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out, err = capsys.readouterr()
    assert "Missing: compiled kernels" in out
    assert not err


def test_with_a_library_of_another_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    library = tmp_path / "libstriate_kernels.so"
    library.touch()
    other = SimpleNamespace(striate_abi=type("Abi", (), {"__call__": lambda self: 99})())
    monkeypatch.setattr(cpu, "_candidates", lambda: iter([library]))
    monkeypatch.setattr(cpu, "_load", cpu._load.__wrapped__)
    monkeypatch.setattr(ctypes, "CDLL", lambda path: other)
    document = examine()
    assert document["kernels"]["path"] is None
    (remedy,) = remedies(document, "compiled kernels")
    assert (
        f"{library} is of another version (interface 99, not {cpu._ABI}): reinstall striate"
        in remedy
    )


def test_with_a_file_that_is_no_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    library = tmp_path / "libstriate_kernels.so"
    library.write_text("no library")
    monkeypatch.setattr(cpu, "_candidates", lambda: iter([library]))
    monkeypatch.setattr(cpu, "_load", cpu._load.__wrapped__)
    assert "do not load" in examine()["kernels"]["reason"]


def test_the_override_to_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(backend.OVERRIDE, "reference")
    document = examine()
    assert document["override"] == "reference"
    local = choices(document)["local", "float32", True]
    assert local["backend"] == "reference"
    assert local["reason"] == "STRIATE_BACKEND=reference in the environment"
    assert document["timing"]["ratio"] is None
    assert re.search(r"STRIATE_BACKEND +reference", shown(document))


@compiled
def test_the_override_to_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(backend.OVERRIDE, "cpu")
    document = examine()
    found = choices(document)
    assert found["local", "float32", True]["backend"] == "cpu"
    refused = found["local", "float64", True]
    assert refused["backend"] is None
    assert "STRIATE_BACKEND=cpu, but tensors of float64" in refused["reason"]
    assert "refused" in shown(document)


@pytest.mark.usefixtures("hidden")
def test_the_override_to_kernels_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(backend.OVERRIDE, "cpu")
    document = examine()
    assert choices(document)["local", "float32", True]["backend"] is None
    assert document["timing"]["plain_ms"] > 0
    assert remedies(document, "compiled kernels")


def test_an_override_that_means_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(backend.OVERRIDE, "gpu")
    with pytest.raises(RequestError):
        doctor.examine()
    assert main(["doctor"]) == 2
    out, err = capsys.readouterr()
    expected = "STRIATE_BACKEND=gpu: expected one of reference, cpu, or nothing"
    assert err == f"striate doctor: {expected}\n"
    assert not out


def test_the_formats(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    table = capsys.readouterr().out
    for word in ("striate", "Python", "torch", "extra shrink", "operator", "low-rank", "batch 16"):
        assert word in table
    for arguments in (["--format", "json"], ["--json"]):
        assert main(["doctor", *arguments]) == 0
        assert json.loads(capsys.readouterr().out)["schema"] == doctor.SCHEMA
    assert main(["doctor", "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["doctor", "--format", "yaml"]) == 2
    expected = "striate doctor: --format yaml: expected table or json\n"
    assert capsys.readouterr().err == expected


def test_the_random_numbers_of_the_caller_are_left_alone() -> None:
    before = torch.get_rng_state()
    doctor.examine(seconds=0)
    assert torch.equal(before, torch.get_rng_state())


# ---- libraries


def test_every_library_of_the_metadata_is_listed() -> None:
    document = examine()
    listed = {(one["extra"], one["name"]) for one in document["libraries"]}
    assert {(None, "torch"), ("onnx", "onnxruntime"), ("check", "ruff")} <= listed
    assert "striate" not in {name for _, name in listed}
    whose = {one["name"]: one["for"] for one in document["extras"]}
    assert whose == {
        **dict.fromkeys(("shrink", "onnx", "hub"), "users"),
        **dict.fromkeys(("test", "check", "benchmark"), "developers"),
    }


def test_an_extra_that_is_missing_or_too_old(versions: Callable[..., None]) -> None:
    versions(
        onnxscript=None,
        onnx="1.2",
        onnxruntime="99",
        ruff=None,
        mypy="99",
        **{"import-linter": "99"},
    )
    document = examine()
    (remedy,) = remedies(document, "extra onnx (optional): onnx, onnxscript")
    assert shlex.split(remedy) == [
        "python",
        "-m",
        "pip",
        "install",
        "onnx>=1.17",
        "onnxscript>=0.5",
    ]
    assert not remedies(document, "check")  # nothing that a user misses
    extras = {one["name"]: one for one in document["extras"]}
    assert not extras["onnx"]["complete"]
    assert extras["check"]["remedy"] == "python -m pip install 'ruff>=0.9'"
    table = shown(document)
    assert "onnx 1.2 (needs >=1.17)" in table
    assert "onnxscript not installed" in table


def test_a_library_that_all_needs_is_missing(versions: Callable[..., None]) -> None:
    versions(torch=None)
    document = examine()
    assert (document["kernels"], document["timing"], document["backends"]) == (None, None, [])
    assert remedies(document, "needs: torch") == ["python -m pip install 'torch>=2.13'"]
    assert "torch not installed" in shown(document)


def test_nothing_is_missing(versions: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_requirements", lambda: iter(()))
    monkeypatch.setattr(cpu, "missing", lambda: None)
    monkeypatch.setattr(doctor, "_computing", lambda seconds: {})
    document = examine()
    assert document["missing"] == []
    table = shown(document)
    assert "Nothing is missing." in table
    assert "unknown: striate is used without its metadata" in table


METADATA = """Metadata-Version: 2.1
Name: striate
Version: 9
Requires-Dist: torch>=2.13
Requires-Dist: nothing-for-this-platform; sys_platform == "plan9"
Provides-Extra: onnx
Requires-Dist: onnx>=1.17; extra == "onnx"
Requires-Dist: nothing-either; sys_platform == "plan9" and extra == "onnx"
Provides-Extra: all
Requires-Dist: striate[onnx]; extra == "all"
"""


def test_the_metadata_of_an_installed_striate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "striate-9.dist-info").mkdir()
    (tmp_path / "striate-9.dist-info" / "METADATA").write_text(METADATA)
    monkeypatch.syspath_prepend(tmp_path)
    document = examine()
    listed = [(one["extra"], one["name"], one["required"]) for one in document["libraries"]]
    assert listed == [(None, "torch", ">=2.13"), ("onnx", "onnx", ">=1.17")]
    assert [(one["name"], one["for"]) for one in document["extras"]] == [("onnx", "users")]
