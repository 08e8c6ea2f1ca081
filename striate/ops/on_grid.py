"""The CPU kernels for a layer on a grid: tables looked up, results allocated and filled. No autograd here."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from striate.geometry import LocalGrid, kernel_of_position, tap_sources
from striate.ops import cpu, results
from striate.ops.tables import WindowTables


class Layer(NamedTuple):
    """What the operators know of a layer besides its tensors."""

    grid: LocalGrid
    groups: int


#: Positions up to which tables are small, and making them again would take longer than a layer runs.
SMALL = 1 << 16


def windows(grid: LocalGrid) -> cpu.Windows:
    """The grid's tables, kept from the call before: many small ones, a few large ones."""
    return _small(grid) if prod(grid.output_size) <= SMALL else _large(grid)


@lru_cache(maxsize=128)
def _small(grid: LocalGrid) -> cpu.Windows:
    return _made(grid)


@lru_cache(maxsize=8)
def _large(grid: LocalGrid) -> cpu.Windows:
    return _made(grid)


def _made(grid: LocalGrid) -> cpu.Windows:
    return cpu.Windows(
        WindowTables.from_axes(
            grid.input_size,
            [tap_sources(grid, axis) for axis in range(grid.axes)],
            None if grid.own_kernels else kernel_of_position(grid),
        )
    )


def local(input: Tensor, weight: Tensor, bias: Tensor | None, layer: Layer) -> Tensor:
    """(N, O, *output sizes) of the input's type, from (N, C, *sizes), the weight and the bias."""
    out = results.empty(local_shape(input.shape, weight.shape, layer))
    cpu.forward(
        windows(layer.grid),
        _plain(input.to(torch.float32)),
        _plain(weight),
        None if bias is None else _plain(bias.to(torch.float32)),
        out,
        groups=layer.groups,
    )
    return out.to(input.dtype)


def input_gradient(gradient: Tensor, weight: Tensor, layer: Layer) -> Tensor:
    """(N, C, *sizes): the gradient of the input of `local` from that of its output, (N, O, *output sizes)."""
    out = results.empty(input_shape(gradient.shape, weight.shape, layer))
    tables = windows(layer.grid)
    cpu.input_gradient(tables, _plain(gradient), _plain(weight), out, groups=layer.groups)
    return out


def weight_gradient(gradient: Tensor, input: Tensor, layer: Layer) -> Tensor:
    """(*blocks, O, C/groups, *kernel): the gradient of the weight of `local`."""
    out = results.empty(weight_shape(gradient.shape, input.shape, layer))
    tables = windows(layer.grid)
    cpu.weight_gradient(tables, _plain(gradient), _plain(input), out, groups=layer.groups)
    return out


def _plain(tensor: Tensor) -> Tensor:
    """The same values with nothing between them and their memory: contiguous, negated and zeros written out."""
    if tensor._is_zerotensor():  # which have no memory
        return torch.zeros(tensor.shape, dtype=tensor.dtype)
    return tensor.contiguous().resolve_neg()


# -- shapes: also those of tensors that are only being traced ---------------------------------------

Shape = tuple[int, ...] | torch.Size


def local_shape(input: Shape, weight: Shape, layer: Layer) -> tuple[int, ...]:
    grid = layer.grid
    return (input[0], weight[len(grid.blocks)], *grid.output_size)


def input_shape(gradient: Shape, weight: Shape, layer: Layer) -> tuple[int, ...]:
    grid = layer.grid
    return (gradient[0], weight[len(grid.blocks) + 1] * layer.groups, *grid.input_size)


def weight_shape(gradient: Shape, input: Shape, layer: Layer) -> tuple[int, ...]:
    grid = layer.grid
    return (*grid.blocks, gradient[1], input[1] // layer.groups, *grid.kernel_size)
