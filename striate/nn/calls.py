"""The functions' common way: tensors checked, integers looked up, the operator called."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from striate.geometry import LocalGrid, integer, local_grid, transposed_grid
from striate.nn import checks
from striate.ops import reference


def _grid(
    make: Callable[..., LocalGrid], input_size: torch.Size, kernel_size: torch.Size, **options: Any
) -> LocalGrid:
    """The grid of a call, kept from the call before: at small sizes making it is half of the time."""
    if not torch.compiler.is_compiling():
        try:
            return _kept(make, tuple(input_size), tuple(kernel_size), **options)
        except TypeError:  # a list or an array among the options, or one that is refused
            pass
    return make(input_size, kernel_size, **options)


@functools.lru_cache(maxsize=256, typed=True)
def _kept(
    make: Callable[..., LocalGrid],
    input_size: tuple[int, ...],
    kernel_size: tuple[int, ...],
    **options: Any,
) -> LocalGrid:
    return make(input_size, kernel_size, **options)


def local(
    who: str,
    axes: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    groups: int,
    **options: Any,
) -> Tensor:
    checks.tensors(who, input, weight=weight, bias=bias)
    checks.dimensions(who, axes, input, weight, "outputs, inputs/groups")
    with checks.named(who):
        groups = integer("groups", groups)
        grid = _grid(local_grid, input.shape[-axes:], weight.shape[-axes:], axes=axes, **options)
    place = weight.dim() - axes - 2
    _check_channels(who, "weight", input, weight, place, place + 1, groups)
    checks.kernels(who, weight, grid, "output positions")
    per_kernel = tuple(weight.shape[: place + 1])
    _check_bias(who, bias, weight.shape[place], per_kernel, "one per block")
    return _batched(input, axes, lambda x: reference.local(x, weight, bias, grid, groups))


def transposed(
    who: str,
    axes: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    groups: int,
    **options: Any,
) -> Tensor:
    checks.tensors(who, input, weight=weight, bias=bias)
    checks.dimensions(who, axes, input, weight, "inputs, outputs/groups")
    with checks.named(who):
        groups = integer("groups", groups)
        sizes = input.shape[-axes:], weight.shape[-axes:]
        grid = _grid(transposed_grid, *sizes, axes=axes, **options)
    place = weight.dim() - axes - 2
    channels = input.shape[-axes - 1]
    if weight.shape[place] != channels or channels % groups:
        raise ValueError(
            f"{who}: weight of shape {tuple(weight.shape)} with groups={groups}: expected "
            f"{channels} input channels, as the input of shape {tuple(input.shape)} has, "
            "divisible by groups"
        )
    checks.kernels(who, weight, grid, "input positions")
    outputs = weight.shape[place + 1] * groups
    _check_bias(who, bias, outputs, (*grid.input_size, outputs), "one per position", ones=True)
    return _batched(
        input, axes, lambda x: reference.local_transposed(x, weight, bias, grid, groups)
    )


def low_rank(
    who: str,
    input: Tensor,
    bank: Tensor,
    mixing: Tensor,
    bias: Tensor | None,
    groups: int,
    **options: Any,
) -> Tensor:
    checks.tensors(who, input, bank=bank, mixing=mixing, bias=bias)
    if bank.dim() != 5:
        raise ValueError(
            f"{who}: bank of shape {tuple(bank.shape)}: "
            "expected (rank, outputs, inputs/groups, rows, columns)"
        )
    checks.dimensions(who, 2, input, bank, "outputs, inputs/groups")
    with checks.named(who):
        groups = integer("groups", groups)
        grid = _grid(local_grid, input.shape[-2:], bank.shape[-2:], axes=2, **options)
    _check_channels(who, "bank", input, bank, 1, 2, groups)
    rank, outputs = bank.shape[:2]
    if tuple(mixing.shape) != (*grid.blocks, rank):
        raise ValueError(
            f"{who}: mixing of shape {tuple(mixing.shape)}: expected {(*grid.blocks, rank)}, "
            f"a weight of each of the {rank} kernels in the bank for each block of positions"
        )
    _check_bias(who, bias, outputs, (*grid.output_size, outputs), "one per position")
    return _batched(input, 2, lambda x: reference.low_rank(x, bank, mixing, bias, grid, groups))


def _batched(input: Tensor, axes: int, run: Callable[[Tensor], Tensor]) -> Tensor:
    """`run` takes a batch; an unbatched input is one of one."""
    return run(input) if input.dim() == axes + 2 else run(input.unsqueeze(0)).squeeze(0)


def _check_channels(
    who: str, name: str, input: Tensor, weight: Tensor, out: int, into: int, groups: int
) -> None:
    channels = input.shape[len(input.shape) - (weight.dim() - into)]
    if weight.shape[out] % groups or channels != weight.shape[into] * groups:
        raise ValueError(
            f"{who}: {name} of shape {tuple(weight.shape)} with groups={groups}: expected outputs "
            f"divisible by groups and {channels}/groups input channels, as the input of shape "
            f"{tuple(input.shape)} has"
        )


def _check_bias(
    who: str,
    bias: Tensor | None,
    outputs: int,
    full: tuple[int, ...],
    each: str,
    ones: bool = False,
) -> None:
    if bias is None:
        return
    shape = tuple(bias.shape)
    fits = shape in ((outputs,), full) or (
        ones
        and len(shape) == len(full)
        and shape[-1] == outputs
        and all(size in (1, most) for size, most in zip(shape, full, strict=True))
    )
    if not fits:
        raise ValueError(
            f"{who}: bias of shape {shape}: "
            f"expected {full} ({each}) or {(outputs,)} (one per channel)"
        )
