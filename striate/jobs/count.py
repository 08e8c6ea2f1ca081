"""`striate count`: the ledger of a model as named on a command line, judged by the budgets given."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import RequestError, UserCodeError
from striate.jobs.load import load
from striate.ledger import Ledger, count
from striate.ledger.gates import parse_budget, resolve
from striate.runs import has_run
from striate.sources.models import resolve as resolve_model
from striate.sources.names import dimensions, nearest

_INPUT = re.compile(r"(?:(?P<name>[A-Za-z_]\w*)=)?(?P<shape>\d+(?:x\d+)*)(?::(?P<dtype>[a-z]\w*))?")
_DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "int64": torch.int64,
    "int32": torch.int32,
    "int16": torch.int16,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "bool": torch.bool,
}


@dataclass(frozen=True)
class CountRequest:
    """What is to be counted. `batched` false: the inputs have no batch dimension."""

    model: str
    inputs: tuple[str, ...] = ()
    model_args: Mapping[str, object] = field(default_factory=dict)
    batched: bool = True
    budget: tuple[str, ...] = ()


def count_named(request: CountRequest) -> Ledger:
    """The ledger, with its gates judged; a budget that is a share is refused, for want of a baseline."""
    limits = [resolve(parse_budget(text)) for text in request.budget]
    model, shape = _model(request)
    positional, keywords = _inputs(request, shape)
    try:
        ledger = count(
            model,
            *positional,
            batch_dim=0 if request.batched else None,
            keywords=keywords,
            name=request.model,
        )
    except UserCodeError as error:
        hint = _batch_hint(request, positional)
        raise UserCodeError(f"{error}{hint}") from error
    return ledger.with_gates(limits)


def _batch_hint(request: CountRequest, positional: Sequence[Tensor]) -> str:
    """Three sizes are most often a picture that was given without its batch."""
    if not request.batched or len(positional) != 1 or positional[0].ndim not in (1, 3):
        return ""
    sizes = dimensions(positional[0].shape)
    return f"; --input {sizes}: the first size is the batch; a single example would be --input 1x{sizes}"


def _model(request: CountRequest) -> tuple[nn.Module, tuple[int, ...] | None]:
    """The model, and the shape of one example where it is known."""
    if Path(request.model).is_dir() and has_run(request.model):
        if request.model_args:
            raise RequestError(f"--model-arg: {request.model} is a run directory and has its own")
        return load(request.model), run_shape(Path(request.model))
    source = resolve_model(request.model, request.model_args)
    return source.build(), source.input_shape


def run_shape(directory: Path) -> tuple[int, ...]:
    """The shape of one example that the run in `directory` was made for."""
    import json

    document = json.loads((directory / "run.json").read_bytes())
    return tuple(document["data_split"]["shape"])


def _inputs(
    request: CountRequest, shape: tuple[int, ...] | None
) -> tuple[list[Tensor], dict[str, Tensor]]:
    if not request.inputs:
        if shape is None:
            raise RequestError(
                f"--input is missing: give the shape that {request.model} takes, batch first, "
                "for example --input 1x3x224x224"
            )
        batch = (1,) if request.batched else ()
        return [torch.empty(*batch, *shape, device="meta")], {}
    return parse_inputs(request.inputs)


def parse_inputs(texts: Sequence[str]) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Inputs without content: `1x3x32x32`, `mask=1x9:bool`; those with a name apart.

    >>> positional, keywords = parse_inputs(["1x3x32x32", "mask=1x9:bool"])
    >>> positional[0].shape, keywords["mask"].dtype
    (torch.Size([1, 3, 32, 32]), torch.bool)
    """
    positional: list[Tensor] = []
    keywords: dict[str, Tensor] = {}
    for text in texts:
        found = _INPUT.fullmatch(text.strip())
        if found is None:
            raise RequestError(
                f"--input {text}: expected sizes such as 1x3x224x224, mask=1x77 or 1x77:int64"
            )
        sizes = [int(size) for size in found["shape"].split("x")]
        dtype = found["dtype"] or "float32"
        if dtype not in _DTYPES:
            likely = nearest(dtype, _DTYPES)
            raise RequestError(
                f"--input {text}: no type {dtype!r}; expected {likely or ', '.join(_DTYPES)}"
            )
        if min(sizes) < 1:
            raise RequestError(f"--input {text}: sizes must be at least 1, not {dimensions(sizes)}")
        tensor = torch.empty(*sizes, dtype=_DTYPES[dtype], device="meta")
        if found["name"] is None:
            positional.append(tensor)
        elif found["name"] in keywords:
            raise RequestError(f"--input {text}: {found['name']} is given twice")
        else:
            keywords[found["name"]] = tensor
    return positional, keywords


def exit_code(ledger: Ledger, allow_partial: bool) -> tuple[int, list[str]]:
    """0, or 3 where a gate is not met or could not be judged, with a line for each of those."""
    lines: list[str] = []
    for gate in ledger.gates:
        if gate.met is True or (gate.met is None and allow_partial):
            continue
        if gate.met is None:
            lines.append(
                f"{gate.metric}: could not be judged, as {_unknown(ledger)}; --allow-partial lets it pass"
            )
        else:
            lines.append(f"{gate.metric}: {gate.value:,} does not meet the limit of {gate.limit:,}")
    return (3 if lines else 0), lines


def _unknown(ledger: Ledger) -> str:
    where: list[Any] = list(ledger.unsupported)
    return f"{len(where)} operators could not be counted" if where else "its value is not known"
