"""The difference of two ledgers as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from striate.ledger.compare import Difference
from striate.ledger.gates import Gate
from striate.ledger.render import changes
from striate.ledger.render.numbers import short
from striate.ledger.render.plain import cell
from striate.ledger.render.words import verdict

_STYLES = {"added": "green", "removed": "red", "changed": "yellow", "renamed": "cyan"}


def render(found: Difference, gates: Sequence[Gate] = ()) -> RenderableType:
    """The totals before and after, the rows that changed, and what was judged of the growth."""
    parts: list[RenderableType] = [_totals(found)]
    rows = changes.shown(found)
    if rows:
        parts.append(_rows(rows))
    parts.append(Text(changes.rest(found)))
    note = changes.batches(found)
    if note is not None:
        parts.append(Text(f"note: {note}", style="yellow"))
    parts.extend(
        Text(verdict(gate, of_growth=True), style="" if gate.met else "bold red") for gate in gates
    )
    return Group(*parts)


def _totals(found: Difference) -> Table:
    before, _ = changes.titles(found)
    table = Table(
        title=Text(cell(f"against {before}")),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("")
    for name in ("before", "after", ""):
        table.add_column(name, justify="right", no_wrap=True)
    for row in changes.totals(found):
        table.add_row(*row)
    return table


def _rows(rows: Sequence[changes.Shown]) -> Table:
    repeated = any(row.times > 1 for row in rows)
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        caption=changes.REPEATED if repeated else None,
        caption_justify="left",
    )
    table.add_column("")
    table.add_column("layer", overflow="fold")
    table.add_column("kind", overflow="fold")
    table.add_column(changes.WEIGHTS, justify="right")
    table.add_column(changes.WORK, justify="right")
    for row in rows:
        table.add_row(
            Text(row.change, style=_STYLES[row.change]),
            Text(" → ".join(map(cell, row.names)) + row.repeated),
            Text(" → ".join(map(cell, row.kinds))),
            changes.move(row.params),
            " → ".join(map(short, row.macs)),
        )
    return table
