"""The result of a job in a panel on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.report import words
from striate.report.documents import Node
from striate.report.speed import Speed, speed

if TYPE_CHECKING:
    from rich.console import RenderableType

Document = Mapping[str, Any]


def shrink_panel(result: Document, run: Path, explainer: Path | None = None) -> RenderableType:
    """Before, after, ratio, intervals, the paired test, where the files are and how to load them.

    `explainer` is where the page about the three ideas was written, if it was.
    """
    from rich import box
    from rich.console import Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for heading in ("before", "after", "ratio"):
        table.add_column(heading, justify="right")
    for row in _rows(result):
        table.add_row(*row)
    lines = [Text(line) for line in _lines(result, run)]
    if explainer is not None:
        lines.append(Text(f"Why it can be so small, a page to play with: {explainer}"))
    titles = {
        "done": "Shrunk",
        "already-met": "The budget is met already: the network is unchanged",
        "unreachable": "The budget cannot be reached",
        "interrupted": "Interrupted",
    }
    return Panel(Group(table, *lines), title=titles[result["status"]], expand=False)


def evaluate_line(result: Document) -> str:
    """An evaluation in a line.

    >>> score = {"accuracy": 0.95, "loss": 0.2, "examples": 100, "metric": {"interval": [0.9, 0.98]}}
    >>> evaluate_line(score)
    'accuracy 95.00 % (90.00 to 98.00) of 100 images, loss 0.2000'
    """
    return (
        f"accuracy {_percent(result['accuracy'])} ({_interval(result)}) of {result['examples']:,} images, "
        f"loss {result['loss']:.4f}"
    )


def _rows(result: Document) -> Iterator[tuple[str, str, str, str]]:
    before, after = result["baseline"], result["shrunk"] or {}
    for key, label in (
        ("params", "parameters"),
        ("macs", "MACs an image"),
        ("weight_bytes", "bytes of weights"),
    ):
        old, new = before[key], after.get(key)
        if new is None:
            yield label, f"{old:,}", "", ""
        else:
            yield label, f"{old:,}", f"{new:,}", _percent(new / max(1, old))
    yield from _scores("test", before, after)
    yield from _scores("validation", before.get("validation"), after.get("validation"))
    timed = _speed(result)
    if timed:
        for row in timed.rows:
            before_ms, after_ms = words.figure(row.before), words.figure(row.after)
            yield f"ms for {row.images}", before_ms, after_ms, row.quotient


def _speed(result: Document) -> Speed | None:
    return speed(Node("result.json", result).node("latency"))


def _scores(
    rows: str, before: Document | None, after: Document | None
) -> Iterator[tuple[str, str, str, str]]:
    if not before or not after or not before["metric"] or not after["metric"]:
        return
    old, new = before["metric"]["value"], after["metric"]["value"]
    change = f"{100 * (new - old):+.2f} points"
    yield f"{rows} {after['metric']['name']}", _percent(old), _percent(new), change
    yield f"  95 % of {after['examples']:,} images", _interval(before), _interval(after), ""


def _lines(result: Document, run: Path) -> Iterator[str]:
    test = result["test"]
    if test is not None:
        yield (
            f"McNemar's exact test: {test['only_before_right']} images only the original gets right, "
            f"{test['only_after_right']} only the result, p {_probability(test['mcnemar_p'])}"
        )
    timed = _speed(result)
    if timed is not None:
        yield f"The result {', and '.join(timed.findings)}. {timed.how}"
        for name, sentence in timed.layers.items():
            yield f"{name}: {sentence}"
    for note in result["notes"]:
        yield f"Note: {note}"
    files = result["files"]
    if files is None:
        return
    for kind, reason in files["reasons"].items():
        yield f"No {kind}: {reason}"
    yield f"Report: {run / 'report.html'}"
    yield from _loading(result, str(run))


def _loading(result: Document, run: str) -> Iterator[str]:
    """How to load the network; only one of striate's own is built again without being named."""
    model = result["model"]
    if model.startswith("zoo:"):
        yield f"Load it, trainable: striate.load({run!r})"
        return
    yield f"Load it, trainable: striate.load({run!r}, source={model!r})"
    if result["files"].get("program"):
        yield f"Load it, for inference only: striate.load({run!r})"


def _probability(p: float) -> str:
    """
    >>> _probability(0.71223), _probability(0.0)
    ('= 0.712', '< 1e-300')
    """
    return "< 1e-300" if p == 0 else f"= {p:.3g}"  # zero: too small for a float


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"


def _interval(score: Document) -> str:
    low, high = score["metric"]["interval"]
    return f"{100 * low:.2f} to {100 * high:.2f}"
