"""`striate doctor`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from striate.cli.exits import FAULT, OK
from striate.cli.groups import spread
from striate.cli.options import CommonOptions
from striate.cli.output import complain, results
from striate.errors import RequestError


@spread
def doctor(
    *,
    format_: Annotated[
        str, typer.Option("--format", metavar="table|json", help="How to print what was found.")
    ] = "table",
    common: CommonOptions,
) -> int:
    """Say what is installed, what computes local layers and why, how fast, and what is missing.

    Example: striate doctor
    """
    if format_ not in ("table", "json"):
        raise RequestError(f"--format {format_}: expected table or json")
    from striate.doctor import examine, faults, render

    as_json = common.json_ or format_ == "json"
    with results(as_json) as out:
        document = examine()
        if as_json:
            out.print(json.dumps(document, indent=1))
        elif not common.quiet:
            out.print(render(document))
    lines = faults(document)
    for line in lines:
        complain(f"striate doctor: {line}")
    return FAULT if lines else OK
