"""`idx:DIR`: files as MNIST has them, gzipped or not (format: LeCun, Cortes and Burges, the MNIST page)."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from striate.sources.data.arrays import load_arrays
from striate.sources.data.parts import Loaded, PartName, Reading, Values
from striate.sources.names import listing

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_PART_WORDS: dict[PartName, tuple[str, ...]] = {"train": ("train",), "test": ("t10k", "test")}
# Deflate never packs more than 1,032 bytes into one; a header that promises more is broken.
_MOST_PER_BYTE = 1_032


def read(reading: Reading) -> Loaded:
    """The image and label files of `train` and of `t10k` (or `test`); a pair without such a word is divided."""
    folder = Path(reading.argument).expanduser()
    if not folder.is_dir():
        raise reading.error(f"no folder {folder}; expected one with MNIST's files")
    files = sorted(path for path in folder.iterdir() if path.is_file() and "idx" in path.name)
    inputs: dict[PartName, tuple[str, Values]] = {}
    labels: dict[PartName, tuple[str, Values]] = {}
    for part in _present(files):
        images_file, labels_file = (
            _only(reading, files, part, kind) for kind in ("images", "labels")
        )
        inputs[part] = (images_file.name, _parse(reading, images_file))
        labels[part] = (labels_file.name, _parse(reading, labels_file))
    if not inputs:
        raise reading.error(
            f"no IDX files in {folder}; expected train-images-idx3-ubyte, train-labels-idx1-ubyte and"
            " the same two with t10k, gzipped or not"
        )
    return load_arrays(reading, inputs, labels)


def _part_of(path: Path) -> PartName:
    for part, words in _PART_WORDS.items():
        if any(word in path.name for word in words):
            return part
    return "all"


def _present(files: list[Path]) -> list[PartName]:
    found = {_part_of(path) for path in files}
    order: tuple[PartName, ...] = ("train", "test", "all")
    return [part for part in order if part in found and not (part == "all" and "train" in found)]


def _only(reading: Reading, files: list[Path], part: PartName, kind: str) -> Path:
    matches = [path for path in files if _part_of(path) == part and kind in path.name]
    plain = [path for path in matches if path.suffix != ".gz"]
    chosen = plain or matches
    if len(chosen) != 1:
        said = "several" if chosen else "no"
        raise reading.error(
            f"{said} {part} {kind} files (it has {listing(path.name for path in files)}); expected one"
        )
    return chosen[0]


def _parse(reading: Reading, path: Path) -> Values:
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        size = path.stat().st_size * (_MOST_PER_BYTE if packed else 1)
        with gzip.open(path, "rb") if packed else path.open("rb") as file:
            start = file.read(4)
            if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in _TYPES or start[3] == 0:
                raise reading.error(
                    f"{path.name} is not an IDX file: it starts with {start.hex(' ')}"
                )
            dtype = np.dtype(_TYPES[start[2]])
            head = file.read(4 * start[3])
            if len(head) < 4 * start[3]:
                raise reading.error(f"{path.name} is truncated: it ends within its header")
            shape = struct.unpack(f">{start[3]}I", head)
            expected = math.prod(shape) * dtype.itemsize
            content = file.read(expected + 1) if expected <= size else b""
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise reading.error(f"{path.name} is truncated or damaged ({error})") from error
    except OSError as error:
        raise reading.error(f"cannot read {path.name}: {error.strerror or error}") from error
    if len(content) != expected:
        said = "has bytes left over" if len(content) > expected else "is truncated"
        raise reading.error(f"{path.name} {said}: its header says {expected:,} bytes of data")
    values = np.frombuffer(content, dtype=dtype).reshape(shape)
    return values.astype(dtype.newbyteorder("="), copy=False)
