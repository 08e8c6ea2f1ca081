"""The rows of a ledger as one table that fits its width: what is asked for, then as much more as there is room."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.bar import Bar
from rich.cells import cell_len
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from striate.ledger.account import Ledger
from striate.ledger.render.numbers import factor, shape, short
from striate.ledger.render.plain import cell, plain
from striate.ledger.rows import Layer
from striate.ledger.view import ORDERS, Selection

#: Cells that a name, and a kind, are given before anything else is; longer ones are broken.
_NAME, _KIND = 40, 24
#: Cells that are left to them in the end.
_LEAST = 8
#: Cells of a name below which the numbers of parameters are written in short.
_NARROW = 12
#: Cells between two columns.
_GAP = 2
#: Lengths that the bars can have, the best first.
_BARS = (16, 8)


@dataclass(frozen=True, slots=True)
class _Column:
    """Cells of one line each; `dim` where they matter less."""

    head: str
    cells: tuple[str, ...]
    right: bool = True
    dim: bool = False

    @property
    def width(self) -> int:
        return max(map(cell_len, (self.head, *self.cells)))

    @property
    def empty(self) -> bool:
        return not any(self.cells)


def table(ledger: Ledger, selection: Selection, width: int, extra: Sequence[str] = ()) -> Table:
    """`extra`: of `ORDERS`, what else has a column. `width` is the number of columns there are."""
    layers = [line.layer for line in selection.lines]
    name = _Column("layer", tuple(cell(layer.name or "(model)") for layer in layers), False)
    kind = _Column("kind", tuple(_kind(layer) for layer in layers), False)
    times = tuple(f"×{line.times}" if line.times > 1 else "" for line in selection.lines)
    counts = [
        column
        for column in (
            _Column("", times),
            _Column("params", tuple(f"{layer.params:,}" * bool(layer.params) for layer in layers)),
            _Column("MACs", tuple(_some(layer.macs) for layer in layers)),
            *(_Column(*_extra(key, layers)) for key in extra),
            *(_Column(*_idea(idea, layers)) for idea in ("local", "shared", "pooled")),
        )
        if not column.empty or column.head in ("params", "MACs")
    ]
    shapes = [
        _Column("input", tuple(shape(layer.input_shape) for layer in layers), False, True),
        _Column("output", tuple(shape(layer.output_shape) for layer in layers), False, True),
    ]
    sees = [_Column("sees", tuple(field_size(layer.receptive_field) for layer in layers), dim=True)]
    name_width, kind_width = min(name.width, _NAME), min(kind.width, _KIND)
    used = name_width + _GAP + kind_width + _room(counts)
    left = width - used
    if left < _room(shapes) + _room(sees) + _GAP + _BARS[-1]:
        shapes, sees = [], []
    left -= _room(shapes) + _room(sees)
    bar = next((length for length in _BARS if length + _GAP <= left), 0)
    spare = left - (bar + _GAP if bar else 0)
    if spare > 0:
        grown = min(spare, name.width - name_width)
        name_width, kind_width = name_width + grown, min(kind.width, kind_width + spare - grown)
    if left < 0:
        kind_width = max(min(_LEAST, kind.width), kind_width + left)
        name_width = width - _GAP - kind_width - _room(counts)
        if name_width < min(_NARROW, name.width):
            brief = _Column("params", tuple(_some(layer.params) for layer in layers))
            counts = [brief if column.head == "params" else column for column in counts]
            name_width = max(_LEAST, width - _GAP - kind_width - _room(counts))
    built = Table(
        title=Text(cell(ledger.name)),
        caption=caption(ledger, selection, extra),
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
        pad_edge=False,
        show_edge=False,
        padding=(0, 0, 0, 1),
    )
    built.add_column("layer", width=name_width, overflow="fold")
    built.add_column("kind", width=kind_width, overflow="fold")
    for column in shapes:
        built.add_column(column.head, width=column.width, style="dim")
    if bar:
        built.add_column("weights"[:bar], width=bar)
    for column in (*counts, *sees):
        built.add_column(
            column.head,
            width=column.width,
            justify="right",
            no_wrap=True,
            style="dim" if column.dim else None,
        )
    most = max((layer.params for layer in (*ledger.layers, *layers)), default=0)
    for row, layer in enumerate(layers):
        cells: list[RenderableType] = [
            Text(_broken(_AFTER_DOT, name.cells[row], name_width)),
            Text(_broken(_IN_CAMEL_CASE, kind.cells[row], kind_width)),
            *(column.cells[row] for column in shapes),
            *([Bar(size=max(1, most), begin=0, end=layer.params, width=bar)] if bar else []),
            *(column.cells[row] for column in (*counts, *sees)),
        ]
        built.add_row(*cells)
    return built


def caption(ledger: Ledger, selection: Selection, extra: Sequence[str] = ()) -> str | None:
    """What the rows leave out, and how their figures are to be read."""
    said = []
    if selection.pattern is not None:
        pattern, rows = plain(selection.pattern), sum(line.times for line in selection.lines)
        said.append(f"{rows} of {selection.of} rows are like {pattern}")
        if not rows:
            kinds = dict.fromkeys(cell(layer.type) for layer in ledger.layers)
            said.append(f"the kinds are {', '.join(kinds)}")
    if any(line.times > 1 for line in selection.lines):
        said.append("×N: N blocks alike, the figures are of one")
    if ledger.batch is not None and ledger.batch > 1:
        figures = "MACs" if not extra else "MACs, elements and bytes"
        said.append(f"{figures} of a row are of the batch of {ledger.batch}")
    if selection.left_out:
        many = selection.left_out > 1
        said.append(
            f"{selection.left_out} layers without weights, contractions or pooling are not shown"
            if many
            else "1 layer without weights, contraction or pooling is not shown"
        )
    return "; ".join(said) or None


def _kind(layer: Layer) -> str:
    """With whose weights it uses, where it has none of its own, and whether it never ran."""
    kind = cell(layer.type)
    if layer.shared_with and not layer.params and layer.connections is not None:
        return f"{kind} = {cell(layer.shared_with[0])}"
    return kind if layer.calls else f"{kind} (unused)"


def _extra(key: str, layers: Sequence[Layer]) -> tuple[str, tuple[str, ...]]:
    heads = {"activation": "made", "elementwise": "elements", "saved": "kept"}
    return heads[key], tuple(_some(getattr(layer, ORDERS[key]) or 0) for layer in layers)


def _idea(idea: str, layers: Sequence[Layer]) -> tuple[str, tuple[str, ...]]:
    field = {"local": "locality_factor", "shared": "sharing_factor", "pooled": "pooling_factor"}
    return idea, tuple(_less(getattr(layer, field[idea])) for layer in layers)


def _less(value: int | float | None) -> str:
    if value is None:
        return ""
    return f"÷{short(round(value)) if value >= 1000 else factor(value)}"


def _some(value: int) -> str:
    return short(value) if value else ""


def field_size(field: dict[str, list[float]] | None) -> str:
    """A receptive field's size, as in `7×7`."""
    return "" if field is None else "×".join(f"{size:g}" for size in field["size"])


def _room(columns: Sequence[_Column]) -> int:
    return sum(column.width + _GAP for column in columns)


_AFTER_DOT = re.compile(r"(?<=\.)")
_IN_CAMEL_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def _broken(where: re.Pattern[str], name: str, width: int) -> str:
    """Into lines at these places, where it is longer than `width`.

    >>> print(_broken(_AFTER_DOT, "encoder.layers.0-11.attention", 20))
    encoder.layers.0-11.
    attention
    >>> print(_broken(_IN_CAMEL_CASE, "MultiheadAttention", 12))
    Multihead
    Attention
    """
    if cell_len(name) <= width:
        return name
    lines = [""]
    for part in where.split(name):
        if cell_len(lines[-1]) + cell_len(part) > width and lines[-1]:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)
