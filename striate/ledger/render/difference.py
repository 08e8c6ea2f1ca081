"""The difference of two ledgers as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from striate.ledger.compare import TOTALS, Difference, Row
from striate.ledger.gates import Gate
from striate.ledger.render.numbers import short
from striate.ledger.render.plain import plain
from striate.ledger.render.words import growth, move, unchanged, verdict

_STYLES = {"added": "green", "removed": "red", "changed": "yellow", "renamed": "cyan"}


def render(found: Difference, gates: Sequence[Gate] = ()) -> RenderableType:
    """The totals before and after, the rows that changed, and what was judged of the growth."""
    parts: list[RenderableType] = [_totals(found)]
    if found.changed:
        parts.append(_rows(found.changed))
    parts.append(Text(unchanged(found)))
    if found.before.batch != found.after.batch:
        words = f"note: batches of {found.before.batch} and {found.after.batch}"
        parts.append(Text(f"{words}: work and memory are not of the same input", style="yellow"))
    parts.extend(
        Text(verdict(gate, of_growth=True), style="" if gate.met else "bold red") for gate in gates
    )
    return Group(*parts)


def _totals(found: Difference) -> Table:
    table = Table(
        title=Text(plain(f"against {found.before.name}")),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("")
    for name in ("before", "after", ""):
        table.add_column(name, justify="right", no_wrap=True)
    for name, (before, after) in found.totals.items():
        table.add_row(TOTALS[name], f"{before:,}", f"{after:,}", growth(before, after))
    return table


def _rows(rows: Sequence[Row]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    table.add_column("layer", overflow="fold")
    table.add_column("kind", overflow="fold")
    table.add_column("params", justify="right")
    table.add_column("MACs", justify="right")
    for row in rows:
        table.add_row(
            Text(row.change, style=_STYLES[row.change]),
            *(
                Text(plain(text))
                for text in (
                    move(row, lambda layer: layer.name or "(model)"),
                    move(row, lambda layer: layer.type),
                    move(row, lambda layer: f"{layer.params:,}"),
                    move(row, lambda layer: short(layer.macs)),
                )
            ),
        )
    return table
