"""A real run of a copy of a module, and which inputs the gradient of one unit of each layer reaches."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import RequestError, UserCodeError, user_code
from striate.ledger.capture import capture
from striate.ledger.capture.inputs import Input, expand, materialise, tensors
from striate.ledger.capture.twin import twin_of
from striate.ledger.effects import Contraction, Pooling, Product
from striate.ledger.graph import Graph
from striate.ledger.probed import AGREES, Box, Probe, Probed
from striate.ledger.provenance import Reading, read
from striate.ledger.receptive import Sight, Sights, receptive_fields
from striate.ledger.receptive.unit import Unit, unit

_TRIES = 4
_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class _Claim:
    """What the ledger says of a module's output, or of the network's (`module` None)."""

    module: str | None
    type: str
    shape: tuple[int, ...]
    unit: Unit | None


def run(
    model: nn.Module,
    inputs: Sequence[Input],
    *,
    keywords: Mapping[str, Input] | None = None,
    batch_dim: int | None = 0,
) -> Probe:
    """See `striate.ledger.probe.probe`."""
    graph = capture(model, inputs, keywords=keywords, batch_dim=batch_dim)
    readings = read(graph)
    sights = receptive_fields(graph, readings)
    claims = [*_layers(graph, readings, sights), _output(graph, sights)]
    rows = [
        Probed(claim.module or "", claim.type, claim.unit.box if claim.unit else None, None)
        for claim in claims
    ]
    wanted = [index for index, claim in enumerate(claims) if claim.unit is not None]
    if wanted:
        _refuse_too_large(graph)
    model = getattr(model, "_orig_mod", model)
    first_axis = 1 if batch_dim is None else 2
    for attempt in range(_TRIES):
        wanted = [index for index in wanted if rows[index].outcome != AGREES]
        if not wanted:
            break
        found = _gradients(
            model, inputs, keywords or {}, [claims[index] for index in wanted], attempt
        )
        for index, slope in zip(wanted, found, strict=True):
            seen = None if slope is None else _box(slope, first_axis)
            rows[index] = replace(rows[index], seen=_hull(rows[index].seen, seen))
    return Probe(tuple(rows[:-1]), rows[-1])


# -- what is claimed ---------------------------------------------------------------------------


def _layers(graph: Graph, readings: Sequence[Reading], sights: Sights) -> Iterator[_Claim]:
    """Of each module that contracts or pools and calls no other one, at its last call."""
    calls = [reading.operator.call for reading in readings]
    last = {call.module: index for index, call in enumerate(graph.calls)}
    working = {
        graph.calls[call].module
        for call, reading in zip(calls, readings, strict=True)
        if call >= 0
        and (
            isinstance(reading.effect, Product | Pooling)
            or (isinstance(reading.effect, Contraction) and reading.is_layer)
        )
    }
    outputs: dict[int, Sight | None] = {}
    for call, reading in zip(calls, readings, strict=True):
        made = reading.operator.outputs
        if call >= 0 and made and made[0].shape == graph.calls[call].output_shape:
            outputs[call] = sights.made_by(reading.operator)
    names = {graph.modules[module].name for module in last}
    parents = {name[:dot] for name in names for dot in range(len(name)) if name[dot] == "."}
    for module, call in last.items():
        record = graph.modules[module]
        if module in working and record.name and record.name not in parents:
            shape = graph.calls[call].output_shape or ()
            yield _Claim(record.name, record.type, shape, _unit(outputs.get(call)))


def _output(graph: Graph, sights: Sights) -> _Claim:
    if not graph.outputs:
        return _Claim(None, "output", (), None)
    output = graph.outputs[0]
    return _Claim(None, "output", output.shape, _unit(sights.of(output)))


def _unit(sight: Sight | None) -> Unit | None:
    return None if sight is None or sight.fields() is None else unit(sight)


# -- what is seen ------------------------------------------------------------------------------


def _gradients(
    model: nn.Module,
    inputs: Sequence[Input],
    keywords: Mapping[str, Input],
    claims: Sequence[_Claim],
    attempt: int,
) -> list[Tensor | None]:
    """For each claim, the input's gradient of its unit. In single precision where the forward will have no other."""
    own = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
    try:
        return _run(model, inputs, keywords, claims, attempt, torch.float64)
    except UserCodeError:
        return _run(model, inputs, keywords, claims, attempt, own or torch.float32)


def _run(
    model: nn.Module,
    inputs: Sequence[Input],
    keywords: Mapping[str, Input],
    claims: Sequence[_Claim],
    attempt: int,
    dtype: torch.dtype,
) -> list[Tensor | None]:
    generator = torch.Generator().manual_seed(attempt)
    twin = _random_twin(model, dtype, generator, positive=attempt % 2 == 0)
    arguments = [materialise(expand(value, dtype), _CPU) for value in inputs]
    named = {name: materialise(expand(value, dtype), _CPU) for name, value in keywords.items()}
    first = next(tensors([*arguments, *named.values()]))
    image = torch.rand(first.shape, generator=generator, dtype=dtype).requires_grad_()
    units: dict[str | None, Tensor] = {}

    def watch(claim: _Claim) -> Any:
        def hook(_: nn.Module, __: Any, result: Any) -> None:
            _keep(units, claim, result)

        return hook

    modules = dict(twin.named_modules(remove_duplicate=False))
    for claim in claims:
        if claim.module is not None:
            modules[claim.module].register_forward_hook(watch(claim))
    with _settings(dtype), user_code("the model's forward"):
        # A clone: a forward may write into its input.
        given, given_named = _with((arguments, named), first, image.clone(), dtype)
        result = twin(*given, **given_named)
    for claim in claims:
        if claim.module is None:
            _keep(units, claim, result)
    return [_slope(units.get(claim.module), image) for claim in claims]


