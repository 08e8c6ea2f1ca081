"""Examples by position: the one form in which data reaches fitting, training and measuring."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Index = npt.NDArray[np.int64]
Batch = tuple[Tensor, Tensor | None]


class Examples(Protocol):
    """A fixed sequence of examples, read a batch at a time.

    `batch(index)` gives the inputs, preprocessed, as float32 of shape `(len(index), *shape)`, and the targets
    as int64 of shape `(len(index),)`, or None where there are no labels. With `augment`, a generator, the inputs
    are varied as the data's owner asked; without it the same index always gives the same bits.
    """

    def __len__(self) -> int: ...

    def batch(self, index: Index, augment: np.random.Generator | None = None) -> Batch: ...


@dataclass(frozen=True)
class TensorExamples:
    """Examples that are tensors already.

    >>> data = TensorExamples(torch.zeros(5, 1, 8, 8), torch.arange(5))
    >>> len(data), data.batch(np.array([4, 0]))[1].tolist()
    (5, [4, 0])
    """

    inputs: Tensor
    targets: Tensor | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def batch(self, index: Index, augment: np.random.Generator | None = None) -> Batch:
        rows = torch.from_numpy(np.asarray(index, dtype=np.int64))
        return self.inputs[rows], None if self.targets is None else self.targets[rows]


@dataclass(frozen=True)
class Subset:
    """Some examples of another sequence, in the order of `rows`."""

    whole: Examples
    rows: Index

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, index: Index, augment: np.random.Generator | None = None) -> Batch:
        return self.whole.batch(self.rows[index], augment)


def sample(examples: Examples, count: int, seed: int) -> Examples:
    """At most `count` examples, drawn without replacement by `seed`, in their old order."""
    if count >= len(examples):
        return examples
    rows = np.random.default_rng(seed).choice(len(examples), size=count, replace=False)
    return Subset(examples, np.sort(rows).astype(np.int64))


def remembered(examples: Examples, size: int, most: int) -> Examples:
    """The same examples, read once, if their inputs take no more than `most` bytes; for use without augmentation.

    They are read `size` at a time. Decoding a folder of pictures takes as long as a small network on them.
    """
    if isinstance(examples, TensorExamples) or not len(examples):
        return examples
    inputs, _ = examples.batch(np.arange(1, dtype=np.int64))
    if inputs.nbytes * len(examples) > most:
        return examples
    read = list(batches(examples, size))
    targets = [target for _, target in read if target is not None]
    return TensorExamples(
        torch.cat([inputs for inputs, _ in read]), torch.cat(targets) if targets else None
    )


def batches(examples: Examples, size: int) -> Iterator[Batch]:
    """All examples in order, `size` at a time; the last batch may be smaller."""
    for start in range(0, len(examples), size):
        yield examples.batch(np.arange(start, min(start + size, len(examples)), dtype=np.int64))
