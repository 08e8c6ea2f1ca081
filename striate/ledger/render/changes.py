"""What is shown of a difference: its totals, the rows that hold something, those alike once, and what is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from striate.ledger.compare import TOTALS, Change, Difference, Row
from striate.ledger.render.words import growth
from striate.ledger.rows import Layer
from striate.ledger.view import NUMBER, spanned

#: The columns of the rows.
WEIGHTS, WORK = "params", "MACs of an example"
REPEATED = "×N: N layers alike, the figures are of one"


@dataclass(frozen=True, slots=True)
class Shown:
    """A row as it is shown: what was before and what is after, once where both are the same. `times` rows are
    like it but for one number in their names."""

    change: Change
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    params: tuple[int, ...]
    #: Of an example.
    macs: tuple[int, ...]
    times: int = 1

    @property
    def repeated(self) -> str:
        """What is to be written after the name."""
        return f" ×{self.times}" if self.times > 1 else ""


def shown(found: Difference) -> tuple[Shown, ...]:
    """The rows that are not the same and hold something (`Row.matters`), those alike in one, where the first of
    them stands.

    >>> from torch import nn
    >>> from striate.ledger import count
    >>> from striate.ledger.compare import compare
    >>> blocks = [nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 4)) for _ in range(12)]
    >>> short, long = (count(nn.Sequential(*blocks[:n]), (1, 4)) for n in (3, 12))
    >>> [(row.change, row.names, row.params, row.times) for row in shown(compare(short, long))]
    [('added', ('3-11.0',), (40,), 9), ('added', ('3-11.2',), (36,), 9)]
    """
    groups: dict[object, list[Row]] = {}
    for row in found.changed:
        if row.matters:
            alike = _shown([row])
            template = tuple(NUMBER.sub("#", name) for name in alike.names)
            key = (alike.change, alike.kinds, alike.params, alike.macs, template)
            groups.setdefault(key, []).append(row)
    order = {id(row): place for place, row in enumerate(found.rows)}
    folded = [rows for group in groups.values() for rows in _runs(group)]
    return tuple(_shown(rows) for rows in sorted(folded, key=lambda rows: order[id(rows[0])]))


def totals(found: Difference) -> list[tuple[str, str, str, str]]:
    """What, how much before and after, and by how much that is more; bytes of activations are those of an example
    where the batches differ."""
    left_out = "activation_bytes" if found.batches_differ else "activation_bytes_per_example"
    return [
        (
            TOTALS[name],
            f"{before:,}",
            f"{after:,}",
            "other batches" if name in found.incomparable else growth(before, after),
        )
        for name, (before, after) in found.totals.items()
        if name != left_out
    ]


def rest(found: Difference) -> str:
    """How many layers are the same, and how many more are not shown."""
    same = len(found.rows) - len(found.changed)
    words = f"{same} {'layer' if same == 1 else 'layers'} unchanged"
    hidden = sum(not row.matters for row in found.changed)
    if hidden:
        others = "1 that changed is" if hidden == 1 else f"{hidden} that changed are"
        words += f", and {others} not shown (no weights, contractions or pooling)"
    return words


def batches(found: Difference) -> str | None:
    """What to keep in mind where the batches differ."""
    if not found.batches_differ:
        return None
    return (
        f"batches of {found.before.batch} and {found.after.batch}: layers are compared per example; bytes at once are "
        "of a whole batch, and cannot be"
    )


def titles(found: Difference) -> tuple[str, str]:
    """The names of the two, before and after; told apart where they are the same."""
    before, after = found.before.name, found.after.name
    return (f"{before} (before)" if before == after else before), after


def move(figures: Sequence[int]) -> str:
    """A figure before and after.

    >>> move((1200, 7)), move((7,))
    ('1,200 → 7', '7')
    """
    return " → ".join(f"{figure:,}" for figure in figures)


def _shown(rows: Sequence[Row]) -> Shown:
    first = rows[0]
    layers = [[layer for layer in (row.before, row.after) if layer is not None] for row in rows]
    names = [list(dict.fromkeys(_name(layer) for layer in pair)) for pair in layers]
    return Shown(
        first.change,
        tuple(spanned([of_row[side] for of_row in names]) for side in range(len(names[0]))),
        tuple(dict.fromkeys(layer.type for layer in layers[0])),
        tuple(dict.fromkeys(layer.params for layer in layers[0])),
        tuple(dict.fromkeys(macs for macs in first.macs if macs is not None)),
        len(rows),
    )


def _name(layer: Layer) -> str:
    return layer.name or "(model)"


def _runs(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Rows alike, apart so that the names of each part differ in one number (of each side), in as few parts as
    can be."""
    numbers = [
        [NUMBER.findall(name) for name in _shown([row]).names] for row in rows
    ]  # of each row, of each side
    best: list[list[Row]] = [[row] for row in rows]
    for places in product(*(range(len(side)) for side in numbers[0])):
        parts: dict[object, list[Row]] = {}
        for row, sides in zip(rows, numbers, strict=True):
            others = tuple(
                tuple(side[:place] + side[place + 1 :])
                for side, place in zip(sides, places, strict=True)
            )
            parts.setdefault(others, []).append(row)
        if len(parts) < len(best):
            best = list(parts.values())
    yield from best
