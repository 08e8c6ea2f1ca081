"""A ledger, or the difference of two, as GitHub's Markdown: for a pull request or a README."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from striate.ledger.account import Ledger
from striate.ledger.compare import Difference
from striate.ledger.gates import Gate
from striate.ledger.render import changes
from striate.ledger.render.layers import caption
from striate.ledger.render.numbers import factor, shape, short
from striate.ledger.render.plain import cell, plain
from striate.ledger.render.words import verdict
from striate.ledger.rows import Layer
from striate.ledger.view import View, select


def render(ledger: Ledger, view: View | None = None) -> str:
    """The rows with weights, work or pooling, the totals, the ideas, and what was judged."""
    selection = select(ledger, view or View())
    shown = selection.lines
    rows = [
        (
            _name(layer) + (f" ×{times}" if times > 1 else ""),
            text(cell(layer.type)),
            shape(layer.output_shape),
            f"{layer.params:,}",
            short(layer.macs),
            *(
                f"÷{factor(value)}" if value is not None else ""
                for value in (layer.locality_factor, layer.sharing_factor, layer.pooling_factor)
            ),
        )
        for layer, times in ((line.layer, line.times) for line in shown)
    ]
    totals = ledger.totals
    last = (
        "**all**", "", "", f"**{totals.params:,}**", f"**{short(totals.macs)}**",
        *(f"÷{factor(idea.factor)}" if idea.factor is not None else ""
          for idea in (ledger.ideas.locality, ledger.ideas.sharing, ledger.ideas.pooling)),
    )  # fmt: skip
    head = ("layer", "kind", "output", "params", "MACs", "local", "shared", "pooled")
    parts = [table(head, [*rows, last], left=3), CONVENTION]
    said = caption(ledger, selection)
    if said is not None:
        parts.append(f"{text(said)}.")
    parts += [f"- {line}" for line in _remarks(ledger)]
    return "\n\n".join(parts) + "\n"


def difference(found: Difference, growth_gates: Sequence[Gate] = ()) -> str:
    """The totals before and after, then the layers that changed."""
    before, after = changes.titles(found)
    parts = [
        f"**{text(after)}** against {text(before)}",
        table(("", "before", "after", ""), changes.totals(found), left=1),
    ]
    rows = changes.shown(found)
    if rows:
        cells = [
            (
                row.change,
                " → ".join(text(cell(name)) for name in row.names) + row.repeated,
                " → ".join(text(cell(kind)) for kind in row.kinds),
                changes.move(row.params),
                " → ".join(map(short, row.macs)),
            )
            for row in rows
        ]
        parts.append(table(("", "layer", "kind", changes.WEIGHTS, changes.WORK), cells, left=3))
    if any(row.times > 1 for row in rows):
        parts.append(f"{changes.REPEATED}.")
    parts.append(f"{changes.rest(found)}. {CONVENTION}")
    note = changes.batches(found)
    parts += [] if note is None else [f"- note: {note}"]
    parts += [f"- {line}" for line in _remarks(found.after, growth_gates)]
    return "\n\n".join(parts) + "\n"


CONVENTION = "MACs are those of contractions; FLOPs are 2 × MACs."


def _remarks(ledger: Ledger, growth_gates: Sequence[Gate] = ()) -> Iterable[str]:
    yield from (text(f"note: {note}") for note in ledger.notes)
    for entry in ledger.unsupported:
        yield text(
            f"partial: {entry.operator} in {entry.where}: {entry.effect} ({', '.join(entry.metrics)})"
        )
    yield from (verdict(gate) for gate in ledger.gates)
    yield from (verdict(gate, of_growth=True) for gate in growth_gates)


def _name(layer: Layer) -> str:
    return text(cell(layer.name or "(model)"))


def text(words: str) -> str:
    """What Markdown and HTML take for nothing but text, on one line.

    As code where GitHub would make more of it than it says: the mention of a person or an issue, a link, an emoji,
    a formula.

    >>> text("a|b<c>\\n`d`_e_")
    'a&#124;b&lt;c&gt;&#92;n&#96;d&#96;&#95;e&#95;'
    >>> text("@octocat"), text("zoo:mlp")
    ('<code>@octocat</code>', 'zoo:mlp')
    """
    found = html.escape(plain(words), quote=False)
    for sign in "|`*_[]\\~":
        found = found.replace(sign, f"&#{ord(sign)};")
    return f"<code>{found}</code>" if _MORE_THAN_TEXT.search(words) else found


_MORE_THAN_TEXT = re.compile(r"[@#$]|\bGH-\d|://|www\.|:[\w+-]+:", re.IGNORECASE)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> str:
    """Columns from the `left`-th on are numbers."""
    rule = ["---" if column < left else "---:" for column in range(len(head))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows))


def text_table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> str:
    """A table whose cells are nothing but text; columns from the `left`-th on are numbers.

    >>> print(text_table(("layer", "params"), [("a|b", "7")], left=1))
    | layer | params |
    | --- | ---: |
    | a&#124;b | 7 |
    """
    return table(head, [[text(cell) for cell in row] for row in rows], left)
