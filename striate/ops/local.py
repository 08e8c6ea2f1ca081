"""The local connections as layers call them: by the compiled kernels where they can be used, else by the reference."""

from __future__ import annotations

import torch
from torch import Tensor

from striate.geometry import LocalGrid
from striate.ops import reference
from striate.ops.backend import Backend, choose
from striate.ops.on_grid import Layer
from striate.ops.routes import run

__all__ = ["backend", "local", "local_transposed"]


def local(
    input: Tensor, weight: Tensor, bias: Tensor | None, grid: LocalGrid, groups: int
) -> Tensor:
    """As `reference.local`, by whichever backend `choose` names."""
    input, weight, bias, result = _mixed(input, weight, bias)
    if choose(input, weight, bias, grid=grid).name == "reference":
        return reference.local(input, weight, bias, grid, groups)
    out = run("local", input, weight, bias, layer=Layer(grid, groups))
    return out if result is None else out.to(result)


def local_transposed(
    input: Tensor, weight: Tensor, bias: Tensor | None, grid: LocalGrid, groups: int
) -> Tensor:
    """As `reference.local_transposed`, by whichever backend `choose` names."""
    input, weight, bias, result = _mixed(input, weight, bias)
    if choose(input, weight, bias, grid=grid, transposed=True).name == "reference":
        return reference.local_transposed(input, weight, bias, grid, groups)
    out = run("input_gradient", input, weight, layer=Layer(grid, groups))
    out = reference.with_bias(out, bias)
    return out if result is None else out.to(result)


def backend(
    input: Tensor, weight: Tensor, bias: Tensor | None, grid: LocalGrid, *, transposed: bool = False
) -> Backend:
    """Which backend `local`, or `local_transposed`, takes for these tensors here and now, and why."""
    input, weight, bias, _ = _mixed(input, weight, bias)
    return choose(input, weight, bias, grid=grid, transposed=transposed)


def _mixed(
    input: Tensor, weight: Tensor, bias: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None, torch.dtype | None]:
    """Under autocast: the tensors in the weight's type, and the type of the result.

    Casting the weights down would cost more than it saves, as each is read once: sums are of the weights as they are.
    """
    if input.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return input, weight, bias, None
    kind = weight.dtype
    bias = None if bias is None else bias.to(kind)
    return input.to(kind), weight, bias, torch.get_autocast_dtype("cpu")
