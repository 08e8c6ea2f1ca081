"""The table of `striate shrink` on MNIST and on a subset of CIFAR-10: three seeds, rivals beside them.

    python benchmarks/shrink.py --data DIR --out DIR [--only mnist|cifar] [--seeds 0 1 2] [--part base|ours|rivals]
    python benchmarks/shrink.py --out DIR --table

`--data` holds `mnist/` (IDX files) and `cifar10-subset.tar`. Every run is a run directory under `--out`: a benchmark
that is stopped goes on where it was when it is called again. It takes hours on two cores.

One network is trained per seed (`base`); every row of the table shrinks that one. A tenth of the training images is
set aside for validation, the same for all, so that no network was trained on the images that choose.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Task:
    """A network and its data, as named on the command line, and how the original is trained."""

    name: str
    model: str
    data: str
    pretrain: int
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """A line of the table: what is asked, and the points of test accuracy that it may cost."""

    name: str
    task: str
    budget: str
    epochs: int
    allowed: float
    images: bool = False


TASKS = {
    "mnist": Task("mnist", "zoo:mlp", "npz:{data}/mnist.npz", 5),
    "cifar": Task(
        "cifar", "zoo:keras-cnn", "folder:{data}/cifar10", 30, ("--augment", "flip-crop")
    ),
}
ROWS = (
    Row("mnist-8-fit", "mnist", "8%", 0, 0.4),
    Row("mnist-8", "mnist", "8%", 5, 0.1),
    Row("mnist-2", "mnist", "2%", 5, 0.2),
    Row("mnist-0.5", "mnist", "0.5%", 5, 0.5),
    Row("cifar-25-fit", "cifar", "25%", 0, 0.5),
    Row("cifar-10-fit", "cifar", "10%", 0, 1.5),
    Row("cifar-10-images", "cifar", "10%", 0, 2.5, images=True),
    Row("cifar-10", "cifar", "10%", 10, 0.3),
)


def prepare(source: Path, target: Path) -> None:
    """Set a tenth of each training set aside for validation, and a thousand pictures without labels."""
    target.mkdir(parents=True, exist_ok=True)
    if not (target / "mnist.npz").exists():
        arrays = {
            part: _idx(source / "mnist", name)
            for part, name in (("train", "train"), ("test", "t10k"))
        }
        (x, y), (x_test, y_test) = arrays["train"], arrays["test"]
        held = np.random.default_rng(0).permutation(len(x)) < len(x) // 12
        np.savez(
            target / "mnist.npz",
            x_train=x[~held], y_train=y[~held], x_val=x[held], y_val=y[held], x_test=x_test, y_test=y_test,
        )  # fmt: skip
    if not (target / "unlabelled").exists():
        with tarfile.open(source / "cifar10-subset.tar") as archive:
            # Python before 3.11.4 has no filters.
            archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
            archive.extractall(target)
        train = target / "cifar10" / "train"
        pictures = target / "unlabelled.part"
        pictures.mkdir(exist_ok=True)
        for folder in sorted(train.iterdir()):
            files = sorted(folder.iterdir())
            held = target / "cifar10" / "val" / folder.name
            held.mkdir(parents=True)
            for file in files[-len(files) // 10 :]:
                file.rename(held / file.name)
            # A thousand pictures: those of a tenth of the rest, names without their class.
            for number, file in enumerate(files[:100]):
                os.link(file, pictures / f"{folder.name[:2]}{number:04}{file.suffix}")
        pictures.rename(target / "unlabelled")


def _idx(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    images = gzip.decompress((folder / f"{name}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / f"{name}-labels-idx1-ubyte.gz").read_bytes())
    x = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 1, 28, 28)
    return x, np.frombuffer(labels, np.uint8, offset=8).astype(np.int64)


def run(out: Path, name: str, arguments: list[str]) -> Path:
    """One `striate shrink` in a run directory of its own, begun, resumed or done already."""
    directory = out / name
    if (directory / "result.json").exists():
        document = json.loads((directory / "result.json").read_text())
        if document["status"] in ("done", "already-met"):
            return directory
    command = [sys.executable, "-m", "striate", "shrink", *arguments, "--out", str(directory)]
    if (directory / "run.json").exists():
        command.append("--resume")
    print("+", " ".join(command[1:]), flush=True)
    with (out / f"{name}.log").open("a") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(
            f"{name} ended with {os.waitstatus_to_exitcode(status)}; see {out / name}.log"
        )
    memory = out / f"{name}.memory.json"
    before = json.loads(memory.read_text())["peak_bytes"] if memory.exists() else 0
    whole(memory, json.dumps({"peak_bytes": max(before, 1024 * usage.ru_maxrss)}))
    return directory


def whole(file: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all."""
    beside = file.with_suffix(".part")
    beside.write_text(text)
    beside.replace(file)


