"""`striate shrink`: a model and data as named on a command line, in a run directory that stays."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from striate.errors import MissingExtra, RequestError
from striate.jobs.problem import Problem, check, fingerprint
from striate.jobs.progress import Progress
from striate.jobs.request import ShrinkRequest, check_same, environment
from striate.jobs.steps import EXPENDABLE, Finished, Shrinking
from striate.reduce.running import checked_device, seeded
from striate.reduce.sites import Layout
from striate.runs import Run, check_new, has_run
from striate.sources.data import Data
from striate.sources.data import resolve as resolve_data
from striate.sources.models import ModelSource
from striate.sources.models import resolve as resolve_model
from striate.sources.preprocess import PreprocessOptions
from striate.sources.weights import load_weights

_NEEDED = {
    "shrink": ("lightning_fabric", "altair", "vl_convert"),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
}


def shrink_named(
    request: ShrinkRequest,
    out: Path,
    progress: Progress,
    *,
    resume: bool = False,
    command: str | None = None,
) -> Finished:
    """Begin the run at `out`, or with `resume` go on with it (or begin it, where it had not come to be).

    Everything that can be wrong with the request is found before the directory is made.
    """
    require_extras(request)
    try:
        checked_device(request.settings.device)
    except RequestError as error:
        raise RequestError(f"--device {request.settings.device}: {error}") from error
    if resume and has_run(out):
        with Run.resume(out) as run:
            problem, document = _prepared(request, progress, command)
            for note in check_same(run.request, document, out):
                progress.say(f"note: {note}")
            return Shrinking(run, problem, request.settings, progress, command).work()
    check_new(out, EXPENDABLE)
    problem, document = _prepared(request, progress, command)
    with Run.create(out, document, EXPENDABLE) as run:
        return Shrinking(run, problem, request.settings, progress, command).work()


def free_directory(stem: str = "striate-run") -> Path:
    """The first of `striate-run`, `striate-run-2`, ... in the current directory that is not there."""
    number = 1
    while True:
        path = Path(stem if number == 1 else f"{stem}-{number}")
        if not path.exists():
            return path
        number += 1


def require_extras(request: ShrinkRequest) -> None:
    """Raise `MissingExtra` where a package that the request needs is not installed."""
    for extra, modules in _NEEDED.items():
        if extra == "onnx" and "onnx" not in request.settings.export:
            continue
        if any(find_spec(module) is None for module in modules):
            what = "--export onnx" if extra == "onnx" else "striate shrink"
            raise MissingExtra(what, extra)


def _prepared(
    request: ShrinkRequest, progress: Progress, command: str | None
) -> tuple[Problem, dict[str, Any]]:
    """The request as objects, checked, and its `run.json` document."""
    data = read_data(request, progress)
    classes = None if data.classes is None else len(data.classes)
    source = resolve_model(request.model, request.model_args, shape=data.shape, classes=classes)
    notes: list[str] = []
    # A factory draws its weights from torch's seed; the run's seed makes them the same each time.
    with seeded(request.settings.seed, torch.device("cpu")):
        model = source.build(notes)
    if request.weights is not None:
        notes += load_weights(model, request.weights, request.weights_key)
    if request.settings.pretrain and not data.labelled:
        raise RequestError(
            f"--pretrain {request.settings.pretrain}: needs labels, and {request.data} has none; "
            "give trained --weights"
        )
    for note in (*data.notes, *notes):
        progress.say(note)
    description = {
        "factory": _factory(source),
        "data_split": describe_data(data),
        "fingerprint": fingerprint(model),
    }
    layout = None if data.preprocess.layout is None else Layout(*data.preprocess.layout)
    problem = Problem(
        name=request.model,
        model=model,
        train=data.train,
        validation=data.validation,
        test=data.test,
        labelled=data.labelled,
        validation_is_given=data.validation_is_given,
        weights=request.weights,
        layout=layout,
        description=description,
        notes=tuple(notes),
    )
    check(problem, request.settings)
    return problem, request.to_dict() | description | environment() | {"command": command}


def read_data(request: ShrinkRequest, progress: Progress) -> Data:
    """The request's data, read and divided."""
    with progress.bar(1000, f"reading {request.data}") as advance:
        shown = 0

        def tick(done: int, total: int) -> None:
            nonlocal shown
            now = 1000 * done // max(1, total)
            advance(now - shown)
            shown = now

        return resolve_data(
            request.data,
            preprocess=PreprocessOptions.parse(
                size=request.size,
                mean=request.mean,
                std=request.std,
                channels=request.channels,
                layout=request.layout,
                transform=request.transform,
            ),
            validation=request.val,
            split=request.split,
            seed=request.settings.seed,
            augment=request.augment,
            advance=tick,
        )


def describe_data(data: Data) -> dict[str, Any]:
    """Which examples do what, as plain data."""
    return {
        "name": data.name,
        "shape": list(data.shape),
        "classes": None if data.classes is None else list(data.classes),
        "labelled": data.labelled,
        "calibration": len(data.train),
        "training": len(data.train),
        "validation": len(data.validation),
        "test": None if data.test is None else len(data.test),
        "validation_is_given": data.validation_is_given,
        "notes": list(data.notes),
        "preprocess": data.preprocess.to_dict(),
    }


def _factory(source: ModelSource) -> dict[str, Any]:
    return {
        "text": source.text,
        "arguments": dict(source.arguments),
        "is_zoo": source.is_zoo,
    }
