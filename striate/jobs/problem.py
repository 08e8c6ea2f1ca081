"""What is to be shrunk, as objects, however it was named."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.errors import RequestError, UserCodeError
from striate.jobs.request import Settings
from striate.reduce.collect import FEWEST
from striate.reduce.evaluate import checked_targets, class_scores
from striate.reduce.examples import Examples, batches
from striate.reduce.running import evaluating, seeded
from striate.reduce.sites import Layout
from striate.sources.imports import running
from striate.sources.names import listing
from striate.sources.weights import refuse_non_finite

FEW = 8


@dataclass(frozen=True)
class Problem:
    """A network and the examples that calibrate and train, choose, and test.

    `model` is never changed. `name` is what errors call it. `validation_is_given` says that the validation rows
    were held out by the user, so a network that came with weights was not trained on them. `weights` is
    the file that the user gave, if any. `description` is what `run.json` says of the model and the data.
    `in_python`: the arguments were given in Python, so errors name them as `epochs=3`, not `--epochs 3`.
    """

    name: str
    model: nn.Module
    train: Examples
    validation: Examples
    test: Examples | None
    labelled: bool
    validation_is_given: bool
    weights: str | None
    layout: Layout | None
    description: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    in_python: bool = False

    def argument(self, name: str, value: object) -> str:
        """An argument and its value as the user would write them."""
        return f"{name}={value!r}" if self.in_python else f"--{name.replace('_', '-')} {value}"

    def few(self) -> Tensor:
        """A few inputs of the training rows, at least two."""
        return self.train.batch(np.arange(min(FEW, len(self.train)), dtype=np.int64))[0]


def check(problem: Problem, settings: Settings) -> None:
    """Raise `RequestError` where the network does not run on the examples, or scores other classes than theirs.

    Where anything is to be trained, that is tried too, on a copy: what would fail after the measurements fails here.
    """
    given = "train" if problem.in_python else "--data"
    if len(problem.train) < FEWEST:
        raise RequestError(
            f"{given}: {len(problem.train)} training examples; a fit needs at least {FEWEST}, and a thousand do"
            " better"
        )
    refuse_non_finite(problem.model, f"MODEL {problem.name}")
    few = problem.few()
    shape = "x".join(map(str, few.shape[1:]))
    what = f"MODEL {problem.name}: its forward, on a batch of {len(few)} inputs of {shape},"
    try:
        with evaluating(problem.model), torch.no_grad(), running(what):
            output = problem.model(few)
    except UserCodeError as error:
        other = _other_types(problem.model)
        if not other:
            raise
        raise RequestError(
            f"MODEL {problem.name}: its weights are {other}, and the inputs are float32; call .float() on the"
            " model"
        ) from error
    scores = class_scores(output, len(few), f"MODEL {problem.name}")
    for part in ("train", "validation", "test"):
        examples: Examples | None = getattr(problem, part)
        if examples is None:
            continue
        if len(examples) < 1:
            raise RequestError(f"the {part} data hold no examples; expected at least one")
        found = tuple(examples.batch(np.zeros(1, dtype=np.int64))[0].shape[1:])
        if found != tuple(few.shape[1:]):
            raise RequestError(
                f"the {part} data are {'x'.join(map(str, found))}, and the training data {shape}; "
                "expected the same shape"
            )
        if problem.labelled:
            checked_targets(labels(examples), scores.shape[1], f"MODEL {problem.name}, {part} data")
    if settings.pretrain or settings.epochs:
        _check_training(problem, settings)


def _other_types(model: nn.Module) -> str:
    """The types of floating weights that are not float32, in words."""
    tensors = (value for value in model.state_dict().values() if isinstance(value, Tensor))
    floating = {t.dtype for t in tensors if t.is_floating_point() or t.is_complex()}
    return listing(
        sorted(str(dtype).removeprefix("torch.") for dtype in floating - {torch.float32})
    )


def _check_training(problem: Problem, settings: Settings) -> None:
    """One pass forward and back in training mode, on a copy and as many examples as `few` has."""
    name = "pretrain" if settings.pretrain else "epochs"
    asked = problem.argument(name, getattr(settings, name))
    if not any(parameter.requires_grad for parameter in problem.model.parameters()):
        without = (
            f"give {problem.argument('epochs', 0)}" if not settings.pretrain else "leave it out"
        )
        raise RequestError(
            f"{asked}: every parameter of MODEL {problem.name} is frozen (requires_grad=False), so there is"
            f" nothing to train; {without}, or call requires_grad_(True) on the model"
        )
    rows = np.arange(min(FEW, len(problem.train)), dtype=np.int64)
    what = f"{asked}: MODEL {problem.name} in training mode, on a batch of {len(rows)} training examples,"
    with seeded(settings.seed, torch.device("cpu")):
        # With a generator they come augmented, as training will see them.
        inputs, _ = problem.train.batch(rows, np.random.default_rng(settings.seed))
        with running(what):
            model = copy.deepcopy(problem.model).train()
            output = model(inputs)
        scores = class_scores(output, len(rows), f"MODEL {problem.name}, in training mode")
        with running(what):
            scores.sum().backward()


def labels(examples: Examples) -> Tensor:
    """The targets of all examples, int64 `(N,)`; `RequestError` where one has none."""
    found = []
    for _, targets in batches(examples, 1000):
        if targets is None:
            raise RequestError("the training data have labels, and others have none; expected all")
        found.append(targets)
    return torch.cat(found)


def largest_share(examples: Examples) -> float:
    """The share of the most frequent class: what always naming it would score."""
    counts = torch.bincount(labels(examples))
    return float(counts.max()) / len(examples)


def fingerprint(model: nn.Module) -> str:
    """A digest of every parameter and buffer, by name: whether two networks hold the same bits.

    >>> fingerprint(nn.Identity()) == fingerprint(nn.Sequential())
    True
    """
    digest = hashlib.sha256()
    for key, tensor in sorted(model.state_dict().items()):
        if isinstance(tensor, Tensor):
            digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
            data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(data.numpy().tobytes())
    return digest.hexdigest()
