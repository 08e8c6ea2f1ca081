"""A training inside a run: an epoch a step, a checkpoint before each line of the journal that counts on it."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from striate.jobs.progress import Progress
from striate.jobs.scores import Judge, Score
from striate.reduce.finetune import Training
from striate.runs import CHECKPOINTS, Run


@dataclass(frozen=True)
class Trained:
    """A finished training: the validation score after each epoch, and the best epoch, counted from 1."""

    phase: str
    scores: tuple[Score, ...]
    best: int

    @property
    def best_score(self) -> Score:
        return self.scores[self.best - 1]

    @property
    def checkpoint(self) -> str:
        """The file that holds the network as it was after the best epoch."""
        return checkpoint_name(self.phase, self.best)


def checkpoint_name(phase: str, epoch: int) -> str:
    """The file of a training's state after `epoch` epochs.

    >>> checkpoint_name("race/2", 3)
    'race-2-epoch-3.pt'
    """
    return f"{phase.replace('/', '-')}-epoch-{epoch}.pt"


def train(
    run: Run,
    phase: str,
    epochs: int,
    make: Callable[[], Training],
    judge: Judge,
    progress: Progress,
    label: str,
    rows: int,
) -> Trained:
    """Train for `epochs` epochs, the steps `PHASE/epoch/1` and on; after a resume only what is missing.

    `make` gives the training before its first epoch; it is not called when nothing is left to do. The
    checkpoints of the best epoch and of the last are kept, older ones go once a newer line stands.
    """
    training: Training | None = None
    for epoch in range(_start(run, phase, epochs, judge), epochs):
        if training is None:
            training = make()
            if epoch > 0:
                training.restore(read_checkpoint(run, checkpoint_name(phase, epoch)))
        _epoch(run, training, rows, judge, progress, f"{label}, epoch {epoch + 1} of {epochs}")
        _sweep(run, phase, epoch + 1, judge)
    scores = _journaled(run, phase, epochs)
    return Trained(phase, scores, _best(scores, judge))


def _epoch(
    run: Run, training: Training, rows: int, judge: Judge, progress: Progress, label: str
) -> None:
    key = f"{training.phase}/epoch/{training.epoch + 1}"

    def compute() -> dict[str, Any]:
        with progress.bar(rows, label) as advance:
            loss = training.run_epoch(advance)["loss"]
        write_checkpoint(run, checkpoint_name(training.phase, training.epoch), training.state())
        return {"loss": loss, "validation": judge.measure(training.model)}

    if key in run:  # its line stands, but a checkpoint was lost: go the same way again
        compute()
    else:
        score = run.step(key, compute)["validation"]
        progress.say(f"{label}: {describe(score)}")


def describe(score: Score) -> str:
    """A score in words.

    >>> describe({"accuracy": 0.9625, "examples": 200, "metric": {"name": "accuracy", "value": 0.9625}})
    'validation accuracy 96.25 % of 200'
    """
    metric = score["metric"]
    return f"validation {metric['name']} {100 * metric['value']:.2f} % of {score['examples']:,}"


def write_checkpoint(run: Run, name: str, state: Mapping[str, Any]) -> None:
    """Write a state of tensors and plain data as `checkpoints/NAME`, whole."""
    # By way of memory: written to a file directly, torch hides why the disk refused.
    buffer = io.BytesIO()
    torch.save(state, buffer)
    run.write_bytes(f"{CHECKPOINTS}/{name}", buffer.getvalue())


def read_checkpoint(run: Run, name: str) -> dict[str, Any]:
    """What `write_checkpoint` wrote."""
    state: dict[str, Any] = torch.load(run.checkpoint(name), map_location="cpu", weights_only=True)
    return state


def _journaled(run: Run, phase: str, epochs: int) -> tuple[Score, ...]:
    """The scores of the finished epochs, from the first on without a gap."""
    scores = []
    for epoch in range(1, epochs + 1):
        if f"{phase}/epoch/{epoch}" not in run:
            break
        scores.append(run.value(f"{phase}/epoch/{epoch}")["validation"])
    return tuple(scores)


def _best(scores: tuple[Score, ...], judge: Judge) -> int:
    """The best epoch, the earliest of equals."""
    ranks = [judge.rank(score) for score in scores]
    return ranks.index(max(ranks)) + 1


def _start(run: Run, phase: str, epochs: int, judge: Judge) -> int:
    """The epoch whose checkpoint to go on from, 0 for the beginning; `epochs` where nothing is left to do.

    Where checkpoints were lost, the epochs since the last one there is are trained again.
    """
    scores = _journaled(run, phase, epochs)
    if not scores:
        return 0
    kept = [
        e for e in range(1, len(scores) + 1) if run.checkpoint(checkpoint_name(phase, e)).is_file()
    ]
    best = _best(scores, judge)
    if best in kept and len(scores) == epochs:
        return epochs
    usable = kept if best in kept else [epoch for epoch in kept if epoch < best]
    return max(usable, default=0)


def _sweep(run: Run, phase: str, epoch: int, judge: Judge) -> None:
    best = _best(_journaled(run, phase, epoch), judge)
    for old in range(1, epoch):
        if old != best:
            run.remove(f"{CHECKPOINTS}/{checkpoint_name(phase, old)}")
