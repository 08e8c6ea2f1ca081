"""`striate count`: the ledger of a model as named on a command line, judged by the budgets given."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from striate.errors import MissingExtra, RequestError, UserCodeError, refuse_long
from striate.jobs.files import count_file, is_file
from striate.jobs.revision import in_revision, saved_document
from striate.ledger import Ledger, Probe, count, probe
from striate.ledger import compare as comparing
from striate.ledger.compare import Difference
from striate.ledger.gates import Gate, parse_budget, resolve
from striate.ledger.render import (
    difference,
    document,
    html,
    markdown,
    probed,
    records,
    table,
    workflow,
)
from striate.ledger.render.table import More
from striate.ledger.render.words import verdict
from striate.ledger.saved import read
from striate.ledger.view import View
from striate.runs import has_run
from striate.sources.models import resolve as resolve_model
from striate.sources.names import dimensions, listing, nearest

if TYPE_CHECKING:
    from rich.console import RenderableType

    from striate.reduce.prospect import Prospect

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
    """What is to be counted. `batched` false: the inputs have no batch dimension.

    `against` names what it is compared with: a model, a saved ledger, or one in a git revision (`main:ledger.json`);
    `max_growth` is how much larger than that it may be, as in `2%`. `sites`: what could shrink is looked for, too.
    """

    model: str
    inputs: tuple[str, ...] = ()
    model_args: Mapping[str, object] = field(default_factory=dict)
    batched: bool = True
    budget: tuple[str, ...] = ()
    against: str | None = None
    max_growth: str | None = None
    training: bool = False
    view: View = field(default_factory=View)
    more: More = field(default_factory=More)
    sites: bool = False
    probe: bool = False


@dataclass(frozen=True)
class Counted:
    """A ledger with its gates judged; where it was compared, the difference and the gates of the growth.

    `prospect` is what could shrink, where that was asked for; `view` and `more` are which rows to show, and what
    else.
    """

    ledger: Ledger
    difference: Difference | None = None
    growth: tuple[Gate, ...] = ()
    prospect: Prospect | None = None
    view: View = field(default_factory=View)
    more: More = field(default_factory=More)
    probe: Probe | None = None


def count_named(request: CountRequest) -> Counted:
    """The ledger of what was named. A budget that is a share is one of the network compared with."""
    if request.sites:
        _sites().require_module(request.model)
    if request.training and is_file(request.model):
        raise RequestError(_as_exported(request.model))
    budgets = [parse_budget(text) for text in request.budget]
    percent = _percent(request)
    before = None if request.against is None else _baseline(request, request.against)
    values = None if before is None else {k: v for k, v in before.values().items() if v is not None}
    limits = [resolve(budget, values) for budget in budgets]
    network = None if is_file(request.model) else _network(request)
    ledger = _ledger(request, network).with_gates(limits)
    prospect = None
    if request.sites and network is not None:  # `require_module` has refused a file
        prospect = _sites().prospect_of(*network, batched=request.batched)
    found = None if before is None else comparing.compare(before, ledger)
    growth = () if found is None or percent is None else found.growth_gates(percent)
    return Counted(
        ledger, found, growth, prospect, request.view, request.more, _probe(request, network)
    )


def _probe(request: CountRequest, network: Network | None) -> Probe | None:
    if not request.probe:
        return None
    if network is None:
        raise RequestError(f"--probe: {request.model} is a file, and only a model can be run")
    model, positional, keywords = network
    batch_dim = 0 if request.batched else None
    return probe(model, *positional, batch_dim=batch_dim, keywords=keywords)


def _sites() -> Any:
    """`striate.jobs.prospect`, which loads the solver: most of a second that no other count needs."""
    from striate.jobs import prospect

    return prospect


def _percent(request: CountRequest) -> Fraction | None:
    text = request.max_growth
    if text is None:
        return None
    refuse_long("--max-growth", text)
    if request.against is None:
        raise RequestError(f"--max-growth {text}: growth against what? give --against too")
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*%?", text.strip())
    if found is None:
        raise RequestError(f"--max-growth {text}: expected a share such as 2% or 0%")
    return Fraction(found[1])


def _baseline(request: CountRequest, against: str) -> Ledger:
    """The ledger to compare with: saved, saved in a git revision, or counted now on the same inputs.

    What is wrong with the other network is said to be of that one.
    """
    if not against.endswith(".json"):
        training = request.training and not is_file(against)
        other = replace(request, model=against, model_args={}, training=training)
        with _of_the_other(against):
            return _ledger(other, None if is_file(against) else _network(other))
    saved = saved_document(against)
    if saved is not None:
        return read(saved, against)
    revision, colon, name = against.partition(":")
    if not colon:
        raise RequestError(f"--against {against}: no such file; {_how_to_make(request, against)}")
    remedy = f"{_how_to_make(request, name)}, and commit it"
    return read(in_revision(revision, name, f"--against {against}", remedy), against)


@contextmanager
def _of_the_other(against: str) -> Iterator[None]:
    try:
        yield
    except MissingExtra:  # its message names what needs the extra
        raise
    except RequestError as error:
        kind = UserCodeError if isinstance(error, UserCodeError) else RequestError
        text = str(error).removeprefix(f"MODEL {against}: ")
        if text.startswith("--input"):  # wrong for either
            raise
        raise kind(f"--against {against}: {text}") from error


def _how_to_make(request: CountRequest, path: str) -> str:
    words = ["striate", "count", request.model]
    words += [word for text in request.inputs for word in ("--input", text)]
    words += [f"--model-arg={key}={_written(value)}" for key, value in request.model_args.items()]
    words += [] if request.batched else ["--batch-dim", "none"]
    return f"make it on the network to compare with: {shlex.join(words)} --format json > {shlex.quote(path)}"


def _written(value: object) -> str:
    """A value of `--model-arg` as it is read: JSON, or a text that is none.

    >>> _written(True), _written("relu"), _written("5"), _written({"width": 64})
    ('true', 'relu', '"5"', '{"width": 64}')
    """
    if isinstance(value, str):
        try:
            json.loads(value)
        except ValueError:
            return value
    return json.dumps(value, default=str)


Network = tuple[nn.Module, list[Tensor], dict[str, Tensor]]


def _network(request: CountRequest) -> Network:
    """The model and its inputs, by position and by name."""
    model, shape = _model(request)
    return model, *_inputs(request, shape)


def _ledger(request: CountRequest, network: Network | None) -> Ledger:
    """Of a network, or, where there is none, of the file that `request` names."""
    if network is None:
        if request.model_args:
            raise RequestError(f"--model-arg: {request.model} is a file, and takes none")
        return count_file(request.model, *parse_inputs(request.inputs), batched=request.batched)
    model, positional, keywords = network
    try:
        return count(
            model,
            *positional,
            batch_dim=0 if request.batched else None,
            training=request.training,
            keywords=keywords,
            name=request.model,
        )
    except UserCodeError as error:
        hint = _integer_hint(str(error), network) or _batch_hint(request, positional)
        raise UserCodeError(f"{error}{hint}") from error


# What embeddings, indexing and `one_hot` say of an input that is no integer.
_WANTS_INTEGERS = re.compile(r"scalar types: Long|used as indices must be long|type LongTensor")


def _integer_hint(wrong: str, network: Network) -> str:
    """An input without a type is of floats, which number no tokens."""
    _, positional, keywords = network
    given = [*(("", tensor) for tensor in positional), *((f"{k}=", t) for k, t in keywords.items())]
    floats = [f"{name}{dimensions(t.shape)}" for name, t in given if t.is_floating_point()]
    if not floats or not _WANTS_INTEGERS.search(wrong):
        return ""
    return f"; --input {floats[0]}:int64 gives integers"


def _batch_hint(request: CountRequest, positional: Sequence[Tensor]) -> str:
    """Three sizes are most often a picture that was given without its batch."""
    if not request.batched or len(positional) != 1 or positional[0].ndim not in (1, 3):
        return ""
    sizes = dimensions(positional[0].shape)
    return f"; --input {sizes}: the first size is the batch; a single example would be --input 1x{sizes}"


def _model(request: CountRequest) -> tuple[nn.Module, tuple[int, ...] | None]:
    """The model, and the shape of one example where it is known."""
    if os.path.isdir(request.model) and has_run(request.model):
        if request.model_args:
            raise RequestError(f"--model-arg: {request.model} is a run directory and has its own")
        # torch.export, which nothing else here needs
        from striate.jobs.load import load
        from striate.reduce.program import ProgramModule

        network = load(request.model)
        if request.training and isinstance(network, ProgramModule):
            raise RequestError(_as_exported(request.model))
        return network, run_shape(Path(request.model))
    if request.model.endswith(".json"):
        raise RequestError(
            f"MODEL {request.model}: a saved ledger is for --against: striate count MODEL --against {request.model}"
        )
    source = resolve_model(request.model, request.model_args)
    return source.build(), source.input_shape


def _as_exported(name: str) -> str:
    return f"--training: {name} is a program that runs as it was exported; give the model in code"


def run_shape(directory: Path) -> tuple[int, ...]:
    """The shape of one example that the run in `directory` was made for."""
    asked = json.loads((directory / "run.json").read_bytes())
    return tuple(asked["data_split"]["shape"])


def _inputs(
    request: CountRequest, shape: tuple[int, ...] | None
) -> tuple[list[Tensor], dict[str, Tensor]]:
    if not request.inputs:
        if shape is None:
            raise RequestError(
                f"--input is missing: give the shape that {request.model} takes, batch first, "
                "for example --input 1x3x224x224, or 1x50:int64 for a text of 50 tokens"
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
        refuse_long("--input", text)
        found = _INPUT.fullmatch(text.strip())
        if found is None:
            raise RequestError(
                f"--input {text}: expected sizes such as 1x3x224x224, mask=1x77 or 1x77:int64"
            )
        sizes = [int(size) for size in found["shape"].split("x")]
        dtype = found["dtype"] or "float32"
        if dtype not in _DTYPES:
            likely = nearest(dtype, _DTYPES)
            hint = f"did you mean {likely}? There are" if likely else "expected"
            raise RequestError(
                f"--input {text}: no type {dtype!r}; {hint} {', '.join(sorted(_DTYPES))}"
            )
        if min(sizes) < 1:
            raise RequestError(f"--input {text}: sizes must be at least 1, not {dimensions(sizes)}")
        if math.prod(sizes) >= 2**60:
            raise RequestError(f"--input {text}: more elements than a tensor can have, 2^60")
        tensor = torch.empty(*sizes, dtype=_DTYPES[dtype], device="meta")
        if found["name"] is None:
            positional.append(tensor)
        elif found["name"] in keywords:
            raise RequestError(f"--input {text}: {found['name']} is given twice")
        else:
            keywords[found["name"]] = tensor
    return positional, keywords


def tables(counted: Counted, width: int) -> RenderableType:
    """For a terminal of so many columns."""
    from rich.console import Group

    parts = [table.render(counted.ledger, width, counted.view, counted.more)]
    if counted.difference is not None:
        parts += ["", difference.render(counted.difference, counted.growth)]
    if counted.prospect is not None:
        parts += ["", _sites().tables(counted.prospect)]
    if counted.probe is not None:
        parts += ["", probed.render(counted.probe)]
    return Group(*parts)


def shown(counted: Counted, form: str) -> str:
    """As text: "json", "csv", "md", "html" or "github"; without the last end of a line."""
    ledger, found = counted.ledger, counted.difference
    if form == "csv":
        text = records.render(ledger)
    elif form == "github":
        text = workflow.render(ledger, counted.growth)
    elif form == "html":
        text = html.render(ledger, found, counted.growth)
    elif form == "md":
        heading = "" if found is not None else f"### {markdown.text(ledger.name)}\n\n"
        text = heading + as_markdown(counted)
    else:
        text = document.written(full_document(counted))
    return text.removesuffix("\n")


def as_markdown(counted: Counted) -> str:
    """What there is to say of it, below whatever names it."""
    found = counted.difference
    text = (
        markdown.render(counted.ledger, counted.view)
        if found is None
        else markdown.difference(found, counted.growth)
    )
    if counted.prospect is not None:
        text += f"\n{_sites().markdown(counted.prospect)}"
    return text


def full_document(counted: Counted) -> dict[str, object]:
    """The ledger's document, with `against`, `sites` and `probe` at its end where they were asked for."""
    plain, found = counted.ledger.to_dict(), counted.difference
    if found is not None:
        gates = [gate.to_dict() for gate in counted.growth]
        plain["against"] = {**comparing.document(found), "gates": gates}
    if counted.prospect is not None:
        plain["sites"] = counted.prospect.to_dict()
    if counted.probe is not None:
        plain["probe"] = counted.probe.to_dict()
    return plain


