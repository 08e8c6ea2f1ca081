"""Arrays of any origin, brought to the one form that is kept: `(N, C, H, W)` or `(N, F)`, uint8 or float32."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from striate.sources.data.parts import Labels, Loaded, Part, PartName, Reading, Values, allocate
from striate.sources.names import dimensions, listing
from striate.sources.preprocess import Channels

# ITU-R BT.601 luma, in the integers that Pillow uses, so that both roads give the same grey.
_LUMA = np.array([19595, 38470, 7471], dtype=np.int64)
_ROWS = 1024


def load_arrays(
    reading: Reading,
    inputs: Mapping[PartName, tuple[str, Values]],
    labels: Mapping[PartName, tuple[str, Values]],
    scale: float | None = None,
) -> Loaded:
    """Checked and brought to the form asked for. Each part is given with the name that errors use for it.

    8-bit values, and integers that would fit 8 bits, are divided by 255 (or multiplied by `scale`); other numbers
    are taken as they are.
    """
    notes: list[str] = []
    pictures: dict[PartName, Values] = {}
    axes: set[str] = set()
    for part, (name, values) in inputs.items():
        pictures[part], note = _axes(reading, name, _numeric(reading, name, values))
        axes.add(note)
    notes += sorted(note for note in axes if note)
    eight_bit = all(_fits_bytes(values) for values in pictures.values())
    parts: dict[PartName, Part] = {}
    targets, classes = _labels(reading, labels)
    for part, values in pictures.items():
        name = inputs[part][0]
        if len(values) != len(targets[part]):
            label_name = labels[part][0]
            raise reading.error(
                f"{name} has {len(values):,} examples and {label_name} {len(targets[part]):,} labels"
            )
        kept = values.astype(np.uint8 if eight_bit else np.float32, copy=False)
        if not eight_bit:
            _refuse_non_finite(reading, name, kept)
        kept = resized(reading, recoloured(reading, kept), reading.preprocess.size)
        parts[part] = Part(kept, targets[part])
    shapes = {part: dimensions(values.inputs.shape[1:]) for part, values in parts.items()}
    if len(set(shapes.values())) > 1:
        said = ", ".join(f"{inputs[part][0]} {shape}" for part, shape in shapes.items())
        raise reading.error(f"examples differ in shape: {said}; give --size HxW if they are images")
    factor = (1 / 255 if scale is None else scale) if eight_bit else 1.0
    return Loaded(parts, classes, factor, notes=tuple(notes))


def _numeric(reading: Reading, name: str, values: Values) -> Values:
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind not in "uif":
        raise reading.error(f"{name} holds {values.dtype}; expected numbers")
    if values.ndim < 2:
        raise reading.error(
            f"{name} has shape {dimensions(values.shape)}; expected examples x features, or images"
        )
    if 0 in values.shape:
        raise reading.error(f"{name} is empty: shape {dimensions(values.shape)}")
    return values


def _fits_bytes(values: Values) -> bool:
    if values.dtype == np.uint8:
        return True
    return values.dtype.kind in "ui" and int(values.min()) >= 0 and int(values.max()) <= 255


def _axes(reading: Reading, name: str, values: Values) -> tuple[Values, str]:
    """Channels first. Images without a channel axis get one; channels last are moved."""
    if values.ndim == 2:
        return values, ""
    if values.ndim == 3:
        return values[:, None], ""
    if values.ndim > 4:
        raise reading.error(
            f"{name} has shape {dimensions(values.shape)}; expected flat examples or images, at most 4 axes"
        )
    _, first, _, last = values.shape
    colours = (1, 3, 4)
    if last in colours and first not in colours and first > last:
        return np.moveaxis(values, 3, 1), "images read as rows x columns x channels"
    return values, ""


def _refuse_non_finite(reading: Reading, name: str, values: Values) -> None:
    for start in range(0, len(values), _ROWS):
        finite = np.isfinite(values[start : start + _ROWS])
        if not finite.all():
            at = np.argwhere(~finite)[0]
            bad = values[start : start + _ROWS][tuple(at)]
            place = ", ".join(str(entry) for entry in (start + at[0], *at[1:]))
            raise reading.error(f"{name}[{place}] is {bad}; expected finite numbers")


def recoloured(reading: Reading, values: Values, channels: Channels | None = None) -> Values:
    """`(N, C, H, W)` in the channels asked for; what is kept of colour is as Pillow computes it."""
    wanted = channels or reading.preprocess.channels
    if wanted is None:
        return values
    if values.ndim != 4:
        raise reading.error(f"--channels {wanted} needs images, and these data are flat")
    have = values.shape[1]
    if have not in (1, 3):
        raise reading.error(
            f"--channels {wanted}: expected images of 1 or 3 channels, these have {have}"
        )
    if wanted == "grey":
        return values if have == 1 else _grey(values)
    if have == 1:
        return np.repeat(values, 3, axis=1)
    return values[:, ::-1] if wanted == "bgr" else values


def _grey(values: Values) -> Values:
    whole = values.dtype == np.uint8
    grey = allocate((len(values), 1, *values.shape[2:]), values.dtype)
    for start in range(0, len(values), _ROWS):
        rows = slice(start, start + _ROWS)
        if whole:
            grey[rows, 0] = (np.tensordot(values[rows], _LUMA, axes=(1, 0)) + 0x8000) >> 16
        else:
            grey[rows, 0] = np.tensordot(values[rows], _LUMA / 65536, axes=(1, 0))
    return grey


def resized(reading: Reading, values: Values, size: tuple[int, int] | None) -> Values:
    """Images at `size`, bilinear with antialiasing, as Pillow and torchvision resize."""
    if size is None or values.shape[2:] == size:
        return values
    if values.ndim != 4:
        raise reading.error(f"--size {dimensions(size)} needs images, and these data are flat")
    result = allocate((*values.shape[:2], *size), values.dtype)
    for start in range(0, len(values), _ROWS):
        rows = torch.from_numpy(np.ascontiguousarray(values[start : start + _ROWS])).float()
        scaled = torch.nn.functional.interpolate(rows, size=size, mode="bilinear", antialias=True)
        if values.dtype == np.uint8:
            scaled = scaled.round().clamp(0, 255)
        result[start : start + _ROWS] = scaled.numpy()
    return result


def _labels(
    reading: Reading, labels: Mapping[PartName, tuple[str, Values]]
) -> tuple[dict[PartName, Labels], tuple[str, ...]]:
    """Labels as int64 from 0, and the names of the classes; text labels are numbered in sorted order."""
    raw = {
        part: (name, _one_column(reading, name, values)) for part, (name, values) in labels.items()
    }
    if any(values.dtype.kind in "US" for _, values in raw.values()):
        texts = {part: np.char.asarray(values).astype(str) for part, (_, values) in raw.items()}
        found = sorted({str(text) for values in texts.values() for text in np.unique(values)})
        names = np.array(reading.classes if reading.classes is not None else found)
        unknown = sorted(set(found) - set(names.tolist()))
        if unknown:
            raise reading.error(f"classes that the training data do not have: {listing(unknown)}")
        order = np.argsort(names)
        numbered = {
            part: order[np.searchsorted(names, values, sorter=order)].astype(np.int64)
            for part, values in texts.items()
        }
        return numbered, tuple(names.tolist())
    whole = {part: _whole(reading, name, values) for part, (name, values) in raw.items()}
    count = 1 + max(int(values.max()) for values in whole.values())
    rows = sum(len(values) for values in whole.values())
    if count > max(rows, 2):
        raise reading.error(
            f"a label of {count - 1:,} among {rows:,} examples; labels count classes from 0"
        )
    if reading.classes is not None:
        if count > len(reading.classes):
            raise reading.error(
                f"a label of {count - 1}, and the training data have {len(reading.classes)} classes"
            )
        return whole, reading.classes
    return whole, tuple(str(number) for number in range(count))


def _one_column(reading: Reading, name: str, values: Values) -> Values:
    if values.size == 0:
        raise reading.error(f"{name} is empty")
    if values.ndim == 2 and values.shape[1] == 1:
        return values[:, 0]
    if values.ndim == 2 and values.dtype.kind in "uifb":
        hot = (values == 1).sum(axis=1) == 1
        if hot.all() and ((values == 0).sum(axis=1) == values.shape[1] - 1).all():
            return np.asarray(values.argmax(axis=1))
    if values.ndim != 1:
        raise reading.error(
            f"{name} has shape {dimensions(values.shape)}; expected one label for each example"
        )
    return values


def _whole(reading: Reading, name: str, values: Values) -> Labels:
    if values.dtype.kind not in "uifb":
        raise reading.error(f"{name} holds {values.dtype}; expected class numbers or names")
    numbers = values.astype(np.int64) if np.isfinite(values).all() else None
    if numbers is None or not np.array_equal(numbers, values):
        raise reading.error(
            f"{name} holds numbers that are not whole; expected classes counted from 0"
        )
    if numbers.min() < 0:
        raise reading.error(f"{name} holds {numbers.min()}; classes are counted from 0")
    return numbers
