"""What other projects' CI takes from here: the action, run as GitHub runs it, and the pre-commit hooks."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
EXPRESSION = re.compile(r"\$\{\{ inputs\.([\w-]+) \}\}")


class Job:
    """A step of a workflow that uses the action, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = folder / "project"
        self.commands = folder / "commands"
        self.summary = folder / "summary.md"
        self.record = folder / "calls"
        self.place.mkdir()
        self.commands.mkdir()
        self.summary.touch()
        self.striate_is(f'exec {shlex.quote(sys.executable)} -m striate "$@"')

    def striate_is(self, script: str) -> None:
        """What the command `striate` does, once it has written down its arguments."""
        write = f"printf '%s\\0' \"$@\" $'\\n' >> {shlex.quote(str(self.record))}"
        (self.commands / "striate").write_text(f"#!/bin/bash\n{write}\n{script}\n")
        (self.commands / "striate").chmod(0o755)

    @property
    def calls(self) -> list[list[str]]:
        """The arguments of each call of striate so far."""
        calls = self.record.read_text().split("\n\0")[:-1] if self.record.exists() else []
        return [call.split("\0")[:-1] for call in calls]

    def run(self, **inputs: str) -> subprocess.CompletedProcess[str]:
        """Run the action's script; inputs by name, with `_` for `-`."""
        given = {name: str(entry.get("default", "")) for name, entry in ACTION["inputs"].items()}
        given |= {name.replace("_", "-"): value for name, value in inputs.items()}
        (step,) = ACTION["runs"]["steps"]
        script = self.folder / "script.sh"
        script.write_text(step["run"])
        # What GitHub makes of `shell: bash`.
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=self.place / _filled(step["working-directory"], given),
            env={
                "PATH": f"{self.commands}{os.pathsep}{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
                "PYTHONDONTWRITEBYTECODE": "1",
                "HOME": str(self.folder),
                "GITHUB_STEP_SUMMARY": str(self.summary),
                **{name: _filled(value, given) for name, value in step["env"].items()},
            },
            capture_output=True,
            text=True,
        )


def _filled(text: str, given: dict[str, str]) -> str:
    return EXPRESSION.sub(lambda found: given[found[1]], text)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def test_the_action_passes_and_fails_with_the_gates(job: Job) -> None:
    done = job.run(model="zoo:mlp", model_arg="hidden=16\n", budget="13k\nmacs=1M\n")
    assert done.returncode == 0, done.stderr
    assert "::notice title=striate count zoo%3Amlp::params: 12,730 meets the limit" in done.stdout
    assert "| fc1 | Linear |" in job.summary.read_text()
    assert job.summary.read_text().startswith("### zoo:mlp\n")
    assert job.calls[0] == [
        *("count", "--model-arg=hidden=16", "--budget=13k", "--budget=macs=1M"),
        *("--format", "github", "--", "zoo:mlp"),
    ]
    done = job.run(model="zoo:mlp", model_arg="hidden=17", budget="13k")
    assert done.returncode == 3
    assert "::error title=striate count zoo%3Amlp::params: 13,525 does not meet" in done.stdout
    assert "- params: 13,525 does not meet the limit of 13,000" in job.summary.read_text()
    assert done.stderr.count("does not meet") == 1  # said once, though striate ran twice


def test_the_action_counts_what_pyproject_lists(job: Job) -> None:
    (job.place / "sub").mkdir()
    (job.place / "sub" / "pyproject.toml").write_text(
        '[tool.striate.count.models.a]\nmodel = "zoo:digits"\nbudget = "5M"\n'
        '[tool.striate.count.models.b]\nmodel = "zoo:digits"\nbudget = "5k"\n'
    )
    done = job.run(working_directory="sub")
    assert done.returncode == 3
    assert "::error title=striate count b::params" in done.stdout
    assert "| b | 0 of 1 held; NOT MET: params |" in job.summary.read_text()


def test_the_action_takes_another_command(job: Job) -> None:
    job.striate_is("")
    assert job.run(command="striate  -m striate", only="a\r\n\n b \n").returncode == 0
    assert job.calls[0][:5] == ["-m", "striate", "count", "--only=a", "--only= b "]
    done = job.run(model="zoo:digits", command=" ")
    assert done.returncode == 2
    assert (
        done.stdout == "::error title=striate count::command: expected a command, such as striate\n"
    )
    assert job.run(model="zoo:mlp", allow_partial="yes").returncode == 2
    assert len(job.calls) == 2
    assert job.run(model="zoo:mlp", allow_partial="true").returncode == 0
    assert "--allow-partial" in job.calls[-1]


def test_the_action_says_what_is_wrong(job: Job) -> None:
    done = job.run(model="zoo:mpl")
    assert done.returncode == 2
    (annotation,) = done.stdout.splitlines()
    assert annotation.startswith(
        "::error title=striate count zoo%3Ampl::MODEL zoo:mpl: no such network"
    )
    (line,) = done.stderr.splitlines()
    assert line.startswith("striate count: MODEL zoo:mpl: no such network")
    assert job.summary.read_text() == f"### striate count\n\n    {line}\n"


