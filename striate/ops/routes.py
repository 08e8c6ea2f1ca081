"""The two ways into autograd that each operator of `rules` has.

In eager mode it is an `autograd.Function`: that gives `torch.func.grad`, `vmap`, gradients per example and
gradients of gradients. Under `torch.compile`, and where a dispatch mode watches (a FLOP counter, selective
checkpoints), it is `torch.ops.striate.<name>`, registered with `torch.library`, which both see as one
operator. Measured on torch 2.13: neither alone does all of this.
"""

from __future__ import annotations

import base64
import inspect
import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils.flop_counter import register_flop_formula

from striate.geometry import LocalGrid, SharingMap
from striate.ops.backend import OVERRIDE, registered
from striate.ops.on_grid import Layer
from striate.ops.rules import OPERATORS, Operator, folded

_NO_TANGENTS = (
    "forward-mode differentiation (jvp) of a local connection: the compiled kernels have no rule for it; "
    f"use reverse mode, or set {OVERRIDE}=reference, whose PyTorch operators have"
)


def run(name: str, *tensors: Tensor | None, layer: Layer) -> Tensor:
    """The operator's result for these tensors, by the route that fits the moment."""
    if registered():
        return _run_registered(name, *tensors, layer=layer)
    if not _watched(tensors):
        # An autograd.Function would take longer than a small layer.
        return OPERATORS[name].compute(*tensors, layer)
    return _run_eager(name, *tensors, layer=layer)


def _watched(tensors: Sequence[Tensor | None]) -> bool:
    """Whether anything differentiates or transforms; tangents of forward mode are carried in `no_grad` too."""
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        return True
    return torch.is_grad_enabled() and any(
        tensor is not None and tensor.requires_grad for tensor in tensors
    )


# -- autograd.Function -------------------------------------------------------------------------------


def _run_eager(name: str, *tensors: Tensor | None, layer: Layer) -> Tensor:
    out: Tensor = _FUNCTIONS[name].apply(*tensors, layer)
    return out


