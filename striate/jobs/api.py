"""The reduction for Python callers: models and data as objects. `striate.shrink`, `striate.plan`, `striate.apply`."""

from __future__ import annotations

import copy
import operator
import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from striate.errors import RequestError, UnreachableBudget
from striate.jobs.problem import Problem, check, fingerprint, labels
from striate.jobs.progress import Progress, Silent
from striate.jobs.request import Precision, Settings, check_same, environment
from striate.jobs.result import counts_of
from striate.jobs.steps import EXPENDABLE, Shrinking
from striate.ledger.gates import resolve
from striate.reduce.apply import apply as apply_plan
from striate.reduce.choose import choose
from striate.reduce.examples import Examples, Subset
from striate.reduce.harm import measure
from striate.reduce.original import Original
from striate.reduce.plan import Plan
from striate.reduce.running import checked_device
from striate.reduce.sites import Layout
from striate.reduce.survey import survey, totals_of
from striate.runs import Run, check_new, has_run
from striate.sources import as_examples
from striate.sources.models import COMPILED, uncompiled
from striate.sources.preprocess import PreprocessOptions
from striate.sources.split import draw, validation_count

Budget = str | int | Sequence[str | int]


@dataclass(frozen=True)
class ShrinkResult:
    """A smaller network, the account of it, and where its run directory is.

    `model` is in evaluation mode, on the CPU; `result` is the `striate.shrink/1` document; `run` is None where
    no `out` was given.
    """

    model: nn.Module
    result: dict[str, Any]
    run: Path | None


def shrink(
    model: nn.Module,
    train: object,
    test: object = None,
    *,
    budget: Budget,
    validation: object = None,
    epochs: int = 10,
    pretrain: int = 0,
    batch_size: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    precision: Precision = "32-true",
    export: str | Sequence[str] = (),
    layout: str | tuple[int, int, int] | None = None,
    accept_baseline: bool = False,
    out: str | Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> ShrinkResult:
    """Make a trained network fit a budget; `model` itself is left as it was.

    Args:
        model: Takes `(N, *shape)` float32, gives the scores `(N, classes)`.
        train: What calibrates and trains: `(inputs, labels)` arrays or tensors, inputs alone (a tensor `(N, *shape)`),
            a map-style torch `Dataset` of pairs, or `Examples`. Without labels the choice goes by agreement.
        test: Read once for `model` and once for the result. None: no test figures.
        budget: `"5%"`, `"200k"`, `"macs=30M"`, `"bytes=500KB"`, a number of parameters, or several of these.
        validation: What chooses; None: a tenth of the training rows, by class, drawn by `seed`.
        epochs: Of fine-tuning in all; 0 stops after the closed-form fit.
        pretrain: Train the network for so many epochs first.
        batch_size: Of training; None: the recipes' own.
        device: `cpu`, `cuda`, `cuda:N` or `mps`; the result comes back on the CPU.
        precision: `32-true` or `bf16-mixed`.
        export: `("onnx",)` writes an ONNX file too (needs `out`).
        layout: (channels, rows, columns) of flat inputs, or as text, `"1x28x28"`.
        accept_baseline: Go on even where `model` is no better than chance.
        out: The run directory to make; with `resume`, to go on with. None: nothing is kept.
        progress: Where to report to; None: nowhere.

    Raises:
        UnreachableBudget: no choice of rungs meets the budget; `smallest` says what can be reached.
        ValueError, TypeError: an argument is wrong, or the model does not fit the data.

    >>> import striate, torch
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 2)).eval()
    >>> images = torch.randn(400, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> small = striate.shrink(net, images, budget="50%", epochs=0)
    >>> small.result["status"], small.result["shrunk"]["params"] <= small.result["baseline"]["params"] // 2
    ('done', True)
    """
    if out is not None and not isinstance(out, str | os.PathLike):
        raise TypeError(f"out={out!r}: expected a path, the run directory to make")
    if out is not None and not os.fspath(out):
        raise ValueError("out='': expected a path, the run directory to make")
    if progress is not None and not callable(getattr(progress, "say", None)):
        raise TypeError(f"progress={progress!r}: expected an object with say and bar, or None")
    exports = (export,) if isinstance(export, str) else export
    if not isinstance(exports, list | tuple) or not all(isinstance(one, str) for one in exports):
        raise TypeError(f"export={export!r}: expected names such as ('onnx',)")
    layout = _layout(layout)
    settings = Settings(
        budget=_texts(budget),
        epochs=_whole("epochs", epochs),
        pretrain=_whole("pretrain", pretrain),
        batch_size=None if batch_size is None else _whole("batch_size", batch_size, 2),
        seed=_whole("seed", seed),
        device=str(device),
        precision=precision,
        export=tuple(exports),
        accept_baseline=accept_baseline,
    )
    checked_device(settings.device)
    progress = progress or Silent()
    if out is None and (resume or settings.export):
        raise RequestError(f"{'resume' if resume else 'export'} needs out, the run directory")
    problem = _problem(model, train, test, validation, settings, layout)
    document = {**_plain(settings), **problem.description, **environment()}
    with ExitStack() as stack:
        if out is None:
            place = (
                Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="striate-"))) / "run"
            )
        else:
            place = Path(out)
        if resume and has_run(place):
            run = stack.enter_context(Run.resume(place))
            for note in check_same(run.request, document, place):
                progress.say(f"note: {note}")
        else:
            check_new(place, EXPENDABLE)
            run = stack.enter_context(Run.create(place, document, EXPENDABLE))
        finished = Shrinking(run, problem, settings, progress, keep=out is not None).work()
    if finished.stopped is not None:
        raise finished.stopped
    assert finished.model is not None
    result = finished.result if out is not None else finished.result | {"files": None}
    # Where nothing was changed, the caller still gets a network of its own.
    return ShrinkResult(copy.deepcopy(finished.model), result, None if out is None else place)


