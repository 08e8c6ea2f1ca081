"""A ledger read back from the document that `striate count --format json` writes."""

from __future__ import annotations

import json
import reprlib
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
        document = json.loads(text, parse_constant=_no_number)
    except ValueError as error:
        raise RequestError(f"{where}: no JSON: {error}; expected {_EXPECTED}") from error
    except RecursionError as error:
        raise RequestError(f"{where}: nested too deep; expected {_EXPECTED}") from error
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise RequestError(f"{where}: its schema is {reprlib.repr(schema)}; expected {_EXPECTED}")
    try:
        return _ledger(document, where)
    except (KeyError, TypeError, AttributeError) as error:
        raise RequestError(
            f"{where}: a damaged ledger, {type(error).__name__}: {error}; expected {_EXPECTED}"
        ) from error


_EXPECTED = f"a {SCHEMA} document, which striate count MODEL --format json prints"

#: No count is as large, and what is larger has no floating-point quotients.
_MOST = 10**100


def _no_number(name: str) -> object:
    raise ValueError(f"{name} is no number")


def _ledger(document: Mapping[str, Any], name: str) -> Ledger:
    ideas = {idea: _plain(Idea, document["ideas"][idea]) for idea in _names(Ideas)}
    return Ledger(
        name=name,
        batch=_value("batch", document["batch"], int | None, least=1),
        totals=_plain(Totals, document["totals"]),
        ideas=Ideas(**ideas),
        layers=tuple(_plain(Layer, layer) for layer in document["layers"]),
        receptive_field=_value("receptive_field", document["receptive_field"], _FIELD),
        unsupported=tuple(_plain(Unsupported, entry) for entry in document["unsupported"]),
        gates=tuple(_plain(Gate, gate) for gate in document["gates"]),
        containers=tuple(_plain(Container, entry) for entry in document.get("containers", ())),
        elementwise=tuple(_plain(Elementwise, entry) for entry in document.get("elementwise", ())),
        notes=_value("notes", _tuples(document.get("notes", ())), tuple[str, ...]),
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
    least = None if kind is Idea else 0  # ideas save less than nothing where padding is much
    for name, value in found.items():
        _value(name, value, expected[name], least)
    return kind(**found)


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


_FIELD = dict[str, list[float]] | None


def _value(name: str, value: Any, expected: Any, least: int | None = 0) -> Any:
    """The value; TypeError where it is not of the type, or a whole number and less than `least`."""
    sized = not isinstance(value, dict) or bool(value.get("size"))  # of a receptive field
    if not (sized and _fits(value, expected, least)):
        raise TypeError(f"{name} is {reprlib.repr(value)}")
    return value


def _fits(value: object, expected: Any, least: int | None) -> bool:
    """Whether a value is of a field's type, and what it holds likewise."""
    if isinstance(expected, types.UnionType):
        return any(_fits(value, kind, least) for kind in typing.get_args(expected))
    kind, inside = typing.get_origin(expected), typing.get_args(expected)
    if kind is dict:
        return isinstance(value, dict) and all(_fits(v, inside[1], least) for v in value.values())
    if kind is not None:  # a tuple or a list of one type
        return isinstance(value, kind) and all(_fits(v, inside[0], least) for v in value)
    if expected is float:
        return _counts(value, None) or (isinstance(value, float) and abs(value) < _MOST)
    if expected is int:
        return _counts(value, least)
    return isinstance(value, expected)


def _counts(value: object, least: int | None) -> bool:
    if not isinstance(value, int) or isinstance(value, bool):
        return False
    return abs(value) < _MOST and (least is None or value >= least)
