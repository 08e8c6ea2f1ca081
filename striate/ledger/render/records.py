"""A ledger's rows as CSV, one line a layer, every field of the document."""

from __future__ import annotations

import csv
import io
from dataclasses import fields

from striate.ledger.account import Ledger
from striate.ledger.render.numbers import shape
from striate.ledger.rows import Layer


def render(ledger: Ledger) -> str:
    """Exact numbers, shapes as 1x6x28x28, nothing where a figure means nothing.

    >>> from torch import nn
    >>> from striate.ledger import count
    >>> print(render(count(nn.Sequential(nn.Linear(3, 2)), (1, 3))).splitlines()[1])
    0,Linear,1x3,1x2,8,6,2,6,6,8,6,1,1,,6,12,8,,,1,0,
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = [field.name for field in fields(Layer)]
    writer.writerow(names)
    writer.writerows([_cell(getattr(layer, name)) for name in names] for layer in ledger.layers)
    return stream.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, dict):  # a receptive field: its sizes
        return "x".join(f"{size:g}" for size in value["size"])
    if isinstance(value, tuple):
        texts = all(isinstance(entry, str) for entry in value)
        return " ".join(value) if texts else shape(value).replace("×", "x")
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"  # a name that a spreadsheet would take for a formula
    return "" if value is None else value
