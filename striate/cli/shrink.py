"""`striate shrink`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from striate.cli.exits import OK, UNMET, Interrupted
from striate.cli.groups import spread
from striate.cli.options import CommonOptions, Device, ModelOptions, PreprocessingOptions, Split
from striate.cli.output import progress, results
from striate.cli.words import command_line, pairs
from striate.errors import RequestError


def _directory(text: str) -> Path:
    if not text:
        raise typer.BadParameter("expected the name of a directory; without --out one is made")
    return Path(text)


@spread
def shrink(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="zoo:NAME, package.module:factory or path/to/file.py:factory."
        ),
    ],
    data: Annotated[
        str,
        typer.Option(
            metavar="DATA",
            help="digits, npz:FILE, idx:DIR, folder:DIR, images:DIR (no labels) or package.module:factory.",
        ),
    ],
    budget: Annotated[
        list[str],
        typer.Option(
            metavar="LIMIT", help="5%, 200k, macs=30M or bytes=500KB; repeatable, all must hold."
        ),
    ],
    *,
    epochs: Annotated[
        int, typer.Option(metavar="N", help="Epochs of fine-tuning in all; 0: none.")
    ] = 10,
    pretrain: Annotated[int, typer.Option(metavar="N", help="First train MODEL for N epochs.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The run directory; default: striate-run, or -2 ...",
            parser=_directory,
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run at --out.")] = False,
    seed: Annotated[int, typer.Option(metavar="N", help="Of all that is random.")] = 0,
    device: Device = "cpu",
    precision: Annotated[
        str, typer.Option(metavar="32-true|bf16-mixed", help="Arithmetic of training.")
    ] = "32-true",
    export: Annotated[
        str | None,
        typer.Option(metavar="onnx", help="Further files to write, besides the exported program."),
    ] = None,
    weights: ModelOptions,
    preprocessing: PreprocessingOptions,
    augment: Annotated[
        str,
        typer.Option(metavar="none|flip-crop|MODULE:FN", help="Variation of the training rows."),
    ] = "none",
    val: Annotated[str | None, typer.Option(metavar="DATA", help="The validation images.")] = None,
    split: Split = None,
    accept_baseline: Annotated[
        bool,
        typer.Option(
            "--accept-baseline", help="Go on with weights that are no better than chance."
        ),
    ] = False,
    batch_size: Annotated[int | None, typer.Option(metavar="N", help="Of training.")] = None,
    common: CommonOptions,
) -> int:
    """Make a network fit a budget, and verify what that cost.

    Example: striate shrink zoo:digits --data digits --pretrain 10 --budget 10% --out run
    """
    if resume and out is None:
        raise RequestError("--resume: say which run to go on with, by --out DIR")
    from striate.jobs.named import free_directory, shrink_named
    from striate.jobs.request import Settings, ShrinkRequest
    from striate.jobs.summary import shrink_panel

    request = ShrinkRequest(
        model=model,
        data=data,
        settings=Settings(
            budget=tuple(budget),
            epochs=epochs,
            pretrain=pretrain,
            batch_size=batch_size,
            seed=seed,
            device=device,
            precision=precision,  # type: ignore[arg-type]  # Settings checks it
            export=tuple(part for part in (export or "").split(",") if part),
            accept_baseline=accept_baseline,
        ),
        model_args=pairs(weights.model_arg),
        weights=weights.weights,
        weights_key=weights.weights_key,
        val=val,
        split=split,
        **vars(preprocessing),
        augment=augment,
    )
    place = free_directory() if out is None else out
    command = command_line()
    with results(common.json_) as found:
        try:
            finished = shrink_named(
                request, place, progress(common.quiet), resume=resume, command=command
            )
        except KeyboardInterrupt as stop:
            again = command if out is not None else f"{command} --out {shlex.quote(str(place))}"
            raise Interrupted(
                f"interrupted; go on with: {again}{'' if resume else ' --resume'}"
            ) from stop
        if common.json_:
            found.print(json.dumps(finished.result, indent=1))
        elif finished.stopped is None and not common.quiet:
            found.print(shrink_panel(finished.result, place))
    if finished.stopped is not None:
        raise finished.stopped
    return OK if finished.result["met"] else UNMET
