"""What became of totals, of layers and of limits, in words."""

from __future__ import annotations

from striate.ledger.gates import Gate


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


def verdict(gate: Gate, *, of_growth: bool = False) -> str:
    """One line about a limit, and whether it is one of growth.

    >>> verdict(Gate("params", 100, 200, False)), verdict(Gate("receptive_field", 64, 65, True))
    ('params: 200 does not meet the limit of 100', 'receptive_field: 65 meets the limit of at least 64')
    """
    least = "at least " if gate.metric == "receptive_field" else ""
    limit = f"limit of {least}{gate.limit:,}{' (growth)' if of_growth else ''}"
    if gate.value is None or gate.met is None:
        return f"{gate.metric}: cannot be judged against the {limit}"
    word = "meets" if gate.met else "does not meet"
    return f"{gate.metric}: {gate.value:,} {word} the {limit}"
