"""The files of a run directory as the report reads them: plain JSON, checked where it is used.

A key that is absent or null is None (the page leaves that part out and says so); a key of the wrong type is an
error that names the file and the place in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.errors import RequestError


@dataclass(frozen=True)
class Node:
    """A JSON object and where it stands, so that a wrong value can be pointed at.

    >>> Node("result.json", {"baseline": {"params": 12}}).node("baseline").number("params")
    12
    >>> Node("result.json", {"seed": "one"}).number("seed")
    Traceback (most recent call last):
    striate.errors.RequestError: result.json: seed is 'one', expected a number; is this file from striate?
    """

    where: str
    data: Mapping[str, Any]

    def raw(self, key: str) -> Any:
        return self.data.get(key)

    def number(self, key: str) -> float | int | None:
        value = self.raw(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise self._wrong(key, value, "a number")
        return value

    def integer(self, key: str) -> int | None:
        value = self.number(key)
        if isinstance(value, float):
            raise self._wrong(key, value, "a whole number")
        return value

    def flag(self, key: str) -> bool | None:
        value = self.raw(key)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(key, value, "true or false")
        return value

    def text(self, key: str) -> str | None:
        """The value as text: strings as they are, anything else as compact JSON."""
        return None if self.raw(key) is None else _as_text(self.raw(key))

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; a single one counts as a list of one, null as none."""
        value = self.raw(key)
        if value is None:
            return ()
        return tuple(map(_as_text, value if isinstance(value, list) else [value]))

    def numbers(self, key: str) -> tuple[float, ...]:
        """A list of numbers; null is none."""
        value = self.raw(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self._wrong(key, value, "a list of numbers")
        items = Node(self.where, {f"{key}[{i}]": item for i, item in enumerate(value)})
        return tuple(items.number(name) or 0.0 for name in items.data)

    def node(self, key: str) -> Node | None:
        value = self.raw(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self._wrong(key, value, "an object")
        return Node(self._place(key), value)

    def nodes(self, key: str) -> tuple[Node, ...]:
        value = self.raw(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self._wrong(key, value, "a list of objects")
        return tuple(Node(f"{self._place(key)}[{i}]", item) for i, item in enumerate(value))

    def _place(self, key: str) -> str:
        # A file is separated from what is in it by ": ", objects within it by dots.
        return f"{self.where}.{key}" if ": " in self.where else f"{self.where}: {key}"

    def _wrong(self, key: str, value: object, expected: str) -> RequestError:
        found = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
        return RequestError(
            f"{self._place(key)} is {found}, expected {expected}; is this file from striate?"
        )


@dataclass(frozen=True)
class Documents:
    """What a run directory holds; None for a file that is not there (yet)."""

    name: str
    request: Node
    result: Node | None
    plan: Node | None
    ledger: Node | None
    journal: tuple[Node, ...]


def read(directory: Path) -> Documents:
    """Read a run directory.

    Raises `RequestError` if it is none, or if one of its files cannot be read as what it should be.
    """
    if not directory.is_dir():
        raise RequestError(
            f"run {str(directory)!r}: there is no such directory; give the --out of a shrink"
        )
    request = _document(directory / "run.json", schema=None)
    if request is None:
        raise RequestError(
            f"run {str(directory)!r} has no run.json, so it is not a striate run directory; "
            "give the --out of a shrink"
        )
    return Documents(
        name=directory.resolve().name,
        request=request,
        result=_document(directory / "result.json", schema="striate.shrink/1"),
        plan=_document(directory / "plan.json", schema=None),
        ledger=_document(directory / "ledger.json", schema="striate.ledger/1"),
        journal=_journal(directory / "journal.jsonl"),
    )


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RequestError(
            f"{path}: cannot be read: {error.strerror}; check its permissions"
        ) from error


def _parse(where: str, content: bytes) -> Node:
    try:
        data = json.loads(content)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RequestError(
            f"{where}: is not JSON ({error}); resume the run to write it again"
        ) from error
    if not isinstance(data, dict):
        raise RequestError(f"{where}: holds a {type(data).__name__}, expected a JSON object")
    return Node(where, data)


def _document(path: Path, schema: str | None) -> Node | None:
    content = _bytes(path)
    if content is None:
        return None
    document = _parse(path.name, content)
    if schema is not None and document.raw("schema") != schema:
        raise RequestError(
            f"{path.name}: schema is {document.raw('schema')!r}, expected {schema!r}; "
            "use the striate version that wrote it"
        )
    return document


def _journal(path: Path) -> tuple[Node, ...]:
    # What follows the last newline is a line that was being written when the run stopped; a machine that crashed
    # can leave a whole last line that is no JSON. Resuming drops both, so the report does as well.
    *whole, _torn = (_bytes(path) or b"").split(b"\n")
    lines = []
    for number, line in enumerate(whole, start=1):
        try:
            lines.append(_parse(f"{path.name} line {number}", line))
        except RequestError:
            if number < len(whole):
                raise
    return tuple(lines)
