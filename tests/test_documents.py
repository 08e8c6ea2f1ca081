"""Every shell command and every Python example in the documents runs.

A fenced block of `sh` or `python` in a document is run as it stands, the blocks of a document in their
order and in one folder, which has the `examples` in it; one of `toml` is the folder's pyproject.toml from
there on. Those of `yaml` are looked at in `test_ci_files.py`. A comment before a block says what else it
needs: `<!-- test: data -->` the real data sets, as `mnist` and `cifar10`; `<!-- test: slow -->` minutes;
`<!-- test: install -->` a fresh environment and `<!-- test: hours -->` hours: those are not run, but what
they name must exist.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(
    r"(?:^<!-- test: (?P<needs>[a-z ]+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
KNOWN_NEEDS = {"data", "slow", "install", "hours"}


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    needs: frozenset[str]

    def as_shell(self) -> str:
        if self.language == "sh":
            return self.text
        if self.language == "toml":
            return f"cat > pyproject.toml <<'END_OF_EXAMPLE'\n{self.text}END_OF_EXAMPLE\n"
        return f"python - <<'END_OF_EXAMPLE'\n{self.text}END_OF_EXAMPLE\n"


def blocks(document: Path) -> list[Block]:
    return [
        Block(match["language"], match["text"], frozenset((match["needs"] or "").split()))
        for match in BLOCK.finditer(document.read_text())
    ]


def runnable(document: Path, needs: set[str]) -> list[Block]:
    return [
        b for b in blocks(document) if b.language in ("sh", "python", "toml") and b.needs == needs
    ]


def run(some: list[Block], folder: Path, data: dict[str, Path]) -> None:
    """Run the blocks in `folder`, with `striate` and `python` those of this test."""
    commands = folder / ".commands"
    commands.mkdir()
    for name, arguments in (("striate", " -m striate"), ("python", "")):
        (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{arguments} "$@"\n')
        (commands / name).chmod(0o755)
    shutil.copytree(ROOT / "examples", folder / "examples")
    for name, place in data.items():
        (folder / name).symlink_to(place)
    environment = {
        **os.environ,
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_WAIT_POLICY": "passive",
    }
    script = "set -euo pipefail\n" + "\n".join(block.as_shell() for block in some)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{script}\n--- printed\n{done.stdout}\n--- and\n{done.stderr}"


def having(*needs: str) -> list[object]:
    return [
        pytest.param(document, id=document.relative_to(ROOT).as_posix())
        for document in DOCUMENTS
        if runnable(document, set(needs))
    ]


@pytest.mark.parametrize("document", having())
def test_commands(document: Path, tmp_path: Path) -> None:
    run(runnable(document, set()), tmp_path, {})


@pytest.mark.parametrize("document", having("data"))
def test_commands_on_real_data(document: Path, tmp_path: Path, mnist: Path, cifar: Path) -> None:
    run(runnable(document, {"data"}), tmp_path, {"mnist": mnist, "cifar10": cifar})


@pytest.mark.slow
@pytest.mark.parametrize("document", having("data", "slow"))
def test_long_commands_on_real_data(
    document: Path, tmp_path: Path, mnist: Path, cifar: Path
) -> None:
    run(runnable(document, {"data", "slow"}), tmp_path, {"mnist": mnist, "cifar10": cifar})


def test_every_block_says_what_it_is() -> None:
    """A block in no language, or with needs that no test here knows, would be left out silently."""
    for document in DOCUMENTS:
        text = document.read_text()
        assert text.count("```") == 2 * len(blocks(document)), f"{document}: a block not closed?"
        assert text.count("<!-- test:") == sum(bool(b.needs) for b in blocks(document)), document
        for block in blocks(document):
            assert block.language in ("sh", "python", "toml", "yaml", "json", "text"), (
                f"{document}: {block}"
            )
            assert block.needs <= KNOWN_NEEDS, f"{document}: {block}"
            assert block.needs != {"slow"}, "make it shorter, or say that it needs data"


def test_what_installing_names_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    checked = 0
    for document in DOCUMENTS:
        for block in runnable(document, {"install"}):
            for line in block.text.splitlines():
                words = line.split("#")[0].split()
                if line == "python -m venv .venv && . .venv/bin/activate":
                    continue
                if words[:1] == ["make"]:
                    named = {word for word in words[1:] if "=" not in word}
                    assert named <= targets, f"{document}: {line}"
                elif words[:4] == ["python", "-m", "pip", "install"]:
                    extras = set(re.findall(r"[a-z]+", "".join(re.findall(r"\[(.*?)\]", line))))
                    assert extras <= set(project["optional-dependencies"]), f"{document}: {line}"
                else:
                    pytest.fail(f"{document}: {line!r} is no way to install; let a test run it")
                checked += 1
    assert checked


def test_what_takes_hours_names_scripts_and_options_that_exist() -> None:
    for document in DOCUMENTS:
        for block in runnable(document, {"hours"}):
            for line in block.text.splitlines():
                python, script, *words = line.split()
                assert python == "python", f"{document}: {line}"
                shown = subprocess.run(
                    [sys.executable, ROOT / script, "--help"], capture_output=True, text=True
                )
                assert shown.returncode == 0, shown.stderr
                known = set(re.findall(r"--[a-z-]+", shown.stdout))
                assert {word for word in words if word.startswith("--")} <= known, line


def test_links_between_documents_lead_somewhere() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document}: {target}"
