"""A ledger as tables for a terminal, its weights as bars."""

from __future__ import annotations

import io
from dataclasses import dataclass

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from striate.ledger.account import Ledger
from striate.ledger.gates import Gate
from striate.ledger.render import counterfactual, layers
from striate.ledger.render.numbers import short
from striate.ledger.render.plain import cell, plain
from striate.ledger.render.steps import EXAMPLE, three_steps
from striate.ledger.view import View, select


@dataclass(frozen=True, slots=True)
class More:
    """What else to show: a column of element-wise work, with a list of the operators that do it; the weights of
    each layer idea by idea."""

    elementwise: bool = False
    ideas: bool = False


def render(
    ledger: Ledger, width: int = 100, view: View | None = None, more: More | None = None
) -> RenderableType:
    """What `rich.console.Console.print` takes: the rows, the totals, the ideas, the gates.

    `width` is the number of columns there are; names from outside are never read as markup.
    """
    view, more = view or View(), more or More()
    extra = tuple(
        key
        for key, asked in (
            ("activation", view.sort == "activation"),
            ("elementwise", more.elementwise or view.sort == "elementwise"),
            ("saved", ledger.totals.saved_bytes is not None),
        )
        if asked
    )
    found = select(ledger, view, extra)
    parts: list[RenderableType] = [layers.table(ledger, found, width, extra), _totals(ledger)]
    if more.elementwise:
        parts.append(_elementwise(ledger))
    parts.append(counterfactual.network(ledger, width))
    if more.ideas:
        parts.append(counterfactual.layers(found.lines, width))
    if ledger.name == EXAMPLE:
        parts.append(Text("\n".join(three_steps(ledger))))
    parts.extend(Text(plain(f"note: {note}"), style="yellow") for note in ledger.notes)
    if ledger.unsupported:
        parts.append(_unsupported(ledger))
    if ledger.gates:
        parts.append(_gates(ledger.gates))
    spaced: list[RenderableType] = []
    for part in parts:
        spaced.extend((part, Text("")))
    return Group(*spaced[:-1])


def text(
    ledger: Ledger, width: int = 100, view: View | None = None, more: More | None = None
) -> str:
    """The same as plain text without colours."""
    stream = io.StringIO()
    Console(file=stream, width=width, no_color=True, force_terminal=False).print(
        render(ledger, width, view, more)
    )
    return stream.getvalue()


def _totals(ledger: Ledger) -> Table:
    totals = ledger.totals
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right")
    table.add_column()
    frozen = totals.params - totals.trainable
    table.add_row(
        f"{totals.params:,}",
        "parameters"
        + (f", {frozen:,} of them frozen" if frozen else "")
        + f"; {_bytes(totals.weight_bytes)} stored"
        + (f", with {totals.buffers:,} elements of buffers" if totals.buffers else ""),
    )
    table.add_row(
        f"{totals.macs_per_example:,}",
        "MACs of contractions for one example; FLOPs are 2 × MACs, "
        f"{short(totals.flops_per_example)}",
    )
    table.add_row(
        f"{totals.connections:,}",
        f"connections, {totals.connections_inside:,} of them inside the inputs (not on padding)",
    )
    batch = "" if ledger.batch is None else f" for a batch of {ledger.batch}"
    table.add_row(
        _bytes(totals.activation_bytes),
        f"activations{batch}, at most {_bytes(totals.peak_activation_bytes)} at once",
    )
    if totals.saved_bytes is not None:
        table.add_row(
            _bytes(totals.saved_bytes),
            f"kept from the forward to the backward pass{batch}, besides inputs and weights",
        )
    if ledger.receptive_field is not None:
        table.add_row(
            layers.field_size(ledger.receptive_field), "inputs seen by a unit of the output"
        )
    return table


def _bytes(count: int) -> str:
    return f"{short(count)}B" if count >= 1000 else f"{count} B"


def _elementwise(ledger: Ledger) -> RenderableType:
    """The operators that compute and are no contraction, the most elements first."""
    total = f"{ledger.totals.elementwise:,}"
    words = f"element-wise work: {total} elements read or written, whichever are more"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("operator", overflow="fold")
    table.add_column("calls", justify="right")
    table.add_column("elements", justify="right")
    for work in ledger.elementwise:
        table.add_row(Text(cell(work.operator)), f"{work.calls:,}", f"{work.elements:,}")
    return Group(Text(words, style="bold"), table)


def _unsupported(ledger: Ledger) -> Table:
    table = Table(
        title="This ledger is partial",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        title_style="bold yellow",
        pad_edge=False,
    )
    for name in ("operator", "in", "effect", "metrics"):
        table.add_column(name, overflow="fold")
    for entry in ledger.unsupported:
        table.add_row(
            Text(cell(entry.operator)),
            Text(cell(entry.where)),
            Text(plain(entry.effect)),
            Text(", ".join(entry.metrics)),
        )
    return table


def _gates(gates: tuple[Gate, ...]) -> Table:
    table = Table.grid(padding=(0, 2))
    for _ in range(2):
        table.add_column()
    for gate in gates:
        word, style = _VERDICTS[gate.met]
        value = "not known" if gate.value is None else f"{gate.value:,}"
        relation = ">=" if gate.metric == "receptive_field" else "<="
        table.add_row(
            Text(word, style=style), f"{gate.metric} {value} (limit: {relation} {gate.limit:,})"
        )
    return table


_VERDICTS: dict[bool | None, tuple[str, str]] = {
    True: ("held", "green"),
    False: ("NOT MET", "bold red"),
    None: ("CANNOT BE JUDGED", "bold yellow"),
}
