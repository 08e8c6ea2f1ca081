"""`folder:DIR`: one folder of pictures for each class, divided already or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from striate.sources.data.parts import Loaded, Part, PartName, Reading
from striate.sources.data.pictures import decode, find, ignored, visible
from striate.sources.names import listing, nearest


def read(reading: Reading) -> Loaded:
    """`DIR/train/CLASS/*` with `test`, `val` or `valid` beside it, or `DIR/CLASS/*`, to be divided.

    Classes are numbered in order of name. `val` (or `valid`) beside `test` is the validation set; alone it is the
    test set. A class folder is read at any depth.
    """
    root = Path(reading.argument).expanduser()
    if not root.is_dir():
        raise reading.error(f"no folder {root}")
    folders = {path.name: path for path in visible(root) if path.is_dir()}
    places, notes = _places(reading, root, folders)
    found: dict[PartName, dict[str, list[Path]]] = {}
    others: list[Path] = []
    for part, folder in places.items():
        found[part], rest = _classes(reading, folder)
        others += rest
    first: PartName = "train" if "train" in found else "all"
    classes = reading.classes if reading.classes is not None else tuple(sorted(found[first]))
    parts: dict[PartName, Part] = {}
    order: list[PartName] = list(found)
    paths = [path for part in order for files in found[part].values() for path in files]
    pixels, remarks = decode(reading, paths)
    start = 0
    for part in order:
        numbers = []
        for name, files in found[part].items():
            if name not in classes:
                likely = nearest(name, classes)
                hint = f" (nearest: {likely})" if likely else ""
                raise reading.error(
                    f"{places[part]} has a class {name!r} that the training pictures do not have{hint}"
                )
            numbers += [classes.index(name)] * len(files)
        stop = start + len(numbers)
        parts[part] = Part(pixels[start:stop], np.array(numbers, dtype=np.int64))
        start = stop
    return Loaded(parts, classes, 1 / 255, notes=(*notes, *remarks, *ignored(others)))


def _places(
    reading: Reading, root: Path, folders: dict[str, Path]
) -> tuple[dict[PartName, Path], tuple[str, ...]]:
    """Which folder holds which part."""
    if not folders:
        raise reading.error(
            f"{root} has no folders; expected one for each class, or train and test"
        )
    validations = [name for name in ("val", "valid") if name in folders]
    if "train" not in folders:
        return {"all": root}, ()
    if len(validations) == 2:
        raise reading.error(f"{root} has both val and valid; keep one")
    spare = sorted(set(folders) - {"train", "test", "val", "valid"})
    notes = (f"folders beside train passed over: {listing(spare)}",) if spare else ()
    places: dict[PartName, Path] = {"train": folders["train"]}
    if "test" in folders:
        places["test"] = folders["test"]
        if validations:
            places["validation"] = folders[validations[0]]
    elif validations:
        places["test"] = folders[validations[0]]
        notes = (f"{validations[0]} is the test set, as there is no test folder", *notes)
    else:
        raise reading.error(
            f"{root} has train, and neither test nor val nor valid; add one, or name the classes' folder,"
            f" folder:{folders['train']}, which --split divides"
        )
    return places, notes


def _classes(reading: Reading, folder: Path) -> tuple[dict[str, list[Path]], list[Path]]:
    """The pictures of each class, and the other files."""
    found: dict[str, list[Path]] = {}
    others: list[Path] = []
    for path in visible(folder):
        if not path.is_dir():
            others.append(path)
            continue
        pictures, rest = find(path)
        if not pictures:
            raise reading.error(
                f"the class folder {path} has no pictures; expected .png or .jpg files, or remove it"
            )
        found[path.name] = pictures
        others += rest
    if not found:
        raise reading.error(
            f"{folder} has no class folders; expected {folder}/CLASS/*.png or *.jpg"
        )
    return found, others
