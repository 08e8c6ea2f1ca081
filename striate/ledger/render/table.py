"""A ledger as tables for a terminal, its weights as bars."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.bar import Bar
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from striate.ledger.account import Ledger
from striate.ledger.gates import Gate
from striate.ledger.render import counterfactual
from striate.ledger.render.numbers import factor, shape, short
from striate.ledger.render.plain import plain
from striate.ledger.render.steps import EXAMPLE, three_steps
from striate.ledger.view import Line, View, lines

#: Below this many columns the shapes and the receptive field are left out.
_WIDE = 110
#: Below this many, beside what was asked for more, the bars are.
_BARS = 72
#: From this many columns on, the kinds of layers are written without a break.
_USUAL = 80


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
    more = more or More()
    shown = lines(ledger, view or View())
    parts: list[RenderableType] = [_rows(ledger, shown, width, more), _totals(ledger)]
    if more.elementwise:
        parts.append(_elementwise(ledger))
    parts.append(counterfactual.network(ledger, width))
    if more.ideas:
        parts.append(counterfactual.layers(shown, width))
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


def _rows(ledger: Ledger, shown: Sequence[Line], width: int, more: More) -> Table:
    folded = any(line.times > 1 for line in shown)
    saved = ledger.totals.saved_bytes is not None
    width -= 5 * folded + 9 * more.elementwise + 6 * saved
    wide, bars = width >= _WIDE, width >= _BARS
    most = max((line.layer.params for line in shown), default=0)
    bar = 16 if width >= _WIDE + 10 else 8 if width >= 100 else 7
    kinds = max((len(plain(line.layer.type)) for line in shown), default=0)
    table = Table(
        title=Text(plain(ledger.name)),
        caption=_caption(ledger, shown),
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
        pad_edge=False,
        show_edge=False,
        padding=(0, 0, 0, 1),
    )
    table.add_column("layer", overflow="fold", min_width=5)
    table.add_column("kind", overflow="fold", min_width=min(kinds, 20) if width >= _USUAL else 6)
    if wide:
        table.add_column("input", overflow="fold", style="dim")
        table.add_column("output", overflow="fold", style="dim")
    if bars:
        table.add_column("weights", min_width=min(bar, 8))
    if folded:
        table.add_column("", justify="right", no_wrap=True)
    table.add_column("params", justify="right", no_wrap=True)
    table.add_column("MACs", justify="right", no_wrap=True)
    if more.elementwise:
        table.add_column("elements", justify="right", no_wrap=True)
    if saved:
        table.add_column("kept", justify="right", no_wrap=True)
    for idea in ("local", "shared", "pooled"):
        table.add_column(idea, justify="right", no_wrap=True)
    if wide:
        table.add_column("sees", justify="right", no_wrap=True, style="dim")
    for line in shown:
        layer = line.layer
        cells: list[RenderableType] = [
            Text(plain(layer.name or "(model)")),
            Text(plain(layer.type)),
        ]
        if wide:
            cells += [shape(layer.input_shape), shape(layer.output_shape)]
        cells += [
            *([Bar(size=max(1, most), begin=0, end=layer.params, width=bar)] if bars else []),
            *([f"×{line.times}" if line.times > 1 else ""] if folded else []),
            f"{layer.params:,}" if layer.params else "",
            short(layer.macs) if layer.macs else "",
            *([_some(layer.elementwise)] if more.elementwise else []),
            *([_some(layer.saved_bytes or 0)] if saved else []),
            _times(layer.locality_factor, brief=True),
            _times(layer.sharing_factor, brief=True),
            _times(layer.pooling_factor, brief=True),
        ]
        if wide:
            cells.append(_sees(layer.receptive_field))
        table.add_row(*cells)
    return table


def _caption(ledger: Ledger, shown: Sequence[Line]) -> str | None:
    """What the rows leave out, and how folded ones are to be read."""
    said = []
    if any(line.times > 1 for line in shown):
        said.append("×N: N blocks alike, the figures are of one")
    hidden = sum(not layer.matters for layer in ledger.layers)
    if hidden:
        said.append(
            f"{hidden} layers without weights, contractions or pooling are not shown"
            if hidden > 1
            else "1 layer without weights, contraction or pooling is not shown"
        )
    return "; ".join(said) or None


def _times(value: int | float | None, brief: bool = False) -> str:
    return "" if value is None else f"÷{_brief(value) if brief else factor(value)}"


def _brief(value: int | float) -> str:
    return short(round(value)) if value >= 1000 else factor(value)


def _some(value: int) -> str:
    return short(value) if value else ""


def _sees(field: dict[str, list[float]] | None) -> str:
    return "" if field is None else "×".join(f"{size:g}" for size in field["size"])


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
        table.add_row(_sees(ledger.receptive_field), "inputs seen by a unit of the output")
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
        table.add_row(Text(plain(work.operator)), f"{work.calls:,}", f"{work.elements:,}")
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
            *(Text(plain(text)) for text in (entry.operator, entry.where, entry.effect)),
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