def _keep(units: dict[str | None, Tensor], claim: _Claim, result: Any) -> None:
    output = next(iter(tensors(result)), None)
    if output is None or tuple(output.shape) != claim.shape or claim.unit is None:
        return
    for axis, places in enumerate(claim.unit.places):
        if len(places) < output.shape[axis]:
            output = output.index_select(axis, torch.tensor(places))
    # What is done to the output in place later is no longer this layer's.
    units[claim.module] = output.clone()


def _slope(output: Tensor | None, image: Tensor) -> Tensor | None:
    if output is None or not output.requires_grad:
        return None
    # Different weights, so that sums over channels do not cancel.
    weights = torch.linspace(1, 2, output.numel(), dtype=image.dtype).view(output.shape)
    slopes: Sequence[Tensor | None] = torch.autograd.grad(
        (output * weights).sum().real, image, retain_graph=True, allow_unused=True
    )
    (slope,) = slopes
    return None if slope is None or not bool(slope.isfinite().all()) else slope


def _box(slope: Tensor, first: int) -> Box | None:
    reached = (slope != 0).flatten(0, first - 1).any(0)
    if not bool(reached.any()):
        return None
    box = []
    for axis in range(reached.ndim):
        others = [other for other in range(reached.ndim) if other != axis]
        hit = (reached.any(dim=others) if others else reached).nonzero()
        box.append((int(hit[0]), int(hit[-1]) + 1))
    return tuple(box)


def _hull(one: Box | None, other: Box | None) -> Box | None:
    if one is None:
        return other
    if other is None:
        return one
    return tuple((min(a, c), max(b, d)) for (a, b), (c, d) in zip(one, other, strict=True))


# -- the copy ----------------------------------------------------------------------------------


def _random_twin(
    model: nn.Module, dtype: torch.dtype, generator: torch.Generator, *, positive: bool
) -> nn.Module:
    """A copy with other weights. Where all are positive little is dead and nothing cancels; where they are of
    either sign activations do not all look alike."""
    twin, _ = twin_of(model, on_meta=False)
    if any(tensor.is_meta for tensor in (*twin.parameters(), *twin.buffers())):
        twin = twin.to_empty(device=_CPU)
        for buffer in twin.buffers():
            buffer.fill_(1 if buffer.is_floating_point() else 0)
    twin = twin.to(_CPU).eval()
    for module in twin.modules():
        for tensors_of in (module._parameters, module._buffers):
            for tensor in tensors_of.values():
                if tensor is not None and tensor.is_floating_point():
                    tensor.data = tensor.data.to(dtype)
    for parameter in twin.parameters():
        parameter.requires_grad_(False)
        if not parameter.is_floating_point():
            continue
        values = torch.rand(parameter.shape, generator=generator, dtype=dtype) + 0.5
        if parameter.ndim > 1:
            fan = max(1, parameter.numel() // max(1, len(parameter)))
            if positive:
                values /= fan
            else:
                values = torch.randn(parameter.shape, generator=generator, dtype=dtype)
                values *= (2 / fan) ** 0.5
        parameter.copy_(values)
    return twin


def _with(value: Any, old: Tensor, new: Tensor, dtype: torch.dtype) -> Any:
    """Nested inputs with another tensor in the place of one, and floating ones in `dtype`."""
    if value is old:
        return new
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, list | tuple):
        return type(value)(_with(entry, old, new, dtype) for entry in value)
    if isinstance(value, dict):
        return {key: _with(entry, old, new, dtype) for key, entry in value.items()}
    return value


@contextmanager
def _settings(dtype: torch.dtype) -> Iterator[None]:
    """What a forward makes by itself is in `dtype` too; its random numbers are not the caller's."""
    before, state = torch.get_default_dtype(), random.getstate()
    torch.set_default_dtype(dtype if dtype in (torch.float64, torch.float32) else before)
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(before)
        random.setstate(state)


def _refuse_too_large(graph: Graph) -> None:
    stored = sum(record.tensor.units for record in (*graph.parameters, *graph.buffers))
    fresh = {output.storage: output.units for op in graph.operators for output in op.outputs}
    # The copy as it is and in float64; each activation, and again where it is kept for the backward.
    needed = 16 * (stored + sum(fresh.values()))
    there = _free_memory()
    if needed > there:
        raise RequestError(
            f"probe: the real run takes about {needed / 1e9:,.1f} GB, of {there / 1e9:,.1f} GB of free memory; "
            "give a smaller input, or count without the probe"
        )


def _free_memory() -> int:
    """Bytes that can be had without taking them from another process; all there are where that is not known."""
    info = Path("/proc/meminfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
