"""The report of a run: `report.html`, one file that needs nothing but a browser.

Made from the files of the run directory and nothing else, so it can be made again at any time. Every text from
outside (class, file and layer names) is escaped by the template engine; the page allows no script at all.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import markupsafe

from striate.ledger.render import page
from striate.report import charts, documents, words
from striate.report.scores import Finalist, Score, Stage
from striate.report.view import view


def build(run_dir: Path) -> str:
    """The page of the run in `run_dir`, as HTML. Works for a run that is not finished, too.

    Raises `RequestError` if the directory is no run or a file in it is not what it should be, and `MissingExtra`
    if what draws the charts is not installed.
    """
    data = view(documents.read(run_dir))
    return _render(
        "run.html",
        **data,
        quoted=shlex.quote(data["name"]),
        stage_charts=_stage_charts(data["stages"]),
        frontier_charts=_frontier_charts(data["finalists"], data["stages"]),
    )


def _stage_charts(stages: Sequence[Stage]) -> list[tuple[str, str]]:
    scored = [(stage, stage.score) for stage in stages if stage.score is not None]
    if len(scored) < 2:
        return []
    marks = [score.mark(stage.label, stage.final) for stage, score in scored]
    return _drawn(lambda *rest: charts.stages(marks, *rest), scored[0][1])


def _frontier_charts(
    finalists: Sequence[Finalist], stages: Sequence[Stage]
) -> list[tuple[str, str]]:
    scored = [(f, f.score) for f in finalists if f.score is not None and f.params]
    if not scored:
        return []
    marks = [score.mark(str(f.number), f.chosen, f.params) for f, score in scored]
    first = scored[0][1]
    original = next((s.score for s in stages if s.label == "original"), None)
    line = original.mark("original", False) if original and original.name == first.name else None
    return _drawn(lambda *rest: charts.frontier(marks, line, *rest), first)


def _drawn(draw: Callable[[str, bool, int], str], of: Score) -> list[tuple[str, str]]:
    """A chart for wide screens and paper, and one for narrow screens: (name, SVG)."""
    return [
        (kind, draw(f"{of.name} on validation images", of.is_fraction, width))
        for kind, width in (("wide", charts.WIDE), ("narrow", charts.NARROW))
    ]


def _render(template: str, **values: Any) -> str:
    environment = page.environment("striate.report")
    for name in ("count", "figure", "size", "quantity", "metric", "unit", "title", "number"):
        environment.filters[name] = getattr(words, name)
    environment.globals.update(
        times=words.times,
        part=words.part,
        change=words.change,
        idea=words.idea,
    )
    # The charts are drawn by us from numbers and short labels that the drawing library escapes.
    environment.filters["drawing"] = markupsafe.Markup
    return environment.get_template(template).render(**values)