def base(out: Path, task: Task, seed: int) -> Path:
    """The original of a seed: trained, and nothing shrunk (its own size is the budget)."""
    data = task.data.format(data=out / "data")
    arguments = [task.model, "--data", data, *task.options, "--pretrain", str(task.pretrain)]
    return run(
        out, f"{task.name}-base-{seed}", [*arguments, "--budget", "100%", "--seed", str(seed)]
    )


def ours(out: Path, row: Row, seed: int) -> Path:
    task = TASKS[row.task]
    weights = base(out, task, seed) / "baseline.safetensors"
    data = f"images:{out}/data/unlabelled" if row.images else task.data.format(data=out / "data")
    options = () if row.images else task.options
    arguments = [task.model, "--weights", str(weights), "--data", data, *options]
    arguments += ["--budget", row.budget, "--epochs", str(row.epochs), "--seed", str(seed)]
    if row.images:
        preprocess = json.loads((base(out, task, seed) / "run.json").read_text())["data_split"][
            "preprocess"
        ]
        for option in ("mean", "std"):
            arguments.append(f"--{option}={','.join(map(str, preprocess[option]))}")
        arguments += ["--model-arg", "classes=10"]
    return run(out, f"{row.name}-{seed}", arguments)


def test_accuracy(out: Path, row: Row, seed: int) -> dict[str, Any]:
    """Test accuracy before and after. Pictures without labels have none: the labelled set is asked instead."""
    directory = ours(out, row, seed)
    result = json.loads((directory / "result.json").read_text())
    if row.images:
        file = out / f"{row.name}-{seed}.json"
        if not file.exists():
            data = TASKS[row.task].data.format(data=out / "data")
            command = [
                sys.executable,
                "-m",
                "striate",
                "evaluate",
                str(directory),
                "--data",
                data,
                "--json",
            ]
            asked = subprocess.run(command, check=True, capture_output=True, text=True)
            whole(file, asked.stdout)
        base_result = json.loads((base(out, TASKS[row.task], seed) / "result.json").read_text())
        result["baseline"] = base_result["baseline"]
        result["shrunk"]["accuracy"] = json.loads(file.read_text())["accuracy"]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with mnist/ and cifar10-subset.tar")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", choices=sorted(TASKS), help="one of the two tasks")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--part", choices=("base", "ours", "rivals"), help="one part of the work")
    parser.add_argument("--table", action="store_true", help="print the table of what is there")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.table:
        from tables import table

        print(table(asked.out, asked.seeds))
        return
    if asked.data is None:
        parser.error("--data: expected a folder with mnist/ and cifar10-subset.tar")
    prepare(asked.data, asked.out / "data")
    tasks = [asked.only] if asked.only else list(TASKS)
    for seed in asked.seeds:
        for name in tasks:
            if asked.part in (None, "base"):
                base(asked.out, TASKS[name], seed)
            if asked.part in (None, "ours"):
                for row in ROWS:
                    if row.task == name:
                        test_accuracy(asked.out, row, seed)
    if asked.part in (None, "rivals"):
        from rivals import from_scratch, torch_pruning

        for name in tasks:
            for row in ROWS:
                if row.task == name and row.epochs:
                    from_scratch(asked.out, row, TASKS[name], seed=asked.seeds[0])
        if "cifar" in tasks:
            torch_pruning(asked.out, TASKS["cifar"], seed=asked.seeds[0], epochs=10)


if __name__ == "__main__":
    main()
