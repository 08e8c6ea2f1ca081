"""The rivals in the table: the same small network trained from scratch, and Torch-Pruning at the same size.

Both get the data, the recipes and the validation images of `striate shrink`, and are run directories themselves: a
rival that was cut off goes on after its last finished epoch.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pruning import CANDIDATES, Candidate, Pruning, choose, parameters
from rich.console import Console
from torch import Tensor, nn

from striate.errors import RequestError
from striate.jobs.named import read_data
from striate.jobs.progress import Progress, Terminal
from striate.jobs.request import Settings, ShrinkRequest, check_same, environment
from striate.jobs.result import counts_of
from striate.jobs.scores import Judge, scored
from striate.jobs.steps import BASELINE, race_epochs
from striate.jobs.training import Trained, read_checkpoint, train
from striate.ledger import count
from striate.reduce.apply import skeleton
from striate.reduce.evaluate import evaluate
from striate.reduce.finetune import Training
from striate.reduce.plan import Plan
from striate.reduce.recipes import Arm, Recipe, arm_recipe, pretrain_recipe
from striate.reduce.running import seeded
from striate.reduce.verify import check_counts
from striate.runs import Run, has_run
from striate.sources.data import Data
from striate.sources.models import resolve as resolve_model
from striate.sources.weights import load_weights

if TYPE_CHECKING:
    from shrink import Row, Task

SCRATCH, RIVAL = "scratch.json", "rival.json"
CPU = torch.device("cpu")
ARMS: tuple[Arm, ...] = ("distill", "labels")

Document = dict[str, Any]


# ---- what both need


def _read(path: Path) -> Document:
    try:
        document: Document = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise RequestError(
            f"{path}: there is no such file; the run it belongs to comes first (--part base, --part ours)"
        ) from error
    return document


def _digest(path: Path) -> str:
    """What tells one plan or one set of weights from another."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass(frozen=True)
class Subject:
    """The data of a finished run, divided as it was there, and the network it began with, weights drawn anew."""

    data: Data
    build: Callable[[], nn.Module]

    @property
    def example(self) -> Tensor:
        return self.data.train.batch(np.arange(2, dtype=np.int64))[0]


def subject(directory: Path, progress: Progress) -> Subject:
    """Read the data and name the network of the run in `directory`, from what its `run.json` asked for."""
    asked = _read(directory / "run.json")
    given = {name: tuple(v) if isinstance(v, list) else v for name, v in asked.items()}
    settings = Settings(**_fields(Settings, given))
    request = ShrinkRequest(**_fields(ShrinkRequest, given), settings=settings)
    data = read_data(request, progress)
    split = asked["data_split"]
    found = {"training": len(data.train), "validation": len(data.validation)}
    if not data.labelled or data.test is None or any(split[part] != n for part, n in found.items()):
        raise RequestError(
            f"{directory}: its data are {split}; {request.data} now gives {found}. A rival needs the same "
            "division, with labels and a test set"
        )
    classes = None if data.classes is None else len(data.classes)
    source = resolve_model(request.model, request.model_args, shape=data.shape, classes=classes)

    def build() -> nn.Module:
        with seeded(settings.seed, CPU):
            return source.build()

    return Subject(data, build)


