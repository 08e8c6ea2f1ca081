"""One forward pass of a PyTorch module, recorded as a `Graph`; the module itself is left as it was.

A copy of the module runs on the meta device, where tensors have shapes and no memory, under a
dispatch mode that sees every operator. A forward that needs values (`item()`, a test on a tensor,
an operator without a shape rule) runs on real tensors instead, and the graph's notes say so.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from striate.errors import RequestError, UserCodeError, user_code
from striate.ledger.capture.inputs import Input, batch_size, expand, materialise, tensors
from striate.ledger.capture.recorder import Recorder
from striate.ledger.capture.twin import refuse_uncountable, twin_of
from striate.ledger.graph import Graph

__all__ = ["capture"]


def capture(
    model: nn.Module,
    inputs: Sequence[Input],
    *,
    keywords: Mapping[str, Input] | None = None,
    batch_dim: int | None = 0,
) -> Graph:
    """Run `model` once in evaluation mode on copies of `inputs` and record what happens.

    A shape among the inputs (a tuple of integers) stands for a float tensor of that shape and of
    the type of the model's parameters. Raises `UserCodeError` naming the layer if the forward raises.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"count: model={model!r:.80}: expected a torch.nn.Module")
    model = getattr(model, "_orig_mod", model)  # what torch.compile wrapped
    refuse_uncountable(model)
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
    dtype = dtype or torch.get_default_dtype()
    given = [expand(value, dtype) for value in inputs]
    named = {name: expand(value, dtype) for name, value in (keywords or {}).items()}
    if not (given or named):
        raise RequestError(
            "count: no input; give an example tensor or a shape such as (1, 3, 32, 32)"
        )
    batch = batch_size(given, named, batch_dim)
    try:
        return replace(_run(model, given, named, batch, on_meta=True), batch_dim=batch_dim)
    except UserCodeError as error:
        if any(tensor.is_meta for tensor in model.parameters()):
            raise
        reason = error
    graph = _run(model, given, named, batch, on_meta=False)
    note = f"ran on real tensors, because without values the forward fails: {reason}"
    return replace(graph, batch_dim=batch_dim, notes=(note, *graph.notes))


def _run(
    model: nn.Module,
    inputs: Sequence[Any],
    keywords: Mapping[str, Any],
    batch: int | None,
    *,
    on_meta: bool,
) -> Graph:
    devices = {p.device for p in model.parameters()} if not on_meta else set()
    twin, shared = twin_of(model, on_meta)
    twin.eval()
    place = torch.device("meta") if on_meta else next(iter(devices), torch.device("cpu"))
    arguments = [materialise(value, place) for value in inputs]
    named = {name: materialise(value, place) for name, value in keywords.items()}
    recorder = Recorder(model, twin)
    cuda = sorted(device.index or 0 for device in devices if device.type == "cuda")
    state = random.getstate()
    try:
        with torch.random.fork_rng(devices=cuda), torch.no_grad(), _default_device(on_meta):
            for tensor in tensors([*arguments, *named.values()]):
                recorder.graph_inputs.append(recorder.number(tensor))
            try:
                with user_code("the model's forward"), _eager(), recorder:
                    result = twin(*arguments, **named)
            except UserCodeError as error:
                raise UserCodeError(f"{error}{recorder.place()}") from error.__cause__
            outputs = tuple(recorder.see(tensor) for tensor in tensors(result))
    finally:
        random.setstate(state)
    notes = [f"ran with the model's own {name}, which cannot be copied" for name in shared]
    return replace(recorder.graph(outputs, batch), notes=tuple(notes))


@contextmanager
def _eager() -> Iterator[None]:
    """What is compiled in the model runs as it is written, operator by operator."""
    # Where nothing was compiled, torch.compile is not loaded yet, and loading it takes seconds.
    if "torch._dynamo" not in sys.modules:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


@contextmanager
def _default_device(on_meta: bool) -> Iterator[None]:
    # What a forward makes without naming a device (positions, masks) is on meta too.
    if not on_meta:
        yield
        return
    with torch.device("meta"):
        yield
