"""How sure an accuracy is, and whether two differ: intervals and a paired test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Right = npt.NDArray[np.bool_]


def wilson(right: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """The score interval of Wilson (1927) for a proportion: `right` of `count`, as fractions.

    Unlike the normal interval it stays inside [0, 1] and is not empty at 0 or `count` right.

    >>> low, high = wilson(95, 100)
    >>> round(low, 4), round(high, 4)
    (0.8882, 0.9785)
    """
    from scipy.stats import binomtest  # slow to import, and most commands never ask for an interval

    if not 0 <= right <= count or count < 1:
        raise ValueError(
            f"wilson: right={right} of count={count}; expected 0 <= right <= count, count >= 1"
        )
    interval = binomtest(int(right), int(count)).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def mcnemar_exact(only_before: int, only_after: int) -> float:
    """The two-sided exact p-value of McNemar's test (1947) from the counts of discordant pairs.

    Under the null hypothesis an example that only one of the two gets right is as likely to be the
    one's as the other's: `only_before` is binomial, of `only_before + only_after` trials at 1/2.

    >>> mcnemar_exact(0, 0), mcnemar_exact(5, 5), mcnemar_exact(0, 10)
    (1.0, 1.0, 0.001953125)
    """
    from scipy.stats import binomtest

    if only_before < 0 or only_after < 0:
        raise ValueError(
            f"mcnemar_exact: counts {only_before} and {only_after} must not be negative"
        )
    if only_before + only_after == 0:
        return 1.0
    return float(binomtest(int(only_before), int(only_before + only_after)).pvalue)


@dataclass(frozen=True)
class Paired:
    """Two networks on the same examples: where only one of them is right, and McNemar's p-value."""

    only_before_right: int
    only_after_right: int
    mcnemar_p: float


def paired(before: Right, after: Right) -> Paired:
    """Compare two networks example by example: who was right on example i is in place i.

    >>> paired(np.array([True, True, False]), np.array([True, False, False]))
    Paired(only_before_right=1, only_after_right=0, mcnemar_p=1.0)
    """
    if before.shape != after.shape:
        raise ValueError(
            f"paired: {before.shape} and {after.shape} answers; both need the same examples"
        )
    only_before = int(np.count_nonzero(before & ~after))
    only_after = int(np.count_nonzero(after & ~before))
    return Paired(only_before, only_after, mcnemar_exact(only_before, only_after))
