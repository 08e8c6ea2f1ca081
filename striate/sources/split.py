"""Which rows train, validate and test: integers only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from striate.errors import RequestError

Rows = npt.NDArray[np.int64]


def parse_split(text: str, option: str = "--split") -> tuple[float, ...]:
    """`80/10/10` (train, validation, test) or `80/20` (train, test) as fractions.

    >>> parse_split("80/10/10")
    (0.8, 0.1, 0.1)
    """
    expected = "expected train/validation/test or train/test in percent, such as 80/10/10"
    try:
        parts = [float(part) for part in text.split("/")]
    except ValueError:
        raise RequestError(f"{option} {text}: {expected}") from None
    if len(parts) not in (2, 3) or not all(0 < part < 100 for part in parts):
        raise RequestError(f"{option} {text}: {expected}")
    if abs(sum(parts) - 100) > 1e-6:
        raise RequestError(
            f"{option} {text}: the parts add up to {sum(parts):g}, not 100; {expected}"
        )
    return tuple(part / 100 for part in parts)


def validation_count(rows: int) -> int:
    """How many of `rows` training rows are held out: 10 %, at least 200, at most 5,000, never over a third.

    >>> validation_count(60_000), validation_count(1_200), validation_count(300)
    (5000, 200, 100)
    """
    return min(max(-(-rows // 10), 200), 5_000, rows // 3)


def draw(labels: Rows | None, rows: Rows, count: int, seed: int) -> tuple[Rows, Rows]:
    """Divide `rows` into the rest and `count` drawn ones, both in ascending order.

    With `labels` (one per row of the whole array) each class gives its share, to the nearest row (largest
    remainder), but never its last row. The same arguments always give the same rows.

    >>> rest, drawn = draw(np.array([0, 0, 0, 0, 1, 1]), np.arange(6), 3, seed=0)
    >>> len(rest), np.array([0, 0, 0, 0, 1, 1])[drawn].tolist()
    (3, [0, 0, 1])
    """
    generator = np.random.default_rng(seed)
    if labels is None:
        order = generator.permutation(len(rows))
        return np.sort(rows[order[count:]]), np.sort(rows[order[:count]])
    classes, member, sizes = np.unique(labels[rows], return_inverse=True, return_counts=True)
    share = _apportion(sizes, min(count, int((sizes - 1).sum())))
    taken = np.zeros(len(rows), dtype=bool)
    for place in range(len(classes)):
        of_class = np.flatnonzero(member == place)
        taken[generator.permutation(of_class)[: share[place]]] = True
    return np.sort(rows[~taken]), np.sort(rows[taken])


def _apportion(sizes: Rows, count: int) -> Rows:
    """`count` seats by `sizes`, largest remainder first, at most `size - 1` each."""
    exact = count * sizes / max(int(sizes.sum()), 1)
    seats = np.minimum(np.floor(exact).astype(np.int64), sizes - 1)
    order = np.argsort(seats - exact, kind="stable")
    while seats.sum() < count:
        for place in order:
            if seats.sum() < count and seats[place] < sizes[place] - 1:
                seats[place] += 1
    return seats
