"""What autograd, `torch.func` and the FLOP counter know of the operators: one definition of each.

The local connection, the gradient of its input and that of its weight are the three derivatives of one
trilinear form sum(y_gradient * local(input, weight)), so the gradients of each are the other two:
autograd goes through them to any order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any, Protocol

import torch
from torch import Tensor

from striate.geometry import LocalGrid, kernel_of_position
from striate.ops import on_grid
from striate.ops.on_grid import Layer, Shape


class Run(Protocol):
    """Calls an operator by its name, by the route that the caller took."""

    def __call__(self, name: str, *tensors: Tensor | None, layer: Layer) -> Tensor: ...


Gradients = tuple[Tensor | None, ...]


@dataclass(frozen=True)
class Operator:
    """An operator of the family.

    Attributes:
        name: under `torch.ops.striate`.
        tensors: its tensor arguments, as a schema names them.
        compute: the result, from the tensors and the `Layer`.
        shape: of the result, from the shapes of the first two tensors and the `Layer`.
        gradients: of the tensors, from (run, the first two tensors, the bias's shape or None, which are
            needed, the gradient of the result, the `Layer`).
        folded: the result for a further axis, which every tensor has first, and where it is in the result.
    """

    name: str
    tensors: str
    compute: Callable[..., Tensor]
    shape: Callable[[Shape, Shape, Layer], tuple[int, ...]]
    gradients: Callable[..., Gradients]
    folded: Callable[..., tuple[Tensor, int]]

    def flops(self, layer: Layer, *shapes: Shape) -> int:
        """Two for each multiply-accumulate, taps on padding among them, as torch counts convolutions."""
        maps = {"local": shapes[0], "input_gradient": shapes[0], "weight_gradient": shapes[1]}
        grid, images = layer.grid, maps[self.name][0]
        weight = (
            self.shape(shapes[0], shapes[1], layer) if self.name == "weight_gradient" else shapes[1]
        )
        window = prod(weight[len(grid.blocks) :])
        return 2 * images * prod(grid.output_size) * window


# -- gradients -----------------------------------------------------------------------------------


def _of_local(
    run: Run,
    tensors: Sequence[Tensor],
    bias: Shape | None,
    needed: Sequence[bool],
    gradient: Tensor,
    layer: Layer,
) -> Gradients:
    input, weight = tensors
    return (
        run("input_gradient", gradient, weight, layer=layer) if needed[0] else None,
        run("weight_gradient", gradient, input, layer=layer) if needed[1] else None,
        summed(gradient, layer.grid, bias) if bias is not None and needed[2] else None,
    )


def _of_input_gradient(
    run: Run,
    tensors: Sequence[Tensor],
    bias: None,
    needed: Sequence[bool],
    gradient: Tensor,
    layer: Layer,
) -> Gradients:
    of_output, weight = tensors
    return (
        run("local", gradient, weight, None, layer=layer) if needed[0] else None,
        run("weight_gradient", of_output, gradient, layer=layer) if needed[1] else None,
    )


def _of_weight_gradient(
    run: Run,
    tensors: Sequence[Tensor],
    bias: None,
    needed: Sequence[bool],
    gradient: Tensor,
    layer: Layer,
) -> Gradients:
    of_output, input = tensors
    return (
        run("local", input, gradient, None, layer=layer) if needed[0] else None,
        run("input_gradient", of_output, gradient, layer=layer) if needed[1] else None,
    )


def summed(gradient: Tensor, grid: LocalGrid, shape: Shape) -> Tensor:
    """The gradient of a bias (O,) or (*blocks, O) from that of the output, (N, O, *output sizes)."""
    if len(shape) == 1:
        return gradient.sum((0, *range(2, gradient.dim())))
    per_position = gradient.sum(0)
    if grid.own_kernels:
        return per_position.movedim(0, -1)
    numbers = torch.from_numpy(kernel_of_position(grid)).to(gradient.device)
    sums = per_position.new_zeros(grid.kernels, gradient.shape[1])
    sums = sums.index_add(0, numbers, per_position.flatten(1).T)
    return sums.view(tuple(shape))


# -- a further axis -------------------------------------------------------------------------------
#
# Examples that share a weight are a larger batch; those with weights of their own are further groups of
# one layer. Either way it is one call, and the result needs no copy.


def _folded_map(
    name: str,
    run: Run,
    size: int,
    tensors: Sequence[Tensor | None],
    batched: Sequence[bool],
    layer: Layer,
) -> tuple[Tensor, int]:
    """Of the operators that make a map of a map and a weight: `local`, which has a bias too, and its adjoint."""
    maps, weight, *biases = tensors
    assert maps is not None and weight is not None  # noqa: PT018
    if not any(batched[1:]):
        out = run(name, maps.flatten(0, 1), weight[0], *map(_first, biases), layer=layer)
        return out.unflatten(0, (size, -1)), 0
    for index, bias in enumerate(biases):
        if bias is not None:
            biases[index] = _beside_outputs(bias, layer) if bias.dim() > 2 else bias.flatten()
    out = run(
        name,
        _beside_channels(maps),
        _beside_outputs(weight, layer),
        *biases,
        layer=_grouped(layer, size),
    )
    return out.unflatten(1, (size, -1)), 1


def _folded_weight_gradient(
    run: Run, size: int, tensors: Sequence[Tensor], batched: Sequence[bool], layer: Layer
) -> tuple[Tensor, int]:
    sides = map(_beside_channels, tensors)
    out = run("weight_gradient", *sides, layer=_grouped(layer, size))
    outputs = len(layer.grid.blocks)
    return out.unflatten(outputs, (size, -1)), outputs


def _grouped(layer: Layer, size: int) -> Layer:
    return Layer(layer.grid, layer.groups * size)


def _first(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor[0]


def _beside_channels(maps: Tensor) -> Tensor:
    """(B, N, channels, ...) as (N, B * channels, ...)."""
    return maps.transpose(0, 1).flatten(1, 2)


def _beside_outputs(weight: Tensor, layer: Layer) -> Tensor:
    """(B, *blocks, O, ...) as (*blocks, B * O, ...)."""
    outputs = len(layer.grid.blocks)
    return weight.movedim(0, outputs).flatten(outputs, outputs + 1)


OPERATORS = {
    operator.name: operator
    for operator in (
        Operator(
            "local",
            "Tensor input, Tensor weight, Tensor? bias",
            on_grid.local,
            on_grid.local_shape,
            _of_local,
            partial(_folded_map, "local"),
        ),
        Operator(
            "input_gradient",
            "Tensor gradient, Tensor weight",
            on_grid.input_gradient,
            on_grid.input_shape,
            _of_input_gradient,
            partial(_folded_map, "input_gradient"),
        ),
        Operator(
            "weight_gradient",
            "Tensor gradient, Tensor input",
            on_grid.weight_gradient,
            on_grid.weight_shape,
            _of_weight_gradient,
            _folded_weight_gradient,
        ),
    )
}


def folded(
    operator: Operator,
    run: Run,
    size: int,
    dims: Sequence[Any],
    tensors: Sequence[Tensor | None],
    layer: Layer,
) -> tuple[Tensor, int]:
    """The rule of `torch.vmap`: `dims` says where each tensor has the further axis of `size`, or None."""
    moved = [
        tensor
        if tensor is None
        else tensor.movedim(dim, 0)
        if dim is not None
        else tensor.unsqueeze(0).expand(size, *tensor.shape)
        for tensor, dim in zip(tensors, dims, strict=True)
    ]
    return operator.folded(run, size, moved, [dim is not None for dim in dims], layer)
