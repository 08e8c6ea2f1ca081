"""The models that `[tool.striate.count]` of a pyproject.toml lists, each with its inputs and its limits.

    [tool.striate.count.models.classifier]
    model = "package.module:make"
    inputs = ["1x3x224x224"]
    budget = ["5M", "macs=300M"]

A table a model, as TOML itself then refuses a name given twice, and reports have something short to call it. A key is
what `striate count` has an option for, and takes what the option does.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.errors import RequestError
from striate.jobs.count import CountRequest
from striate.sources.names import by_likeness, listing, nearest

FILE = "pyproject.toml"
TABLE = "tool.striate.count"


@dataclass(frozen=True)
class Listed:
    """A model of the list. `allow_partial`: its gates pass where they cannot be judged."""

    name: str
    request: CountRequest
    allow_partial: bool = False


@dataclass(frozen=True)
class Listing:
    """What a file lists. `folder` is the one it lies in: every path in it, and every module, is found from there."""

    path: Path
    models: tuple[Listed, ...]

    @property
    def folder(self) -> Path:
        return self.path.parent

    def only(self, names: Sequence[str]) -> Listing:
        """The same with the models of these names, in the order of the file; all where none is named.

        Raises RequestError for a name that is not there.
        """
        known = [listed.name for listed in self.models]
        for name in names:
            if name not in known:
                raise RequestError(
                    f"--only {name}: {_from_here(self.path)} lists {listing(by_likeness(name, known))}"
                )
        chosen = tuple(listed for listed in self.models if not names or listed.name in names)
        return Listing(self.path, chosen)


def find(start: Path) -> Listing:
    """What the nearest pyproject.toml that has the table lists, from the folder `start` upwards.

    Raises RequestError where there is none, where a file on the way is no TOML, and for what the table may not hold.
    """
    seen: list[str] = []
    for folder in (start, *start.parents):
        path = folder / FILE
        if not path.is_file():
            continue
        where = _from_here(path)
        tool = _toml(path, where).get("tool", {})
        ours = tool.get("striate", {}) if isinstance(tool, dict) else {}
        if isinstance(ours, dict) and "count" in ours:
            return Listing(path, _models(ours["count"], where))
        likely = nearest("count", ours) if isinstance(ours, dict) else None
        if likely is not None:
            raise RequestError(f"{where}: [tool.striate.{likely}]: expected [{TABLE}]")
        seen.append(where)
    has_none = f"{listing(seen)} {'have' if len(seen) > 1 else 'has'} no" if seen else "there is no"
    raise RequestError(
        f"MODEL is missing, and {has_none} [{TABLE}]{'' if seen else f' in a {FILE} here or above'}; "
        f"give MODEL, or list models there: [{TABLE}.models.NAME]"
    )


def _from_here(path: Path) -> str:
    return os.path.relpath(path)


def _toml(path: Path, where: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise RequestError(f"{where}: cannot be read: {error.strerror}") from None
    except ValueError as error:  # TOML's own errors and those of its encoding
        raise RequestError(f"{where}: no TOML: {error}") from None
    except RecursionError:
        raise RequestError(f"{where}: no TOML that can be read: nested too deep") from None


def _models(table: object, where: str) -> tuple[Listed, ...]:
    place = f"{where}: [{TABLE}]"
    if not isinstance(table, dict):
        raise RequestError(f"{place}: expected a table, not {table!r}")
    for key in table:
        if key != "models":
            # Most likely the keys of one model, without its name.
            raise RequestError(
                f"{place}: {key}: no such key; expected a table a model: [{TABLE}.models.NAME]"
            )
    models = table.get("models", {})
    if not isinstance(models, dict):
        raise RequestError(
            f"{place}: models = {models!r}: expected a table a model: [{TABLE}.models.NAME]"
        )
    if not models:
        raise RequestError(
            f"{place}: lists no models; expected a table for each: [{TABLE}.models.NAME]"
        )
    return tuple(
        _model(name, keys, f"{where}: [{TABLE}.models.{name}]") for name, keys in models.items()
    )


def _model(name: str, keys: object, place: str) -> Listed:
    if not isinstance(keys, dict):
        raise RequestError(f"{place}: expected a table with the key model, not {keys!r}")
    for key in keys:
        if key not in _READERS:
            likely = nearest(key, _READERS)
            hint = f"did you mean {likely}?" if likely else f"expected {', '.join(_READERS)}"
            raise RequestError(f"{place}: {key}: no such key; {hint}")
    if "model" not in keys:
        raise RequestError(
            f"{place}: model is missing: zoo:NAME, package.module:factory, file.py:factory or a run directory"
        )
    given = {key: _READERS[key](value, f"{place}: {key}") for key, value in keys.items()}
    request = CountRequest(
        model=given["model"],
        inputs=given.get("inputs", ()),
        model_args=given.get("model-args", {}),
        batched=given.get("batch-dim", True),
        budget=given.get("budget", ()),
        against=given.get("against"),
        max_growth=given.get("max-growth"),
    )
    return Listed(name, request, given.get("allow-partial", False))


def _text(example: str) -> Callable[[object, str], str]:
    def read(value: object, place: str) -> str:
        if not isinstance(value, str) or not value:
            raise RequestError(f'{place} = {value!r}: expected a text such as "{example}"')
        return value

    return read


def _texts(example: str) -> Callable[[object, str], tuple[str, ...]]:
    def read(value: object, place: str) -> tuple[str, ...]:
        several = [value] if isinstance(value, str) else value
        if not isinstance(several, list) or not all(
            isinstance(text, str) and text for text in several
        ):
            raise RequestError(f"{place} = {value!r}: expected texts such as {example}")
        return tuple(several)

    return read


def _arguments(value: object, place: str) -> Mapping[str, object]:
    if not isinstance(value, dict) or not all(key.isidentifier() for key in value):
        raise RequestError(
            f"{place} = {value!r}: expected the factory's arguments, such as {{width = 64}}"
        )
    return value


def _batched(value: object, place: str) -> bool:
    if value == "none":
        return False
    if value == "0" or (type(value) is int and value == 0):
        return True
    raise RequestError(f'{place} = {value!r}: expected 0 or "none"')


def _flag(value: object, place: str) -> bool:
    if not isinstance(value, bool):
        raise RequestError(f"{place} = {value!r}: expected true or false")
    return value


_READERS: Mapping[str, Callable[[object, str], Any]] = {
    "model": _text("package.module:factory"),
    "inputs": _texts('["1x3x224x224"]'),
    "model-args": _arguments,
    "batch-dim": _batched,
    "budget": _texts('["5M", "macs=300M"]'),
    "against": _text("ledger.json"),
    "max-growth": _text("2%"),
    "allow-partial": _flag,
}
