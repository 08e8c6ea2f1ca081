"""What `striate count` is given by people and machines that mean it harm, or nothing at all: exit 2, one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from striate.cli import main
from striate.jobs.count import Counted, CountRequest, count_named

Wrong = Callable[..., str]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def wrong(capsys: pytest.CaptureFixture[str]) -> Wrong:
    """Run `striate count`, which has to find the request wrong: its one line."""

    def run(*arguments: str) -> str:
        capsys.readouterr()
        code = main(["count", *arguments])
        captured = capsys.readouterr()
        assert (code, captured.out) == (2, ""), captured
        (line,) = captured.err.splitlines()
        assert len(line) < 1000
        return line

    return run


def git(*arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *arguments],
        check=True,
        capture_output=True,
    )


@pytest.fixture
def committed(here: Path) -> None:
    git("init", "-q")
    Path("ledger.json").write_text("{}")
    git("add", ".")
    git("commit", "-qm", "x")


@pytest.mark.usefixtures("committed")
def test_a_revision_is_no_option_of_git(wrong: Wrong, here: Path) -> None:
    written = here / "written.json"
    line = wrong("zoo:mlp", "--against", f"--output=HEAD:{written}")
    assert "'--output=HEAD' is no revision" in line
    Path("pyproject.toml").write_text(
        '[tool.striate.count.models.net]\nmodel = "zoo:mlp"\n'
        f'against = "--output=x:{written}"\n'
        '[tool.striate.count.models.null]\nmodel = "zoo:mlp"\nagainst = "HEAD:a\\u0000.json"\n'
    )
    assert main(["count"]) == 2
    assert not list(here.glob("*written*")), "git took the revision for an option"
    assert "git says:" in wrong("zoo:mlp", "--against", "HEAD:./none.json")
    assert "git says:" in wrong("zoo:mlp", "--against", "none:./ledger.json")
    assert "its schema is None" in wrong("zoo:mlp", "--against", "HEAD:ledger.json")


def test_where_git_is_not_installed(wrong: Wrong, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert "git cannot be run" in wrong("zoo:mlp", "--against", "HEAD:ledger.json")


NAMED = """
from torch import nn




class Größe(nn.Linear):
    pass


def named():
    return nn.Sequential(Größe(2, 2))
