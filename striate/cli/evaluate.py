"""`striate evaluate`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from striate.cli.exits import OK
from striate.cli.groups import spread
from striate.cli.options import CommonOptions, Device, ModelOptions, PreprocessingOptions, Split
from striate.cli.output import progress, results
from striate.cli.words import pairs


@spread
def evaluate(
    target: Annotated[
        str, typer.Argument(metavar="MODEL_OR_RUN", help="A model, or a run directory.")
    ],
    *,
    data: Annotated[
        str | None, typer.Option(metavar="DATA", help="As for shrink; default: the run's own.")
    ] = None,
    weights: ModelOptions,
    preprocessing: PreprocessingOptions,
    split: Split = None,
    device: Device = "cpu",
    common: CommonOptions,
) -> int:
    """Measure accuracy and loss on the test images, with a confidence interval.

    Example: striate evaluate run
    """
    from striate.jobs.evaluate import EvaluateRequest, evaluate_named
    from striate.jobs.summary import evaluate_line
    from striate.sources.preprocess import PreprocessOptions

    request = EvaluateRequest(
        target=target,
        data=data,
        model_args=pairs(weights.model_arg),
        weights=weights.weights,
        weights_key=weights.weights_key,
        split=split,
        preprocess=PreprocessOptions.parse(**vars(preprocessing)),
        device=device,
    )
    with results(common.json_) as out:
        result = evaluate_named(request, progress(common.quiet))
        if common.json_:
            out.print(json.dumps(result, indent=1))
        elif not common.quiet:
            out.print(evaluate_line(result))
    return OK
