"""`striate count`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from striate.cli.combinations import check
from striate.cli.faults import logged
from striate.cli.groups import given, spread
from striate.cli.options import CommonOptions, ModelArg
from striate.cli.output import complain, results
from striate.cli.words import pairs
from striate.errors import RequestError


@dataclass(frozen=True)
class CountOptions:
    """What is counted, judged and shown, and how."""

    input_: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="SHAPE",
            help="1x3x224x224; NAME=... for a keyword; :int64 for a type.",
        ),
    ] = None
    model_arg: ModelArg = None
    batch_dim: Annotated[
        str, typer.Option(metavar="0|none", help="none: the inputs have no batch.")
    ] = "0"
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="table|json|csv|md|html|github",
            help="How to print the ledger; github: annotations.",
        ),
    ] = "table"
    budget: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LIMIT", help="A gate: 200k, macs=30M, bytes=500KB, peak=1MB ...; repeatable."
        ),
    ] = None
    against: Annotated[
        str | None,
        typer.Option(
            metavar="OTHER",
            help="Compare with a model, a saved ledger (.json), or one in git (REVISION:FILE.json).",
        ),
    ] = None
    max_growth: Annotated[
        str | None,
        typer.Option(metavar="N%", help="A gate: how much larger than --against it may be."),
    ] = None
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Let gates pass that could not be judged.")
    ] = False
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Of the models in pyproject.toml; repeatable."),
    ] = None
    depth: Annotated[
        int | None,
        typer.Option(metavar="N", help="Modules to this depth of names, what is below in one row."),
    ] = None
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Rows with the most first: params, macs, activation, elementwise, saved.",
        ),
    ] = None
    filter_: Annotated[
        str | None,
        typer.Option(
            "--filter", metavar="PATTERN", help="Rows whose name or kind is like it: 'Conv*'."
        ),
    ] = None
    unfold: Annotated[
        bool, typer.Option("--unfold", help="Show repeated blocks each, not once.")
    ] = False
    ideas: Annotated[
        bool, typer.Option("--ideas", help="Also what each layer would weigh without the ideas.")
    ] = False
    elementwise: Annotated[
        bool, typer.Option("--elementwise", help="Also the work that is no contraction.")
    ] = False
    training: Annotated[
        bool, typer.Option("--training", help="Also the bytes kept for a backward pass.")
    ] = False
    sites: Annotated[
        bool,
        typer.Option(
            "--sites",
            help="Say what shrink could make smaller, how far, and whether it is worth it.",
        ),
    ] = False
    probe: Annotated[
        bool,
        typer.Option("--probe", help="Check the receptive fields on a real run, by gradients."),
    ] = False


@spread
def count(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="zoo:NAME, package.module:factory, file.py:factory, a run directory, .onnx or .pt2; "
            "without it, all that pyproject.toml lists.",
        ),
    ] = None,
    *,
    options: CountOptions,
    common: CommonOptions,
) -> int:
    """Say where a network's weights, work and memory go, layer by layer, and what each idea saved.

    Example: striate count zoo:article
    """
    form = "json" if common.json_ else options.format_
    try:
        check(model, given(options, common))
        code, lines = (
            _listed(options, form, common.quiet)
            if model is None
            else _named(model, options, form, common.quiet)
        )
    except RequestError as error:
        if form == "github":
            _annotate(model, error)
        raise
    for line in lines:
        complain(f"striate count: {line}")
    return code


def _annotate(model: str | None, wrong: RequestError) -> None:
    from striate.ledger.render import workflow

    with results(True) as out:
        out.print(workflow.error(model or "", " ".join(str(wrong).split())))


def _asked(options: CountOptions) -> Mapping[str, Any]:
    """What is asked of a network besides its ledger, and what of it is shown."""
    from striate.ledger.render.table import More
    from striate.ledger.view import View

    return {
        "training": options.training,
        "view": View(options.depth, options.sort, options.filter_, not options.unfold),
        "more": More(options.elementwise, options.ideas),
        "sites": options.sites,
        "probe": options.probe,
    }


def _named(model: str, options: CountOptions, form: str, quiet: bool) -> tuple[int, Sequence[str]]:
    from striate.jobs.count import CountRequest, count_named, exit_code, faults, shown, tables

    request = CountRequest(
        model=model,
        inputs=tuple(options.input_ or ()),
        model_args=pairs(options.model_arg),
        batched=options.batch_dim == "0",
        budget=tuple(options.budget or ()),
        against=options.against,
        max_growth=options.max_growth,
        **_asked(options),
    )
    with results(form != "table") as out:
        counted = count_named(request)
        if form != "table":
            out.print(shown(counted, form), as_json=form == "json")
        elif not quiet:
            out.print(tables(counted, out.width))
    code, lines = exit_code(counted, options.allow_partial)
    return code, [*faults(counted), *lines]


def _listed(options: CountOptions, form: str, quiet: bool) -> tuple[int, Sequence[str]]:
    from striate.jobs.count_listed import count_listed, exit_code_of, shown_all, tables_of

    with results(form != "table") as out:
        outcomes = count_listed(options.only or (), **_asked(options))
        if form != "table":
            out.print(shown_all(outcomes, form), as_json=form == "json")
        elif not quiet and (len(outcomes) > 1 or outcomes[0].counted is not None):
            out.print(tables_of(outcomes, out.width))
    code, lines = exit_code_of(outcomes, options.allow_partial)
    faults = [
        f"{one.listed.name}: a fault of striate: {logged(one.fault)}"
        for one in outcomes
        if one.fault is not None
    ]
    return code, [*lines, *faults]