def plan(
    model: nn.Module,
    calibration: object,
    *,
    budget: Budget,
    layout: str | tuple[int, int, int] | None = None,
    seed: int = 0,
) -> Plan:
    """The choice of one rung a site that meets the budget and changes the network's outputs least.

    Nothing is trained, and no labels are read: the harm of each rung is measured on a fifth of the `calibration`
    inputs, after its fit on the others. Takes the forms that `shrink` takes.

    >>> import striate, torch
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 2)).eval()
    >>> images = torch.randn(400, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> chosen = striate.plan(net, images, budget="50%")
    >>> small = striate.apply(net, chosen, images)
    >>> sum(p.numel() for p in small.parameters()) == chosen.params <= 1609
    True
    """
    _check_model(model)
    model, _ = uncompiled(model)
    seed, layout = _whole("seed", seed), _layout(layout)
    asked_budget = _texts(budget)
    examples = as_examples(calibration, "calibration")
    every = np.arange(len(examples), dtype=np.int64)
    kept, judged = draw(None, every, max(1, len(every) // 5), seed)
    example = examples.batch(every[:8])[0]
    map_layout = None if layout is None else Layout(*layout)
    totals = counts_of(totals_of(model, example))
    limits = [resolve(asked, totals) for asked in Settings(budget=asked_budget).budgets()]
    seen = survey(model, example, limits, map_layout)
    if seen.met:
        return Plan((), (), **totals)
    seen.require_reachable()
    original = Original(model, list(seen.choices), Subset(examples, kept), seed)
    measurements = measure(original, seen, Subset(examples, judged))
    return choose(seen, measurements, 1)[0]


def apply(model: nn.Module, plan: Plan, calibration: object = None) -> nn.Module:
    """A new network with the plan's rungs in place; `model` is left as it was.

    Without `calibration` the weights are carried over plainly; with it (the forms that `shrink` takes) they are
    fitted in closed form to what `model` computes on it.
    """
    _check_model(model)
    if not isinstance(plan, Plan):
        raise TypeError(
            f"plan is a {type(plan).__name__}; expected a striate.Plan, from striate.plan or Plan.from_dict"
        )
    examples = None if calibration is None else as_examples(calibration, "calibration")
    return apply_plan(uncompiled(model)[0], plan, examples)


def _texts(budget: Budget) -> tuple[str, ...]:
    asked = list(budget) if isinstance(budget, list | tuple) else [budget]
    if not asked:
        raise ValueError(f"budget={budget!r}: expected at least one, such as '5%'")
    return tuple(one if isinstance(one, str) else _amount(one) for one in asked)


def _amount(value: object) -> str:
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        return str(operator.index(value))  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(
            f"budget={value!r}: expected text such as '5%' or a number of parameters"
        ) from None


def _whole(name: str, value: object, least: int = 0) -> int:
    """`value` as a whole number from `least` on, of whatever type of integer it is."""
    expected = f"expected a whole number from {least} on"
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name}={value!r}: {expected}") from None
    if number < least:
        raise RequestError(f"{name}={value!r}: {expected}")
    return number


def _layout(layout: object) -> tuple[int, int, int] | None:
    expected = "expected (channels, rows, columns), such as (1, 28, 28) or '1x28x28'"
    if layout is None:
        return None
    if isinstance(layout, str):
        try:
            return PreprocessOptions.parse(layout=layout).layout
        except RequestError:
            raise RequestError(f"layout={layout!r}: {expected}") from None
    if not isinstance(layout, list | tuple):
        raise TypeError(f"layout={layout!r}: {expected}")
    if len(layout) != 3:
        raise RequestError(f"layout={layout!r}: {expected}")
    channels, rows, columns = (_whole("layout", side, 1) for side in layout)
    return channels, rows, columns


def _check_model(model: object) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is a {type(model).__name__}; expected a torch.nn.Module")


def _plain(settings: Settings) -> dict[str, Any]:
    from dataclasses import asdict

    return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(settings).items()}


