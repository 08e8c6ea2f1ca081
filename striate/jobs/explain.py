"""`striate explain`: the arithmetic of the three ideas as a document, and the page about them."""

from __future__ import annotations

import os
import shlex
import stat
from dataclasses import asdict, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

from striate.errors import RequestError
from striate.geometry import Setting, ThreeIdeas, seconds_to_read, weight_bytes
from striate.report.explain_page import page
from striate.runs import surroundings, write_whole
from striate.version import __version__

#: What the page may be called where the user has not said it.
SUGGESTED = "three-ideas.html"


def opening(setting: Setting, language: str | None = None) -> dict[str, str]:
    """What is not as it is by default, by the names and in the form that the page's address and the command have.

    `language` is "en" or "zh"; None leaves it to the page.

    >>> opening(Setting(size=(64, 48), share="block-4"), "zh")
    {'lang': 'zh', 'size': '64x48', 'share': 'block-4'}
    """
    default = Setting()
    found = {} if language is None else {"lang": language}
    for field in fields(Setting):
        value = getattr(setting, field.name)
        # Where a stride is left out, it is the window's size to some and 2 to others.
        said = field.name == "pool_stride" and setting.pool != default.pool
        if said or value != getattr(default, field.name):
            text = "x".join(map(str, value)) if isinstance(value, tuple) else str(value)
            found[field.name.replace("_", "-")] = text
    return found


def command(setting: Setting, language: str | None = None) -> str:
    """The command line that writes the page of a setting.

    >>> command(Setting(kernel=5))
    'striate explain --kernel 5 --out three-ideas.html'
    """
    options = [f"--{name} {value}" for name, value in opening(setting, language).items()]
    return " ".join(["striate explain", *options, f"--out {shlex.quote(SUGGESTED)}"])


def write_page(setting: Setting, language: str | None, path: Path) -> Path:
    """Write the interactive page, opened in this setting, to `path`, whole or not at all; its absolute path.

    Raises `RequestError` where a file cannot be put there, or the page was not built.
    """
    with surroundings(path, again="run the same command again"):
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            mode = None
        if mode is not None and stat.S_ISDIR(mode):
            raise RequestError(
                f"--out {path}: is a directory; name a file in it, such as {path / SUGGESTED}"
            )
        if mode is not None and not stat.S_ISREG(mode):
            raise RequestError(
                f"--out {path}: is no ordinary file, so it would not be written whole; name another"
            )
        # A link stays one, and what it leads to is written.
        place = Path(os.path.realpath(path))
        if not place.parent.is_dir():
            missing = place.parent if path.is_symlink() else path.parent
            raise RequestError(
                f"--out {path}: there is no directory {missing}; make it first, or choose another path"
            )
        if mode is not None and not os.access(place, os.W_OK):
            raise RequestError(f"--out {path}: may not be written; choose another path")
    write_whole(place, page(opening(setting, language)).encode())
    return place


def document(account: ThreeIdeas, path: str | None = None) -> dict[str, Any]:
    """The `striate.explain/1` document; `path` is where the page was written.

    Counts are exact integers; factors and seconds are, too, where they are whole.
    """
    return {
        "schema": "striate.explain/1",
        "striate": __version__,
        "setting": asdict(account.setting),
        "steps": {
            "dense": {
                "pixels": account.pixels,
                "units": account.units,
                **_stored(account.dense),
            },
            "local": {
                "outputs": account.outputs,
                "padding": account.setting.pads,
                "connections": account.connections,
                "connections_inside": account.connections_inside,
                "connections_outside": account.connections_outside,
                **_stored(account.connections),
            },
            "shared": {"kernels": account.kernels, **_stored(account.weights)},
            "pooled": {
                "outputs": account.pooled_outputs,
                "units": account.pooled_units,
                "head_before": account.head,
                "head": account.pooled_head,
            },
        },
        "factors": {
            "locality": _number(account.locality),
            "sharing": _number(account.sharing),
            "pooling": _number(account.pooling),
        },
        "page": path,
    }


def _stored(weights: int) -> dict[str, Any]:
    return {
        "weights": weights,
        "bytes": weight_bytes(weights),
        "seconds_to_read": _number(seconds_to_read(weights)),
    }


def _number(value: Fraction) -> int | float:
    return value.numerator if value.denominator == 1 else float(value)
