"""How right a network is, and how far two networks differ, on a fixed sequence of examples."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import RequestError
from striate.reduce.examples import Examples
from striate.reduce.running import checked_device, evaluating, takes_channels_last
from striate.reduce.statistics import Right, wilson


@dataclass(frozen=True)
class Evaluation:
    """What a network answered.

    `correct` (one bool an example) and `loss` (the mean cross-entropy, in nats) are None where the
    examples have no labels.
    """

    count: int
    correct: Right | None
    loss: float | None

    @property
    def right(self) -> int | None:
        """How many examples were answered correctly."""
        return None if self.correct is None else int(np.count_nonzero(self.correct))

    @property
    def accuracy(self) -> float | None:
        """The fraction answered correctly."""
        return None if self.right is None else self.right / self.count

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % Wilson interval of `accuracy`."""
        return None if self.right is None else wilson(self.right, self.count)


@dataclass(frozen=True)
class Agreement:
    """How a network compares with the original.

    `same` says, example by example, whether both give the same class; `divergence` is the mean KL
    divergence from the original's outputs to the network's, in nats.
    """

    count: int
    same: Right
    divergence: float

    @property
    def rate(self) -> float:
        """The fraction of examples on which both give the same class."""
        return float(np.count_nonzero(self.same)) / self.count

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of `rate`."""
        return wilson(int(np.count_nonzero(self.same)), self.count)


def class_scores(output: object, count: int, where: str) -> Tensor:
    """`output` if it is a tensor `(count, classes)`; else an error that says what it is."""
    if not isinstance(output, Tensor):
        raise RequestError(
            f"{where}: the model returns {type(output).__name__}; expected a tensor of shape "
            "(batch, classes): wrap the model in a module that returns the scores alone"
        )
    if output.dim() != 2 or output.shape[0] != count or output.shape[1] < 2:
        raise RequestError(
            f"{where}: the model returns a tensor of shape {tuple(output.shape)} for a batch of "
            f"{count}; expected ({count}, classes) with at least two classes"
        )
    return output


def checked_targets(targets: Tensor, classes: int, where: str) -> Tensor:
    """`targets` if every one names a class that the network scores."""
    if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < classes:
        raise RequestError(
            f"{where}: the labels run from {int(targets.min())} to {int(targets.max())}, and the "
            f"model scores {classes} classes; expected labels 0 to {classes - 1}: build the model "
            "for the data's classes"
        )
    return targets


def evaluate(
    model: nn.Module, examples: Examples, batch_size: int = 500, device: str | torch.device = "cpu"
) -> Evaluation:
    """Run `model` in evaluation mode over `examples` and count what it gets right.

    The model needs to be on `device`; it is left as it was. Raises `RequestError` where the outputs
    are not `(batch, classes)` or not finite, or a label names a class that is not scored.

    >>> from striate.reduce.examples import TensorExamples
    >>> scores = torch.tensor([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0], [4.0, 0.0]])
    >>> result = evaluate(nn.Identity(), TensorExamples(scores, torch.tensor([0, 1, 1, 0])))
    >>> result.accuracy, result.count
    (0.75, 4)
    """
    correct: list[Right] = []
    total, labelled = 0.0, True
    for (scores,), targets in _outputs((model,), examples, batch_size, device):
        if targets is None:
            labelled = False
            continue
        targets = checked_targets(targets, scores.shape[1], "evaluation")
        correct.append((scores.argmax(1) == targets).numpy())
        total += float(F.cross_entropy(scores.double(), targets, reduction="sum"))
    if not labelled:
        return Evaluation(len(examples), None, None)
    return Evaluation(len(examples), np.concatenate(correct), total / len(examples))


def agreement(
    model: nn.Module,
    original: nn.Module,
    examples: Examples,
    batch_size: int = 500,
    device: str | torch.device = "cpu",
) -> Agreement:
    """Compare `model` with `original` on `examples`; no labels are needed.

    >>> from striate.reduce.examples import TensorExamples
    >>> result = agreement(nn.Identity(), nn.Identity(), TensorExamples(torch.eye(3)))
    >>> result.rate, result.divergence
    (1.0, 0.0)
    """
    same: list[Right] = []
    total = 0.0
    for (scores, theirs), _ in _outputs((model, original), examples, batch_size, device):
        if scores.shape != theirs.shape:
            raise ValueError(
                f"agreement: {scores.shape[1]} classes, and the original has {theirs.shape[1]}"
            )
        same.append((scores.argmax(1) == theirs.argmax(1)).numpy())
        total += float(divergence(scores.double(), theirs.double())) * len(scores)
    return Agreement(len(examples), np.concatenate(same), total / len(examples))


def divergence(scores: Tensor, original: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(softmax(original / T) || softmax(scores / T)) in nats, the mean over a batch: a scalar.

    >>> float(divergence(torch.zeros(4, 3), torch.zeros(4, 3)))
    0.0
    """
    ours = F.log_softmax(scores / temperature, dim=1)
    theirs = F.log_softmax(original / temperature, dim=1)
    return F.kl_div(ours, theirs, reduction="batchmean", log_target=True)


def _outputs(
    models: tuple[nn.Module, ...], examples: Examples, batch_size: int, device: str | torch.device
) -> Iterator[tuple[list[Tensor], Tensor | None]]:
    """Batch after batch, each model's scores on the CPU, and the targets."""
    count = len(examples)
    if count == 0:
        raise RequestError("evaluation: there are no examples; expected at least one")
    place = checked_device(device)
    few = examples.batch(np.arange(min(2, count), dtype=np.int64))[0].to(place)
    formats = [takes_channels_last(model, few) for model in models]
    for start in range(0, count, batch_size):
        index = np.arange(start, min(start + batch_size, count), dtype=np.int64)
        inputs, targets = examples.batch(index)
        inputs = inputs.to(place)
        results: list[Tensor] = []
        # Restored before each yield: the consumer never sees a model in another state than its own.
        with ExitStack() as stack, torch.no_grad():
            for model, last in zip(models, formats, strict=True):
                stack.enter_context(evaluating(model, channels_last=last))
                batch = inputs.contiguous(memory_format=torch.channels_last) if last else inputs
                scores = class_scores(model(batch), len(index), "evaluation").float().cpu()
                if not bool(torch.isfinite(scores).all()):
                    row = start + int((~torch.isfinite(scores)).any(1).nonzero()[0])
                    raise RequestError(
                        f"evaluation: the network's output is not finite on example {row}; look for "
                        "NaN or Inf in the weights and at the scale of the inputs (--mean, --std)"
                    )
                results.append(scores)
        yield results, targets
