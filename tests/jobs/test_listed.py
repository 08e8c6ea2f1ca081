"""`[tool.striate.count]` of pyproject.toml: where it is found, what it may hold, what comes of each model."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from striate.cli import main
from striate.errors import RequestError
from striate.jobs.count import CountRequest
from striate.jobs.count_listed import count_listed, exit_code_of, shown_all, tables_of
from striate.jobs.listed import find

NET = """
from torch import linalg, nn


def make(width=4):
    return nn.Sequential(nn.Linear(4, width), nn.Linear(width, 2))


class Inverse(nn.Linear):
    def forward(self, x):
        return linalg.inv(super().forward(x))


def partial():
    return Inverse(4, 4)
"""
FULL = """
[tool.striate.count.models.full]
model = "net.py:make"
inputs = ["1x4", "mask=1x4:bool"]
model-args = {width = 64, names = ["a", 1]}
batch-dim = "none"
budget = ["1M", "macs=3G"]
against = "base.json"
max-growth = "2%"
allow-partial = true

[tool.striate.count.models."short one"]
model = "zoo:mlp"
inputs = "1x4"
budget = "5k"
batch-dim = 0
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("net.py", "listed_net.py"):
        Path(name).write_text(NET)
    return tmp_path


def listed(text: str) -> None:
    Path("pyproject.toml").write_text(text)


def one(**keys: str) -> str:
    """A list of one model, the values as TOML."""
    lines = [f"{key.replace('_', '-')} = {value}" for key, value in keys.items()]
    return "\n".join(["[tool.striate.count.models.net]", *lines, ""])


def test_all_that_a_model_may_say(here: Path) -> None:
    listed(FULL)
    full, short = find(here).models
    assert full.name == "full"
    assert full.allow_partial
    assert full.request == CountRequest(
        model="net.py:make",
        inputs=("1x4", "mask=1x4:bool"),
        model_args={"width": 64, "names": ["a", 1]},
        batched=False,
        budget=("1M", "macs=3G"),
        against="base.json",
        max_growth="2%",
    )
    assert short.name == "short one"
    assert short.request == CountRequest("zoo:mlp", inputs=("1x4",), budget=("5k",))
    assert not short.allow_partial


