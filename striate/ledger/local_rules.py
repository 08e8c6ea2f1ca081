"""The rules of the locally connected operators, `striate.nn.functional`: one for each kind of layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from typing import Any

from striate.geometry import LocalGrid, local_grid, transposed_grid
from striate.ledger.effects import Contraction, Window
from striate.ledger.graph import Operator, Tensor, tensor


def _option(operator: Operator, names: tuple[str, ...]) -> dict[str, Any]:
    named = dict(operator.named)
    return {name: named[name] for name in names if name in named}


def _windows(grid: LocalGrid) -> tuple[Window, ...]:
    return tuple(
        Window(kernel, stride, padding, dilation, copies=mode != "zeros")
        for kernel, stride, padding, dilation, mode in zip(
            grid.kernel_size,
            grid.stride,
            grid.padding,
            grid.dilation,
            grid.padding_mode,
            strict=True,
        )
    )


def _contraction(
    form: str, operator: Operator, axes: int, grid: LocalGrid, source: Tensor, bias: Tensor | None
) -> Contraction:
    """Each unit of `source` has a connection to every tap of its window, in each channel of its group.

    Who shares a kernel is all in the weight's shape: it changes no connection.
    """
    weight = tensor(operator, 1)
    channels = weight.shape[-axes - 1]
    connections = source.units * channels * prod(grid.kernel_size)
    pairs = source.units // max(1, prod(source.shape[-axes:])) * channels
    data, output = tensor(operator, 0), operator.outputs[0]
    windows = _windows(grid)
    return Contraction(form, data, weight, output, connections, bias, windows, pairs)


def _local(axes: int) -> Callable[[Operator], Contraction]:
    def rule(operator: Operator) -> Contraction:
        return _contraction(
            "local", operator, axes, _grid(operator, axes), operator.outputs[0], operator.tensor(2)
        )

    return rule


def _grid(operator: Operator, axes: int) -> LocalGrid:
    data, weight = tensor(operator, 0), tensor(operator, 1)
    options = _option(operator, ("stride", "padding", "dilation", "padding_mode"))
    return local_grid(data.shape[-axes:], weight.shape[-axes:], axes=axes, **options)


def _transposed(axes: int) -> Callable[[Operator], Contraction]:
    def rule(operator: Operator) -> Contraction:
        data, weight = tensor(operator, 0), tensor(operator, 1)
        options = _option(operator, ("stride", "padding", "output_padding", "dilation"))
        grid = transposed_grid(data.shape[-axes:], weight.shape[-axes:], axes=axes, **options)
        return _contraction("transposed", operator, axes, grid, data, operator.tensor(2))

    return rule


def _low_rank(operator: Operator) -> Contraction:
    """The edges of a local layer; the work of convolving the bank, and of mixing what that gives."""
    grid = _grid(operator, 2)
    output, mixing = operator.outputs[0], tensor(operator, 2)
    found = _contraction("local", operator, 2, grid, output, operator.tensor(3))
    rank = mixing.shape[-1]
    work = rank * (found.connections + output.units)
    return replace(found, mixing=(mixing,), work=work)


LOCAL_RULES: Mapping[str, Callable[[Operator], Contraction]] = {
    **{f"striate.locally_connected{axes}d": _local(axes) for axes in (1, 2, 3)},
    **{f"striate.locally_connected_transpose{axes}d": _transposed(axes) for axes in (1, 2, 3)},
    "striate.low_rank_locally_connected2d": _low_rank,
}