def _function(operator: Operator) -> type[torch.autograd.Function]:
    class Function(torch.autograd.Function):
        @staticmethod
        def forward(*arguments: Any) -> Tensor:
            return operator.compute(*arguments)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
            *tensors, ctx.layer = inputs
            _save(ctx, tensors)

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> Any:
            return *_gradients(operator, _run_eager, ctx, gradients[0]), None

        @staticmethod
        def jvp(ctx: Any, *tangents: Any) -> Any:
            raise NotImplementedError(_NO_TANGENTS)

        @staticmethod
        def vmap(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> Any:
            *tensors, layer = arguments
            return folded(operator, _run_eager, info.batch_size, in_dims[:-1], tensors, layer)

    # torch binds arguments to the signature at each call, and would work it out anew each time.
    Function.forward.__signature__ = inspect.signature(Function.forward)  # type: ignore[attr-defined]
    Function.__name__ = Function.__qualname__ = f"striate_{operator.name}"
    return Function


def _save(ctx: Any, tensors: Sequence[Tensor | None]) -> None:
    first, second, *rest = tensors
    ctx.save_for_backward(first, second)
    ctx.bias = next((tuple(bias.shape) for bias in rest if bias is not None), None)


def _gradients(
    operator: Operator, route: Callable[..., Tensor], ctx: Any, gradient: Tensor
) -> tuple[Tensor | None, ...]:
    return operator.gradients(
        route, ctx.saved_tensors, ctx.bias, ctx.needs_input_grad, gradient, ctx.layer
    )


_FUNCTIONS = {name: _function(operator) for name, operator in OPERATORS.items()}


# -- torch.library -----------------------------------------------------------------------------------

#: How the schema of a registered operator says what a `Layer` does.
_WRITTEN = "int[] geometry, str padding_modes, str sharing, int groups"
Written = tuple[list[int], str, str, int]


def written(layer: Layer) -> Written:
    """A layer in the types that a registered operator may have.

    >>> from striate.geometry import local_grid
    >>> written(Layer(local_grid((4, 5), 3), 1))
    ([4, 5, 3, 3, 1, 1, 0, 0, 0, 0, 1, 1, 2, 3, 1, 1], 'zeros zeros', '', 1)
    """
    grid = layer.grid
    geometry = [
        *grid.input_size,
        *grid.kernel_size,
        *grid.stride,
        *(low for low, _ in grid.padding),
        *(high for _, high in grid.padding),
        *grid.dilation,
        *grid.output_size,
        *grid.share,
    ]
    sharing = "" if grid.sharing is None else _map_written(grid.sharing)
    return geometry, " ".join(grid.padding_mode), sharing, layer.groups


def _map_written(sharing: SharingMap) -> str:
    return base64.b85encode(zlib.compress(sharing.numbers)).decode()


# While a graph is traced this is a constant, as `by_map.tensors_of` is.
_map_written._dynamo_marked_constant = True  # type: ignore[attr-defined]


def read(geometry: Sequence[int], padding_modes: str, sharing: str, groups: int) -> Layer:
    """The layer that `written` wrote.

    >>> from striate.geometry import SharingMap, local_grid
    >>> layer = Layer(local_grid(4, 3, padding=1, share=SharingMap.of([0, 1, 1, 0]), axes=1), 2)
    >>> read(*written(layer)) == layer
    True
    """
    return Layer(_grid(tuple(geometry), padding_modes, sharing), groups)


@lru_cache(maxsize=128)
def _grid(geometry: tuple[int, ...], padding_modes: str, sharing: str) -> LocalGrid:
    axes = len(geometry) // 8
    size, kernel, stride, low, high, dilation, outputs, share = (
        geometry[start : start + axes] for start in range(0, len(geometry), axes)
    )
    blocks = tuple(-(-count // block) for count, block in zip(outputs, share, strict=True))
    numbers = None
    if sharing:
        raw = zlib.decompress(base64.b85decode(sharing))
        kernels = 1 + max(memoryview(raw).cast("q"))
        numbers, blocks = SharingMap(outputs, kernels, raw), (kernels,)
    return LocalGrid(
        size,
        kernel,
        stride,
        tuple(zip(low, high, strict=True)),
        dilation,
        outputs,
        share,
        blocks,
        tuple(padding_modes.split()),
        numbers,
    )


def _refuse_tangents() -> None:
    """A registered operator would drop them: its tangents would be zeros, and nobody would know."""
    if forward_ad._current_level >= 0:
        raise NotImplementedError(_NO_TANGENTS)


def _run_registered(name: str, *tensors: Tensor | None, layer: Layer) -> Tensor:
    _refuse_tangents()
    out: Tensor = getattr(torch.ops.striate, name)(*tensors, *written(layer))
    return out


def _register(operator: Operator) -> None:
    def split(arguments: Sequence[Any]) -> tuple[Sequence[Any], Layer]:
        return arguments[:-4], read(*arguments[-4:])

    def compute(*arguments: Any) -> Tensor:
        _refuse_tangents()
        tensors, layer = split(arguments)
        return operator.compute(*tensors, layer)

    def fake(*arguments: Any) -> Tensor:
        _refuse_tangents()
        tensors, layer = split(arguments)
        first, second = tensors[:2]
        return torch.empty(
            operator.shape(first.shape, second.shape, layer), dtype=first.dtype, device=first.device
        )

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        tensors, ctx.layer = split(inputs)
        _save(ctx, tensors)

    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return *_gradients(operator, _run_registered, ctx, gradient), *(None,) * 4

    def vmap(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> tuple[Tensor, int]:
        tensors, layer = split(arguments)
        return folded(operator, _run_registered, info.batch_size, in_dims[:-4], tensors, layer)

    def flops(*arguments: Any, out_shape: Any = None, **_: Any) -> int:
        shapes, layer = split(arguments)
        return operator.flops(layer, *shapes)

    name = f"striate::{operator.name}"
    schema = f"({operator.tensors}, {_WRITTEN}) -> Tensor"
    registered = torch.library.custom_op(name, compute, mutates_args=(), schema=schema)
    registered.register_fake(fake)
    registered.register_autograd(backward, setup_context=setup_context)
    registered.register_vmap(vmap)
    register_flop_formula(getattr(torch.ops.striate, operator.name))(flops)


for _operator in OPERATORS.values():
    _register(_operator)
