"""How fast the smaller network is beside the original: `latency` of a result.json in words.

A run of an older striate has only medians there; then no spread is claimed.
"""

from __future__ import annotations

from dataclasses import dataclass

from striate.report import words
from striate.report.documents import Node


@dataclass(frozen=True)
class Row:
    """Medians in milliseconds at one batch size, and what their ratio says, for a table."""

    batch: int
    before: float
    after: float
    ratio: str

    @property
    def quotient(self) -> str:
        return f"{self.before / self.after:.2f}× as fast"

    @property
    def images(self) -> str:
        return _images(self.batch)


@dataclass(frozen=True)
class Speed:
    """A row and a finding, as a predicate ("answers …"), for each batch size, one image first; how it was measured,
    in sentences; and a sentence for each changed layer, by its name."""

    rows: tuple[Row, ...]
    findings: tuple[str, ...]
    how: str
    layers: dict[str, str]


def speed(latency: Node | None) -> Speed | None:
    """What a result says of speed; None where it was not measured."""
    row = _row(latency)
    if latency is None or row is None:
        return None
    rows = [row]
    larger = _row(latency.node("larger"))
    if larger is not None:
        rows.append(larger)
    layers = dict(map(_layer, latency.nodes("layers")))
    return Speed(tuple(rows), tuple(map(_finding, rows)), _how(latency), layers)


def comparison(ratio: float, low: float | None = None, high: float | None = None) -> str:
    """A ratio before / after in words, with its spread.

    >>> comparison(3.12, 2.9, 3.4), comparison(0.5, 0.48, 0.52), comparison(1.01, 0.97, 1.04)
    ('3.1 times as fast (2.9–3.4)', 'takes 2.0 times as long (1.9–2.1)', 'about as fast (0.97–1.04 times)')
    >>> comparison(25.4)
    '25 times as fast'
    """
    ends = [value for value in (low, high) if value]
    if len(ends) == 2 and ends[0] <= 1 <= ends[1]:
        return f"about as fast ({ends[0]:.2f}–{ends[1]:.2f} times)"
    slower = ratio < 1
    middle, *ends = (1 / value if slower else value for value in (ratio, *ends))
    digits = 0 if middle >= 9.95 else 1 if middle >= 1.95 else 2
    text = f"{middle:,.{digits}f} times as {'long' if slower else 'fast'}"
    if ends:
        text += f" ({'–'.join(f'{value:,.{digits}f}' for value in sorted(ends))})"
    return f"takes {text}" if slower else text


def _images(batch: int) -> str:
    return "one image" if batch == 1 else f"{words.count(batch)} images"


def _spread(pair: Node) -> tuple[float | None, float | None]:
    ends = pair.numbers("middle_half")
    return (ends[0], ends[1]) if len(ends) == 2 else (None, None)


def _row(pair: Node | None) -> Row | None:
    if pair is None:
        return None
    before, after = pair.number("before_ms"), pair.number("after_ms")
    if not before or not after:
        return None
    return Row(pair.integer("batch") or 1, before, after, _compared(pair))


def _compared(pair: Node) -> str:
    before, after = pair.number("before_ms") or 0.0, pair.number("after_ms") or 0.0
    low, high = _spread(pair)
    measured = pair.number("ratio") if low is not None else None
    return comparison(measured or before / after, low, high)


def _finding(row: Row) -> str:
    """
    >>> _finding(Row(1, 3.1, 1.0, comparison(3.1, 2.9, 3.4)))
    'answers one image 3.1 times as fast (2.9–3.4)'
    >>> _finding(Row(32, 1.0, 2.0, comparison(0.5, 0.48, 0.52)))
    'takes 2.0 times as long for 32 images (1.9–2.1)'
    """
    if row.ratio.startswith("takes "):
        long, _, spread = row.ratio.partition("(")
        return f"{long}for {row.images}" + (f" ({spread}" if spread else "")
    return f"answers {row.images} {row.ratio}"


def _how(latency: Node) -> str:
    """How it was measured, in sentences."""
    threads, turns = latency.integer("threads"), latency.integer("turns")
    where = [latency.text("device"), latency.text("dtype")]
    if threads:
        where.insert(1, f"{threads} thread{'s' if threads > 1 else ''}")
    text = f"Timed in turns in one process ({', '.join(part for part in where if part)})"
    if latency.raw("middle_half") is not None:
        text += f", {words.count(turns)} of them for one image; brackets hold the middle half of the ratios"
    backend = latency.text("backend")
    if backend is not None:
        text += f". Local layers: {backend}"
    return f"{text}."


def _layer(pair: Node) -> tuple[str, str]:
    """
    >>> pair = {"name": "hidden", "before_ms": 0.12, "after_ms": 0.24, "ratio": 0.5, "middle_half": [0.4, 0.6]}
    >>> _layer(Node("result.json", pair))[1]
    'For one image it takes 2.0 times as long (1.7–2.5): 0.12 ms before, 0.24 ms after.'
    """
    row, name = _row(pair), pair.text("name") or ""
    if row is None:
        return name, ""
    what = row.ratio if row.ratio.startswith("takes") else f"is {row.ratio}"
    return name, (
        f"For one image it {what}: {words.figure(row.before)} ms before, "
        f"{words.figure(row.after)} ms after."
    )
