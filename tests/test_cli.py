"""The command line: what is printed where, and the exit codes."""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import striate
from striate.cli import main
from striate.jobs import deliver
from striate.reduce.export import Exported
from striate.reduce.finetune import Training
from striate.reduce.latency import latency
from striate.runs import Run

NET = """
import torch
from torch import nn


def make(hidden=24):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10)
    )


def raises():
    return {}["depth"]


def no_module():
    return 3


def stops():
    raise SystemExit(4)


def nan():
    model = make()
    with torch.no_grad():
        model[1].weight[0, 0] = float("nan")
    return model


class Bad(nn.Linear):
    def forward(self, inputs):
        raise LookupError("no such thing")


def bad_forward():
    return Bad(64, 10)


def two_outputs():
    class Two(nn.Linear):
        def forward(self, inputs):
            scores = super().forward(inputs.flatten(1))
            return scores, scores

    return Two(64, 10)


def noisy():
    print("hello from the factory")
    return make()


def tuple_data():
    return 1, 2
"""
SHRINK = ("shrink", "net.py:make", "--data", "npz:digits.npz", "--budget", "30%")
FAST = ("--pretrain", "1", "--epochs", "0")

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run striate in this process: exit code, standard output, standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models, weights and data, good and bad."""
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("files")
    (folder / "net.py").write_text(NET)
    (folder / "syntax.py").write_text("def make(:\n")
    digits = load_digits()
    images, labels = (digits.images[:, None] / 16).astype(np.float32), digits.target

    def save(name: str, inputs: Any = images, targets: Any = labels) -> None:
        train, test = slice(600), slice(600, 800)
        np.savez(
            folder / name,
            x_train=inputs[train],
            y_train=targets[train],
            x_test=inputs[test],
            y_test=targets[test],
        )

    save("digits.npz")
    with_nan = images.copy()
    with_nan[5, 0, 0, 0] = np.nan
    save("nan.npz", with_nan)
    save("one.npz", images, np.zeros_like(labels))
    save("wide.npz", np.pad(images, ((0, 0), (0, 0), (0, 0), (0, 2))))
    save("eleven.npz", images, labels + 1)
    (folder / "broken.npz").write_bytes((folder / "digits.npz").read_bytes()[:5000])
    np.savez(folder / "nothing.npz", hello=images)

    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10))
    torch.save(model, folder / "whole.pt")
    torch.save({"layer.weight": torch.zeros(3)}, folder / "other.pt")
    # All zeros, as random weights know by chance more than nothing now and then.
    blank = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    torch.save(blank, folder / "untrained.pt")
    (folder / "broken.safetensors").write_bytes(b"1234")

    (folder / "empty").mkdir()
    (folder / "idx").mkdir()
    header = struct.pack(">IIII", 2051, 10, 8, 8)
    for part in ("train", "t10k"):
        with gzip.open(folder / "idx" / f"{part}-images-idx3-ubyte.gz", "wb") as file:
            file.write(header + bytes(100))
        with gzip.open(folder / "idx" / f"{part}-labels-idx1-ubyte.gz", "wb") as file:
            file.write(struct.pack(">II", 2049, 10) + bytes(10))
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            place = folder / "pictures" / part / name
            place.mkdir(parents=True)
            for number in range(3):
                Image.fromarray(np.full((8, 8), 40 * number, np.uint8)).save(
                    place / f"{number}.png"
                )
    (folder / "pictures" / "train" / "cat" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (folder / "full").mkdir()
    (folder / "full" / "mine.txt").write_text("keep me")
    return folder


@pytest.fixture
def here(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a copy of `files`."""
    place = tmp_path / "here"
    shutil.copytree(files, place)
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exported program is not read back by another process, and little time goes into timing."""
    monkeypatch.setattr(deliver, "export_program", lambda *_: Exported("not tried here"))
    monkeypatch.setattr(deliver, "latency", partial(latency, seconds=0.001))


def one_line(text: str) -> str:
    """The last line of standard error, which must be the only one that complains."""
    assert "Traceback" not in text
    lines = text.splitlines()
    complaints = [line for line in lines if line.startswith("striate")]
    assert complaints == lines[-1:]
    return complaints[0]


# ---- help


@pytest.mark.parametrize(
    "command", [[], ["count"], ["shrink"], ["evaluate"], ["report"], ["explain"]]
)
def test_help_has_an_example_and_needs_no_torch(command: list[str]) -> None:
    script = (
        "import sys; from striate.cli import main; code = main(sys.argv[1:]);"
        "slow = {'torch', 'numpy', 'rich', 'scipy'} & {*sys.modules}; sys.exit(code or len(slow))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command, "--help"],
        env=os.environ | {"PYTHONPATH": str(Path(striate.__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Example: striate" in done.stdout
    if command:
        assert {"--quiet", "--json", "--version"} <= set(re.findall(r"--\w+", done.stdout))


def test_no_arguments_is_help(call: Call) -> None:
    code, out, _ = call()
    assert code == 0
    assert "Commands:" in out


@pytest.mark.parametrize("arguments", [["--version"], ["count", "--version"]])
def test_version(call: Call, arguments: list[str]) -> None:
    assert call(*arguments) == (0, f"striate {striate.__version__}\n", "")


# ---- wrong requests: exit code 2, one line, no traceback


WRONG: list[tuple[str, str]] = [
    # the arguments
    ("cuont zoo:mlp", r"No such command 'cuont'"),
    ("count", r"MODEL is missing, and there is no \[tool\.striate\.count\]"),
    ("count --budget 3", r"--budget: is for one network; give MODEL too"),
    (
        "count zoo:mlp --only mlp",
        r"--only mlp: selects from pyproject.toml; leave out MODEL zoo:mlp",
    ),
    ("count zoo:mlp --nope", r"No such option: --nope"),
    (f"{' '.join(SHRINK)} --out ''", r"'--out': expected the name of a directory"),
    ("count zoo:mlp --format yaml", r"--format yaml: expected table, json, csv, md, html, github"),
    ("count zoo:mlp --max-growth 2%", r"--max-growth 2%: growth against what\?"),
    ("count zoo:mlp --against zoo:mlp --max-growth a", r"--max-growth a: expected a share"),
    ("count zoo:mlp --against zoo:mlp --format csv", r"--format csv: has no differences"),
    (
        "count zoo:mlp --against base.json",
        r"--against base.json: no such file; .*striate count zoo:mlp --format json > base.json",
    ),
    (
        "count zoo:mlp --against main:base.json",
        r"--against main:base.json: git says: .*striate count zoo:mlp --format json > base.json, and",
    ),
    ("count zoo:mlp --against net.json", r"--against net.json: "),
    (
        "count zoo:mlp --input 1x28x28 --against net.py:make",
        r"count: --against net.py:make: the model's forward raised RuntimeError: .*mat1",
    ),
    (
        "count zoo:mlp --input 1x28x28 --against net.py:bad_forward",
        r"count: --against net.py:bad_forward: the model's forward raised .*net\.py:\d+",
    ),
    (
        "count zoo:mlp --input 1x28x28 --against net.py:raises",
        r"count: --against net.py:raises: the factory raised KeyError: 'depth'",
    ),
    ("count zoo:mlp --against zoo:mpl", r"count: --against zoo:mpl: no such network"),
    ("count zoo:mlp --against nowhere.onnx", r"count: --against nowhere.onnx: there is no such"),
    ("count zoo:mlp --against net.py:make", r"count: --input is missing: .*net.py:make takes"),
    ("count zoo:mlp --input 1xa --against zoo:mlp", r"count: --input 1xa: expected sizes"),
    ("count zoo:mlp --batch-dim 1", r"--batch-dim 1: expected 0 or none"),
    ("count zoo:mlp --model-arg hidden", r"--model-arg hidden: expected KEY=VALUE"),
    ("count zoo:mlp --model-arg hiden=3", r"--model-arg hiden: .*hidden"),
    ("count zoo:mpl", r"zoo:mpl: no such network; .*zoo:mlp"),
    ("count net.py:make", r"--input is missing"),
    ("count net.py:make --input 1xax8", r"--input 1xax8: expected sizes"),
    ("count net.py:make --input 1x64:float23", r"--input 1x64:float23: no type"),
    ("count net.py:make --input 1x65", r"65"),
    (
        "count net.py:make",
        r"--input is missing: .* --input 1x3x224x224, or 1x50:int64 for a text of 50 tokens$",
    ),
    (
        "count net.py:make --input 1x64:int6",
        r"no type 'int6'; did you mean int16\? There are .*int64",
    ),
    ("count net.py:make --input 1x64:long", r"no type 'long'; expected bfloat16, .*int64"),
    ("count ledger.json", r"MODEL ledger.json: .* striate count MODEL --against ledger.json$"),
    (
        "count zoo:mlp --budget 1e6",
        r"--budget 1e6: '1e6' is not an amount; expected digits .*\(k, K, M, G, T\)",
    ),
    ("count zoo:mlp --budget 100_000", r"'100_000' is not an amount; .* 1000000 or 1.5"),
    ("count zoo:mlp --budget peak=1e6", r"unit \(B, kB, KB, MB, .*MiB.*\), for example peak=500KB"),
    (
        "count zoo:mlp --budget 150% --against zoo:mlp",
        r"--budget 150%: .*; for growth, --max-growth 50% beside --against$",
    ),
    ("shrink net.py:make --data npz:digits.npz --budget 150%", r"and at most 100%$"),
    ("count zoo:mlp --budget 0", r"--budget 0: a budget must be more than zero"),
    ("count zoo:mlp --budget 5%", r"--budget 5%"),
    ("count nowhere.onnx", r"MODEL nowhere.onnx: there is no such file; expected an ONNX model"),
    (
        "count nowhere.pt2",
        r"MODEL nowhere.pt2: there is no such file; expected an exported program",
    ),
    (
        "count net.onnx --training",
        r"--training: net.onnx is a program that runs as it was exported;",
    ),
    ("count net.pt2 --training", r"--training: net.pt2 is a program that runs as it was exported;"),
    ("count nowhere.onnx --model-arg a=1", r"--model-arg: nowhere.onnx is a file, and takes none"),
    (
        "shrink net.onnx --data npz:digits.npz --budget 5%",
        r"MODEL net.onnx: .* can only be counted",
    ),
    ("evaluate net.pt2 --data npz:digits.npz", r"MODEL net.pt2: .* can only be counted"),
    ("shrink net.py:make --data npz:digits.npz", r"Missing option '--budget'"),
    ("shrink net.py:make --budget 5%", r"Missing option '--data'"),
    (f"{' '.join(SHRINK)} --epochs many", r"--epochs"),
    (f"{' '.join(SHRINK)} --epochs -1", r"--epochs -1: expected a whole number from 0 on"),
    (f"{' '.join(SHRINK)} --batch-size 0", r"--batch-size 0"),
    (f"{' '.join(SHRINK)} --seed -3", r"--seed -3"),
    (f"{' '.join(SHRINK)} --precision 4-bit", r"--precision 4-bit: expected 32-true or bf16-mixed"),
    (f"{' '.join(SHRINK)} --export tflite", r"--export tflite: expected onnx"),
    (f"{' '.join(SHRINK)} --device cuda:77", r"cuda:77.*this machine has"),
    (f"{' '.join(SHRINK)} --device toaster", r"toaster.*is not a device"),
    (f"{' '.join(SHRINK)} --resume", r"--resume: say which run"),
    (f"{' '.join(SHRINK)} --weights-key a", r"--weights-key a"),
    (f"{' '.join(SHRINK)} --size 8", r"--size 8: expected HxW"),
    (f"{' '.join(SHRINK)} --mean a", r"--mean a"),
    (f"{' '.join(SHRINK)} --std 0", r"--std 0.*above zero"),
    (f"{' '.join(SHRINK)} --mean 1,2", r"--mean 1,2: 2 numbers for 1 channels"),
    (f"{' '.join(SHRINK)} --channels cmyk", r"--channels cmyk: expected one of"),
    (f"{' '.join(SHRINK)} --layout 8x8", r"--layout 8x8: expected CxHxW"),
    (f"{' '.join(SHRINK)} --augment flap", r"--augment flap: expected .*flip-crop"),
    (f"{' '.join(SHRINK)} --split 50/60", r"--split 50/60"),
    # budgets
    *(
        (
            f"shrink net.py:make --data npz:digits.npz --budget {budget}",
            re.escape(f"--budget {budget}"),
        )
        for budget in ("0", "-5", "0%", "101%", "5parsecs", "macs=1Q", "speed=3", "bytes=1k")
    ),
    # models
    ("shrink zoo:nope --data digits --budget 5%", r"zoo:nope: no such network"),
    ("shrink nope.py:make --data npz:digits.npz --budget 5%", r"nope\.py"),
    ("shrink net.py:nope --data npz:digits.npz --budget 5%", r"has no 'nope'; it has"),
    ("shrink net --data npz:digits.npz --budget 5%", r"MODEL net: expected"),
    ("shrink no.such:make --data npz:digits.npz --budget 5%", r"no\.such"),
    ("shrink syntax.py:make --data npz:digits.npz --budget 5%", r"SyntaxError.*syntax\.py"),
    ("shrink net.py:raises --data npz:digits.npz --budget 5%", r"KeyError: 'depth'.*net\.py:\d+"),
    ("shrink net.py:stops --data npz:digits.npz --budget 5%", r"SystemExit"),
    ("shrink net.py:no_module --data npz:digits.npz --budget 5%", r"returned a int.*Module"),
    ("shrink net.py:nan --data npz:digits.npz --budget 5%", r"1\.weight.*NaN"),
    (
        "shrink net.py:bad_forward --data npz:digits.npz --budget 5%",
        r"LookupError: no such thing.*net\.py:\d+",
    ),
    ("shrink net.py:two_outputs --data npz:digits.npz --budget 5%", r"returns tuple"),
    ("shrink net.py:make --model-arg hiden=9 --data npz:digits.npz --budget 5%", r"hiden.*hidden"),
    # weights
    (f"{' '.join(SHRINK)} --weights no.pt", r"--weights no\.pt"),
    (f"{' '.join(SHRINK)} --weights whole.pt", r"--weights whole\.pt.*state_dict"),
    (f"{' '.join(SHRINK)} --weights other.pt", r"layer\.weight"),
    (f"{' '.join(SHRINK)} --weights broken.safetensors", r"--weights broken\.safetensors"),
    (
        f"{' '.join(SHRINK)} --weights untrained.pt",
        r"no better than chance.*--mean.*labels.*--accept-baseline",
    ),
    (" ".join(SHRINK), r"no better than chance; train it first with --pretrain"),
    # data
    ("shrink net.py:make --data nope --budget 5%", r"--data nope: no such data"),
    ("shrink net.py:make --data npz:no.npz --budget 5%", r"--data npz:no\.npz"),
    ("shrink net.py:make --data npz:broken.npz --budget 5%", r"--data npz:broken\.npz"),
    ("shrink net.py:make --data npz:nothing.npz --budget 5%", r"x_train"),
    ("shrink net.py:make --data npz:nan.npz --budget 5%", r"nan"),
    ("shrink net.py:make --data npz:one.npz --budget 5%", r"one class only"),
    ("shrink net.py:make --data npz:wide.npz --budget 5%", r"1x8x10"),
    ("shrink net.py:make --data npz:eleven.npz --budget 5% --pretrain 1", r"labels"),
    ("shrink net.py:make --data idx:idx --budget 5%", r"--data idx:idx.*train-images"),
    ("shrink net.py:make --data idx:empty --budget 5%", r"--data idx:empty"),
    ("shrink net.py:make --data folder:empty --budget 5%", r"--data folder:empty"),
    ("shrink net.py:make --data folder:pictures --budget 5%", r"1\.png"),
    ("shrink net.py:make --data images:empty --budget 5%", r"--data images:empty"),
    ("shrink net.py:make --data net.py:tuple_data --budget 5%", r"net\.py:tuple_data"),
    ("shrink net.py:make --data net.py:raises --budget 5%", r"KeyError: 'depth'.*net\.py:\d+"),
    (f"{' '.join(SHRINK)} --val npz:no.npz", r"npz:no\.npz"),
    # surroundings
    (f"{' '.join(SHRINK)} --out full", r"--out full: the directory is not empty \(mine\.txt\)"),
    (f"{' '.join(SHRINK)} --out net.py", r"--out net\.py.*is a file"),
    (f"{' '.join(SHRINK)} --out net.py/run", r"--out net\.py/run.*is a file"),
    ("report full", r"run\.json"),
    ("report nowhere", r"nowhere"),
    ("evaluate net.py:make", r"--data is missing"),
    ("evaluate full --data digits", r"MODEL full"),
]


@pytest.mark.parametrize(("command", "complaint"), WRONG, ids=[text for text, _ in WRONG])
def test_a_wrong_request(call: Call, here: Path, command: str, complaint: str) -> None:
    before = sorted(here.rglob("*"))
    code, out, err = call(*shlex.split(command))
    line = one_line(err)
    assert code == 2, line
    assert out == ""
    assert re.search(complaint, line), line
    assert line.startswith(
        f"striate {command.split()[0]}: " if "cuont" not in command else "striate: "
    )
    made = [
        path for path in here.rglob("*") if path not in before and "__pycache__" not in path.parts
    ]
    assert made == [] or "chance" in line


def test_a_budget_out_of_reach_is_exit_3_and_written(call: Call, here: Path) -> None:
    command = ("shrink", "net.py:make", "--data", "npz:digits.npz", "--budget", "3", "--out", "run")
    code, out, err = call(*command)
    assert code == 3
    assert out == ""
    found = re.search(r"--budget 3: the smallest network .* has ([\d,]+) parameters", one_line(err))
    assert found
    assert json.loads(Path("run/result.json").read_text())["status"] == "unreachable"
    assert Path("run/run.json").exists()
    code, out, err = call(*command, "--json")
    assert code == 3
    assert json.loads(out)["smallest"] == {"params": int(found[1].replace(",", ""))}


# ---- count


def test_count_prints_a_table_or_a_document(call: Call) -> None:
    code, table, err = call("count", "zoo:digits")
    assert code == 0
    assert err == ""
    assert "fc1" in table
    for how in (["--json"], ["--format", "json"]):
        code, text, err = call("count", "zoo:digits", *how)
        assert code == 0
        assert err == ""
        document = json.loads(text)
        assert document["schema"] == "striate.ledger/1"
        assert f"{document['totals']['params']:,}" in table


def test_count_shows_the_three_steps(call: Call) -> None:
    code, out, _ = call("count", "zoo:article")
    assert code == 0
    assert "1,000,000,000,000" in out
    code, out, _ = call(
        "count", "zoo:article", "--json", "--model-arg", "size=100x100", "--model-arg", "kernel=5"
    )
    assert code == 0
    row = next(row for row in json.loads(out)["layers"] if row["weights"])
    assert (row["dense_params"], row["connections"], row["weights"]) == (10**8, 25 * 10**4, 25)


def test_count_is_a_gate(call: Call) -> None:
    assert call("count", "zoo:mlp", "--budget", "1M", "--quiet") == (0, "", "")
    code, out, err = call("count", "zoo:mlp", "--budget", "1M", "--budget", "bytes=1MB", "--quiet")
    assert code == 3
    assert out == ""
    assert one_line(err).startswith("striate count: weight_bytes: 3,256,360 does not meet")
    code, out, _ = call("count", "zoo:mlp", "--budget", "macs=1k", "--json")
    assert code == 3
    assert json.loads(out)["gates"] == [
        {"metric": "macs", "limit": 1000, "value": 813_056, "met": False}
    ]


def test_count_probes(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = call("count", "zoo:lenet5", "--probe")
    assert (code, err) == (0, "")
    assert "8 of 8 claimed fields agree" in out
    code, out, _ = call("count", "zoo:lenet5", "--probe", "--json")
    assert code == 0
    found = json.loads(out)["probe"]
    assert found["layers"][0] == {
        **{"name": "conv1", "type": "Conv2d", "outcome": "agrees"},
        **{key: [[12, 17], [12, 17]] for key in ("claimed", "seen")},
    }
    assert found["output"]["outcome"] == "agrees"
    code, out, err = call("count", "zoo:lenet5", "--probe", "--format", "md")
    assert (code, out) == (2, "")
    assert one_line(err).endswith("has no place for --probe; take table or json")
    # What is seen outside of the claim is said loudly; it is no fault of the model.
    from striate.ledger.probed import Probed

    monkeypatch.setattr(Probed, "outcome", "differs")
    code, _, err = call("count", "zoo:lenet5", "--probe", "--quiet")
    assert code == 0
    assert "OUTSIDE" in one_line(err)
    assert "fault of striate" in err


def test_count_against_another(call: Call, here: Path) -> None:
    code, base, _ = call("count", "zoo:mlp", "--json")
    (here / "base.json").write_text(base)
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "base.json"], ["commit", "-qm", "A baseline"]):
        subprocess.run([*git, *command], check=True)
    smaller = ("count", "zoo:mlp", "--model-arg", "hidden=512")
    for other in ("base.json", "HEAD:base.json", "zoo:mlp"):
        code, out, err = call(*smaller, "--against", other, "--max-growth", "0%", "--budget", "60%")
        assert (code, err) == (0, "")
        assert f"against {other}" in out
        assert "803,840 → 401,920" in " ".join(out.split())
    code, out, _ = call(*smaller, "--against", "base.json", "--json")
    assert json.loads(out)["against"]["totals"]["params"] == {"before": 814_090, "after": 407_050}
    code, out, _ = call(*smaller, "--against", "base.json", "--format", "md")
    assert code == 0
    assert out.startswith("**zoo:mlp** against base.json\n")
    code, out, err = call(
        "count", "zoo:mlp", "--against", "base.json", "--budget", "50%", "--quiet"
    )
    assert code == 3
    assert one_line(err) == "striate count: params: 814,090 does not meet the limit of 407,045"
    wider = ("count", "zoo:mlp", "--model-arg", "hidden=1100", "--against", "base.json")
    code, out, err = call(*wider, "--max-growth", "5%", "--format", "github")
    assert code == 3
    assert "(--max-growth, against base.json)" in err
    assert out.startswith("::error title=striate count zoo%3Amlp::params: ")


@pytest.mark.filterwarnings("ignore")
def test_count_a_network_in_a_file(call: Call, here: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    net = torch.nn.Sequential(
        torch.nn.Linear(64, 25), torch.nn.ReLU(), torch.nn.Linear(25, 10)
    ).eval()
    torch.onnx.export(
        net,
        (torch.zeros(2, 64),),
        "net.onnx",
        dynamo=False,
        dynamic_axes={"x": {0: "N"}},
        input_names=["x"],
    )
    torch.export.save(torch.export.export(net, (torch.zeros(1, 64),)), "net.pt2")
    for model in ("net.onnx", "net.pt2"):
        code, out, err = call("count", model, "--budget", "1900", "--budget", "macs=1900", "--json")
        assert (code, err) == (0, "")
        assert json.loads(out)["totals"]["params"] == 1885
        code, _, err = call("count", model, "--budget", "1k", "--quiet")
        assert code == 3
        assert one_line(err) == "striate count: params: 1,885 does not meet the limit of 1,000"
    # The other one's size is an open one of this one's.
    code, out, _ = call("count", "net.onnx", "--against", "net.pt2", "--max-growth", "0%", "--json")
    assert code == 0
    against = json.loads(out)["against"]
    assert against["totals"]["macs_per_example"] == {"before": 1850, "after": 1850}
    assert [(x["before"]["name"], x["after"]["name"]) for x in against["layers"]] == [
        (name, name) for name in "012"
    ]
    code, out, _ = call("count", "net.onnx", "--input", "x=7x64", "--json")
    assert json.loads(out)["batch"] == 7
    code, _, err = call("count", "net.pt2", "--input", "1x65")
    assert code == 2
    assert one_line(err) == "striate count: MODEL net.pt2: --input 1x65: its input 'input' is 1x64"


def test_count_as_rows(call: Call) -> None:
    code, out, _ = call("count", "zoo:digits", "--format", "csv")
    assert code == 0
    assert out.startswith("name,type,input_shape,")
    code, out, _ = call("count", "zoo:digits", "--format", "md")
    assert "| fc1 | Linear |" in out


def test_a_wrong_request_is_annotated_too(call: Call, here: Path) -> None:
    for wrong, title in (
        (("zoo:a,b%",), "striate count zoo%3Aa%2Cb%25"),
        (("zoo:mlp", "--depth", "2"), "striate count zoo%3Amlp"),
        (("--depth", "2"), "striate count"),
        ((), "striate count"),
    ):
        code, out, err = call("count", *wrong, "--format", "github")
        said = one_line(err).removeprefix("striate count: ")
        assert (code, out) == (2, f"::error title={title}::{said.replace('%', '%25')}\n")


def test_count_with_named_inputs(call: Call, here: Path) -> None:
    for given in ("1x64", "7x1x8x8:float32"):
        code, out, _ = call("count", "net.py:make", "--input", given, "--json")
        assert code == 0
        assert json.loads(out)["totals"]["params"] == 1810
    code, out, _ = call(
        "count", "net.py:make", "--input", "input=1x64", "--model-arg", "hidden=2", "--json"
    )
    assert code == 0
    assert json.loads(out)["totals"]["params"] == 160


def test_kinds_of_layers_are_not_broken(
    call: Call, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("wide.py").write_text(
        "from torch import nn\nfrom striate.nn import LocallyConnected2d\n"
        "def make():\n"
        "    return nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.BatchNorm2d(64), nn.MaxPool2d(2),\n"
        "        LocallyConnected2d(64, 32, 3, input_size=(16, 16)), nn.Flatten(), nn.Linear(6272, 1000))\n"
    )
    for columns in (80, 100, 110, 120):
        monkeypatch.setenv("COLUMNS", str(columns))
        code, out, err = call("count", "wide.py:make", "--input", "1x3x32x32")
        assert code == 0, err
        assert all(len(line) <= columns for line in out.splitlines())
        for whole in ("LocallyConnected2d", "BatchNorm2d", "MaxPool2d", "3,618,944", "pooled"):
            assert whole in out, out
        assert ("32×32" in out.splitlines()[7]) == (columns >= 110), out  # what a unit sees


def test_count_hints_at_a_missing_batch(call: Call, here: Path) -> None:
    code, _, err = call("count", "zoo:digits", "--input", "1x8x8")
    assert code == 2
    assert "the first size is the batch; a single example would be --input 1x1x8x8" in one_line(err)
    code, _, err = call("count", "zoo:digits", "--input", "1x1x9x9")
    assert code == 2
    assert "the first size" not in one_line(err)


@pytest.mark.parametrize(
    ("forward", "given", "hint"),
    [
        ("self.table(x)", "1x5", "1x5:int64"),
        ("self.table.weight[x]", "2x7", "2x7:int64"),
        ("nn.functional.one_hot(x, 5)", "x=1x5", "x=1x5:int64"),
    ],
)
def test_count_hints_at_integers(
    call: Call, here: Path, forward: str, given: str, hint: str
) -> None:
    Path("text.py").write_text(
        "from torch import nn\n\n\nclass Text(nn.Module):\n    def __init__(self):\n"
        "        super().__init__()\n        self.table = nn.Embedding(10, 4)\n\n"
        f"    def forward(self, x):\n        return {forward}\n"
    )
    code, _, err = call("count", "text.py:Text", "--input", given)
    assert code == 2
    assert one_line(err).endswith(f"; --input {hint} gives integers")
    code, _, err = call("count", "text.py:Text", "--input", hint)
    assert (code, err) == (0, "")


def test_json_is_alone_on_standard_output(call: Call, here: Path) -> None:
    code, out, err = call("count", "net.py:noisy", "--input", "1x64", "--json")
    assert code == 0
    json.loads(out)
    assert "hello from the factory" in err


# ---- shrink, evaluate, report


@pytest.mark.usefixtures("quick")
def test_shrink_evaluate_report(call: Call, here: Path) -> None:
    code, out, err = call(*SHRINK, *FAST, "--out", "run")
    assert code == 0, err
    assert "Shrunk" in out
    assert "ms for one image" in out
    assert "Timed in turns in one" in " ".join(out.replace("│", " ").split())
    assert "striate.load('run', source='net.py:make')" in out
    assert "for inference" not in out  # no program was exported
    assert "mean 0.3" in err
    assert "of the training images" in err
    assert "probably trained" not in err  # no weights were given
    assert "1 of 1" in err
    assert all(len(line) <= 80 for line in out.splitlines())
    result = json.loads(Path("run/result.json").read_text())
    assert result["command"].startswith("striate")

    code, out, _ = call("evaluate", "run", "--json", "--data", "npz:digits.npz")
    assert code == 2  # no exported program here, and the file's factory is not called

    page = Path("run/report.html")
    before = page.read_bytes()
    page.unlink()
    code, out, err = call("report", "run")
    assert (code, out, err) == (0, "run/report.html\n", "")
    assert page.read_bytes() == before
    code, out, _ = call("report", "run", "--json")
    assert json.loads(out)["report"] == "run/report.html"

    code, out, err = call(*SHRINK, *FAST, "--out", "run")
    assert code == 2
    assert "--resume" in one_line(err)
    code, out, err = call(*SHRINK, *FAST, "--out", "run", "--resume", "--json")
    assert code == 0
    assert json.loads(out) | {"command": None} == result | {"command": None}
    code, out, err = call(*SHRINK, *FAST, "--out", "run", "--resume", "--quiet")
    assert (code, out, err) == (0, "", "")
    code, out, err = call(*SHRINK, *FAST, "--out", "run", "--resume", "--seed", "1")
    assert code == 2
    assert "begun with seed 0, and this asks for 1" in one_line(err)

    with Run.resume("run"):
        code, out, err = call(*SHRINK, *FAST, "--out", "run", "--resume")
    assert code == 2
    assert "another process" in one_line(err)


def test_evaluate_a_run_and_a_model(call: Call, here: Path) -> None:
    code, _, err = call(
        *("shrink", "zoo:mlp", "--model-arg", "hidden=32", "--data", "npz:digits.npz"),
        *("--budget", "40%", "--out", "run", "--seed", "5", *FAST),
    )
    assert code == 0, err
    result = json.loads(Path("run/result.json").read_text())
    code, out, _ = call("evaluate", "run", "--json")
    assert code == 0
    document = json.loads(out)
    assert document["schema"] == "striate.evaluate/1"
    assert document["params"] == result["shrunk"]["params"]
    for key in ("accuracy", "metric", "examples"):
        assert document[key] == result["shrunk"][key]
    assert document["loss"] == pytest.approx(result["shrunk"]["loss"])
    code, out, _ = call("evaluate", "run")
    assert re.match(r"accuracy \d+\.\d\d % \(.* to .*\) of 200 images, loss", out)

    given = ("zoo:mlp", "--model-arg", "hidden=32", "--weights", "run/baseline.safetensors")
    code, out, _ = call("evaluate", *given, "--data", "npz:digits.npz", "--json")
    assert code == 0
    assert json.loads(out)["accuracy"] == result["baseline"]["accuracy"]
    code, out, _ = call("count", "run", "--json")
    assert code == 0
    assert json.loads(out)["totals"]["params"] == result["shrunk"]["params"]


def test_evaluate_a_run_that_was_refused_or_is_elsewhere(
    call: Call, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = call(*SHRINK, "--epochs", "0", "--out", "run")
    assert code == 2
    assert "no better than chance" in err
    assert "probably trained" not in err
    code, _, err = call("evaluate", "run")
    assert code == 2
    assert re.search(r"once the original was measured \([\d.]+ % .* --pretrain N", one_line(err))
    (here / "deeper").mkdir()
    monkeypatch.chdir(here / "deeper")
    code, _, err = call("evaluate", "../run")
    assert code == 2
    assert "npz:digits.npz, are not here; the path is relative to where the run was" in err


@pytest.mark.usefixtures("quick")
def test_evaluate_a_run_without_labels(call: Call, here: Path) -> None:
    Path("plain").mkdir()
    for number in range(50):
        noise = np.random.default_rng(number).integers(0, 255, (8, 8), np.uint8)
        Image.fromarray(noise).save(f"plain/{number}.png")
    code, _, err = call(
        *("shrink", "zoo:mlp", "--model-arg", "hidden=16", "--data", "images:plain"),
        *("--channels", "grey", "--budget", "60%", "--epochs", "0", "--out", "run"),
    )
    assert code == 0, err
    code, _, err = call("evaluate", "run")
    assert code == 2
    assert "has no labels" in one_line(err)
    assert "give --data with labels" in one_line(err)


def test_evaluate_calls_nothing_on_a_files_word(call: Call, here: Path) -> None:
    Path("run").mkdir()
    request = {"schema": "striate.run/1", "model": "zoo:mlp", "data": "subprocess:check_output"}
    Path("run/run.json").write_text(json.dumps(request))
    code, _, err = call("evaluate", "run")
    assert code == 2
    assert "not called on a file's word; give --data" in one_line(err)
    request |= {"data": "digits", "data_split": {"preprocess": {"transform": "os:listdir"}}}
    Path("run/run.json").write_text(json.dumps(request))
    code, _, err = call("evaluate", "run")
    assert code == 2
    assert "--transform is missing" in one_line(err)


@pytest.mark.usefixtures("quick")
def test_a_free_directory_is_found(call: Call, here: Path) -> None:
    for name in ("striate-run", "striate-run-2"):
        code, _, err = call(*SHRINK, *FAST, "--quiet")
        assert code == 0, err
        assert Path(name, "result.json").exists()


# ---- interrupted, refused by the disk, at fault


@pytest.mark.usefixtures("quick")
def test_ctrl_c_says_how_to_go_on(call: Call, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Training, "run_epoch", interrupted)
        patch.setattr(sys, "argv", ["striate", *SHRINK, *FAST])
        code, _, err = call(*SHRINK, *FAST)
    assert code == 130
    line = one_line(err)
    assert line.endswith("--budget 30% --pretrain 1 --epochs 0 --out striate-run --resume")
    again = line.partition("go on with: striate ")[2].split()
    code, _, err = call(*again)
    assert code == 0, err


def test_ctrl_c_elsewhere(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("striate.jobs.count.count_named", interrupted)
    code, _, err = call("count", "zoo:mlp")
    assert code == 130
    assert one_line(err) == "striate count: interrupted"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("writes", [0, 3, 8, 20])
def test_a_full_disk_loses_nothing(
    call: Call, here: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    left, sync = [writes], os.fsync

    def fails(descriptor: int) -> None:
        if left[0] == 0:
            raise OSError(28, "No space left on device")
        left[0] -= 1
        sync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        code, _, err = call(*SHRINK, *FAST, "--out", "run")
    assert code == 2
    assert "--out run: the disk is full; free some space" in one_line(err)
    assert not list(here.rglob(".part.*"))
    code, _, err = call(*SHRINK, *FAST, "--out", "run", "--resume")
    assert code == 0, err
    assert json.loads(Path("run/result.json").read_text())["status"] == "done"


def test_standard_output_that_is_full_or_closed(here: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(striate.__file__).parents[1])}
    command = [sys.executable, "-m", "striate", "count", "zoo:mlp"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=environment)
    assert done.returncode == 2
    assert "standard output cannot be written" in one_line(done.stderr.decode())
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as closed:
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_fault_of_ours_is_exit_1_with_a_log(
    call: Call, here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("an odd\nnumber")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("striate.jobs.named.shrink_named", broken)
    code, out, err = call(*SHRINK)
    assert code == 1
    assert out == ""
    line = one_line(err)
    assert line.startswith("striate shrink: a fault of striate: ZeroDivisionError: an odd number; ")
    log = Path(line.rpartition(" ")[2])
    assert log.parent == tmp_path
    assert "Traceback" in log.read_text()
    assert "ZeroDivisionError" in log.read_text()
    # Where no log can be written either, the traceback is not lost.
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    code, _, err = call(*SHRINK)
    assert code == 1
    assert "Traceback" in err
    assert "stands above" in err.splitlines()[-1]


@pytest.mark.usefixtures("quick")
def test_a_fault_deep_inside_is_not_called_bad_input(
    call: Call, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("injected")

    monkeypatch.setattr("striate.jobs.steps.fit_to", broken)
    code, _, err = call(*SHRINK, *FAST, "--out", "run")
    assert code == 1
    assert "a fault of striate: RuntimeError: injected" in one_line(err)
