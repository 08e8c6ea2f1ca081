"""`npz:FILE`: arrays that NumPy saved under the names `x_train`, `y_train`, `x_test`, `y_test`."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from striate.errors import RequestError
from striate.sources.data.arrays import load_arrays
from striate.sources.data.parts import Loaded, PartName, Reading, Values
from striate.sources.names import listing

_PARTS: tuple[tuple[PartName, str, str], ...] = (
    ("train", "x_train", "y_train"),
    ("validation", "x_val", "y_val"),
    ("test", "x_test", "y_test"),
    ("all", "x", "y"),
)


def read(reading: Reading) -> Loaded:
    """The arrays of the file. `x_val` and `y_val` are the validation set; `x` and `y` alone are divided.

    Images are `(N, H, W)`, `(N, C, H, W)` or `(N, H, W, C)` with 1, 3 or 4 channels; `(N, F)` is flat. Nothing
    is unpickled: arrays of objects are refused.
    """
    path = Path(reading.argument).expanduser()
    if not path.is_file():
        raise reading.error(f"no file {path}")
    arrays = _arrays(reading, path)
    present = [entry for entry in _PARTS if entry[1] in arrays or entry[2] in arrays]
    single = {entry[0] for entry in present} in ({"all"}, {"validation"}, {"test"})
    missing = [name for _, *names in present for name in names if name not in arrays]
    if not single and not any(part == "train" for part, *_ in present):
        missing += ["x_train", "y_train"]
    if missing:
        raise reading.error(
            f"no array {listing(missing)}; it has {listing(arrays) or 'none'}, expected x_train,"
            " y_train, x_test, y_test (or x and y alone)"
        )
    if any(part == "train" for part, *_ in present):
        present = [entry for entry in present if entry[0] != "all"]
    return load_arrays(
        reading,
        {part: (x, arrays[x]) for part, x, _ in present},
        {part: (y, arrays[y]) for part, _, y in present},
    )


def _arrays(reading: Reading, path: Path) -> dict[str, Values]:
    wanted = {name for _, *names in _PARTS for name in names}
    arrays: dict[str, Values] = {}
    names: list[str] | None = None
    try:
        # NumPy leaves a file open that it opened itself and then found to be no archive.
        with path.open("rb") as stream:
            file = np.load(stream, allow_pickle=False)
            if isinstance(file, np.lib.npyio.NpzFile):
                with file:
                    names = list(file.files)
                    arrays = {name: file[name] for name in names if name in wanted}
    except ValueError as error:
        if "pickle" in str(error):
            raise reading.error(
                "needs unpickling, which striate never does; save plain arrays with numpy.savez"
            ) from error
        raise _damaged(reading, error) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, KeyError) as error:
        raise _damaged(reading, error) from error
    if names is None:
        raise reading.error("one array (.npy), not an .npz file; save with numpy.savez")
    if not arrays:
        raise reading.error(
            f"it has the arrays {listing(names) or '(none)'}; expected x_train, y_train, x_test, y_test"
        )
    return arrays


def _damaged(reading: Reading, error: Exception) -> RequestError:
    text = " ".join(str(error).split())
    return reading.error(f"not a readable .npz file ({text}); save it again")
