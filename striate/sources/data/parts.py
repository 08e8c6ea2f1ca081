"""What a reader of one data source hands over, before rows are held out and normalised."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from striate.errors import RequestError
from striate.sources.preprocess import PreprocessOptions

Values = npt.NDArray[Any]
Labels = npt.NDArray[np.int64]
PartName = Literal["all", "train", "validation", "test"]
Advance = Callable[[int, int], None]

IN_MEMORY_BYTES = 2_000_000_000


@dataclass(frozen=True)
class Part:
    """Examples of one purpose: `inputs` uint8 or float32 `(N, *shape)`, `labels` `(N,)` or None."""

    inputs: Values
    labels: Labels | None


@dataclass(frozen=True)
class Loaded:
    """Everything a source holds: `all` (still to be divided), or `train` and perhaps `validation` and `test`.

    `scale` brings stored values to the units that mean and standard deviation are given in. `standardise` is
    False where the source's owner has normalised already.
    """

    parts: Mapping[PartName, Part]
    classes: tuple[str, ...] | None
    scale: float
    standardise: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """What a reader is told: the source as written, and how images are to be brought to one form.

    `option` is the argument that errors name; `advance(done, total)` is called while files are decoded.
    """

    text: str
    argument: str
    option: str = "--data"
    preprocess: PreprocessOptions = field(default_factory=PreprocessOptions)
    classes: tuple[str, ...] | None = None
    advance: Advance | None = None

    @property
    def where(self) -> str:
        return f"{self.option} {self.text}"

    def error(self, message: str) -> RequestError:
        return RequestError(f"{self.where}: {message}")


def allocate(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Values:
    """An array to fill; from 2 GB on it lies in a temporary file that is gone when the process is.

    Raises RequestError where the disk has no room for it.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size <= IN_MEMORY_BYTES:
        return np.empty(shape, dtype=dtype)
    # The file has no name, so nothing is left behind whatever ends the process; the map keeps it open.
    try:
        with tempfile.TemporaryFile(prefix="striate-") as file:
            if hasattr(os, "posix_fallocate"):
                # Without room set aside, a disk that fills up later would end the process by a signal.
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, dtype=dtype, mode="r+", shape=shape)
    except OSError as error:
        raise RequestError(
            f"the decoded data take {size / 1e9:.1f} GB, and {tempfile.gettempdir()} does not hold them"
            f" ({error.strerror}); set TMPDIR to a folder with room, or use --size"
        ) from error
