"""`count --sites` and the start of `shrink`: the same said in every form, and one line where it cannot be said."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from striate.cli import main
from striate.jobs.prospect import markdown, text
from striate.reduce.prospect import prospect
from striate.sources.models import resolve
from tests.reduce.families import Mixer, ViT, resnet, vgg

NETS = """
import torch
from torch import nn


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(64, 64)

    def forward(self, x, y):
        return self.fc(x) + self.fc(y)


class Single(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(64, 64)

    def forward(self, x):
        return self.fc(x.view(1, 64))


class Locked(nn.Linear):
    def __init__(self):
        super().__init__(64, 64)
        self.lock = __import__("threading").Lock()


def frozen():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).requires_grad_(False)


def empty():
    return nn.Sequential(nn.Flatten(), nn.ReLU())


def words():
    return nn.Sequential(nn.Embedding(100, 16), nn.Flatten(), nn.Linear(112, 4))


def on_meta():
    with torch.device("meta"):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
"""

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    (tmp_path / "nets.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def run(*words: str) -> tuple[int, str, str]:
        code = main(words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_every_form_of_a_ledger_has_them(call: Call) -> None:
    code, table, err = call("count", "zoo:keras-cnn", "--sites")
    assert (code, err) == (0, "")
    assert "good fit: 94.7 % of the weights" in table
    assert "64×6×6" in table
    code, document, err = call("count", "zoo:keras-cnn", "--sites", "--json")
    assert (code, err) == (0, "")
    sites = json.loads(document)["sites"]
    assert (sites["verdict"], sites["params"]) == ("good fit", 1_250_858)
    assert [site["kind"] for site in sites["sites"]] == [*["kernels"] * 4, "space", "behind"]
    assert sites["params_in_sites"] == sum(site["params"] for site in sites["sites"])
    assert f"{sites['smallest']['params']:,}" in table
    code, pull, err = call("count", "zoo:keras-cnn", "--sites", "--format", "md")
    assert (code, err) == (0, "")
    assert "**good fit**" in pull
    assert "| fc1 | dense over space, 64×6×6 | 1,180,160 |" in pull


def test_without_sites_nothing_is_said_of_them(call: Call) -> None:
    assert "sites" not in json.loads(call("count", "zoo:mlp", "--json")[1])
    assert "good fit" not in call("count", "zoo:mlp")[1]


def test_gates_and_comparisons_stand_beside_them(call: Call) -> None:
    code, out, err = call(
        "count", "zoo:mlp", "--sites", "--against", "zoo:mlp", "--budget", "1k", "--json"
    )
    assert code == 3
    assert err.startswith("striate count: params")
    assert {"sites", "against"} <= json.loads(out).keys()


WRONG = [
    ("ledger.json", r"MODEL ledger.json: a saved ledger is for --against"),
    ("net.onnx", r"--sites: net.onnx can be counted, but not shrunk; give the model in code"),
    ("net.pt2", r"--sites: net.pt2 can be counted, but not shrunk"),
    ("nets.py:Two --input 1x64 --input 1x64", r"--sites: 2 inputs given by --input"),
    ("nets.py:Two --input x=1x64 --input y=1x64", r"--sites: x, y given by --input"),
    ("nets.py:frozen --input 1x8x8 --batch-dim none", r"--sites: --batch-dim none"),
    ("nets.py:Single --input 1x64", r"size 128 .*; sites are found on a batch of two"),
    ("nets.py:Locked --input 1x64", r"Locked cannot be copied"),
    ("", r"--sites: is for one network; give MODEL, or one --only NAME$"),
    ("zoo:mlp --format csv", r"--format csv: has no sites"),
    ("zoo:mlp --format html", r"--format html: has no sites"),
]


@pytest.mark.parametrize(("words", "said"), WRONG)
def test_what_cannot_be_shrunk_is_said_in_a_line(call: Call, words: str, said: str) -> None:
    code, out, err = call("count", "--sites", *words.split())
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert re.search(said, err), err


def test_annotations_have_no_sites(call: Call) -> None:
    code, out, err = call("count", "--sites", "zoo:mlp", "--format", "github")
    assert (code, err.count("\n")) == (2, 1)
    assert "--format github: has no sites" in err
    assert out.startswith("::error title=striate count zoo%3Amlp::--format github: has no sites")


def test_an_input_without_a_batch(call: Call) -> None:
    code, _, err = call("count", "--sites", "zoo:article", "--input", "64")
    assert code == 2
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("factory", "shape", "verdict", "said"),
    [
        ("frozen", "1x1x8x8", "good fit", "frozen"),
        ("empty", "1x1x8x8", "not this tool", "no parameters"),
        ("words", "1x7:int64", "not this tool", "embedding"),
        ("on_meta", "1x1x8x8", "not this tool", "meta device"),
    ],
)
def test_networks_out_of_the_ordinary(
    call: Call, factory: str, shape: str, verdict: str, said: str
) -> None:
    code, out, err = call("count", f"nets.py:{factory}", "--input", shape, "--sites")
    assert (code, err) == (0, "")
    assert f"{verdict}: " in out
    assert said in out


def test_shrink_says_the_same_first(call: Call) -> None:
    code, out, err = call(
        "shrink", "zoo:digits", "--data", "digits", "--budget", "3", "--accept-baseline"
    )
    assert code == 3
    assert out == ""
    model = resolve("zoo:digits").build()
    assert text(prospect(model, torch.zeros(2, 1, 8, 8))) in err
    assert err.index("good fit") < err.index("the smallest network that can be reached")


# ---- drawing


@pytest.mark.parametrize("make", [vgg, resnet, Mixer, ViT])
def test_it_fits_the_columns_and_leaves_no_layer_out(make: Callable[[], nn.Module]) -> None:
    side = 16 if make is vgg else 32
    found = prospect(make(), torch.zeros(2, 3, side, side))
    for width in (60, 80, 200):
        lines = text(found, width).splitlines()
        assert max(map(len, lines)) <= width
    rows = [line for line in markdown(found).splitlines() if line.startswith("| ")]
    shown = [row.split(" | ")[0].removeprefix("| ").rstrip(" |") for row in rows]
    folded = [re.search(r"\((\d+)\)$", name) for name in shown]
    layers = sum(int(many[1]) if many else 1 for many in folded)
    heads = sum(row.startswith(("| can shrink", "| stays as it is", "| ---")) for row in rows)
    assert layers - heads == len(found.sites) + len(found.kept)


def test_names_from_outside_are_text() -> None:
    net = nn.Sequential()
    net.add_module("flat", nn.Flatten())
    net.add_module("a\x1b[31m|<b>\n[red]", nn.Linear(64, 64))
    found = prospect(net, torch.zeros(2, 1, 8, 8))
    assert r"a\x1b[31m|<b>\n[red]" in text(found, 200)
    drawn = markdown(found)
    assert "\x1b" not in drawn
    assert "<b>" not in drawn
    assert json.loads(json.dumps(found.to_dict()))["sites"][0]["name"] == "a\x1b[31m|<b>\n[red]"
