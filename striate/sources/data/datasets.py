"""Map-style datasets of any owner, read once into arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from striate.errors import RequestError
from striate.sources.data.parts import Advance, Labels, Values, allocate
from striate.sources.data.pictures import as_array
from striate.sources.imports import running
from striate.sources.names import dimensions
from striate.sources.preprocess import PreprocessOptions


def read_dataset(
    dataset: Any, name: str, preprocess: PreprocessOptions, advance: Advance | None
) -> tuple[Values, Labels | None, tuple[str, ...]]:
    """Every example of `dataset`: inputs stacked as they come, labels or None, notes.

    An example is `(input, label)` or an input alone; an input is a tensor, an array or a Pillow image. `name` is
    what errors call the dataset; they are RequestErrors, UserCodeErrors where reading an example raises.
    """
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise RequestError(
            f"{name} is a {type(dataset).__name__}; expected a dataset with a length, read by position"
        )
    count = len(dataset)
    if count == 0:
        raise RequestError(f"{name} is empty")
    first, label = _example(dataset, 0, name, preprocess)
    again, _ = _example(dataset, 0, name, preprocess)
    notes: tuple[str, ...] = ()
    if first.shape != again.shape or not np.array_equal(first, again):
        notes = (
            f"{name} varies its examples from read to read; each was read once (see --augment)",
        )
    inputs = allocate((count, *first.shape), first.dtype)
    labels = None if label is None else np.empty(count, dtype=np.int64)
    for place in range(count):
        values, number = (
            (first, label) if place == 0 else _example(dataset, place, name, preprocess)
        )
        if values.shape != first.shape or values.dtype != first.dtype:
            raise RequestError(
                f"{name}[{place}] is {values.dtype} of {dimensions(values.shape)},"
                f" {name}[0] {first.dtype} of {dimensions(first.shape)}; expected the same"
            )
        if (number is None) != (labels is None):
            raise RequestError(f"{name}[{place}] and {name}[0]: only one of them has a label")
        inputs[place] = values
        if labels is not None and number is not None:
            labels[place] = number
        if advance is not None:
            advance(place + 1, count)
    return inputs, labels, notes


def _example(
    dataset: Any, place: int, name: str, preprocess: PreprocessOptions
) -> tuple[Values, int | None]:
    with running(f"{name}[{place}]"):
        item = dataset[place]
    label: object = None
    if isinstance(item, tuple | list):
        if len(item) not in (1, 2):
            raise RequestError(f"{name}[{place}] has {len(item)} entries; expected (input, label)")
        item, label = item if len(item) == 2 else (item[0], None)
    return _input(item, f"{name}[{place}]", preprocess), _label(label, f"{name}[{place}]")


def _input(value: object, name: str, preprocess: PreprocessOptions) -> Values:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        array = np.asarray(value.float() if value.is_floating_point() else value)
    elif isinstance(value, np.ndarray):
        array = value
    elif hasattr(value, "getexif"):
        array = as_array(value, preprocess, name)
    else:
        raise RequestError(
            f"{name}: the input is a {type(value).__name__}; expected a tensor, an array or a Pillow image"
        )
    if array.dtype.kind not in "buif" or array.ndim == 0:
        raise RequestError(
            f"{name}: the input is {array.dtype} of {array.ndim} axes; expected numbers"
        )
    return array.astype(np.float32, copy=False) if array.dtype.kind == "f" else array


def _label(value: object, name: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        array = np.asarray(value)
        value = array.item() if array.size == 1 and array.dtype.kind in "ui" else array
    if isinstance(value, bool) or not isinstance(value, int):
        raise RequestError(f"{name}: the label is {value!r}; expected a class number")
    return value
