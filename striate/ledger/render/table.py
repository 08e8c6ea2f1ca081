"""A ledger as a table for a terminal, its weights as bars."""

from __future__ import annotations

import io

from rich import box
from rich.bar import Bar
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from striate.ledger.account import Ledger
from striate.ledger.gates import Gate
from striate.ledger.render.numbers import factor, shape, short
from striate.ledger.render.plain import plain
from striate.ledger.render.steps import EXAMPLE, three_steps

#: Below this many columns the shapes and the receptive field are left out.
_WIDE = 110
#: From this many columns on, the kinds of layers are written without a break.
_USUAL = 80


def render(ledger: Ledger, width: int = 100) -> RenderableType:
    """What `rich.console.Console.print` takes: the rows, the totals, the ideas, the gates.

    `width` is the number of columns there are; names from outside are never read as markup.
    """
    parts: list[RenderableType] = [_rows(ledger, width), _totals(ledger)]
    parts.append(_ideas(ledger))
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


def text(ledger: Ledger, width: int = 100) -> str:
    """The same as plain text without colours."""
    stream = io.StringIO()
    Console(file=stream, width=width, no_color=True, force_terminal=False).print(
        render(ledger, width)
    )
    return stream.getvalue()


def _rows(ledger: Ledger, width: int) -> Table:
    wide = width >= _WIDE
    shown = [layer for layer in ledger.layers if layer.matters]
    hidden = len(ledger.layers) - len(shown)
    most = max((layer.params for layer in shown), default=0)
    bar = 16 if width >= _WIDE + 10 else 8 if width >= 100 else 7
    kinds = max((len(plain(layer.type)) for layer in shown), default=0)
    caption = None
    if hidden:
        caption = (
            f"{hidden} layers without weights, contractions or pooling are not shown"
            if hidden > 1
            else "1 layer without weights, contraction or pooling is not shown"
        )
    table = Table(
        title=Text(plain(ledger.name)),
        caption=caption,
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
    table.add_column("weights", min_width=min(bar, 8))
    table.add_column("params", justify="right", no_wrap=True)
    table.add_column("MACs", justify="right", no_wrap=True)
    for idea in ("local", "shared", "pooled"):
        table.add_column(idea, justify="right", no_wrap=True)
    if wide:
        table.add_column("sees", justify="right", no_wrap=True, style="dim")
    for layer in shown:
        cells: list[RenderableType] = [
            Text(plain(layer.name or "(model)")),
            Text(plain(layer.type)),
        ]
        if wide:
            cells += [shape(layer.input_shape), shape(layer.output_shape)]
        cells += [
            Bar(size=max(1, most), begin=0, end=layer.params, width=bar),
            f"{layer.params:,}" if layer.params else "",
            short(layer.macs) if layer.macs else "",
            _times(layer.locality_factor, brief=True),
            _times(layer.sharing_factor, brief=True),
            _times(layer.pooling_factor, brief=True),
        ]
        if wide:
            cells.append(_sees(layer.receptive_field))
        table.add_row(*cells)
    return table


def _times(value: int | float | None, brief: bool = False) -> str:
    if value is None:
        return ""
    return f"÷{short(round(value)) if brief and value >= 1000 else factor(value)}"


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
    if ledger.receptive_field is not None:
        table.add_row(_sees(ledger.receptive_field), "inputs seen by a unit of the output")
    return table


def _bytes(count: int) -> str:
    return f"{short(count)}B" if count >= 1000 else f"{count} B"


def _ideas(ledger: Ledger) -> RenderableType:
    """The weights at each step, biases left out."""
    ideas, totals = ledger.ideas, ledger.totals
    if ideas.locality.factor is None or ideas.sharing.saved is None:
        return Text("No layer of this network has connections under weights.")
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    table.add_row(Text("weights (biases left out), idea by idea", style="bold"), "", "")
    if ideas.pooling.saved is not None:
        table.add_row(
            "fully connected, no pooling", f"{totals.dense_params + ideas.pooling.saved:,}", ""
        )
        table.add_row(
            "fully connected, pooled", f"{totals.dense_params:,}", _times(ideas.pooling.factor)
        )
    else:
        table.add_row("fully connected", f"{totals.dense_params:,}", "(without pooling: not known)")
    table.add_row("local windows", f"{totals.connections:,}", _times(ideas.locality.factor))
    weights = totals.connections - ideas.sharing.saved
    table.add_row("shared kernels", f"{weights:,}", _times(ideas.sharing.factor))
    if ideas.total.factor is not None:
        table.add_row("all together", "", _times(ideas.total.factor))
    return table


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
