"""What rows of times say: paired ratios, their intervals, and whether ours is slower than a peer."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

#: Slower: the interval of ours / peer lies wholly above it.
SLOWER = 1.05

Times = Sequence[float | None]


@dataclass(frozen=True)
class Spread:
    """The median of some numbers, their middle half, and an interval of the median (95 %, without assumptions)."""

    median: float
    quartiles: tuple[float, float]
    interval: tuple[float, float]

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        """
        >>> Spread.of([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
        Spread(median=4.0, quartiles=(2.5, 5.5), interval=(1.0, 7.0))
        """
        if len(values) == 1:
            return Spread(values[0], (values[0],) * 2, (values[0],) * 2)
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return Spread(median, (low, high), sign_interval(values))


def sign_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """The interval of the median that a sign test gives: from the k-th least to the k-th largest value.

    Fewer than six values have no interval of 95 %: theirs is all of them.

    >>> sign_interval(range(20))
    (5, 14)
    """
    ordered, count = sorted(values), len(values)
    rank, below = 0, 1.0
    while rank + 1 <= count // 2 and 2 * below / 2**count <= 1 - confidence:
        rank += 1
        below += comb(count, rank)
    rank = max(rank, 1)
    return ordered[rank - 1], ordered[count - rank]


def paired(ours: Times, theirs: Times) -> list[float]:
    """Ours / theirs in each turn in which both ran."""
    pairs = zip(ours, theirs, strict=True)
    return [mine / other for mine, other in pairs if mine is not None and other is not None]


def over(times: Times, bound: float) -> Spread:
    """Times in units of the bound."""
    return Spread.of([one / bound for one in times if one is not None])


def against(row: dict[str, Any], ours: str, peers: Sequence[str]) -> dict[str, Spread]:
    """Ours / peer for each of the peers that ran."""
    times = row["times"]
    return {peer: Spread.of(paired(times[ours], times[peer])) for peer in peers if peer in times}


def slower_than(ratios: dict[str, Spread]) -> list[str]:
    return [peer for peer, ratio in ratios.items() if ratio.interval[0] > SLOWER]


def best(ratios: dict[str, Spread]) -> str | None:
    """The fastest peer: that with the largest ratio of ours to it."""
    return max(ratios, key=lambda peer: ratios[peer].median, default=None)
