"""Bars on a log scale, for integers of any size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, log10


@dataclass(frozen=True, slots=True)
class Scale:
    """From 1 to `largest`, in powers of ten."""

    decades: int

    @classmethod
    def up_to(cls, values: Iterable[int]) -> Scale:
        """The scale on which all of `values` have room.

        >>> Scale.up_to([156, 10**12]), Scale.up_to([])
        (Scale(decades=12), Scale(decades=1))
        """
        # log10 rounds: 10**15 + 1 has to have room on a scale of sixteen.
        largest = max(values, default=1)
        found = max(1, ceil(log10(max(1, largest))))
        return cls(found + (10**found < largest))

    def part(self, value: int) -> float:
        """How long the bar of `value` is, from 0 to 1; nothing below 1 has a length.

        >>> Scale(12).part(10**9), Scale(12).part(1), Scale(12).part(0)
        (0.75, 0.0, 0.0)
        """
        return log10(value) / self.decades if value > 1 else 0.0

    def ticks(self, most: int = 5) -> list[int]:
        """Exponents that divide the scale evenly, 0 first.

        >>> Scale(12).ticks(), Scale(7).ticks(), Scale(2).ticks()
        ([0, 3, 6, 9, 12], [0, 2, 4, 6], [0, 1, 2])
        """
        step = ceil(self.decades / (most - 1))
        return list(range(0, self.decades + 1, step))
