"""The result of a job in a panel on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

Document = Mapping[str, Any]


def shrink_panel(result: Document, run: Path) -> RenderableType:
    """Before, after, ratio, intervals, the paired test, where the files are and how to load them."""
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
    titles = {
        "done": "Shrunk",
        "already-met": "The budget is met already: the network is unchanged",
        "unreachable": "The budget cannot be reached",
        "interrupted": "Interrupted",
    }
    return Panel(Group(table, *lines), title=titles[result["status"]], expand=False)


def evaluate_line(result: Document) -> str:
    """An evaluation in a line.

    >>> evaluate_line({"accuracy": 0.95, "loss": 0.2, "examples": 100, "metric": {"interval": [0.9, 0.98]}})
    'accuracy 95.00 % (90.00 to 98.00) of 100 images, loss 0.2000'
    """
    return (
        f"accuracy {_accuracy(result)} of {result['examples']:,} images, loss {result['loss']:.4f}"
    )


def _rows(result: Document) -> Iterator[tuple[str, str, str, str]]:
    before, after = result["baseline"], result["shrunk"] or {}
    for key, label in (
        ("params", "parameters"),
        ("macs", "multiply-accumulates"),
        ("weight_bytes", "bytes of weights"),
    ):
        old, new = before[key], after.get(key)
        if new is None:
            yield label, f"{old:,}", "", ""
        else:
            yield label, f"{old:,}", f"{new:,}", f"{100 * new / max(1, old):.2f} %"
    if before["accuracy"] is not None:
        change = 100 * (after["accuracy"] - before["accuracy"])
        yield (
            f"test accuracy ({before['examples']:,} images)",
            _accuracy(before),
            _accuracy(after),
            f"{change:+.2f} points",
        )
    old, new = before.get("validation"), after.get("validation")
    if old and new and old["metric"] and new["metric"]:
        name = new["metric"]["name"]
        yield (
            f"validation {name} ({new['examples']:,} images)",
            f"{100 * old['metric']['value']:.2f} %",
            f"{100 * new['metric']['value']:.2f} %",
            f"{100 * (new['metric']['value'] - old['metric']['value']):+.2f} points",
        )
    latency = result["latency"]
    if latency:
        yield (
            f"ms for {latency['batch']} image, {latency['threads']} threads",
            f"{latency['before_ms']:.3f}",
            f"{latency['after_ms']:.3f}",
            f"{latency['ratio']:.2f}× as fast",
        )


def _lines(result: Document, run: Path) -> Iterator[str]:
    test = result["test"]
    if test is not None:
        yield (
            f"McNemar's exact test: {test['only_before_right']} images only the original gets right, "
            f"{test['only_after_right']} only the result, p = {test['mcnemar_p']:.3g}"
        )
    for note in result["notes"]:
        yield f"Note: {note}"
    files = result["files"]
    if files is None:
        return
    for kind, reason in files["reasons"].items():
        yield f"No {kind}: {reason}"
    yield f"Report: {run / 'report.html'}"
    yield f"Load it: striate.load({str(run)!r})"


def _accuracy(score: Document) -> str:
    low, high = score["metric"]["interval"]
    return f"{100 * score['accuracy']:.2f} % ({100 * low:.2f} to {100 * high:.2f})"
