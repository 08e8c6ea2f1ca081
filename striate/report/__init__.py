"""Pages for people: the report of a run, one self-contained HTML file made from its run directory alone."""

from striate.report.run_page import build

__all__ = ["build"]
