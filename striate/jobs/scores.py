"""How good a network is, as plain data for the journal, and which of two is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from striate.reduce.evaluate import Evaluation, agreement, evaluate
from striate.reduce.examples import Examples

By = Literal["accuracy", "divergence"]
Score = Mapping[str, Any]


def unknown(examples: int) -> dict[str, Any]:
    """The score of a network on examples that have no labels."""
    return {"accuracy": None, "loss": None, "metric": None, "examples": examples}


def scored(evaluation: Evaluation) -> dict[str, Any]:
    """An evaluation as plain data.

    >>> import numpy as np
    >>> scored(Evaluation(4, np.array([True, True, True, False]), 0.5))["metric"]["value"]
    0.75
    """
    if evaluation.accuracy is None or evaluation.interval is None:
        return unknown(evaluation.count)
    return {
        "accuracy": evaluation.accuracy,
        "loss": evaluation.loss,
        "metric": {
            "name": "accuracy",
            "value": evaluation.accuracy,
            "interval": list(evaluation.interval),
            "higher_is_better": True,
        },
        "examples": evaluation.count,
    }


@dataclass(frozen=True)
class Judge:
    """Measures networks on the validation rows, and orders them.

    `by` "accuracy": more right answers, then less loss. `by` "divergence", for rows without labels or rows
    that the original was trained on: less mean KL divergence from the original's outputs; without labels the
    metric reported is then "agreement", the share of rows on which both name the same class.
    """

    original: nn.Module
    validation: Examples
    labelled: bool
    by: By
    device: torch.device

    def measure(self, model: nn.Module) -> dict[str, Any]:
        """The score of `model`, which is moved to the judge's device."""
        model.to(self.device)
        if self.labelled:
            score = scored(evaluate(model, self.validation, device=self.device))
        else:
            score = unknown(len(self.validation))
        if self.by == "divergence":
            compared = agreement(model, self.original, self.validation, device=self.device)
            score["divergence"] = compared.divergence
            if not self.labelled:
                score["metric"] = {
                    "name": "agreement",
                    "value": compared.rate,
                    "interval": list(compared.interval),
                    "higher_is_better": True,
                }
        return score

    def rank(self, score: Score) -> tuple[float, ...]:
        """What orders scores: a larger one is better.

        >>> judge = Judge(nn.Identity(), (), True, "accuracy", torch.device("cpu"))
        >>> judge.rank({"accuracy": 0.9, "loss": 0.5}) > judge.rank({"accuracy": 0.9, "loss": 0.6})
        True
        """
        if self.by == "divergence":
            return (-score["divergence"],)
        return (score["accuracy"], -score["loss"])
