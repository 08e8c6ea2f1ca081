"""Examples kept in arrays and preprocessed a batch at a time, and examples from what Python callers hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from striate.reduce.examples import Batch, Examples, Index, TensorExamples
from striate.sources.data.datasets import read_dataset
from striate.sources.data.parts import Labels, Values
from striate.sources.names import dimensions
from striate.sources.preprocess import Augment, Preprocess, PreprocessOptions


@dataclass(frozen=True)
class ArrayExamples:
    """Some rows of an array, in the order of `rows`, preprocessed as they are read.

    `inputs` is uint8 or float32 of shape `(N, *stored_shape)`; `labels` int64 `(N,)` or None.
    """

    inputs: Values = field(repr=False)
    labels: Labels | None = field(repr=False)
    rows: Index = field(repr=False)
    preprocess: Preprocess
    augment: Augment | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, index: Index, augment: np.random.Generator | None = None) -> Batch:
        rows = self.rows[np.asarray(index, dtype=np.int64)]
        stored = torch.from_numpy(np.ascontiguousarray(self.inputs[rows]))
        if augment is not None and self.augment is not None:
            inputs = self.augment(stored, self.preprocess, augment)
        else:
            inputs = self.preprocess(stored)
        return inputs, None if self.labels is None else torch.from_numpy(self.labels[rows])


def as_examples(data: object, name: str = "data") -> Examples:
    """Examples from what a Python caller holds; inputs must be as the model takes them.

    `data` is `(inputs, labels)` of arrays or tensors, inputs alone (a tensor or an array), a map-style torch
    `Dataset` of `(input, label)` pairs, read once, or `Examples` already. `name` is what errors call it. Raises
    TypeError for anything else, ValueError for shapes that differ, integers as inputs, NaN and Inf.

    >>> len(as_examples((torch.zeros(5, 1, 8, 8), [0, 1, 2, 3, 4])))
    5
    """
    if isinstance(data, Tensor | np.ndarray):
        return TensorExamples(_inputs(data, name))
    if isinstance(data, tuple | list):
        if len(data) != 2:
            raise TypeError(
                f"{name}: a {type(data).__name__} of {len(data)}; expected (inputs, labels)"
            )
        return _paired(_inputs(data[0], name), data[1], name)
    if isinstance(data, DataLoader):
        raise TypeError(f"{name}: a DataLoader; give the Dataset it reads, {name}.dataset")
    if isinstance(data, IterableDataset):
        raise TypeError(
            f"{name}: an IterableDataset, which has no length; give a map-style Dataset"
        )
    if callable(getattr(data, "batch", None)) and hasattr(data, "__len__"):
        return cast("Examples", data)
    readable = hasattr(data, "__getitem__") and hasattr(data, "__len__")
    if readable and not isinstance(data, str | bytes | Mapping):
        inputs, labels, _ = read_dataset(data, name, PreprocessOptions(), None)
        return _paired(_inputs(inputs, name), labels, name)
    raise TypeError(
        f"{name}: a {type(data).__name__}; expected (inputs, labels), a tensor or a torch Dataset"
    )


def _inputs(values: object, name: str) -> Tensor:
    tensor = _tensor(values, name)
    if not tensor.is_floating_point():
        raise ValueError(
            f"{name}: inputs are {tensor.dtype}; give them as the model takes them, such as"
            " images.float() / 255"
        )
    if tensor.ndim < 2 or 0 in tensor.shape:
        raise ValueError(
            f"{name}: inputs have shape {dimensions(tensor.shape) or '()'}; expected examples first,"
            " at least one, and at least two axes"
        )
    tensor = tensor.detach().to("cpu", torch.float32)
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"{name}: inputs hold NaN or Inf")
    return tensor


def _paired(inputs: Tensor, labels: object, name: str) -> TensorExamples:
    if labels is None:
        return TensorExamples(inputs)
    targets = _tensor(labels, name)
    if targets.is_floating_point() or targets.is_complex() or targets.ndim != 1:
        raise ValueError(
            f"{name}: labels are {targets.dtype} of shape {dimensions(targets.shape) or '()'};"
            " expected one whole number for each example"
        )
    if len(targets) != len(inputs):
        raise ValueError(f"{name}: {len(inputs):,} inputs and {len(targets):,} labels")
    if int(targets.min()) < 0:
        raise ValueError(f"{name}: a label of {int(targets.min())}; classes are counted from 0")
    return TensorExamples(inputs, targets.detach().to("cpu", torch.int64))


def _tensor(values: object, name: str) -> Tensor:
    if isinstance(values, Tensor):
        return values
    array = np.asarray(values)
    if array.dtype.kind not in "buif":
        raise TypeError(f"{name}: {array.dtype} values; expected numbers")
    return torch.from_numpy(np.ascontiguousarray(array))
