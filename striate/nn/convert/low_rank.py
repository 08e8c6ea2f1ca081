"""From a kernel for each position to a mix of a few: the low-rank layer nearest to a local one."""

from __future__ import annotations

import copy
from math import prod

import numpy as np
import torch
from torch import Tensor

from striate.geometry import integer, kernel_of_position
from striate.nn import checks
from striate.nn.convert.build import arguments, empty, filled
from striate.nn.local import LocallyConnected2d
from striate.nn.low_rank import LowRankLocallyConnected2d
from striate.ops.reference import at_positions, windows

# Alternations at most, and the share of the error that one must still take away.
_STEPS, _LEAST = 200, 1e-6


def to_low_rank(
    layer: LocallyConnected2d, rank: int, inputs: Tensor | None = None
) -> LowRankLocallyConnected2d:
    """The low-rank layer (free mixing) that comes near to a local one.

    Without inputs the bank is the truncated singular value decomposition of the kernels, each counted
    as often as it has positions: of all layers of that rank the nearest in the weights (Eckart and
    Young, 1936). With inputs bank and mixing are improved from there for the squared error of the
    outputs on them, each in turn by least squares: no step makes it worse; as the problem is not
    convex, the end need not be the best of all. Biases stay. Sums are in float64.

    Args:
        layer: it is left as it is.
        rank: kernels in the bank, at most as many as the layer has (and as a kernel has weights).
        inputs: (N, C, H, W), such as activations of a few hundred examples.

    Raises ValueError, TypeError that name the argument.

    >>> from striate.nn import LocallyConnected2d
    >>> layer, x = LocallyConnected2d(1, 2, 3, input_size=8), torch.rand(50, 1, 8, 8)
    >>> plain, fitted = to_low_rank(layer, 4), to_low_rank(layer, 4, inputs=x)
    >>> error = [(new(x) - layer(x)).square().sum().item() for new in (plain, fitted)]
    >>> plain.weight.shape, error[1] < error[0]
    (torch.Size([4, 2, 1, 3, 3]), True)
    >>> torch.allclose(to_low_rank(layer, 18)(x), layer(x), atol=1e-5)
    True
    """
    who = "to_low_rank"
    if not isinstance(layer, LocallyConnected2d):
        raise TypeError(f"{who}: layer={type(layer).__name__}: expected a LocallyConnected2d")
    exact = copy.deepcopy(layer).double()
    kernels, most = exact.weight.detach().flatten(0, len(layer.blocks) - 1), layer.grid.kernels
    most = min(most, prod(kernels.shape[1:]))
    with checks.named(who):
        rank = integer("rank", rank)
        if rank > most:
            raise ValueError(
                f"rank={rank}: expected at most {most}, with which the layer is the same already"
            )
        data = None if inputs is None else _checked(exact, inputs)
    numbers = kernel_of_position(layer.grid)
    counts = torch.from_numpy(np.bincount(numbers)).to(kernels).sqrt()[:, None]
    left, sizes, right = torch.linalg.svd(counts * kernels.flatten(1), full_matrices=False)
    root = sizes[:rank].sqrt()
    mixing = left[:, :rank] * root / counts
    bank = (root[:, None] * right[:rank]).view(rank, *kernels.shape[1:])
    if data is not None:
        bank, mixing = _improved(bank, mixing, kernels, _grams(exact, data), layer.groups)
    return _layer(layer, bank, mixing)


def _checked(layer: LocallyConnected2d, inputs: object) -> Tensor:
    if not isinstance(inputs, Tensor):
        raise TypeError(f"inputs={type(inputs).__name__}: expected a Tensor")
    data = inputs.detach().to(layer.weight)
    layer._check_input(data)
    return data if data.dim() == 4 else data.unsqueeze(0)


def _grams(layer: LocallyConnected2d, data: Tensor) -> Tensor:
    """Sums of products of what each kernel's taps read: (K, groups, terms, terms)."""
    grid, groups = layer.grid, layer.groups
    seen = windows(data, grid).flatten(2, 3)  # (N, C, positions, kernel rows, kernel columns)
    numbers = torch.from_numpy(kernel_of_position(grid)).to(data.device)
    terms = layer.in_channels // groups * prod(grid.kernel_size)
    found = data.new_zeros(grid.kernels, groups, terms, terms)
    for position, kernel in enumerate(numbers):
        rows = seen[:, :, position].reshape(len(data), groups, terms).transpose(0, 1)
        found[kernel] += rows.transpose(1, 2) @ rows
    return found


def _improved(
    bank: Tensor, mixing: Tensor, kernels: Tensor, grams: Tensor, groups: int
) -> tuple[Tensor, Tensor]:
    """Bank (rank, O, ...) and mixing (K, rank) by alternating least squares."""
    rank, terms = len(bank), grams.shape[-1]
    wanted = kernels.reshape(len(kernels), groups, -1, terms)
    seen = wanted @ grams  # (K, groups, outputs, terms)
    whole = (seen * wanted).sum()
    flat = bank.view(rank, groups, -1, terms)
    error = torch.inf
    for _ in range(_STEPS):
        # The mixing, kernel by kernel.
        measured = torch.einsum("rgot,kgtu->krgou", flat, grams).flatten(2)
        normal = measured @ flat.reshape(rank, -1).T
        right = torch.einsum("rgot,kgot->kr", flat, seen)
        mixing = torch.linalg.lstsq(normal, right.unsqueeze(2), driver="gelsd").solution.squeeze(2)
        # The bank, group by group: all its kernels together.
        squares = torch.einsum("kr,ks,kgtu->grtsu", mixing, mixing, grams)
        sides = torch.einsum("kr,kgot->grto", mixing, seen)
        solved = torch.linalg.lstsq(
            squares.reshape(groups, rank * terms, -1),
            sides.reshape(groups, rank * terms, -1),
            driver="gelsd",
        ).solution
        flat = solved.view(groups, rank, terms, -1).permute(1, 0, 3, 2).contiguous()
        now = float(whole - torch.einsum("kr,rgot,kgot->", mixing, flat, seen))
        if now >= error * (1 - _LEAST) or now <= _LEAST * float(whole) * _LEAST:
            break
        error = now
    return flat.reshape(bank.shape), mixing


def _layer(layer: LocallyConnected2d, bank: Tensor, mixing: Tensor) -> LowRankLocallyConnected2d:
    new = empty(LowRankLocallyConnected2d, **arguments(layer), rank=len(bank))
    bias: Tensor | None = layer.bias
    if bias is not None and layer.bias_form is True:  # one for each block is one for each position
        bias = at_positions(bias.detach(), layer.grid)
    kind = layer.weight.dtype
    mixed = mixing.reshape(*layer.blocks, -1).to(kind)
    return filled(new, weight=bank.to(kind), mixing=mixed, bias=bias).train(layer.training)
