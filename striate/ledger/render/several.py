"""Several ledgers at once: a line each, for a terminal and for a pull request, and all their rows as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from striate.ledger.account import Ledger
from striate.ledger.compare import Difference
from striate.ledger.gates import Gate
from striate.ledger.render import markdown, records
from striate.ledger.render.numbers import short
from striate.ledger.render.plain import cell, plain
from striate.ledger.render.words import growth

_HEAD = ("model", "limits", "params", "MACs", "peak")
#: How many columns of it are words.
_WORDS = 2


@dataclass(frozen=True)
class Entry:
    """One of several networks; where it was compared, the difference and the gates of the growth."""

    ledger: Ledger
    difference: Difference | None = None
    growth: tuple[Gate, ...] = ()
    #: All there is to say of it, as Markdown.
    alone: str = ""

    @property
    def gates(self) -> tuple[Gate, ...]:
        """Those of the budgets, and those of the growth."""
        return (*self.ledger.gates, *self.growth)

    def cells(self) -> tuple[str, str, str, str, str]:
        """Its name, the verdict, the parameters and how they moved, the work of an example, the memory."""
        totals, bound = self.ledger.totals, self.ledger.uncertain
        params = f"{totals.params:,}"
        if self.difference is not None:
            params += f" ({growth(*self.difference.totals['params'])})"
        return (
            self.ledger.name,
            _limits(self.gates),
            params,
            ("at least " if "macs" in bound else "") + short(totals.macs_per_example),
            f"{short(totals.peak_activation_bytes)}B",
        )


def _limits(gates: Sequence[Gate]) -> str:
    """How many hold, and by name those that do not.

    >>> _limits([Gate("params", 2, 1, True), Gate("macs", 2, 3, False), Gate("flops", 2, 1, None)])
    '1 of 3 held; NOT MET: macs; CANNOT BE JUDGED: flops'
    >>> _limits([Gate("params", 2, 1, True)]), _limits([])
    ('1 held', '')
    """
    if not gates:
        return ""
    held = sum(gate.met is True for gate in gates)
    parts = [f"{held} held" if held == len(gates) else f"{held} of {len(gates)} held"]
    for met, word in ((False, "NOT MET"), (None, "CANNOT BE JUDGED")):
        names = dict.fromkeys(gate.metric for gate in gates if gate.met is met)
        if names:
            parts.append(f"{word}: {', '.join(names)}")
    return "; ".join(parts)


#: Names of networks that could not be counted, and what was wrong.
Failed = Iterable[tuple[str, str]]
_NOT_COUNTED = "NOT COUNTED"


def table(entries: Sequence[Entry], failed: Failed = ()) -> RenderableType:
    """A line for each, for a terminal; those that failed come last."""
    found = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column, name in enumerate(_HEAD):
        found.add_column(name, justify="left" if column < _WORDS else "right", overflow="fold")
    for entry in entries:
        style = "" if all(gate.met for gate in entry.gates) else "bold red"
        name, limits, *figures = entry.cells()
        found.add_row(Text(cell(name)), Text(limits, style=style), *figures)
    for name, why in failed:
        found.add_row(Text(cell(name)), Text(plain(f"{_NOT_COUNTED}: {why}"), style="bold red"))
    return Group(found, Text(f"{markdown.CONVENTION} MACs are of one example."))


def as_markdown(entries: Sequence[Entry], failed: Failed = ()) -> str:
    """A line for each, then each as it is alone, folded."""
    rows = [_cells(entry) for entry in entries]
    empty = ("",) * (len(_HEAD) - _WORDS)
    rows += [
        (markdown.text(name), f"{_NOT_COUNTED}: {markdown.text(why)}", *empty)
        for name, why in failed
    ]
    parts = [markdown.table(_HEAD, rows, left=_WORDS)]
    for entry in entries:
        summary = f"<summary>{markdown.text(entry.ledger.name)}</summary>"
        parts.append(f"<details>{summary}\n\n{entry.alone}\n</details>")
    return "\n\n".join(parts) + "\n"


def _cells(entry: Entry) -> tuple[str, ...]:
    name, *others = entry.cells()
    return (markdown.text(name), *others)


def as_csv(ledgers: Iterable[Ledger]) -> str:
    """The rows of all, the name of the network before each."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["model", *records.HEAD])
    for ledger in ledgers:
        name = records.text(ledger.name)
        writer.writerows([name, *row] for row in records.rows(ledger))
    return stream.getvalue()
