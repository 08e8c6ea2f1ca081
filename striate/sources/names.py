"""Names that were not found, and the ones that were probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher


def by_likeness(name: str, options: Iterable[str]) -> list[str]:
    """All options, the one most like `name` first.

    >>> by_likeness("lenet", ["mlp", "lenet5", "digits"])[0]
    'lenet5'
    """
    wanted = name.lower()

    def unlike(option: str) -> tuple[float, str]:
        return (-SequenceMatcher(None, wanted, option.lower()).ratio(), option)

    return sorted(options, key=unlike)


def nearest(name: str, options: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The option most like `name`, or None where none is like it.

    >>> nearest("conv_1.weight", ["conv1.weight", "fc.bias"])
    'conv1.weight'
    """
    ordered = by_likeness(name, options)
    if ordered and SequenceMatcher(None, name.lower(), ordered[0].lower()).ratio() >= cutoff:
        return ordered[0]
    return None


def listing(values: Iterable[object], most: int = 5) -> str:
    """A few values in words: `a, b, c and 7 more`.

    >>> listing(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    texts = [str(value) for value in values]
    if len(texts) <= most:
        return ", ".join(texts)
    return f"{', '.join(texts[:most])} and {len(texts) - most:,} more"


def dimensions(shape: Iterable[int]) -> str:
    """A shape as people write it.

    >>> dimensions((3, 32, 32))
    '3x32x32'
    """
    return "x".join(str(size) for size in shape)
