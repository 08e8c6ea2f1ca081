"""One forward pass of a PyTorch module, recorded as a `Graph`; the module itself is left as it was.

A copy of the module runs on the meta device, where tensors have shapes and no memory, under a
dispatch mode that sees every operator. A forward that needs values (`item()`, a test on a tensor,
an operator without a shape rule) runs on real tensors instead, and the graph's notes say so.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from striate.errors import RequestError, UserCodeError, user_code
from striate.ledger.capture.inputs import Input, batch_size, expand, materialise, origin, tensors
from striate.ledger.capture.recorder import Recorder
from striate.ledger.capture.training import AsOnCpu, Saved
from striate.ledger.capture.twin import is_lazy, refuse_uncountable, twin_of
from striate.ledger.graph import Graph

__all__ = ["capture"]


def capture(
    model: nn.Module,
    inputs: Sequence[Input],
    *,
    keywords: Mapping[str, Input] | None = None,
    batch_dim: int | None = 0,
    training: bool = False,
) -> Graph:
    """Run `model` once in evaluation mode on copies of `inputs` and record what happens.

    A shape among the inputs (a tuple of integers) stands for a float tensor of that shape and of
    the type of the model's parameters. With `training` it runs again, in training mode, for what the
    backward pass needs. Raises `UserCodeError` naming the layer if the forward raises.
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
    if is_lazy(model):
        model = _initialised(model, given, named)
    values = origin([*given, *named.values()])
    graph = _on_meta_or_real(
        model, values, lambda on_meta: _run(model, given, named, batch, on_meta=on_meta)
    )
    if training:
        saved = _on_meta_or_real(
            model, values, lambda on_meta: _train(model, given, named, batch, on_meta=on_meta)
        )
        notes = tuple(dict.fromkeys((*graph.notes, *saved.notes)))
        graph = replace(graph, saved=saved.saved, notes=notes)
    return replace(graph, batch_dim=batch_dim)


def _on_meta_or_real(model: nn.Module, values: str, run: Callable[[bool], Graph]) -> Graph:
    """What `run` gives without memory, or, where the forward needs values, with it; `values` says which."""
    try:
        return run(True)
    except UserCodeError as error:
        if any(tensor.is_meta for tensor in model.parameters()):
            raise
        reason = error
    graph = run(False)
    note = (
        f"ran on real tensors ({values}), because without values the forward fails: {reason}; where it chooses by "
        "values, another branch may cost more or less"
    )
    return replace(graph, notes=(note, *graph.notes))


def _initialised(model: nn.Module, inputs: Sequence[Any], keywords: Mapping[str, Any]) -> nn.Module:
    """A copy of a lazy model that has run once: its tensors have shapes, if no memory."""
    with _copy(model, inputs, keywords, on_meta=True) as copy, torch.no_grad():
        copy.twin.eval()
        with user_code("the first forward of a lazy model"), _eager():
            copy.twin(*copy.arguments, **copy.named)
    if is_lazy(copy.twin):
        raise RequestError(
            "count: the model is lazy, and a part of it that did not run has no shape yet; "
            "run it on an example that goes through all of it before counting it"
        )
    return copy.twin


def _run(
    model: nn.Module,
    inputs: Sequence[Any],
    keywords: Mapping[str, Any],
    batch: int | None,
    *,
    on_meta: bool,
) -> Graph:
    """The forward pass in evaluation mode, recorded."""
    with _copy(model, inputs, keywords, on_meta) as copy, torch.no_grad():
        for module in copy.twin.modules():  # what `eval` does, also where a module is in itself
            module.training = False
        recorder = Recorder(model, copy.twin, on_meta=on_meta)
        for tensor in tensors([*copy.arguments, *copy.named.values()]):
            recorder.graph_inputs.append(recorder.number(tensor))
        try:
            with user_code("the model's forward"), _eager(), _written_out(on_meta), recorder:
                result = copy.twin(*copy.arguments, **copy.named)
        except UserCodeError as error:
            raise UserCodeError(f"{error}{recorder.place()}") from error.__cause__
        outputs = tuple(recorder.see(tensor) for tensor in tensors(result))
    return replace(recorder.graph(outputs, batch), notes=copy.notes)


def _train(
    model: nn.Module,
    inputs: Sequence[Any],
    keywords: Mapping[str, Any],
    batch: int | None,
    *,
    on_meta: bool,
) -> Graph:
    """The forward pass in training mode: only what it saves, and the notes, are filled in."""
    with _copy(model, inputs, keywords, on_meta) as copy, torch.enable_grad():
        copy.twin.train()
        saved = Saved(copy.twin, [*copy.arguments, *copy.named.values()])
        attention = AsOnCpu() if on_meta else nullcontext()
        where = "the model's forward in training mode"
        with user_code(where), _eager(), attention, saved.watching():
            copy.twin(*copy.arguments, **copy.named)
    return Graph((), (), (), (), (), (), (), batch, notes=copy.notes, saved=saved.bytes_by_module())


@dataclass(frozen=True)
class _Copy:
    """A copy of the model and of its inputs, and what there is to say of it."""

    twin: nn.Module
    arguments: list[Any]
    named: dict[str, Any]
    notes: tuple[str, ...]


@contextmanager
def _copy(
    model: nn.Module, inputs: Sequence[Any], keywords: Mapping[str, Any], on_meta: bool
) -> Iterator[_Copy]:
    """A copy to run in the model's place; random numbers go on afterwards as if nothing had run."""
    devices = {p.device for p in model.parameters()} if not on_meta else set()
    twin, shared = twin_of(model, on_meta)
    place = torch.device("meta") if on_meta else next(iter(devices), torch.device("cpu"))
    arguments = [materialise(value, place) for value in inputs]
    named = {name: materialise(value, place) for name, value in keywords.items()}
    notes = tuple(f"ran with the model's own {name}, which cannot be copied" for name in shared)
    cuda = sorted(device.index or 0 for device in devices if device.type == "cuda")
    state = random.getstate()
    numpy = sys.modules.get("numpy")  # if the model uses it, it is loaded
    numpys = None if numpy is None else numpy.random.get_state()
    try:
        with torch.random.fork_rng(devices=cuda), _default_device(on_meta):
            yield _Copy(twin, arguments, named, notes)
    finally:
        random.setstate(state)
        if numpy is not None:
            numpy.random.set_state(numpys)


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
def _written_out(on_meta: bool) -> Iterator[None]:
    """Recurrent layers as their products, which oneDNN would run as one operator that shows none."""
    enabled = torch._C._get_mkldnn_enabled()
    if on_meta or not enabled:
        yield
        return
    # Not torch.backends.mkldnn.flags: it warns where it sets flags that nobody asked for.
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(enabled)


@contextmanager
def _default_device(on_meta: bool) -> Iterator[None]:
    # What a forward makes without naming a device (positions, masks) is on meta too.
    if not on_meta:
        yield
        return
    with torch.device("meta"):
        yield
