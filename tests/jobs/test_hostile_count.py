"""What `striate count` is given by people and machines that mean it harm, or nothing at all: exit 2, one line."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from striate.cli import main

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
