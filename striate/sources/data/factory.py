"""`package.module:factory`: a function that returns train and test `Dataset`s."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np

from striate.sources.data.arrays import load_arrays
from striate.sources.data.datasets import read_dataset
from striate.sources.data.parts import Loaded, PartName, Reading, Values
from striate.sources.imports import load_callable, running
from striate.sources.names import listing


def read(reading: Reading) -> Loaded:
    """The datasets that the factory returns, called without arguments and read once.

    It returns `(train, test)`, or a mapping of `train`, `test` and perhaps `validation`, or one dataset, to be
    divided. A dataset is a map-style torch `Dataset` of `(input, label)` pairs, or a pair of arrays. Inputs that are
    floating point are taken to be normalised by their owner; `--mean` and `--std` change that.
    """
    factory = load_callable(reading.text, reading.option)
    with running(f"{reading.where}: the factory"):
        returned = factory()
    inputs: dict[PartName, tuple[str, Values]] = {}
    labels: dict[PartName, tuple[str, Values]] = {}
    notes: list[str] = []
    for part, dataset in _named(reading, returned).items():
        values, targets, remarks = _read(reading, part, dataset)
        if targets is None:
            raise reading.error(
                f"the {part} dataset gives no labels; expected (input, label) pairs"
            )
        inputs[part] = (f"the {part} dataset", values)
        labels[part] = (f"the {part} dataset", targets)
        notes += remarks
    loaded = load_arrays(reading, inputs, labels)
    ready = any(values.dtype.kind == "f" for _, values in inputs.values())
    classes = _class_names(returned, loaded.classes)
    return Loaded(loaded.parts, classes, loaded.scale, standardise=not ready, notes=tuple(notes))


def _named(reading: Reading, returned: object) -> dict[PartName, object]:
    expected = "expected (train, test) datasets, or a mapping of train, test and perhaps validation"
    if isinstance(returned, Mapping):
        known = {"train", "validation", "test"}
        if not {"train", "test"} <= set(returned) <= known:
            raise reading.error(
                f"the factory returned {listing(returned) or 'nothing'}; {expected}"
            )
        return {cast("PartName", name): dataset for name, dataset in returned.items()}
    if isinstance(returned, tuple | list):
        if len(returned) != 2:
            raise reading.error(f"the factory returned {len(returned)} things; {expected}")
        if not any(
            isinstance(entry, np.ndarray) or hasattr(entry, "new_tensor") for entry in returned
        ):
            return {"train": returned[0], "test": returned[1]}
    if returned is None or not hasattr(returned, "__getitem__"):
        raise reading.error(f"the factory returned a {type(returned).__name__}; {expected}")
    return {"all": returned}


def _read(
    reading: Reading, part: PartName, dataset: object
) -> tuple[Values, Values | None, tuple[str, ...]]:
    name = f"the {part} dataset"
    if isinstance(dataset, tuple | list) and len(dataset) == 2:
        return np.asarray(dataset[0]), np.asarray(dataset[1]), ()
    return read_dataset(dataset, f"{reading.where}: {name}", reading.preprocess, reading.advance)


def _class_names(returned: object, numbered: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The names in the training dataset's `classes`, as torchvision's datasets have them, where they fit."""
    train = returned
    if isinstance(returned, Mapping):
        train = returned["train"]
    elif isinstance(returned, tuple | list):
        train = returned[0]
    names = getattr(train, "classes", None)
    if isinstance(names, list | tuple) and numbered is not None and len(names) >= len(numbered):
        return tuple(str(name) for name in names)
    return numbered
