"""The short way to the forward of a small layer, where what stands before the kernel takes longer than the kernel.

A layer of a hundred thousand weights runs in ten microseconds. Naming every argument that might be wrong, asking for
the backend and looking for someone to differentiate take ten times that, and then the layer is no faster than the
dense one it replaces. So what was found once for tensors of some sizes is kept, and used again where nobody watches.
Whatever is out of the ordinary goes the long way, which says what is wrong with it.
"""

from __future__ import annotations

import os
from collections.abc import Hashable
from math import prod

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.overrides import has_torch_function

from striate.ops import cpu, results
from striate.ops.backend import OVERRIDE, choose
from striate.ops.on_grid import SMALL, Layer, local_shape, windows

_PLAIN = (Tensor, torch.nn.Parameter)
_Found = tuple[cpu.Forward, tuple[int, ...]] | None
#: As many sizes are kept; then they are found anew.
_MOST = 256
_kept: dict[Hashable, _Found] = {}


def local(
    input: Tensor, weight: Tensor, bias: Tensor | None, layer: Layer, call: Hashable = None
) -> Tensor | None:
    """The local connection, or None where it must go the long way: nothing has been done then.

    `call`, if it is given, stands for the layer in `again`.

    >>> from striate.geometry import local_grid
    >>> layer = Layer(local_grid((4, 4), 3), 1)
    >>> local(torch.ones(1, 1, 4, 4).double(), torch.ones(2, 2, 5, 1, 3, 3), None, layer) is None
    True
    """
    if not _is_ordinary(input, weight, bias):
        return None
    key = _key(layer, input, weight, bias)
    try:
        found = _kept[key]
    except KeyError:
        found = _keep(key, _prepared(input, weight, bias, layer))
    if call is not None:
        _keep(_key(call, input, weight, bias), found)
    return _run(found, input, weight, bias)


def again(call: Hashable, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor | None:
    """As `local` with this `call` before, for tensors of the same sizes; None where there was none."""
    if not _is_ordinary(input, weight, bias):
        return None
    return _run(_kept.get(_key(call, input, weight, bias)), input, weight, bias)


def _key(call: Hashable, input: Tensor, weight: Tensor, bias: Tensor | None) -> Hashable:
    return (
        call,
        input.shape,
        weight.shape,
        None if bias is None else bias.shape,
        torch.get_num_threads(),
        os.environ.get(OVERRIDE),
    )


def _keep(key: Hashable, found: _Found) -> _Found:
    if len(_kept) >= _MOST:
        _kept.clear()
    _kept[key] = found
    return found


def _run(found: _Found, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor | None:
    if found is None:
        return None
    forward, shape = found
    out = results.empty(shape)
    forward(input, weight, bias, out)
    return out


def _is_ordinary(input: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    return (
        _is_plain(input)
        and _is_plain(weight)
        and (bias is None or _is_plain(bias))
        and not _is_watched(input, weight, bias)
    )


def _is_plain(tensor: Tensor) -> bool:
    """Whether its memory is what it seems, and what the kernels take."""
    return (
        type(tensor) in _PLAIN
        and tensor.is_cpu
        and tensor.dtype is torch.float32
        and tensor.layout is torch.strided
        and tensor.is_contiguous()
        and not tensor.is_neg()
        and not tensor._is_zerotensor()
    )


def _is_watched(input: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Whether autograd, autocast, a mode, a transform or a tracer has to know of the operator.

    A compiler has to as well: whoever calls from code that may be compiled asks for it first.
    """
    if torch.is_grad_enabled():
        tensors = (input, weight) if bias is None else (input, weight, bias)
        if any(tensor.requires_grad for tensor in tensors):
            return True
    return (
        forward_ad._current_level >= 0
        or torch.is_autocast_enabled("cpu")
        or has_torch_function((input,))  # a mode's too
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._are_functorch_transforms_active()
        or torch.jit.is_tracing()  # type: ignore[attr-defined]
    )


def _prepared(input: Tensor, weight: Tensor, bias: Tensor | None, layer: Layer) -> _Found:
    """The kernel for tensors of these sizes, and the size of its result; None where they are for the long way."""
    grid, groups = layer
    lead = len(grid.blocks)
    if weight.dim() != lead + 2 + grid.axes or not input.numel():
        return None
    outputs, channels = weight.shape[lead], weight.shape[lead + 1] * groups
    biases = ((outputs,), (*grid.blocks, outputs))
    if (
        prod(grid.output_size) > SMALL  # whose tables are not to be held for long
        or weight.shape != (*grid.blocks, outputs, channels // groups, *grid.kernel_size)
        or input.shape != (input.shape[0], channels, *grid.input_size)
        or outputs % groups
        or (bias is not None and tuple(bias.shape) not in biases)
        or choose(input, weight, bias, grid=grid).name != "cpu"
    ):
        return None
    shape = local_shape(input.shape, weight.shape, layer)
    out = torch.empty(shape, dtype=torch.float32)
    return cpu.Forward(windows(grid), input, weight, bias, out, groups=groups), shape
