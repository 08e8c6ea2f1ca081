"""Training one network by one recipe, and finding the recipe on validation images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from digit_networks.data import Digits, Images, moved, moved_around
from digit_networks.networks import Network, Wiring

# The part of the steps over which the learning rate is raised.
WARM_UP = 0.1


@dataclass(frozen=True)
class Recipe:
    """AdamW on the cross-entropy; the learning rate is raised over the first tenth of the steps, then lowered along a
    cosine to nothing. Each time an image is seen it is moved by up to `shift` pixels down and right, drawn evenly."""

    learning_rate: float
    weight_decay: float
    epochs: int
    shift: float
    batch: int = 32


@dataclass(frozen=True)
class Trained:
    """A trained network, already rounded to float16, and how many validation images it names rightly as a fraction:
    as they are, and moved by half a pixel in the eight directions."""

    network: Network
    seed: int
    validation: float
    validation_moved: float

    @property
    def score(self) -> float:
        """What choices go by: both alike, since a drawing is never as well placed as the set's images."""
        return (self.validation + self.validation_moved) / 2


def train(wiring: Wiring, recipe: Recipe, data: Digits, seed: int) -> Trained:
    """The network of `seed`: the same bits each time on one machine with one thread."""
    torch.manual_seed(seed)
    network = Network(wiring)
    optimizer = torch.optim.AdamW(
        network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    steps = recipe.epochs * -(-len(data.train) // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=steps, pct_start=WARM_UP, cycle_momentum=False
    )
    for _ in range(recipe.epochs):
        for rows in torch.randperm(len(data.train)).split(recipe.batch):
            pixels = data.train.pixels[rows]
            if recipe.shift:
                pixels = moved(pixels, (torch.rand(len(rows), 2) * 2 - 1) * recipe.shift)
            optimizer.zero_grad()
            functional.cross_entropy(network(pixels), data.train.labels[rows]).backward()
            optimizer.step()
            schedule.step()
    rounded(network)
    return Trained(
        network,
        seed,
        accuracy(network, data.validation),
        accuracy(network, moved_around(data.validation, 0.5)),
    )


def rounded(network: nn.Module) -> None:
    """Every parameter to the nearest float16, in place; they stay float32."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.half())


def logits(network: nn.Module, pixels: Tensor) -> Tensor:
    """The ten outputs (N, 10) in float64, as JavaScript computes: no machine's rounding changes an answer."""
    double = network.double()
    try:
        with torch.no_grad():
            return double(pixels.double())
    finally:
        network.float()


def right(network: nn.Module, images: Images) -> int:
    """How many images the network names rightly."""
    return int((logits(network, images.pixels).argmax(1) == images.labels).sum())


def accuracy(network: nn.Module, images: Images) -> float:
    """The part of the images that the network names rightly."""
    return right(network, images) / len(images)


def search(
    wirings: Sequence[Wiring],
    start: Recipe,
    axes: Mapping[str, Sequence[float]],
    data: Digits,
    seeds: Sequence[int],
    score: Callable[[Trained], float],
) -> tuple[Recipe, list[dict[str, Any]]]:
    """One recipe for all wirings: each axis in turn takes the value with the best mean `score`, the rest as found so
    far, ties to the earlier value. Also every recipe that was tried, with its validation accuracies."""
    tried: dict[Recipe, dict[str, Any]] = {}

    def judge(recipe: Recipe) -> float:
        if recipe not in tried:
            runs = [[train(wiring, recipe, data, seed) for seed in seeds] for wiring in wirings]
            tried[recipe] = {
                **asdict(recipe),
                "score": round(mean([score(run) for each in runs for run in each]), 4),
                "validation": _by_name(wirings, runs, lambda run: run.validation),
                "validation_moved": _by_name(wirings, runs, lambda run: run.validation_moved),
            }
        return tried[recipe]["score"]

    best = start
    for axis, values in axes.items():
        best = max((replace(best, **{axis: value}) for value in values), key=judge)
    return best, list(tried.values())


def _by_name(
    wirings: Sequence[Wiring], runs: Sequence[Sequence[Trained]], of: Callable[[Trained], float]
) -> dict[str, float]:
    return {
        wiring.name: round(mean([of(run) for run in each]), 4)
        for wiring, each in zip(wirings, runs, strict=True)
    }


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
