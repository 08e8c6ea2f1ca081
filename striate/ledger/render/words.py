"""What the totals are called, and what became of them and of limits, in words."""

from __future__ import annotations

from collections.abc import Mapping

from striate.ledger.gates import Gate

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


def verdict(gate: Gate) -> str:
    """One line about a limit.

    >>> verdict(Gate("params", 100, 200, False))
    'params: 200 does not meet the limit of 100'
    """
    if gate.value is None or gate.met is None:
        return f"{gate.metric}: cannot be judged against the limit of {gate.limit:,}"
    word = "meets" if gate.met else "does not meet"
    return f"{gate.metric}: {gate.value:,} {word} the limit of {gate.limit:,}"
