"""Texts from outside with nothing in them that a page could take for more than text."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any


def plain(text: str) -> str:
    """Signs that cannot be seen or that turn the direction of writing, as their escapes.

    >>> plain("a\\u202eb\\nc d"), plain("7×7")
    ('a\\\\u202eb\\\\nc d', '7×7')
    """
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii")
        for sign in text
    )


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
