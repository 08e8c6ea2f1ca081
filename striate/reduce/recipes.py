"""How networks are trained: what can be set, and the recipes, which hold every tuned constant."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

Arm = Literal["labels", "distill"]


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: AdamW (Loshchilov & Hutter 2019) on one cycle (Smith & Topin 2019).

    epochs: passes over the examples.
    arm: what is learned from: the labels (cross-entropy), or the original's outputs (KL divergence
        at `temperature`, Hinton et al. 2015).
    batch_size, updates: a batch has at most `batch_size` examples, and fewer where an epoch would
        have less than `updates` updates, so that small data gets enough of them.
    lr, warmup, first, last: the rate starts at `lr * first`, is `lr` after the part `warmup` of all
        updates and ends at `lr * last`, with half a cosine on either side.
    momentum: AdamW's first beta falls from the second number to the first while the rate rises.
    weight_decay: of all trained parameters but biases and the scales of norms.
    dropout_scale: multiplies the p of every dropout module while training.
    clip_norm: the largest Euclidean norm of all gradients together; None leaves them as they are.
    """

    epochs: int
    arm: Arm = "labels"
    batch_size: int = 128
    updates: int = 40
    lr: float = 2e-3
    weight_decay: float = 1e-2
    warmup: float = 0.2
    first: float = 0.04
    last: float = 4e-6
    momentum: tuple[float, float] = (0.85, 0.95)
    dropout_scale: float = 1.0
    label_smoothing: float = 0.0
    temperature: float = 2.0
    clip_norm: float | None = 5.0

    def __post_init__(self) -> None:
        for name, holds, expected in (
            ("epochs", self.epochs >= 1, "at least 1"),
            ("arm", self.arm in get_args(Arm), "'labels' or 'distill'"),
            ("batch_size", self.batch_size >= 2, "at least 2"),
            ("updates", self.updates >= 1, "at least 1"),
            ("lr", self.lr > 0, "more than 0"),
            ("warmup", 0 <= self.warmup < 1, "0 to 1, a part of all updates"),
            ("dropout_scale", self.dropout_scale >= 0, "0 or more"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "0 to 1"),
            ("temperature", self.temperature > 0, "more than 0"),
        ):
            if not holds:
                raise ValueError(f"Recipe: {name}={getattr(self, name)!r}; expected {expected}")

    def steps(self, examples: int) -> int:
        """Updates in an epoch over so many examples."""
        size = max(min(self.batch_size, examples // self.updates), min(16, self.batch_size))
        return max(1, math.ceil(examples / size))

    def schedule(self, step: int, total: int) -> tuple[float, float]:
        """The learning rate and the first momentum at update `step` of `total`.

        >>> recipe = Recipe(epochs=1, lr=1.0, warmup=0.25, first=0.1, last=0.0)
        >>> [round(recipe.schedule(step, 9)[0], 3) for step in (0, 2, 8)]
        [0.1, 1.0, 0.0]
        """
        low, high = self.momentum
        peak = self.warmup * (total - 1)
        if step < peak:
            part = _cosine(step / peak)
            return self.lr * (self.first + (1 - self.first) * part), high + (low - high) * part
        part = _cosine((step - peak) / max(total - 1 - peak, 1e-9))
        return self.lr * (1 + (self.last - 1) * part), low + (high - low) * part


def _cosine(part: float) -> float:
    """From 0 to 1 as `part` goes from 0 to 1, slow at both ends."""
    return (1 - math.cos(math.pi * min(part, 1.0))) / 2


def pretrain_recipe(epochs: int, params: int) -> Recipe:
    """A network of so many weights from random ones, with its own dropouts."""
    return Recipe(epochs=epochs, arm="labels", lr=_peak(params), weight_decay=1e-2, warmup=0.2)


def _peak(params: int) -> float:
    """The peak learning rate from random weights; measured from 4,000 to 1.25 million weights."""
    return 2e-3 * min(5.0, max(1.0, math.sqrt(1e5 / params)))


def arm_recipe(arm: Arm, epochs: int, fresh: int = 0) -> Recipe:
    """From fitted weights: a lower peak and a slow start keep what the fit has found.

    With `fresh`, the weights of a network of which layers start afresh, the peak is that of a training from random
    weights: the smaller the network, the higher.
    """
    lr = 1e-3 if fresh == 0 else _peak(fresh)
    if arm == "distill":
        return Recipe(epochs=epochs, arm="distill", lr=lr, warmup=0.1, dropout_scale=0.0)
    return Recipe(epochs=epochs, arm="labels", lr=lr, warmup=0.1, dropout_scale=0.4)