def _problem(
    model: nn.Module,
    train: object,
    test: object,
    validation: object,
    settings: Settings,
    layout: tuple[int, int, int] | None,
) -> Problem:
    _check_model(model)
    model, was_compiled = uncompiled(model)
    given = as_examples(train, "train")
    labelled = given.batch(np.arange(1, dtype=np.int64))[1] is not None
    if settings.pretrain and not labelled:
        raise RequestError(f"pretrain={settings.pretrain} needs labels, and train has none")
    rest, held_out = _held_out(given, labelled, validation, settings.seed)
    tested = None if test is None else as_examples(test, "test")
    shape = list(given.batch(np.arange(1, dtype=np.int64))[0].shape[1:])
    name = type(model).__name__
    description: dict[str, Any] = {
        "model": name,
        "data": None,
        "layout": None if layout is None else list(layout),
        "factory": {"text": None, "arguments": {}, "is_zoo": False},
        "data_split": {
            "name": "given in Python",
            "shape": shape,
            "classes": None,
            "labelled": labelled,
            "calibration": len(rest),
            "training": len(rest),
            "validation": len(held_out),
            "test": None if tested is None else len(tested),
            "validation_is_given": validation is not None,
            "notes": [],
            "preprocess": None,
        },
        "fingerprint": fingerprint(model),
    }
    problem = Problem(
        name=name,
        model=model,
        train=rest,
        validation=held_out,
        test=tested,
        labelled=labelled,
        validation_is_given=validation is not None,
        weights=None,
        layout=None if layout is None else Layout(*layout),
        description=description,
        notes=(COMPILED,) if was_compiled else (),
        in_python=True,
    )
    check(problem, settings)
    return problem


def _held_out(
    given: Examples, labelled: bool, validation: object, seed: int
) -> tuple[Examples, Examples]:
    if validation is not None:
        return given, as_examples(validation, "validation")
    every = np.arange(len(given), dtype=np.int64)
    found = labels(given).numpy() if labelled else None
    kept, drawn = draw(found, every, validation_count(len(every)), seed)
    if not len(drawn):
        raise RequestError(
            f"train: {len(given)} examples are too few to hold any out; give validation, or more"
        )
    return Subset(given, kept), Subset(given, drawn)


__all__ = ["ShrinkResult", "UnreachableBudget", "apply", "plan", "shrink"]