def _fields(kind: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """What `given` holds of the fields of a dataclass."""
    return {
        field.name: given[field.name] for field in dataclasses.fields(kind) if field.name in given
    }


def _judge(model: nn.Module, data: Data) -> Judge:
    return Judge(model, data.validation, labelled=True, by="accuracy", device=CPU)


@contextmanager
def _begun(directory: Path, request: Mapping[str, Any], progress: Progress) -> Iterator[Run]:
    """The run of a rival, new or taken up again; one that was begun with another request is refused."""
    document = {**request, **environment()}
    if not has_run(directory):
        with Run.create(directory, document) as run:
            yield run
        return
    with Run.resume(directory) as run:
        for note in check_same(run.request, document, directory):
            progress.say(f"note: {note}")
        yield run


def _finished(directory: Path, name: str, request: Mapping[str, Any]) -> Document | None:
    """The result of a rival that is done, if it answers this request."""
    if not (directory / name).exists():
        return None
    check_same(
        {**_read(directory / "run.json"), **environment()}, {**request, **environment()}, directory
    )
    return _read(directory / name)


def _train(
    run: Run,
    phase: str,
    recipe: Recipe,
    make: Callable[[], nn.Module],
    data: Data,
    seed: int,
    judge: Judge,
    progress: Progress,
    teacher: nn.Module | None = None,
) -> Trained:
    def training() -> Training:
        return Training(make(), data.train, recipe, seed=seed, phase=phase, teacher=teacher)

    label = f"{run.path.name}, {phase}"
    return train(run, phase, recipe.epochs, training, judge, progress, label, rows=len(data.train))


def _tested(run: Run, make: Callable[[], nn.Module], trained: Trained, data: Data) -> Document:
    """The best epoch's network on the test images, which are read this once."""

    def compute() -> Document:
        model = make()
        model.load_state_dict(read_checkpoint(run, trained.checkpoint)["model"])
        assert data.test is not None
        return scored(evaluate(model.eval(), data.test))

    return run.step("test", compute)


# ---- the same network from scratch


def from_scratch(
    out: Path, row: Row, task: Task, seed: int, *, progress: Progress | None = None
) -> Document:
    """Train the network that a finished run arrived at from random weights, as long as the original and it together.

    The run is `out/ROW-SEED`; the rival's own is `out/ROW-scratch-SEED`, its result the `scratch.json` there: the
    epoch that was best on the validation images, and its accuracy on the test images.
    """
    progress = progress or Terminal(Console())
    directory = out / f"{row.name}-{seed}"
    status = _read(directory / "result.json")["status"]
    if status not in ("done", "already-met"):
        raise RequestError(f"{directory}: the run is {status}; a rival needs one that is done")
    plan = Plan.from_dict(_read(directory / "plan.json"))
    epochs = task.pretrain + row.epochs
    request = {
        "rival": "from scratch",
        "of": directory.name,
        "plan": _digest(directory / "plan.json"),
        "epochs": epochs,
        "seed": seed,
    }
    target = out / f"{row.name}-scratch-{seed}"
    finished = _finished(target, SCRATCH, request)
    if finished is not None:
        return finished
    found = subject(directory, progress)
    make = partial(fresh, found.build(), plan, seed)
    with _begun(target, request, progress) as run:
        judge = _judge(make(), found.data)
        recipe = pretrain_recipe(epochs, plan.params)
        trained = _train(run, "scratch", recipe, make, found.data, seed, judge, progress)
        test = _tested(run, make, trained, found.data)
        run.write_json(
            SCRATCH,
            {
                "schema": "striate.benchmark-scratch/1",
                **request,
                **counts_of(plan),
                "structure": plan.label,
                "best": trained.best,
                "validation": dict(trained.best_score),
                "test": test,
                "seconds": round(run.seconds, 3),
            },
        )
    return _read(target / SCRATCH)


def fresh(model: nn.Module, plan: Plan, seed: int) -> nn.Module:
    """The network of a plan with every layer's weights drawn anew, as its own class draws them."""
    net = skeleton(model, plan)
    # One after the other from one stream: `skeleton` draws the weights of every new layer from the same state.
    with seeded(seed, CPU):
        for name, module in net.named_modules():
            if not list(module.parameters(recurse=False)):
                continue
            reset = getattr(module, "reset_parameters", None)
            if reset is None:
                raise TypeError(
                    f"{name} is a {type(module).__name__}, which cannot draw its weights anew"
                )
            reset()
    check_counts(net, counts_of(plan))
    return net


# ---- Torch-Pruning


def torch_pruning(
    out: Path,
    task: Task,
    seed: int,
    epochs: int,
    *,
    percent: float = 10,
    progress: Progress | None = None,
) -> Document:
    """Prune the channels of a task's original to `percent` of its parameters, then fine-tune for `epochs` epochs.

    The original is `out/TASK-base-SEED`. Every candidate is pruned to the largest network within the budget; the
    four that validate best, of each scope at least one, are trained for a fifth of the epochs; the best of them is
    trained anew for all of them, once by the original's outputs and once by the labels. The short training is not
    counted: the rival gets more than `striate shrink` does. The result is the `rival.json` in
    `out/TASK-PERCENT-torch-pruning-SEED`.
    """
    progress = progress or Terminal(Console())
    base = out / f"{task.name}-base-{seed}"
    if not (base / BASELINE).exists():
        raise RequestError(
            f"{base / BASELINE}: there is no such file; train the original first (--part base)"
        )
    request = {
        "rival": "Torch-Pruning",
        "torch_pruning": version("torch-pruning"),
        "of": base.name,
        "weights": _digest(base / BASELINE),
        "percent": percent,
        "epochs": epochs,
        "seed": seed,
    }
    target = out / f"{task.name}-{percent:g}-torch-pruning-{seed}"
    finished = _finished(target, RIVAL, request)
    if finished is not None:
        return finished
    found = subject(base, progress)
    original = found.build().eval()
    load_weights(original, base / BASELINE)
    with _begun(target, request, progress) as run:
        _pruned_and_trained(run, original, found, request, progress)
    return _read(target / RIVAL)


def _pruned_and_trained(
    run: Run, original: nn.Module, found: Subject, request: Mapping[str, Any], progress: Progress
) -> None:
    seed, epochs = int(request["seed"]), int(request["epochs"])
    judge = _judge(original, found.data)
    limit = int(parameters(original) * float(request["percent"]) / 100)
    pruning = Pruning(original, found.example, found.data.train, limit, seed)
    candidates = {}
    for candidate in CANDIDATES:
        value = run.step(candidate.key, partial(_measured, pruning, candidate, judge))
        candidates[candidate] = value
        progress.say(
            f"{run.path.name}, {candidate.importance}, {candidate.scope}: {_described(value)}"
        )
    finalists = choose(candidates, judge.rank)
    if not finalists:
        raise RequestError(f"{run.path}: no way of pruning comes down to {limit:,} parameters")

    def network(candidate: Candidate) -> nn.Module:
        return pruning.again(candidates[candidate]["history"])

    def trained(phase: str, recipe: Recipe, candidate: Candidate) -> Trained:
        make = partial(network, candidate)
        return _train(run, phase, recipe, make, found.data, seed, judge, progress, original)

    raced = {
        candidate: trained(f"race/{number}", arm_recipe("distill", race_epochs(epochs)), candidate)
        for number, candidate in enumerate(finalists, start=1)
    }
    winner = max(raced, key=lambda candidate: judge.rank(raced[candidate].best_score))
    arms = {arm: trained(arm, arm_recipe(arm, epochs), winner) for arm in ARMS}
    arm = max(arms, key=lambda name: judge.rank(arms[name].best_score))
    test = _tested(run, partial(network, winner), arms[arm], found.data)
    pruned = candidates[winner]
    run.write_json(
        RIVAL,
        {
            "schema": "striate.benchmark-rival/1",
            **request,
            "limit": limit,
            "params": pruned["params"],
            "macs": pruned["macs"],
            "importance": winner.importance,
            "scope": winner.scope,
            "pruned": {"ratio": pruned["ratio"], "validation": pruned["validation"]},
            "arm": arm,
            "best": arms[arm].best,
            "validation": dict(arms[arm].best_score),
            "arms": {name: dict(of.best_score) for name, of in arms.items()},
            "test": test,
            "candidates": [
                {"importance": candidate.importance, "scope": candidate.scope}
                | {key: value[key] for key in ("ratio", "params", "macs", "validation")}
                | {"raced": dict(raced[candidate].best_score) if candidate in raced else None}
                for candidate, value in candidates.items()
            ],
            "seconds": round(run.seconds, 3),
        },
    )


def _described(value: Mapping[str, Any]) -> str:
    if value["history"] is None:
        return "does not come down to the budget"
    return f"{value['params']:,} parameters, validation accuracy {100 * value['validation']['accuracy']:.2f} %"


def _measured(pruning: Pruning, candidate: Candidate, judge: Judge) -> Document:
    found = pruning.prune(candidate)
    if found is None:
        return dict.fromkeys(("ratio", "params", "macs", "validation", "history"))
    ratio, model, history = found
    return {
        "ratio": ratio,
        "params": parameters(model),
        "macs": count(model, pruning.example).values()["macs"],
        "validation": judge.measure(model),
        "history": history,
    }