"""


def striate(arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """`striate count` in a shell, whose redirections are part of `arguments`."""
    root = str(Path(__file__).parents[2])
    return subprocess.run(
        f"{sys.executable} -m striate count {arguments}",
        shell=True,
        capture_output=True,
        env=os.environ | {"PYTHONPATH": root} | environment,
    )


def test_an_encoding_that_has_not_all_signs() -> None:
    Path("net.py").write_text(NAMED, encoding="utf-8")
    for form in ("table", "csv", "json"):
        done = striate(
            f"net.py:named --input 1x2 --format {form}", PYTHONIOENCODING="ascii", PYTHONUTF8="0"
        )
        assert (done.returncode, done.stderr) == (0, b"")
        text = done.stdout.decode("ascii")
        if form == "json":
            assert json.loads(text)["layers"][0]["type"] == "Größe"
        else:
            assert "Gr\\xf6\\xdfe" in text


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        ("zoo:mlp >&-", 2, b"striate count: standard output is closed; "),
        ("zoo:mlp --json >&-", 2, b"striate count: standard output is closed; "),
        ("zoo:mlp --quiet >&-", 0, b""),
        ("zoo:none 2>&-", 2, b""),
        ("zoo:none 2>/dev/full", 2, b""),
    ],
)
def test_standard_streams_that_are_closed_or_full(
    arguments: str, code: int, complaint: bytes
) -> None:
    done = striate(arguments)
    assert (done.returncode, done.stdout) == (code, b""), done.stderr
    assert done.stderr.startswith(complaint)
    assert done.stderr.count(b"\n") == bool(complaint)


LONG = "1" * 5000


@pytest.mark.parametrize(
    "arguments",
    [
        ("--input", f"{LONG}x3"),
        ("--input", "x".join("1" * 5000)),
        ("--budget", LONG),
        ("--budget", f"macs={LONG}%"),
        ("--budget", f"1.{LONG}k"),
        ("--max-growth", LONG, "--against", "zoo:mlp"),
    ],
)
def test_numbers_of_thousands_of_digits(wrong: Wrong, arguments: tuple[str, ...]) -> None:
    line = wrong("zoo:mlp", *arguments)
    assert line.startswith(f"striate count: {arguments[0]} ")
    assert LONG not in line


def test_names_that_no_file_can_have(wrong: Wrong) -> None:
    for model in (
        "a" * 300,
        "a\0b",
        f"{'a' * 300}.py:make",
        f"{'a' * 300}.onnx",
        f"{'a' * 300}.pt2",
    ):
        assert "striate count: MODEL " in wrong(model)
    for against in (f"{'a' * 300}.json", "a\0b.json"):
        assert "striate count: --against " in wrong("zoo:mlp", "--against", against)


def test_a_configuration_nested_too_deep(wrong: Wrong) -> None:
    Path("pyproject.toml").write_text("a = " + "[" * 100_000)
    assert "pyproject.toml: no TOML" in wrong()
    line = wrong("zoo:mlp", "--model-arg", f"hidden={'[' * 30_000}"[:900])
    assert "--model-arg hidden" in line or "hidden" in line


@pytest.mark.parametrize("name", ["x.json", "x.onnx", "x.pt2"])
def test_only_regular_files_are_read(wrong: Wrong, here: Path, name: str) -> None:
    def refused() -> str:
        return wrong("zoo:mlp", "--against", name) if name == "x.json" else wrong(name)

    os.mkfifo(name)
    assert "no regular file" in refused()
    Path(name).unlink()
    Path(name).mkdir()
    assert "a directory" in refused()
    Path(name).rmdir()
    Path(name).symlink_to(name)
    assert name in refused()


@pytest.mark.parametrize("name", ["x.onnx", "x.pt2", "x.ONNX", "x.PT2"])
def test_five_gigabytes_of_nothing_are_refused_at_once(wrong: Wrong, name: str) -> None:
    with open(name, "wb") as file:
        file.truncate(5 * 2**30)
    start = time.monotonic()
    assert f"MODEL {name}: " in wrong(name)
    assert time.monotonic() - start < 5


def test_a_fault_on_one_of_the_listed_loses_no_other(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, here: Path
) -> None:
    models = "".join(
        f'[tool.striate.count.models.{name}]\nmodel = "zoo:{model}"\n'
        for name, model in (("first", "mlp"), ("odd", "lenet5"), ("wrong", "none"), ("last", "mlp"))
    )
    Path("pyproject.toml").write_text(models)

    def breaking(request: CountRequest) -> Counted:
        if request.model == "zoo:lenet5":
            raise ZeroDivisionError("an odd\nnumber")
        return count_named(request)

    monkeypatch.setattr("striate.jobs.count_listed.count_named", breaking)
    monkeypatch.setattr("tempfile.tempdir", str(here))
    for form in ("json", "table", "md", "csv", "github"):
        code = main(["count", "--format", form])
        out, err = capsys.readouterr()
        assert code == 1
        wrong, fault = err.splitlines()
        assert wrong.startswith("striate count: wrong: MODEL zoo:none: ")
        assert fault.startswith(
            "striate count: odd: a fault of striate: ZeroDivisionError: an odd number; please report"
        )
        assert "Traceback" in Path(fault.rpartition(" ")[2]).read_text()
        if form == "json":
            assert list(json.loads(out)["models"]) == ["first", "last"]
            assert "ZeroDivisionError: an odd number" in json.loads(out)["errors"]["odd"]
        elif form != "github":
            assert "first" in out
            assert "last" in out
    assert main(["count", "--only", "odd", "--format", "html"]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_what_is_wrong_with_the_other_network_names_its_option(wrong: Wrong) -> None:
    for other in ("zoo:nope", "", "nope"):
        line = wrong("zoo:mlp", "--against", other)
        assert line.startswith(f"striate count: --against {other}")
        assert "MODEL" not in line
