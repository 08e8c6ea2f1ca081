"""Numbers as a reader wants them, and the sentences of the report that depend on numbers."""

from __future__ import annotations

import math

NONE = "–"
_UNITS = {
    "params": "weights",
    "macs": "multiply-accumulates per image",
    "weight_bytes": "bytes of stored weights",
    "flops": "floating-point operations per image",
    "activation_bytes": "bytes of activations",
    "peak_activation_bytes": "bytes of activations at the peak",
    "file_bytes": "bytes on disk",
}
_METRICS = {"params": "Weights", "macs": "MACs per image", "weight_bytes": "Stored size"}
_IDEAS = {
    "locality": "local connectivity",
    "sharing": "weight sharing",
    "pooling": "pooling",
    "low-rank": "low rank",
}


def count(value: float | None) -> str:
    """
    >>> count(814090)
    '814,090'
    """
    return NONE if value is None else f"{value:,.0f}"


def percent(fraction: float | None, digits: int = 2) -> str:
    """
    >>> percent(0.98514).split()
    ['98.51', '%']
    """
    if fraction is None or not math.isfinite(fraction):
        return NONE
    return f"{100 * fraction:.{digits}f}\N{NO-BREAK SPACE}%".replace("-", "\N{MINUS SIGN}")


def figure(value: float | None) -> str:
    """Three significant digits, without an exponent where people write none.

    >>> figure(0.012345), figure(1234.5), figure(0.0000021)
    ('0.0123', '1,234', '2.1e-06')
    """
    if value is None or not math.isfinite(value):
        return NONE
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}", 1) if value < 0 else f"{value:.3g}"


def part(after: float, before: float) -> str:
    """What is left, in percent, with enough digits to tell small shares apart.

    >>> [part(after, 814090).split()[0] for after in (63706, 2612, 814090)]
    ['7.8', '0.32', '100']
    """
    if before == 0:
        return NONE
    share = 100 * after / before
    digits = 0 if share >= 99.95 else 1 if share >= 1 else 2 if share >= 0.1 else 4
    return f"{share:.{digits}f}\N{NO-BREAK SPACE}%"


def times(before: float, after: float) -> str:
    """
    >>> times(814090, 63706), times(1.2, 1.0), times(90000, 3)
    ('12.8', '1.2', '30,000')
    """
    if after == 0:
        return NONE
    ratio = before / after
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.1f}"


def size(value: float | None) -> str:
    """Bytes, in powers of 1000 as everywhere in striate.

    >>> size(3256360).split(), size(312).split()
    (['3.26', 'MB'], ['312', 'B'])
    """
    if value is None:
        return NONE
    for power, unit in ((4, "TB"), (3, "GB"), (2, "MB"), (1, "kB")):
        if value >= 1000**power:
            return f"{value / 1000**power:.3g}\N{NO-BREAK SPACE}{unit}"
    return f"{value:.0f}\N{NO-BREAK SPACE}B"


def quantity(metric: str, value: float | None) -> str:
    return size(value) if metric.endswith("bytes") else count(value)


def duration(seconds: float | None) -> str:
    """
    >>> duration(8.24), duration(312), duration(7384)
    ('8.2 s', '5 min 12 s', '2 h 3 min')
    """
    if seconds is None:
        return NONE
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def metric(name: str) -> str:
    return _METRICS.get(name, title(name.replace("_", " ")))


def unit(name: str) -> str:
    return _UNITS.get(name, name.replace("_", " "))


def idea(name: str) -> str:
    return _IDEAS.get(name, name)


def title(text: str) -> str:
    """The first letter large, the others as they are.

    >>> title("agreement"), title("top-1 KL")
    ('Agreement', 'Top-1 KL')
    """
    return text[:1].upper() + text[1:]


def number(n: int) -> str:
    """
    >>> number(5), number(14)
    ('five', '14')
    """
    small = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    return small[n] if 0 <= n < len(small) else count(n)


def setting(value: object) -> str:
    """A value of a request in a few characters.

    >>> setting([0.13066, 0.3]), setting("grey"), setting([28, 28])
    ('0.1307, 0.3', 'grey', '28, 28')
    """
    if isinstance(value, list):
        return ", ".join(map(setting, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def change(before: float, after: float) -> str:
    """The difference of two fractions in points.

    >>> change(0.9857, 0.9851), change(0.75, 0.761)
    ('0.06 points below', '1.10 points above')
    """
    points = 100 * (after - before)
    if abs(points) < 0.005:
        return "level with"
    return f"{abs(points):.2f} points {'above' if points > 0 else 'below'}"


def probability(p: float) -> str:
    """
    >>> probability(0.5), probability(0.00002), probability(0.0)
    ('= 0.50', '< 0.001', '< 1e-300')
    """
    if p == 0:  # too small for a float
        return "< 1e-300"
    return "< 0.001" if p < 0.001 else f"= {p:.2g}" if p < 0.1 else f"= {p:.2f}"


def mcnemar(only_before: int, only_after: int, p: float, examples: int | None) -> str:
    """The exact McNemar test in words: what was counted, and what may be concluded from it.

    >>> mcnemar(0, 0, 1.0, 500)
    'On all 500 test images both networks are right or both are wrong, so there is nothing to tell them apart.'
    """
    differ = only_before + only_after
    images = f"the {count(examples)} test images" if examples else "the test images"
    if differ == 0:
        every = f"all {count(examples)} test images" if examples else "all test images"
        return f"On {every} both networks are right or both are wrong, so there is nothing to tell them apart."
    counted = (
        f"Of {images}, {_some(only_before)} right only with the original and "
        f"{count(only_after) if only_after else 'none'} only with the shrunk network."
    )
    test = f"exact McNemar test, p {probability(p)}"
    if p >= 0.05:
        chance = "nearly always" if p > 0.99 else f"in about {100 * p:.0f} of 100 such comparisons"
        return (
            f"{counted} Two equally good networks would differ at least this unevenly {chance} ({test}): "
            "these images do not tell the two apart."
        )
    better = "shrunk network" if only_after > only_before else "original"
    rarely = "fewer than 1" if 100 * p < 1 else f"about {100 * p:.0f}"
    return (
        f"{counted} Two equally good networks would differ this unevenly in {rarely} of 100 such comparisons "
        f"({test}): the {better} is better on images like these."
    )


def residual(value: float | None) -> str:
    """What a fitted layer leaves unexplained of the original's outputs at its place."""
    if value is None:
        return "How closely it follows the original layer was not measured."
    if value > 1:
        return (
            f"Its own outputs do not follow the original layer's (residual {figure(value)}); "
            "what comes after was fitted to make up for it."
        )
    return (
        f"On held-out images it reproduces {percent(1 - value, 1)} of the variation in the original layer's "
        f"outputs (residual {figure(value)})."
    )


def harm(value: float | None) -> str:
    """What one change alone does to the network's answers."""
    if value is None:
        return "Its effect on the network's answers was not measured on its own."
    # Rough words for a mean KL in nats; the number stands beside them.
    degree = (
        "hardly move" if value < 0.01 else "move a little" if value < 0.1 else "move clearly" if value < 0.5
        else "change strongly"
    )  # fmt: skip
    return f"With only this change, before training, the network's answers {degree} (harm {figure(value)})."


def _some(n: int) -> str:
    return "none is" if n == 0 else "1 is" if n == 1 else f"{count(n)} are"
