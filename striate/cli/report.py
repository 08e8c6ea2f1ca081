"""`striate report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from striate.cli.exits import OK
from striate.cli.groups import spread
from striate.cli.options import CommonOptions
from striate.cli.output import results
from striate.version import __version__


@spread
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run directory.")],
    common: CommonOptions,
) -> int:
    """Make a run's report.html again.

    Example: striate report run
    """
    from striate.jobs.report import rebuild

    with results(common.json_) as out:
        path = str(rebuild(run))
        if common.json_:
            made = {"schema": "striate.report/1", "striate": __version__, "report": path}
            out.print(json.dumps(made))
        elif not common.quiet:
            out.print(path)
    return OK
