"""`striate report`: the page of a run, made again from its files."""

from __future__ import annotations

from pathlib import Path

from striate.report import build
from striate.runs import Run

PAGE = "report.html"


def rebuild(directory: Path) -> Path:
    """Write the `report.html` of the run in `directory`, whole; raises `RequestError` where it is none or in use."""
    page = build(directory)
    with Run.resume(directory) as run:
        return write_page(run, page)


def write_page(run: Run, page: str | None = None) -> Path:
    """Write the page of a run that this process holds."""
    return run.write_bytes(PAGE, (build(run.path) if page is None else page).encode())
