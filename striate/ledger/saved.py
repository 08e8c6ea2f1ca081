"""A ledger read back from the document that `striate count --format json` writes."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from striate.errors import RequestError
from striate.ledger.account import Container, Ledger, Totals
from striate.ledger.gates import Gate
from striate.ledger.ideas import Idea, Ideas
from striate.ledger.render.document import SCHEMA
from striate.ledger.rows import Elementwise, Layer, Unsupported


def read(text: str | bytes, where: str) -> Ledger:
    """The ledger in a `striate.ledger/1` document; `where` names it in messages and in the result.

    Raises `RequestError` for what is no such document. What later versions may have added is passed over.

    >>> from torch import nn
    >>> from striate.ledger import count
    >>> from striate.ledger.render import document
    >>> found = count(nn.Linear(3, 2), (1, 3), name="net")
    >>> read(document.render(found), "net") == found
    True
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise RequestError(f"{where}: no JSON: {error}; expected {_EXPECTED}") from error
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise RequestError(f"{where}: its schema is {schema!r}; expected {_EXPECTED}")
    try:
        return _ledger(document, where)
    except (KeyError, TypeError, AttributeError) as error:
        raise RequestError(
            f"{where}: a damaged ledger, {type(error).__name__}: {error}; expected {_EXPECTED}"
        ) from error


_EXPECTED = f"a {SCHEMA} document, which striate count MODEL --format json prints"


def _ledger(document: Mapping[str, Any], name: str) -> Ledger:
    ideas = {idea: _plain(Idea, document["ideas"][idea]) for idea in _names(Ideas)}
    return Ledger(
        name=name,
        batch=document["batch"],
        totals=_plain(Totals, document["totals"]),
        ideas=Ideas(**ideas),
        layers=tuple(_plain(Layer, layer) for layer in document["layers"]),
        receptive_field=document["receptive_field"],
        unsupported=tuple(_plain(Unsupported, entry) for entry in document["unsupported"]),
        gates=tuple(_plain(Gate, gate) for gate in document["gates"]),
        containers=tuple(_plain(Container, entry) for entry in document.get("containers", ())),
        elementwise=tuple(_plain(Elementwise, entry) for entry in document.get("elementwise", ())),
        notes=tuple(document.get("notes", ())),
    )


def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _plain(kind: type[Any], values: Mapping[str, Any]) -> Any:
    """A dataclass of numbers, texts and tuples of them from its JSON; TypeError for other values."""
    expected = typing.get_type_hints(kind)
    # What a field has a default for, earlier versions did not write.
    found = {
        field.name: _tuples(values[field.name])
        for field in fields(kind)
        if field.name in values or field.default is MISSING
    }
    for name, value in found.items():
        if not _fits(value, expected[name]):
            raise TypeError(f"{name} is {value!r}")
    return kind(**found)


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _fits(value: object, expected: Any) -> bool:
    """Whether a value is of a field's type, what containers hold left aside."""
    kinds = typing.get_args(expected) if isinstance(expected, types.UnionType) else (expected,)
    plain = tuple(typing.get_origin(kind) or kind for kind in kinds)
    return isinstance(value, plain) and (bool in plain or not isinstance(value, bool))
