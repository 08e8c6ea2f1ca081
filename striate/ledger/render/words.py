"""What the totals are called, and what became of them and of limits, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from striate.ledger.compare import Difference, Row
from striate.ledger.gates import Gate
from striate.ledger.rows import Layer

TOTAL_NAMES: Mapping[str, str] = {
    "params": "parameters",
    "macs_per_example": "MACs of an example",
    "weight_bytes": "bytes of weights",
    "activation_bytes": "bytes of activations",
    "peak_activation_bytes": "of those at once",
    "connections": "connections",
}


def growth(before: int, after: int) -> str:
    """By how much, in percent of what it was.

    >>> growth(200, 150), growth(200, 200), growth(3, 4), growth(0, 4), growth(10**6, 10**6 + 1)
    ('−25 %', 'the same', '+33 %', 'new', '+0.0001 %')
    """
    if before == after:
        return "the same"
    if before == 0:
        return "new"
    percent = 100 * (after - before) / before
    digits = 0
    while digits < 6 and abs(percent) * 10**digits < 1:
        digits += 1
    return f"{percent:+.{digits}f} %".replace("-", "−")


def move(row: Row, of: Callable[[Layer], str]) -> str:
    """What `of` says of a layer before and after, once where it says the same."""
    said = dict.fromkeys(of(layer) for layer in (row.before, row.after) if layer is not None)
    return " → ".join(said)


def unchanged(found: Difference) -> str:
    """How many layers are the same."""
    same = len(found.rows) - len(found.changed)
    return f"{same} {'layer' if same == 1 else 'layers'} unchanged"


def verdict(gate: Gate) -> str:
    """One line about a limit.

    >>> verdict(Gate("params", 100, 200, False))
    'params: 200 does not meet the limit of 100'
    """
    if gate.value is None or gate.met is None:
        return f"{gate.metric}: cannot be judged against the limit of {gate.limit:,}"
    word = "meets" if gate.met else "does not meet"
    return f"{gate.metric}: {gate.value:,} {word} the limit of {gate.limit:,}"
