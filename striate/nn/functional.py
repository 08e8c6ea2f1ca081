"""The layers of `striate.nn` as functions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

from striate.geometry import LocalGrid, integer, local_grid
from striate.ops.reference import local2d

__all__ = ["locally_connected2d"]


def locally_connected2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] | str = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    share: int | str | tuple[int | str, int | str] = 1,
) -> Tensor:
    """Windows whose kernels depend on the position, one kernel to a block of `share` positions.

    To `torch.overrides` (tensor subclasses, `TorchFunctionMode`) this is one operator.

    Args:
        input: (N, C, H, W) or (C, H, W).
        weight: (Ho', Wo', O, C/groups, kh, kw), with Ho' = ceil(Ho / share) and Wo' alike.
        bias: None, (Ho', Wo', O) or (O,).
        stride, padding, dilation, groups, share: as `striate.nn.LocallyConnected2d` takes them.

    Returns:
        (N, O, Ho, Wo), or (O, Ho, Wo) for an unbatched input.

    Raises:
        ValueError: shapes that do not belong together, a window that does not fit the input.
        TypeError: arguments of the wrong type, an input and a weight of different dtypes.

    >>> weight = torch.zeros(6, 6, 4, 1, 3, 3)
    >>> locally_connected2d(torch.rand(2, 1, 8, 8), weight).shape
    torch.Size([2, 4, 6, 6])
    """
    tensors = (input, weight) if bias is None else (input, weight, bias)
    if has_torch_function(tensors):
        return handle_torch_function(
            locally_connected2d,
            tensors,
            input,
            weight,
            bias,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            share=share,
        )
    _check_tensors(input, weight, bias)
    try:
        groups = integer("groups", groups)
        grid = local_grid(input.shape[-2:], weight.shape[-2:], stride, padding, dilation, share)
    except (TypeError, ValueError) as error:
        raise type(error)(f"locally_connected2d: {error}") from None
    _check_shapes(input, weight, bias, grid, groups)
    if input.dim() == 3:
        return local2d(input.unsqueeze(0), weight, bias, grid, groups).squeeze(0)
    return local2d(input, weight, bias, grid, groups)


def _check_tensors(input: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    for name, value in (("input", input), ("weight", weight), ("bias", bias)):
        if not isinstance(value, Tensor) and not (name == "bias" and value is None):
            raise TypeError(
                f"locally_connected2d: {name}: expected a Tensor, got {type(value).__name__}"
            )
    if input.dtype != weight.dtype and not torch.is_autocast_enabled(input.device.type):
        raise TypeError(
            f"locally_connected2d: input is {input.dtype} but weight is {weight.dtype}: "
            f"convert one, for example input.to({weight.dtype})"
        )


def _check_shapes(
    input: Tensor, weight: Tensor, bias: Tensor | None, grid: LocalGrid, groups: int
) -> None:
    shape = tuple(weight.shape)
    if input.dim() not in (3, 4):
        raise ValueError(
            f"locally_connected2d: input of shape {tuple(input.shape)}: "
            "expected (N, C, H, W) or (C, H, W)"
        )
    if weight.dim() != 6:
        raise ValueError(
            f"locally_connected2d: weight of shape {shape}: "
            "expected (block rows, block columns, outputs, inputs/groups, rows, columns)"
        )
    channels = input.shape[-3]
    if shape[2] % groups or channels != shape[3] * groups:
        raise ValueError(
            f"locally_connected2d: weight of shape {shape} with groups={groups}: expected outputs "
            f"divisible by groups and {channels}/groups input channels, as the input of shape "
            f"{tuple(input.shape)} has"
        )
    if shape[:2] != grid.blocks:
        raise ValueError(
            f"locally_connected2d: weight of shape {shape} has {shape[0]}×{shape[1]} kernels, but "
            f"share={grid.share} makes {grid.blocks[0]}×{grid.blocks[1]} blocks of the "
            f"{grid.output_size[0]}×{grid.output_size[1]} output positions"
        )
    if bias is not None and tuple(bias.shape) not in ((shape[2],), shape[:3]):
        raise ValueError(
            f"locally_connected2d: bias of shape {tuple(bias.shape)}: "
            f"expected {shape[:3]} (one per block) or {(shape[2],)} (one per channel)"
        )
