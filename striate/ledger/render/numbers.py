"""Numbers as people read them."""

from __future__ import annotations

_SUFFIXES = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))


def short(value: int) -> str:
    """Three figures and a suffix, powers of 1000.

    >>> short(814_090), short(999), short(10**15)
    ('814k', '999', '1,000T')
    """
    for size, suffix in _SUFFIXES:
        if value >= size:
            scaled = value / size
            digits = 2 if scaled < 10 else 1 if scaled < 100 else 0
            return f"{scaled:,.{digits}f}".removesuffix(".00").removesuffix(".0") + suffix
    return str(value)


def factor(value: int | float | None) -> str:
    """How many times: exact where whole, else three figures.

    >>> factor(10_000), factor(13.513), factor(1.0), factor(None)
    ('10,000', '13.5', '1', '')
    """
    if value is None:
        return ""
    if float(value).is_integer():
        return f"{int(value):,}"
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{digits}f}"


def times(value: int | float | None) -> str:
    """By how much an idea divides.

    >>> times(10_000), times(None)
    ('÷10,000', '')
    """
    return "" if value is None else f"÷{factor(value)}"


def power(value: int) -> str:
    """A count written out, and as a power of ten where it is one from a million on.

    >>> power(10**12), power(1234567)
    ('1,000,000,000,000 (10^12)', '1,234,567')
    """
    raised = power_of_ten(value)
    return f"{value:,} ({raised})" if raised else f"{value:,}"


def power_of_ten(value: int) -> str:
    """How a count is written as a power of ten, where it is one from a million on.

    >>> power_of_ten(10**12), power_of_ten(100), power_of_ten(2 * 10**6)
    ('10^12', '', '')
    """
    digits = str(value)
    return f"10^{len(digits) - 1}" if value >= 10**6 and digits.rstrip("0") == "1" else ""


def shape(sizes: tuple[int, ...] | None) -> str:
    """Sizes with crosses between.

    >>> shape((1, 6, 28, 28)), shape(None)
    ('1×6×28×28', '')
    """
    return "" if sizes is None else "×".join(map(str, sizes))
