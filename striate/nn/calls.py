"""The functions' common way: tensors checked, integers looked up, the operator called."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from striate.geometry import LocalGrid, SharingMap, integer, local_grid, transposed_grid
from striate.nn import checks
from striate.nn.checks import Shape
from striate.ops import local as operators
from striate.ops import reference, short
from striate.ops.backend import registered
from striate.ops.on_grid import Layer

#: Where a call's memory is, and of which type; None where nothing may be allocated: while a graph is traced, or for
#: tensors of other kinds.
Place = tuple[torch.device, torch.dtype] | None


def local(
    who: str,
    axes: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    groups: int,
    **options: Any,
) -> Tensor:
    if torch.compiler.is_compiling():
        return _run(_local, operators.local, who, axes, input, weight, bias, groups, **options)
    call: Hashable = None
    if all(map(_is_constant, (groups, *options.values()))):
        call = (who, groups, *options.values())
        out = short.again(call, input, weight, bias)
        if out is not None:
            return out

    def shortest(
        input: Tensor, weight: Tensor, bias: Tensor | None, grid: LocalGrid, groups: int
    ) -> Tensor:
        out = short.local(input, weight, bias, Layer(grid, groups), call)
        return operators.local(input, weight, bias, grid, groups) if out is None else out

    return _run(_local, shortest, who, axes, input, weight, bias, groups, **options)


def _local(
    who: str,
    place: Place,
    axes: int,
    input: Shape,
    weight: Shape,
    bias: Shape | None,
    groups: object,
    **options: Any,
) -> Layer:
    checks.dimensions(who, axes, input, weight, "outputs, inputs/groups")
    with checks.named(who):
        count = integer("groups", groups)
        grid = local_grid(input[-axes:], weight[-axes:], axes=axes, **options)
    lead = len(weight) - axes - 2
    checks.channels(who, "weight", input, weight, lead, lead + 1, count)
    checks.kernels(who, weight, grid, "output positions")
    checks.offsets(who, bias, tuple(weight[: lead + 1]), "one per block")
    _fit_memory(who, place, input, weight[lead], grid)
    return Layer(grid, count)


def transposed(
    who: str,
    axes: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    groups: int,
    **options: Any,
) -> Tensor:
    return _run(
        _transposed, operators.local_transposed, who, axes, input, weight, bias, groups, **options
    )


def _transposed(
    who: str,
    place: Place,
    axes: int,
    input: Shape,
    weight: Shape,
    bias: Shape | None,
    groups: object,
    **options: Any,
) -> Layer:
    checks.dimensions(who, axes, input, weight, "inputs, outputs/groups")
    with checks.named(who):
        count = integer("groups", groups)
        grid = transposed_grid(input[-axes:], weight[-axes:], axes=axes, **options)
    lead = len(weight) - axes - 2
    given = input[-axes - 1]
    if weight[lead] != given or given % count:
        raise ValueError(
            f"{who}: weight of shape {tuple(weight)} with groups={count}: expected "
            f"{given} input channels, as the input of shape {tuple(input)} has, "
            "divisible by groups"
        )
    checks.kernels(who, weight, grid, "input positions")
    outputs = weight[lead + 1] * count
    checks.offsets(who, bias, (*grid.input_size, outputs), "one per position", ones=True)
    _fit_memory(who, place, input, outputs, grid, transposed=True)
    return Layer(grid, count)


def _run(
    check: Callable[..., Layer],
    operator: Callable[..., Tensor],
    who: str,
    axes: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    groups: int,
    **options: Any,
) -> Tensor:
    checks.tensors(who, input, weight=weight, bias=bias)
    shapes = input.shape, weight.shape, None if bias is None else bias.shape
    layer = _settled(check, who, _place(input), axes, *shapes, groups, **options)
    return _batched(input, axes, lambda x: operator(x, weight, bias, *layer))


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
    shapes = input.shape, bank.shape, mixing.shape, None if bias is None else bias.shape
    layer = _settled(_low_rank, who, _place(input), *shapes, groups, **options)
    return _batched(input, 2, lambda x: reference.low_rank(x, bank, mixing, bias, *layer))


def _low_rank(
    who: str,
    place: Place,
    input: Shape,
    bank: Shape,
    mixing: Shape,
    bias: Shape | None,
    groups: object,
    **options: Any,
) -> Layer:
    if len(bank) != 5:
        raise ValueError(
            f"{who}: bank of shape {tuple(bank)}: "
            "expected (rank, outputs, inputs/groups, rows, columns)"
        )
    checks.dimensions(who, 2, input, bank, "outputs, inputs/groups", "bank")
    with checks.named(who):
        count = integer("groups", groups)
        grid = local_grid(input[-2:], bank[-2:], axes=2, **options)
    checks.channels(who, "bank", input, bank, 1, 2, count)
    rank, outputs = bank[:2]
    if tuple(mixing) != (*grid.blocks, rank):
        raise ValueError(
            f"{who}: mixing of shape {tuple(mixing)}: expected {(*grid.blocks, rank)}, "
            f"a weight of each of the {rank} kernels in the bank for each block of positions"
        )
    checks.offsets(who, bias, (*grid.output_size, outputs), "one per position")
    _fit_memory(who, place, input, rank * outputs, grid)
    return Layer(grid, count)


def _place(input: Tensor) -> Place:
    if registered() or type(input) not in (Tensor, Parameter):
        return None
    return input.device, input.dtype


def _fit_memory(
    who: str, place: Place, input: Shape, made: int, grid: LocalGrid, *, transposed: bool = False
) -> None:
    if place is not None:
        images = input[0] if len(input) == grid.axes + 2 else 1
        given = input[-grid.axes - 1]
        with checks.named(who):
            checks.maps(grid, given, made, *place, images=images, transposed=transposed)


def _settled(check: Callable[..., Layer], who: str, *shapes: Any, **options: Any) -> Layer:
    """What `check` makes of shapes and options, kept from the call before: at small sizes it takes longest."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined]
        return check(who, *shapes, **options)
    if not all(map(_is_constant, options.values())) or not _is_constant(shapes[-1]):
        return check(who, *shapes, **options)
    try:
        hash(shapes)
    except TypeError:  # a size that is a symbol
        return check(who, *shapes, **options)
    return _kept(check, who, *shapes, **options)


def _is_constant(option: object) -> bool:
    """Whether it stays what it is, and equals nothing of another type: not a map in a tensor, not 1.0 or True for 1."""
    if type(option) is tuple:
        return all(map(_is_constant, option))
    return type(option) in _CONSTANTS


_CONSTANTS = frozenset({int, str, type(None), SharingMap})


@functools.lru_cache(maxsize=256)
def _kept(check: Callable[..., Layer], who: str, *shapes: Any, **options: Any) -> Layer:
    return check(who, *shapes, **options)


def _batched(input: Tensor, axes: int, run: Callable[[Tensor], Tensor]) -> Tensor:
    """`run` takes a batch; an unbatched input is one of one."""
    return run(input) if input.dim() == axes + 2 else run(input.unsqueeze(0)).squeeze(0)
