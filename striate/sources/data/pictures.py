"""Files of pictures, by Pillow: found, checked, decoded once, all in one form."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from striate.errors import MissingExtra, RequestError
from striate.sources.data.parts import Reading, Values, allocate
from striate.sources.names import dimensions, listing
from striate.sources.preprocess import Channels, PreprocessOptions

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
)
# Files that desktops leave behind, in lower case; names that start with a dot are passed over as well.
_LITTER = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
_EXIF_ORIENTATION = 0x0112
_TURNED = frozenset({5, 6, 7, 8})
_GREY_MODES = frozenset({"1", "L", "LA", "I;16", "I;16B", "I;16L", "I"})
_DEEP_MODES = frozenset({"I;16", "I;16B", "I;16L", "I"})
# What Pillow's decoders raise for broken files; anything else is a fault to be seen.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    # The next three come out of Pillow's TIFF reader, for tags and palettes that were damaged.
    TypeError,
    IndexError,
    OverflowError,
)

T = TypeVar("T")
R = TypeVar("R")


def visible(folder: Path) -> list[Path]:
    """What lies in `folder`, in order of name, without what desktops leave behind."""
    entries = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(path for path in entries if path.name.lower() not in _LITTER)


def find(folder: Path) -> tuple[list[Path], list[Path]]:
    """The pictures under `folder`, at any depth, and the other files, both in order of path."""
    pictures: list[Path] = []
    others: list[Path] = []
    for path in visible(folder):
        if path.is_dir():
            if path.is_symlink():
                continue  # a link may lead back up
            deeper, rest = find(path)
            pictures += deeper
            others += rest
        else:
            (pictures if path.suffix.lower() in SUFFIXES else others).append(path)
    return pictures, others


def ignored(others: Sequence[Path]) -> tuple[str, ...]:
    """A note on files that are not pictures."""
    if not others:
        return ()
    return (
        f"{len(others):,} files that are not pictures passed over: {listing(p.name for p in others)}",
    )


@dataclass(frozen=True)
class _Header:
    size: tuple[int, int]  # rows, columns, as shown
    grey: bool
    alpha: bool


def decode(reading: Reading, paths: Sequence[Path]) -> tuple[Values, tuple[str, ...]]:
    """All pictures as uint8 `(N, C, H, W)`, and notes.

    Turned as their EXIF orientation says; palettes resolved; 16-bit grey brought to 8; transparency dropped, as
    torchvision's ImageFolder does. Grey where all pictures are grey, else RGB, unless `--channels` says; resized
    by `--size` (bilinear, antialiased), without which all must be of one size. Raises RequestError that names the
    first file that cannot be decoded.
    """
    try:
        from PIL import Image as _  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtra("reading pictures", "shrink") from error
    headers = _each(lambda path: _header(reading, path), paths, None)
    size = reading.preprocess.size
    if size is None:
        size = headers[0].size
        for path, header in zip(paths, headers, strict=True):
            if header.size != size:
                raise reading.error(
                    f"pictures differ in size: {_short(paths[0])} is {dimensions(size)},"
                    f" {_short(path)} is {dimensions(header.size)}; give --size HxW"
                )
    channels: Channels = reading.preprocess.channels or (
        "grey" if all(header.grey for header in headers) else "rgb"
    )
    pixels = allocate((len(paths), 1 if channels == "grey" else 3, *size), np.uint8)

    def fill(place: int) -> None:
        pixels[place] = _read(reading, paths[place], channels, size)

    _each(fill, range(len(paths)), reading)
    notes = []
    transparent = sum(header.alpha for header in headers)
    if transparent:
        notes.append(f"transparency dropped from {transparent:,} pictures")
    return pixels, tuple(notes)


def pixels_of(image: Image, channels: Channels) -> Values:
    """One Pillow image, upright, as uint8 `(C, H, W)`."""
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode in _DEEP_MODES:
        from PIL import Image as images

        deep = np.asarray(upright).astype(np.int64)
        # "I" is how 16-bit grey is given by some decoders; 32-bit whole numbers are no picture.
        if deep.min() < 0 or deep.max() > 0xFFFF:
            raise ValueError(f"mode {upright.mode} with values beyond 16 bits")
        upright = images.fromarray((deep >> 8).astype(np.uint8))
    elif upright.mode == "F":
        raise ValueError("floating-point pixels; save 8-bit pictures, or use npz:")
    if upright.mode == "P" and "transparency" in upright.info:
        upright = upright.convert("RGBA")
    if channels == "grey":
        if upright.mode not in _GREY_MODES:
            upright = upright.convert(
                "RGB"
            )  # first, so that a palette's or CMYK's grey is that of its colour
        return np.asarray(upright.convert("L"))[None]
    colours = np.moveaxis(np.asarray(upright.convert("RGB")), 2, 0)
    return colours[::-1] if channels == "bgr" else colours


def as_array(image: Any, preprocess: PreprocessOptions, name: str) -> Values:
    """A Pillow image that someone else opened, as uint8 `(C, H, W)`: grey stays grey, all else is RGB."""
    channels = preprocess.channels or ("grey" if image.mode in _GREY_MODES else "rgb")
    try:
        pixels = pixels_of(image, channels)
    except _BROKEN as error:
        raise RequestError(f"{name}: cannot be decoded ({' '.join(str(error).split())})") from error
    size = preprocess.size
    return pixels if size is None or pixels.shape[1:] == size else _resized(pixels, size)


def _header(reading: Reading, path: Path) -> _Header:
    def look(image: Image) -> _Header:
        columns, rows = image.size
        turned = image.getexif().get(_EXIF_ORIENTATION) in _TURNED
        alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
        return _Header(
            (columns, rows) if turned else (rows, columns), image.mode in _GREY_MODES, alpha
        )

    return _opened(reading, path, look)


def _read(reading: Reading, path: Path, channels: Channels, size: tuple[int, int]) -> Values:
    def look(image: Image) -> Values:
        image.load()
        pixels = pixels_of(image, channels)
        return pixels if pixels.shape[1:] == size else _resized(pixels, size)

    return _opened(reading, path, look)


def _resized(pixels: Values, size: tuple[int, int]) -> Values:
    from PIL import Image as images

    scale = (size[1], size[0])
    planes = [
        np.asarray(images.fromarray(plane).resize(scale, images.Resampling.BILINEAR))
        for plane in np.ascontiguousarray(pixels)
    ]
    return np.stack(planes)


def _opened(reading: Reading, path: Path, look: Callable[[Image], R]) -> R:
    from PIL import Image as images
    from PIL import UnidentifiedImageError

    try:
        with images.open(path) as image:
            if image.size[0] * image.size[1] > (images.MAX_IMAGE_PIXELS or float("inf")):
                raise images.DecompressionBombError(f"{image.size[0]:,}x{image.size[1]:,} pixels")
            return look(image)
    except images.DecompressionBombError as error:
        raise reading.error(
            f"{path}: larger than any picture should be ({error}); remove it or make it smaller"
        ) from error
    except UnidentifiedImageError as error:
        raise reading.error(
            f"{path}: not a picture that Pillow can read; remove or replace it"
        ) from error
    except _BROKEN as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise reading.error(f"{path}: cannot be decoded ({text}); remove or replace it") from error


def _each(work: Callable[[T], R], items: Iterable[T], report: Reading | None) -> list[R]:
    """`work` for each item on a few threads (Pillow decodes without the GIL), in order; the first error is raised."""
    todo = list(items)
    results: list[R] = []
    with warnings.catch_warnings():
        # Pillow's remarks on odd metadata are no use to a reader of progress; broken files are errors above.
        warnings.simplefilter("ignore")
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for result in pool.map(work, todo):
                results.append(result)
                if report is not None and report.advance is not None:
                    report.advance(len(results), len(todo))
    return results


def _short(path: Path) -> str:
    return "/".join(path.parts[-2:])
