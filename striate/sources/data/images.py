"""`images:DIR`: pictures without labels."""

from __future__ import annotations

from pathlib import Path

from striate.sources.data.parts import Loaded, Part, Reading
from striate.sources.data.pictures import decode, find, ignored


def read(reading: Reading) -> Loaded:
    """All pictures under DIR, at any depth, to be divided into those that calibrate and those that validate."""
    root = Path(reading.argument).expanduser()
    if not root.is_dir():
        raise reading.error(f"no folder {root}")
    paths, others = find(root)
    if not paths:
        raise reading.error(f"no pictures in {root}; expected .png or .jpg files")
    pixels, notes = decode(reading, paths)
    return Loaded({"all": Part(pixels, None)}, None, 1 / 255, notes=(*notes, *ignored(others)))
