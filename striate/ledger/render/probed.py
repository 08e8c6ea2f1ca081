"""A probe of the receptive fields for a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from striate.ledger.probed import AGREES, DIFFERS, UNKNOWN, Box, Probe

_STYLES = {AGREES: "green", DIFFERS: "bold red", UNKNOWN: "dim"}


def render(probe: Probe) -> RenderableType:
    """What the middle unit of each layer is said to see and was seen to, and how many agree."""
    table = Table(
        title=Text("receptive fields, on a real run with random weights"),
        box=box.SIMPLE_HEAD,
        title_justify="left",
        pad_edge=False,
        show_edge=False,
        padding=(0, 0, 0, 1),
    )
    table.add_column("layer", overflow="fold", min_width=5)
    table.add_column("kind", overflow="fold", min_width=6)
    for column in ("claimed", "seen"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    rows = (*probe.rows, probe.output)
    for row in rows:
        table.add_row(
            Text(row.name or "(model)"),
            Text(row.type),
            spans(row.claimed),
            spans(row.seen),
            Text(row.outcome, style=_STYLES.get(row.outcome, "yellow")),
        )
    agree = sum(row.outcome == AGREES for row in rows)
    claimed = sum(row.claimed is not None for row in rows)
    return Group(table, "", Text(f"{agree} of {claimed} claimed fields agree"))


def spans(found: Box | None) -> str:
    """From the first input to the last one, along each axis.

    >>> spans(((12, 18), (0, 5)))
    '12-17 x 0-4'
    """
    if found is None:
        return ""
    return " x ".join(f"{start}-{stop - 1}" for start, stop in found)
