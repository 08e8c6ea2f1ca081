"""What is to be shrunk, as objects, however it was named."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.errors import RequestError
from striate.reduce.evaluate import checked_targets, class_scores
from striate.reduce.examples import Examples, batches
from striate.reduce.running import evaluating
from striate.reduce.sites import Layout
from striate.sources.imports import running
from striate.sources.weights import refuse_non_finite

FEW = 8


@dataclass(frozen=True)
class Problem:
    """A network and the examples that calibrate and train, choose, and test.

    `model` is never changed. `name` is what errors call it. `validation_is_given` says that the validation rows
    were held out by the user, so a network that came with weights was not trained on them. `weights` is
    the file that the user gave, if any. `description` is what `run.json` says of the model and the data.
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

    def few(self) -> Tensor:
        """A few inputs of the training rows, at least two."""
        return self.train.batch(np.arange(min(FEW, len(self.train)), dtype=np.int64))[0]


def check(problem: Problem) -> None:
    """Raise `RequestError` where the network does not run on the examples, or scores other classes than theirs."""
    if len(problem.train) < 2:
        raise RequestError(f"--data: {len(problem.train)} training examples; expected at least 2")
    refuse_non_finite(problem.model, f"MODEL {problem.name}")
    few = problem.few()
    shape = "x".join(map(str, few.shape[1:]))
    what = f"MODEL {problem.name}: its forward, on a batch of {len(few)} inputs of {shape},"
    with evaluating(problem.model), torch.no_grad(), running(what):
        output = problem.model(few)
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
