"""`striate evaluate`: the accuracy and loss of a model or of a run's result, with an interval."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from striate.errors import RequestError
from striate.jobs.load import load
from striate.jobs.progress import Progress
from striate.jobs.scores import scored
from striate.reduce.evaluate import evaluate
from striate.reduce.running import checked_device, seeded
from striate.runs import REQUEST, has_run
from striate.sources.data import READERS, Data
from striate.sources.data import resolve as resolve_data
from striate.sources.models import resolve as resolve_model
from striate.sources.preprocess import PreprocessOptions, options_from_dict
from striate.sources.weights import load_weights
from striate.version import __version__

SCHEMA = "striate.evaluate/1"


@dataclass(frozen=True)
class EvaluateRequest:
    """What is to be evaluated: `target` names a model or a run directory. What is None was not given."""

    target: str
    data: str | None = None
    model_args: Mapping[str, object] = field(default_factory=dict)
    weights: str | None = None
    weights_key: str | None = None
    split: str | None = None
    preprocess: PreprocessOptions = field(default_factory=PreprocessOptions)
    seed: int | None = None
    device: str = "cpu"


def evaluate_named(request: EvaluateRequest, progress: Progress) -> dict[str, Any]:
    """The `striate.evaluate/1` document: accuracy (a fraction), loss (nats), interval, examples.

    The test examples are read. Raises `RequestError` where they have no labels.
    """
    device = checked_device(request.device)
    is_run = has_run(request.target) if Path(request.target).is_dir() else False
    model, data = _of_run(request, progress) if is_run else _of_model(request, progress)
    if data.test is None or not data.labelled:
        whose = "the run's own data" if is_run and request.data is None else "--data"
        raise RequestError(
            f"{whose} {data.name}: has no labels, so there is nothing to be right about; give --data with labels, "
            "such as --data folder:DIR"
        )
    score = scored(evaluate(model.to(device), data.test, device=device))
    return {
        "schema": SCHEMA,
        "striate": __version__,
        "model": request.target,
        "data": data.name,
        "params": sum(parameter.numel() for parameter in model.parameters()),
        **score,
    }


def _of_run(request: EvaluateRequest, progress: Progress) -> tuple[nn.Module, Data]:
    directory = Path(request.target)
    for option, value in (("--weights", request.weights), ("--model-arg", request.model_args)):
        if value:
            raise RequestError(f"{option}: {directory} is a run directory and has its own")
    asked = json.loads((directory / REQUEST).read_bytes())
    split = asked.get("data_split") or {}
    stored = options_from_dict(split.get("preprocess") or {})
    if stored.transform is not None and request.preprocess.transform is None:
        # A file's word is not enough to call a function.
        raise RequestError(
            f"--transform is missing: the run's inputs went through {stored.transform!r}; "
            "name it again if it is yours"
        )
    text = request.data or asked.get("data")
    if request.data is None and (text is None or text.partition(":")[0] not in READERS):
        raise RequestError(
            f"--data is missing: the run's data came from {text or 'Python objects'}, "
            "which is not called on a file's word; give --data"
        )
    own = request.data is None
    validation = asked.get("val") if own else None
    for named in (text, validation) if own else ():
        _check_found(named)
    data = resolve_data(
        str(text),
        preprocess=_overridden(stored, request.preprocess),
        validation=validation,
        split=request.split or (asked.get("split") if own else None),
        seed=asked.get("seed", 0) if request.seed is None else request.seed,
    )
    model = load(directory)
    return model, data


def _check_found(named: str | None) -> None:
    """A run names its data as it was named, which may be relative to where the run was begun."""
    place = (named or "").partition(":")[2]
    if place and not Path(place).expanduser().is_absolute() and not Path(place).exists():
        raise RequestError(
            f"--data is missing: the run's data, {named}, are not here; the path is relative to where the run was "
            "begun: go there, or give --data"
        )


def _of_model(request: EvaluateRequest, progress: Progress) -> tuple[nn.Module, Data]:
    if request.data is None:
        raise RequestError(
            f"--data is missing: {request.target} is not a run directory, which would name its own"
        )
    seed = request.seed or 0
    data = resolve_data(request.data, preprocess=request.preprocess, split=request.split, seed=seed)
    classes = None if data.classes is None else len(data.classes)
    source = resolve_model(request.target, request.model_args, shape=data.shape, classes=classes)
    with seeded(seed, torch.device("cpu")):
        model = source.build()
    if request.weights is not None:
        for note in load_weights(model, request.weights, request.weights_key):
            progress.say(note)
    elif source.is_zoo:
        progress.say(f"note: {request.target} has random weights; --weights gives trained ones")
    return model.eval(), data


def _overridden(stored: PreprocessOptions, given: PreprocessOptions) -> PreprocessOptions:
    """What the run stored, except where an option was given."""
    named = {
        field.name: getattr(given, field.name)
        for field in dataclasses.fields(given)
        if getattr(given, field.name) is not None
    }
    return dataclasses.replace(stored, **named)
