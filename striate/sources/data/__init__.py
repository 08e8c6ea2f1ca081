"""Data as named on a command line: `resolve("idx:DIR")` gives examples to calibrate, validate and test on.

A source is one module with a `read(reading) -> Loaded` and one line in `READERS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import cast

import numpy as np
import torch

from striate.errors import RequestError
from striate.reduce.examples import Examples, Index, batches
from striate.sources.data.examples import ArrayExamples
from striate.sources.data.parts import Advance, Loaded, Part, PartName, Reading
from striate.sources.names import dimensions, listing, nearest
from striate.sources.preprocess import (
    Augment,
    Preprocess,
    PreprocessOptions,
    TensorFunction,
    load_augment,
    load_transform,
)
from striate.sources.split import draw, parse_split, validation_count

READERS: dict[str, str] = {
    "digits": "digits",
    "npz": "npz:FILE",
    "idx": "idx:DIR",
    "folder": "folder:DIR",
    "images": "images:DIR",
}
_DIVISION = (0.8, 0.1, 0.1)
_UNLABELLED_DIVISION = (0.8, 0.2)


@dataclass(frozen=True)
class Data:
    """Data ready for the job: what trains and calibrates, what chooses, what is read once at the end.

    `shape` is that of one input as the network sees it, `(C, H, W)` or `(F,)`; `classes` names the labels in
    order, None without labels; `test` is None without labels; `notes` say which images do what.
    """

    name: str
    shape: tuple[int, ...]
    classes: tuple[str, ...] | None
    train: Examples
    validation: Examples
    test: Examples | None
    validation_is_given: bool
    notes: tuple[str, ...]
    preprocess: Preprocess
    labelled: bool


def resolve(
    text: str,
    *,
    preprocess: PreprocessOptions | None = None,
    validation: str | None = None,
    split: str | None = None,
    seed: int = 0,
    augment: str = "none",
    advance: Advance | None = None,
) -> Data:
    """The data that `text` names: `digits`, `npz:FILE`, `idx:DIR`, `folder:DIR`, `images:DIR` or
    `package.module:factory`.

    Where no validation set is given (by `validation`, which takes the same forms, or by the source), one is held
    out of the training rows: by class, drawn by `seed`. What a source does not divide is divided by `split`, the
    test rows the same for every seed. Mean and standard deviation, where not given, are those of the training
    rows. Every file is decoded here; `advance(done, total)` reports on it. Raises RequestError.

    >>> data = resolve("digits")
    >>> data.shape, len(data.train), len(data.validation), len(data.test)
    ((1, 8, 8), 1057, 200, 540)
    """
    asked = preprocess or PreprocessOptions()
    reading = _reading(text, "--data", asked, advance)
    loaded = _read(reading)
    parts, notes = _divided(reading, loaded, split, seed, given=validation is not None)
    if validation is not None:
        if "validation" in parts:
            raise RequestError(f"--val {validation}: {text} has a validation set of its own")
        parts["validation"] = _one_part(validation, loaded, asked, parts["train"][0], advance)
    is_given = validation is not None or "validation" in loaded.parts
    if "validation" not in parts:
        part, rows = parts["train"]
        count = validation_count(len(rows))
        kept, held_out = draw(part.labels, rows, count, seed)
        parts["train"], parts["validation"] = (part, kept), (part, held_out)
    for name, (_, rows) in parts.items():
        if len(rows) == 0:
            raise reading.error(
                f"too few examples: none left for {name}; there are {sum(len(r) for _, r in parts.values())}"
            )
    _check_classes(reading, loaded, parts)
    prepared = _preprocess(reading, loaded, parts["train"])
    chosen = _examples(parts["train"], prepared)
    shape = tuple(chosen.batch(np.zeros(1, dtype=np.int64))[0].shape[1:])
    if prepared.layout is not None and (len(shape) != 1 or math.prod(prepared.layout) != shape[0]):
        raise RequestError(
            f"--layout {dimensions(prepared.layout)}: is for flat data of"
            f" {math.prod(prepared.layout):,} features; {text} has examples of {dimensions(shape)}"
        )
    stored_shape = parts["train"][0].inputs.shape[1:]
    varied = replace(chosen, augment=load_augment(augment, stored_shape))
    how = "given" if is_given else f"held out of the training images (seed {seed})"
    roles = [
        f"{len(parts['train'][1]):,} images calibrate and train",
        f"{len(parts['validation'][1]):,} validate, {how}",
    ]
    if "test" in parts:
        roles.append(f"{len(parts['test'][1]):,} test, read once before and once after")
    return Data(
        name=text,
        shape=shape,
        classes=loaded.classes,
        train=varied,
        validation=_examples(parts["validation"], prepared),
        test=_examples(parts["test"], prepared) if "test" in parts else None,
        validation_is_given=is_given,
        notes=("; ".join(roles), *notes, *loaded.notes, _spread_note(prepared, asked)),
        preprocess=prepared,
        labelled=loaded.classes is not None,
    )


_Rows = tuple[Part, Index]


def _reading(
    text: str,
    option: str,
    preprocess: PreprocessOptions,
    advance: Advance | None,
    classes: tuple[str, ...] | None = None,
) -> Reading:
    _, _, argument = text.partition(":")
    return Reading(text, argument, option, preprocess, classes, advance)


def _read(reading: Reading) -> Loaded:
    prefix, separator, argument = reading.text.partition(":")
    form = READERS.get(prefix)
    if prefix == "hf":
        known = [*READERS.values(), "package.module:factory"]
        raise reading.error(
            f"data of the hub come in a later version; this one reads {listing(known, most=9)}"
        )
    if form is not None and bool(separator) == (":" in form):
        if separator and not argument:
            raise reading.error(f"names nothing; expected {form}")
        module = import_module(f"{__name__}.{prefix}")
    elif separator and prefix not in READERS and nearest(prefix, READERS) is None:
        module = import_module(f"{__name__}.factory")
    else:
        known = [*READERS.values(), "package.module:factory"]
        likely = form or READERS.get(nearest(prefix, READERS) or "")
        hint = f"; did you mean {likely}?" if likely else ""
        raise reading.error(f"no such data{hint} Expected {listing(known, most=9)}")
    read = cast("Callable[[Reading], Loaded]", module.read)
    try:
        return read(reading)
    except OSError as error:  # a folder that may not be listed, a disk that fails
        raise reading.error(f"cannot be read: {error.filename}: {error.strerror}") from error


def _divided(
    reading: Reading, loaded: Loaded, split: str | None, seed: int, given: bool
) -> tuple[dict[PartName, _Rows], list[str]]:
    """The rows of each part, `all` divided by `split`."""
    rows: dict[PartName, _Rows] = {
        name: (part, np.arange(len(part.inputs))) for name, part in loaded.parts.items()
    }
    if "all" not in rows:
        if split is not None:
            raise RequestError(
                f"--split {split}: {reading.text} is divided already into {listing(rows)}"
            )
        if "test" not in rows and loaded.classes is not None:
            raise reading.error(
                "no test examples; give them, or undivided examples and --split 80/10/10"
            )
        if "train" not in rows:
            raise reading.error("no training examples")
        return rows, []
    part, every = rows.pop("all")
    unlabelled = part.labels is None
    default = _UNLABELLED_DIVISION if unlabelled else (0.9, 0.1) if given else _DIVISION
    fractions = default if split is None else parse_split(split)
    if unlabelled and len(fractions) == 3:
        raise RequestError(
            f"--split {split}: without labels nothing is tested; give two parts, 80/20"
        )
    if given and len(fractions) == 3:
        raise RequestError(
            f"--split {split}: --val gives the validation set; give two parts, 90/10"
        )
    said = "/".join(f"{100 * fraction:g}" for fraction in fractions)
    note = f"divided {said}" + ("" if split else " (--split changes that)")
    if unlabelled:
        if given:
            rows["train"] = (part, every)
            return rows, []
        rest, drawn = draw(None, every, round(len(every) * fractions[1]), seed)
        rows["train"], rows["validation"] = (part, rest), (part, drawn)
        return rows, [note]
    # The test rows must not depend on the run's seed: results of several seeds are compared on them.
    rest, test = draw(part.labels, every, round(len(every) * fractions[-1]), seed=0)
    rows["test"] = (part, test)
    if len(fractions) == 3:
        rest, held_out = draw(part.labels, rest, round(len(every) * fractions[1]), seed)
        rows["validation"] = (part, held_out)
    rows["train"] = (part, rest)
    return rows, [note]


def _one_part(
    text: str, loaded: Loaded, preprocess: PreprocessOptions, train: Part, advance: Advance | None
) -> _Rows:
    """All examples of a source that is a validation set."""
    reading = _reading(text, "--val", preprocess, advance, loaded.classes)
    given = _read(reading)
    if len(given.parts) != 1:
        raise reading.error(
            f"holds {listing(given.parts)}; a validation set is one set (one level of classes, x and y)"
        )
    (part,) = given.parts.values()
    if (given.classes is None) != (loaded.classes is None):
        raise reading.error("labels must be there in both --data and --val, or in neither")
    ours, theirs = train.inputs.shape[1:], part.inputs.shape[1:]
    if ours != theirs:
        raise reading.error(
            f"examples of {dimensions(theirs)}, the training data's are {dimensions(ours)}; --size"
        )
    if part.inputs.dtype != train.inputs.dtype:
        raise reading.error(
            f"{part.inputs.dtype} values, the training data's are {train.inputs.dtype}"
        )
    return part, np.arange(len(part.inputs))


def _check_classes(reading: Reading, loaded: Loaded, parts: dict[PartName, _Rows]) -> None:
    if loaded.classes is None:
        return
    part, rows = parts["train"]
    seen = np.unique(cast("np.ndarray", part.labels)[rows])
    if len(seen) < 2:
        only = loaded.classes[int(seen[0])]
        raise reading.error(f"one class only ({only!r}); a classifier needs two or more")
    for name, (other, other_rows) in parts.items():
        unseen = np.setdiff1d(cast("np.ndarray", other.labels)[other_rows], seen)
        if len(unseen):
            named = listing(repr(loaded.classes[int(number)]) for number in unseen)
            raise reading.error(
                f"the {name} examples have classes without a training example: {named}"
            )


def _examples(rows: _Rows, preprocess: Preprocess, augment: Augment | None = None) -> ArrayExamples:
    part, index = rows
    return ArrayExamples(part.inputs, part.labels, index, preprocess, augment)


def _preprocess(reading: Reading, loaded: Loaded, train: _Rows) -> Preprocess:
    """With the mean and standard deviation asked for, or those of the training rows, per channel."""
    asked = reading.preprocess
    plain = Preprocess(
        loaded.scale,
        size=asked.size,
        channels=asked.channels,
        layout=asked.layout,
        transform=asked.transform,
        function=_transform(asked.transform, loaded.scale, train),
    )
    before = _examples(train, plain)
    shape = tuple(before.batch(np.zeros(1, dtype=np.int64))[0].shape[1:])
    channels = (asked.layout[0] if asked.layout else 1) if len(shape) == 1 else shape[0]
    for option, entries in (("--mean", asked.mean), ("--std", asked.std)):
        if entries is not None and len(entries) not in (1, channels):
            said = ",".join(f"{entry:g}" for entry in entries)
            raise RequestError(
                f"{option} {said}: {len(entries)} numbers for {channels} channels; give 1 or {channels}"
            )
    if asked.mean is not None and asked.std is not None:
        return replace(plain, mean=asked.mean, std=asked.std)
    if not loaded.standardise:
        return replace(plain, mean=asked.mean or (0.0,), std=asked.std or (1.0,))
    mean, std = _moments(before, channels if len(shape) > 1 else 1)
    return replace(plain, mean=asked.mean or mean, std=asked.std or std)


def _spread_note(prepared: Preprocess, asked: PreprocessOptions) -> str:
    """The mean and standard deviation in use, and where they come from."""
    if (prepared.mean, prepared.std) == ((0.0,), (1.0,)) and asked.mean is asked.std is None:
        return "inputs are used as they are, without mean and std (--mean, --std)"
    said = []
    for name, entries, given in (
        ("mean", prepared.mean, asked.mean),
        ("std", prepared.std, asked.std),
    ):
        values = ",".join(f"{entry:g}" for entry in entries)
        said.append(
            f"{name} {values} ({'given' if given is not None else 'of the training images'})"
        )
    return f"inputs are normalised with {', '.join(said)}"


def _transform(text: str | None, scale: float, train: _Rows) -> TensorFunction | None:
    if text is None:
        return None
    part, index = train
    two = torch.from_numpy(np.ascontiguousarray(part.inputs[index[:2]]))
    return load_transform(text, Preprocess(scale).scaled(two))


def _moments(examples: Examples, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, to 6 digits, so that what is printed gives the same again."""
    count, mean, square = 0, np.zeros(channels), np.zeros(channels)
    for inputs, _ in batches(examples, 1024):
        values = inputs.reshape(len(inputs), channels, -1).numpy().astype(np.float64)
        here = values.shape[0] * values.shape[2]
        middle = values.mean(axis=(0, 2))
        spread = ((values - middle[:, None]) ** 2).sum(axis=(0, 2))
        # Two sets' moments joined (Chan, Golub and LeVeque 1979): no cancellation, one pass.
        step = middle - mean
        square += spread + step**2 * count * here / (count + here)
        mean += step * here / (count + here)
        count += here
    std = np.sqrt(square / count)
    std[std < 1e-8] = 1.0  # a channel that never changes is only shifted
    return tuple(float(f"{m:.6g}") for m in mean), tuple(float(f"{s:.6g}") for s in std)