def exit_code(counted: Counted, allow_partial: bool) -> tuple[int, list[str]]:
    """0, or 3 where a gate is not met or could not be judged, with a line for each of those."""
    lines: list[str] = []
    found = counted.difference
    grown = f" (--max-growth, against {found.before.name})" if found is not None else ""
    for gate, why in [
        *((g, "") for g in counted.ledger.gates),
        *((g, grown) for g in counted.growth),
    ]:
        if gate.met is False:
            lines.append(f"{verdict(gate)}{why}")
        elif gate.met is None and not allow_partial:
            reason = _unknown(counted, gate)
            lines.append(
                f"{gate.metric}: could not be judged{why}, as {reason}; --allow-partial lets it pass"
            )
    return (3 if lines else 0), lines


def faults(counted: Counted) -> list[str]:
    """A line where the probe saw inputs outside of what the ledger claims."""
    if counted.probe is None or not counted.probe.faults:
        return []
    names = ", ".join(row.name or "the output" for row in counted.probe.faults)
    return [
        f"--probe: {names}: a gradient lies OUTSIDE of the receptive field that the ledger claims. This is a fault "
        "of striate, not of the model: please report it"
    ]


def _unknown(counted: Counted, gate: Gate) -> str:
    """Why a gate could not be judged."""
    found = counted.difference
    ledgers = [counted.ledger, *([found.before] if found is not None else [])]
    where = [
        f"{entry.operator} in {entry.where}"
        for ledger in ledgers
        for entry in ledger.unsupported
        if gate.metric in entry.metrics
    ]
    if where:
        return f"there is no rule for {listing(dict.fromkeys(where), most=2)}"
    if found is not None and gate in counted.growth and gate.metric in found.incomparable:
        return f"the batches are {found.before.batch} and {found.after.batch}"
    return "its value is not known"
