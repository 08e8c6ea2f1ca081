"""The weights that a network would have without an idea, as a table with bars on a log scale."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from striate.ledger.account import Ledger
from striate.ledger.render.numbers import factor, short
from striate.ledger.render.plain import cell
from striate.ledger.view import Line

#: From this many columns on, layers' counts are written out.
_WIDE = 110
#: Cells below which a bar says nothing.
_SHORTEST = 17


def network(ledger: Ledger, width: int) -> RenderableType:
    """The weights of the whole network at each step, biases left out.

    Between the same units: fully connected with no pooling layer before them, fully connected,
    in local windows, with shared kernels.
    """
    ideas, totals = ledger.ideas, ledger.totals
    if ideas.locality.factor is None or ideas.sharing.saved is None:
        return Text("No layer of this network has connections under weights.")
    steps: list[tuple[str, int, str]] = []
    if ideas.pooling.saved is not None:
        unpooled = totals.dense_params + ideas.pooling.saved
        steps.append(("fully connected, no pooling", unpooled, ""))
        steps.append(("fully connected, pooled", totals.dense_params, _less(ideas.pooling.factor)))
    else:
        steps.append(("fully connected", totals.dense_params, "(unpooled: not known)"))
    steps.append(("local windows", totals.connections, _less(ideas.locality.factor)))
    weights = totals.connections - ideas.sharing.saved
    steps.append(("shared kernels", weights, _less(ideas.sharing.factor)))
    texts = [(name, f"{count:,}", less) for name, count, less in steps]
    texts.append(("all together", "", _less(ideas.total.factor)))
    used = [max(len(row[column]) for row in texts) + 2 for column in range(3)]
    room = min(40, width - sum(used))
    most = max(count for _, count, _ in steps)
    bars = ["█" * _length(count, most, room) for _, count, _ in steps]
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for _ in range(2):
        table.add_column(no_wrap=True)
    for row, bar in zip(texts, [*bars, "(bars: log scale)"], strict=True):
        if row[2] or row[1]:
            table.add_row(*row, *([bar] if room >= _SHORTEST else []))
    return Group(Text("weights (biases left out), idea by idea", style="bold"), table)


def layers(shown: Sequence[Line], width: int) -> Table:
    """The same for each layer: ░ fully connected, ▒ in local windows, █ with shared kernels."""
    contracting = [line for line in shown if line.layer.connections is not None]
    most = max((line.layer.dense_params or 0 for line in contracting), default=0)
    room = max(10, min(40, width - 62))
    table = Table(
        title="each layer: █ its weights ▒ its connections ░ fully connected (log scale)",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        pad_edge=False,
        show_edge=False,
        padding=(0, 0, 0, 1),
    )
    table.add_column("layer", overflow="fold", min_width=5)
    for name in ("fully connected", "local", "shared"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for line in contracting:
        layer = line.layer
        steps = (layer.dense_params or 0, layer.connections or 0, layer.weights)
        dense, local, shared = (_length(count, most, room) for count in steps)
        bar = "█" * shared + "▒" * (local - shared) + "░" * (dense - max(local, shared))
        name = cell(layer.name or "(model)") + (f" ×{line.times}" if line.times > 1 else "")
        table.add_row(
            Text(name),
            *(f"{count:,}" if width >= _WIDE else short(count) for count in steps),
            bar,
        )
    return table


def _less(value: int | float | None) -> str:
    return "" if value is None else f"÷{factor(value)}"


def _length(count: int, most: int, room: int) -> int:
    """Cells of a bar: as many as `count` has of the orders of magnitude of `most`; one at least for a weight.

    >>> [_length(count, 10**12, 24) for count in (10**12, 10**8, 100, 1, 0)]
    [24, 16, 4, 1, 0]
    """
    if count < 1 or most <= 1:
        return min(count, 1)
    return max(1, round(room * log10(count) / log10(most)))
