"""A ledger's rows as CSV, one line a layer, every field of the document."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import fields

from striate.ledger.account import Ledger
from striate.ledger.render.numbers import shape
from striate.ledger.render.plain import plain
from striate.ledger.rows import Layer

HEAD = tuple(field.name for field in fields(Layer))


def render(ledger: Ledger) -> str:
    """Exact numbers, shapes as 1x6x28x28, nothing where a figure means nothing.

    Names are on one line and no formula to a spreadsheet: what JSON has as it is may be written otherwise here.

    >>> from torch import nn
    >>> from striate.ledger import count
    >>> print(render(count(nn.Sequential(nn.Linear(3, 2)), (1, 3))).splitlines()[1])
    0,Linear,1x3,1x2,8,6,2,6,6,8,6,1,1,,6,12,8,,,1,0,
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(HEAD)
    writer.writerows(rows(ledger))
    return stream.getvalue()


def rows(ledger: Ledger) -> Iterator[list[object]]:
    """The cells of each layer, in the order of `HEAD`."""
    for layer in ledger.layers:
        yield [_cell(getattr(layer, name)) for name in HEAD]


def _cell(value: object) -> object:
    if isinstance(value, dict):  # a receptive field: its sizes
        return "x".join(f"{size:g}" for size in value["size"])
    if isinstance(value, tuple):
        texts = all(isinstance(entry, str) for entry in value)
        return text(" ".join(value)) if texts else shape(value).replace("×", "x")
    if isinstance(value, str):
        return text(value)
    return "" if value is None else value


def text(value: str) -> str:
    """A name for a cell: on one line, with an apostrophe where a spreadsheet would take it for a formula.

    >>> text("fc1"), text("=1+1"), text("a\\nb")
    ('fc1', "'=1+1", 'a\\\\nb')
    """
    return f"'{plain(value)}" if value.lstrip()[:1] in ("=", "+", "-", "@") else plain(value)