def test_the_action_shows_the_others_where_one_is_wrong(job: Job) -> None:
    (job.place / "pyproject.toml").write_text(
        '[tool.striate.count.models.a]\nmodel = "zoo:digits"\n'
        '[tool.striate.count.models.b]\nmodel = "zoo:dijits"\n'
    )
    done = job.run()
    assert done.returncode == 2
    assert done.stdout.count("::error ") == 1
    assert "::error title=striate count b::MODEL zoo:dijits" in done.stdout
    assert "| a |  | 132,650 |" in job.summary.read_text()
    assert "| b | NOT COUNTED: <code>MODEL zoo:dijits: no such network" in job.summary.read_text()


def test_a_fault_is_annotated(job: Job) -> None:
    job.striate_is("echo '::notice title=a::b'; exit 1")
    done = job.run(model="zoo:digits")
    assert done.returncode == 1
    assert done.stdout.splitlines()[1:] == [
        "::error title=striate count::exit code 1; the log says what is wrong"
    ]
    assert job.summary.read_text() == ""
    assert len(job.calls) == 1


@pytest.mark.parametrize("code", [0, 3])
def test_a_summary_that_cannot_be_written_is_no_pass(job: Job, code: int) -> None:
    job.striate_is(f"exit {code}")
    assert job.run(model="zoo:digits").returncode == code
    job.striate_is(f'[[ "$*" == *github* ]] || exit 1; exit {code}')
    done = job.run(model="zoo:digits")
    assert done.returncode == 1
    assert "::error title=striate count::the summary could not be written" in done.stdout
    job.summary.unlink()
    job.summary.mkdir()
    job.striate_is(f"exit {code}")
    assert job.run(model="zoo:digits").returncode == 1


HOSTILE = [
    "$(touch broken)",
    "`touch broken`",
    "'; touch broken; '",
    '"; touch broken; "',
    "x && touch broken",
    "*",
    "--help",
    "-h",
    "a\n::error::b",
    "${{ github.token }}",
    "\\",
    "%0A::set-output",
]


@pytest.mark.parametrize("name", [n for n in ACTION["inputs"] if n != "working-directory"])
def test_inputs_are_no_code(job: Job, name: str) -> None:
    """Each hostile text in each input: it comes to striate as one argument a line, or it is refused."""
    option = {"model": "MODEL", "command": "", "allow-partial": ""}.get(name, f"--{name}=")
    job.striate_is("")  # what it is given is enough, and quick
    for text in HOSTILE:
        done = job.run(**{"model": "zoo:mlp", name.replace("-", "_"): text})
        assert not list(job.folder.rglob("broken")), text
        assert "::error::b" not in done.stdout.splitlines()
        if not option:
            assert done.returncode != 0
            continue
        assert done.returncode == 0, (text, done.stderr)
        expected = ["--", text] if option == "MODEL" else [option + t for t in text.split("\n")]
        assert [word for word in job.calls[-1] if word in expected] == expected, text


def test_no_input_is_in_a_script() -> None:
    """GitHub puts an expression's text into the script before the shell reads it."""
    (step,) = ACTION["runs"]["steps"]
    assert "${{" not in step["run"]
    used = EXPRESSION.findall(" ".join([*step["env"].values(), step["working-directory"]]))
    assert sorted(used) == sorted(ACTION["inputs"])
    assert all(entry["description"] for entry in ACTION["inputs"].values())


def test_the_hooks_run_what_there_is() -> None:
    assert [hook["id"] for hook in HOOKS] == ["striate-count", "striate-count-isolated"]
    for hook in HOOKS:
        assert hook["entry"] == "striate count"
        assert hook["pass_filenames"] is False
    assert {hook["language"] for hook in HOOKS} == {"system", "python"}


def fenced(language: str) -> list[tuple[str, Any]]:
    found = []
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for text in re.findall(rf"^```{language}\n(.*?)^```$", document.read_text(), re.M | re.S):
            found.append((document.name, yaml.safe_load(text)))
    return found


def test_the_guide_shows_the_example_as_it_is() -> None:
    shown = (ROOT / "examples" / "test_picture_net.py").read_text()
    assert f"```python\n{shown}```" in (ROOT / "docs" / "guide.md").read_text()


def test_the_documents_use_the_action_and_the_hooks_as_they_are() -> None:
    hooks, uses = [], []
    for name, shown in fenced("yaml"):
        if "repos" in shown:
            hooks += [hook for repo in shown["repos"] for hook in repo["hooks"]]
        else:
            steps = [step for job in shown["jobs"].values() for step in job["steps"]]
            uses += [step for step in steps if "striate" in step.get("uses", "")]
            assert steps, name
    assert {hook["id"] for hook in hooks} == {hook["id"] for hook in HOOKS}
    assert uses
    for step in uses:
        assert set(step.get("with", {})) <= set(ACTION["inputs"]), step
    installs = [step["run"] for step in steps if "pip install" in step.get("run", "")]
    assert installs
    for words in map(str.split, installs):
        assert f"git+https://github.com/{uses[-1]['uses']}" in words
        assert "striate" not in words, "the name in the index is someone else's"
