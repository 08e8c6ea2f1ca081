"""Torch-Pruning as a rival: ways to choose channels, and the largest network within a budget for each."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.jobs.scores import Score
from striate.reduce.examples import Examples, batches, sample
from striate.reduce.running import evaluating

# How many pruned networks are trained briefly before one is trained to the end, as `striate shrink` does it.
FINALISTS = 4
# Training images that Taylor's importance takes its gradients from.
GRADIENTS = 2000


@dataclass(frozen=True)
class Candidate:
    """A way to prune: what a channel's importance is, and how channels are compared.

    `scope`: "layer", the same ratio in each layer; "network", all channels ranked together; "dense", the same ratio
    in each dense layer, convolutions left as they are.
    """

    importance: str
    scope: str

    @property
    def key(self) -> str:
        return f"candidate/{self.importance}/{self.scope}"


IMPORTANCES = ("filter norm", "group norm", "taylor")
SCOPES = ("layer", "network", "dense")
CANDIDATES = tuple(Candidate(importance, scope) for scope in SCOPES for importance in IMPORTANCES)


def choose(
    candidates: Mapping[Candidate, Mapping[str, Any]], rank: Callable[[Score], tuple[float, ...]]
) -> list[Candidate]:
    """The finalists: the best of each scope, then the next best, leaving out what came to the same network."""
    order = sorted(
        (candidate for candidate, value in candidates.items() if value["history"] is not None),
        key=lambda candidate: rank(candidates[candidate]["validation"]),
        reverse=True,
    )
    different: list[Candidate] = []
    for candidate in order:
        histories = [candidates[other]["history"] for other in different]
        if candidates[candidate]["history"] not in histories:
            different.append(candidate)
    first = [next((c for c in different if c.scope == scope), None) for scope in SCOPES]
    best = [candidate for candidate in first if candidate is not None]
    return [*best, *(candidate for candidate in different if candidate not in best)][:FINALISTS]


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


History = list[list[Any]]


@dataclass
class Pruning:
    """Prunes copies of `original` to at most `limit` parameters; `train` is read for gradients, with labels."""

    original: nn.Module
    example: Tensor
    train: Examples
    limit: int
    seed: int
    _gradients: dict[str, Tensor] | None = None

    def prune(self, candidate: Candidate) -> tuple[float, nn.Module, History] | None:
        """The ratio at which most parameters are left within the limit, the network, and what was taken out.

        None where no ratio comes down to the limit. Ratios are scanned, for the size need not fall steadily: a
        layer that would lose all of its channels keeps all of them.
        """
        coarse = self._largest(candidate, np.linspace(0.02, 0.98, 49))
        if coarse is None:
            return None
        fine = self._largest(candidate, np.linspace(coarse - 0.02, coarse, 21)[1:])
        assert fine is not None
        model, history = self._at(candidate, fine)
        return fine, model, history

    def again(self, history: Sequence[Sequence[Any]]) -> nn.Module:
        """The network that was pruned so before, from the original's weights."""
        import torch_pruning as tp

        model = copy.deepcopy(self.original).eval()
        graph = tp.DependencyGraph().build_dependency(model, example_inputs=self.example)
        graph.load_pruning_history([list(entry) for entry in history])
        return model

    def _largest(self, candidate: Candidate, ratios: Sequence[float] | np.ndarray) -> float | None:
        sizes = {float(ratio): parameters(self._at(candidate, float(ratio))[0]) for ratio in ratios}
        within = [ratio for ratio, size in sizes.items() if size <= self.limit]
        return max(within, key=lambda ratio: (sizes[ratio], -ratio), default=None)

    def _at(self, candidate: Candidate, ratio: float) -> tuple[nn.Module, History]:
        import torch_pruning as tp  # the extra `benchmark`

        model = copy.deepcopy(self.original).eval()
        if candidate.importance == "taylor":
            gradients = self._loss_gradients()
            for name, parameter in model.named_parameters():
                parameter.grad = gradients[name].clone()
        layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.modules.conv._ConvNd)]
        # The last layer's outputs are the classes.
        kept = [layers[-1]]
        if candidate.scope == "dense":
            kept += [layer for layer in layers if not isinstance(layer, nn.Linear)]
        importances = {
            "filter norm": partial(
                tp.importance.GroupMagnitudeImportance, p=2, group_reduction="first"
            ),
            "group norm": partial(tp.importance.GroupMagnitudeImportance, p=2),
            "taylor": tp.importance.GroupTaylorImportance,
        }
        pruner = tp.pruner.BasePruner(
            model,
            self.example,
            importance=importances[candidate.importance](),
            global_pruning=candidate.scope == "network",
            pruning_ratio=ratio,
            ignored_layers=kept,
        )
        pruner.step()
        for parameter in model.parameters():
            parameter.grad = None
        return model, [
            [name, bool(out), list(map(int, index))]
            for name, out, index in pruner.pruning_history()
        ]

    def _loss_gradients(self) -> dict[str, Tensor]:
        """Of the mean cross-entropy on some training images, by parameter."""
        if self._gradients is None:
            model = copy.deepcopy(self.original)
            rows = sample(self.train, GRADIENTS, self.seed)
            with evaluating(model):
                for inputs, targets in batches(rows, 500):
                    assert targets is not None
                    (
                        F.cross_entropy(model(inputs), targets, reduction="sum") / len(rows)
                    ).backward()
            self._gradients = {
                name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                for name, parameter in model.named_parameters()
            }
        return self._gradients