def test_the_nearest_file_that_has_the_table(here: Path) -> None:
    listed(one(model='"zoo:mlp"'))
    deep = here / "a" / "b"
    deep.mkdir(parents=True)
    (here / "a" / "pyproject.toml").write_text("[tool.striate.other]\n[project]\n")
    assert find(deep).path == here / "pyproject.toml"
    (deep / "pyproject.toml").write_text(one(model='"zoo:digits"'))
    assert find(deep).models[0].request.model == "zoo:digits"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", r"MODEL is missing, and pyproject\.toml has no \[tool\.striate\.count\]; give MODEL"),
        ("tool = 3", r"MODEL is missing, and pyproject\.toml has no"),
        ("[tool]\nstriate = 3", r"MODEL is missing, and pyproject\.toml has no"),
        ("[tool.striate.cuont]", r"\[tool\.striate\.cuont\]: expected \[tool\.striate\.count\]"),
        ("[tool.striate", r"pyproject\.toml: no TOML: .*end of document"),
        ("[tool.striate]\ncount = 3", r"\[tool\.striate\.count\]: expected a table, not 3"),
        ("[tool.striate.count]", r"lists no models; expected a table for each"),
        ("[tool.striate.count.models]", r"lists no models"),
        ("[[tool.striate.count]]\nmodel = 'a'", r"expected a table, not \[\{"),
        ("[tool.striate.count]\nmodel = 'a'", r"model: no such key; expected a table a model"),
        ("[tool.striate.count]\nmodels = ['a']", r"models = \['a'\]: expected a table a model"),
        ("[tool.striate.count.models]\na = 'zoo:mlp'", r"models\.a\]: expected a table with"),
        (one(), r"models\.net\]: model is missing: zoo:NAME"),
        (one(modle="'a'"), r"models\.net\]: modle: no such key; did you mean model\?"),
        (one(model="'a'", max_growht="'2%'"), r"did you mean max-growth\?"),
        (one(model="'a'", zzz="1"), r"zzz: no such key; expected model, inputs, model-args"),
        (one(model="3"), r"model = 3: expected a text"),
        (one(model="''"), r"model = '': expected a text"),
        (one(model="'a'", inputs="[1, 3]"), r"inputs = \[1, 3\]: expected texts such as"),
        (one(model="'a'", inputs="['']"), r"inputs = \[''\]: expected texts"),
        (one(model="'a'", budget="5"), r"budget = 5: expected texts such as \[\"5M\""),
        (one(model="'a'", model_args="['a=1']"), r"model-args = .*such as \{width = 64\}"),
        (one(model="'a'", model_args="{'a b' = 1}"), r"model-args = "),
        (one(model="'a'", batch_dim="1"), r"batch-dim = 1: expected 0 or \"none\""),
        (one(model="'a'", batch_dim="false"), r"batch-dim = False: expected 0 or"),
        (one(model="'a'", batch_dim="0.0"), r"batch-dim = 0\.0: expected 0 or"),
        (one(model="'a'", against="true"), r"against = True: expected a text"),
        (one(model="'a'", max_growth="2"), r"max-growth = 2: expected a text such as \"2%\""),
        (one(model="'a'", allow_partial="'yes'"), r"allow-partial = 'yes': expected true or"),
    ],
)
def test_what_the_table_may_not_hold(
    here: Path, capsys: pytest.CaptureFixture[str], text: str, complaint: str
) -> None:
    listed(text)
    with pytest.raises(RequestError) as caught:
        find(here)
    assert re.search(complaint, str(caught.value)), caught.value
    assert "pyproject.toml" in str(caught.value)
    assert main(["count"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1


def test_a_file_that_cannot_be_read(here: Path) -> None:
    Path("pyproject.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(RequestError, match=r"pyproject\.toml: no TOML: .*utf-8"):
        find(here)


def test_a_name_that_is_not_listed(here: Path) -> None:
    listed(FULL)
    with pytest.raises(RequestError, match=r"--only ful: pyproject\.toml lists full, short one"):
        count_listed(["ful"])
    assert [m.name for m in find(here).only(["short one", "full"]).models] == ["full", "short one"]


SEVERAL = """
[tool.striate.count.models.good]
model = "net.py:make"
inputs = ["1x4"]
budget = ["30", "peak=1KB"]

[tool.striate.count.models.large]
model = "listed_net:make"
inputs = ["1x4"]
model-args = {width = 5}
budget = ["30"]

[tool.striate.count.models.wrong]
model = "net.py:make"
inputs = ["1x5"]
budget = ["1k"]

[tool.striate.count.models.unknown]
model = "net.py:partial"
inputs = ["4x4"]
budget = ["macs=1k"]
"""


def test_each_model_is_judged_whatever_becomes_of_the_others(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a folder below, where paths and modules are found from the file's folder all the same."""
    listed(SEVERAL)
    (here / "below").mkdir()
    monkeypatch.chdir(here / "below")
    assert main(["count", "--json"]) == 2
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["schema"] == "striate.ledgers/1"
    assert list(document["models"]) == ["good", "large", "unknown"]
    assert document["models"]["good"]["schema"] == "striate.ledger/1"
    assert document["models"]["large"]["totals"]["params"] == 37
    assert list(document["errors"]) == ["wrong"]
    lines = captured.err.splitlines()
    assert lines[0] == "striate count: large: params: 37 does not meet the limit of 30"
    assert lines[1].startswith("striate count: wrong: the model's forward raised RuntimeError")
    assert lines[1].endswith("(in ..)")
    assert lines[2].startswith("striate count: unknown: macs: could not be judged, as there is no")
    assert len(lines) == 3
    assert Path.cwd() == here / "below"

    def code(*only: str, allow_partial: bool = False) -> int:
        return exit_code_of(count_listed(only), allow_partial)[0]

    assert code("good") == 0
    assert code("good", "large") == 3
    assert code("unknown") == 3
    assert code("unknown", allow_partial=True) == 0


def test_a_model_that_goes_elsewhere_takes_no_other_along(here: Path) -> None:
    Path("goes.py").write_text("import os\nfrom listed_net import make\nos.chdir('/')\n")
    listed(
        '[tool.striate.count.models.goes]\nmodel = "goes.py:make"\ninputs = "1x4"\n'
        '[tool.striate.count.models.stays]\nmodel = "net.py:make"\ninputs = "1x4"\n'
    )
    assert exit_code_of(count_listed(), False) == (0, [])
    assert Path.cwd() == here


def test_every_form_has_every_model(here: Path) -> None:
    listed(SEVERAL)
    outcomes = count_listed()
    rows = list(csv.DictReader(io.StringIO(shown_all(outcomes, "csv"))))
    assert [row["model"] for row in rows] == ["good"] * 2 + ["large"] * 2 + ["unknown"]
    assert sum(int(row["params"]) for row in rows if row["model"] == "large") == 37
    text = shown_all(outcomes, "md")
    assert "| large | 0 of 1 held; NOT MET: params | 37 |" in text
    assert "| unknown | 0 of 1 held; CANNOT BE JUDGED: macs | 20 | at least 16 |" in text
    assert "| wrong | NOT COUNTED: the model's forward raised" in text
    assert text.count("<details>") == text.count("</details>") == 3
    assert "- params: 37 does not meet the limit of 30" in text
    lines = shown_all(outcomes, "github").splitlines()
    assert lines[0] == "::notice title=striate count good::params: 30 meets the limit of 30"
    assert "::error title=striate count large::params: 37 does not meet the limit of 30" in lines
    assert lines[-1].startswith("::error title=striate count wrong::the model's forward raised")
    for width in (60, 80, 200):
        stream = io.StringIO()
        Console(file=stream, width=width).print(tables_of(outcomes, width))
        assert max(map(len, stream.getvalue().splitlines())) <= width
        assert re.search(r"good +2 held +30 ", stream.getvalue())
        assert re.search(r"wrong +NOT COUNTED: the", stream.getvalue())
    with pytest.raises(RequestError, match="--format html: is for one network"):
        shown_all(outcomes, "html")


def test_one_of_the_list_is_asked_as_a_network_is(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed(SEVERAL + '[tool.striate.count.models.conv]\nmodel = "zoo:keras-cnn"\n')

    def said(*arguments: str, code: int = 0) -> str:
        assert main(["count", *arguments]) == code
        captured = capsys.readouterr()
        assert (captured.err == "") == (code == 0)
        return captured.out if code == 0 else captured.err

    assert "94.7 % of the weights" in said("--only", "conv", "--sites")
    assert "**good fit**" in said("--only", "conv", "--sites", "--format", "md")
    assert json.loads(said("--only", "conv", "--sites", "--json"))["models"]["conv"]["sites"]
    assert "claimed fields agree" in said("--only", "conv", "--probe")
    assert "backward" in said("--only", "good", "--training")
    totals = json.loads(said("--only", "good", "--training", "--json"))["models"]["good"]["totals"]
    assert totals["saved_bytes"] is not None
    assert "1 of 2 rows are like 1" in said("--only", "good", "--filter", "1")
    markdown = said("--only", "good", "--only", "good", "--filter", "1", "--format", "md")
    assert "| 1 | Linear |" in markdown
    assert "| 0 | Linear |" not in markdown
    page = said("--only", "conv", "--format", "html")
    assert page.startswith("<!doctype html>")
    assert "<title>conv" in page
    line = said("--only", "wrong", "--format", "html", code=2)
    assert line.startswith("striate count: wrong: the model's forward raised")
    assert line.count("\n") == 1
    line = said("--format", "html", code=2)
    assert line.endswith("--format html: is for one network; give MODEL, or one --only NAME\n")


def test_one_model_is_shown_whole(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed(one(model='"net.py:make"', inputs='"1x4"'))
    assert main(["count"]) == 0
    assert "idea by idea" in capsys.readouterr().out
    assert main(["count", "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    listed(one(model='"net.py:none"', inputs='"1x4"'))
    assert main(["count"]) == 2
    assert capsys.readouterr().out == ""


def test_a_baseline_is_made_as_it_says_and_then_found(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listed(
        one(
            model='"net.py:make"',
            inputs='"3x4"',
            model_args="{width = 8}",
            against='"bases/net.json"',
            max_growth='"0%"',
        )
    )
    Path("bases").mkdir()
    Path("below").mkdir()
    monkeypatch.chdir("below")
    assert main(["count", "--quiet"]) == 2
    said = capsys.readouterr().err
    found = re.search(r"make it on the network to compare with: striate (.*) > (\S+) ", said)
    assert found, said
    monkeypatch.chdir(here)
    assert main(found[1].split()) == 0
    Path(found[2]).write_text(capsys.readouterr().out)
    monkeypatch.chdir("below")
    assert main(["count", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)["models"]["net"]
    assert document["against"]["totals"]["params"] == {"before": 58, "after": 58}
    assert {gate["met"] for gate in document["against"]["gates"]} == {True}
    listed_now = Path("../pyproject.toml").read_text()
    Path("../pyproject.toml").write_text(listed_now.replace("width = 8", "width = 9"))
    assert main(["count", "--format", "md"]) == 3
    text = capsys.readouterr().out
    assert "| net | 0 of 6 held; NOT MET: params, " in text
    assert "| 65 (+12 %) |" in text
    assert "**net** against bases/net.json" in text
    # A ledger in a git revision is named from there, too.
    git = ["git", "-C", str(here), "-c", "user.name=A", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "bases"], ["commit", "-qm", "A baseline"]):
        subprocess.run([*git, *command], check=True)
    Path("../pyproject.toml").write_text(listed_now.replace("bases/", "HEAD:bases/"))
    assert main(["count", "--quiet"]) == 0
