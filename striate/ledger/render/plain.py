"""Names from outside as text that commands nothing: no terminal, no reader of lines, no eye is led astray."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

from striate.errors import clipped


def plain(text: str) -> str:
    """On one line, with what would not be seen written out: control characters, ends of lines of every kind, marks
    that turn the direction of text, halves of characters.

    >>> print(plain("fc\\n::error::\\x1b[2J\\u202e"), plain("größe 5×5"))
    fc\\n::error::\\x1b[2J\\u202e größe 5×5
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else _escape(sign) for sign in text)


def cell(text: str) -> str:
    """`plain`, for one cell of a table: the middle of a very long name is left out.

    >>> len(cell("x" * 20_000))
    200
    """
    return clipped(plain(text))


def _escape(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")


def all_plain(value: Any) -> Any:
    """Every text in lists, tuples, dicts and dataclasses, likewise.

    >>> all_plain({"names": ["a\\x00"], "count": 3})
    {'names': ['a\\\\x00'], 'count': 3}
    """
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict):
        return {key: all_plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [all_plain(entry) for entry in value]
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{each.name: all_plain(getattr(value, each.name)) for each in fields(value)}
        )
    return value
