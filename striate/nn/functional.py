"""The layers of `striate.nn` as functions, for those who hold their own weights.

To `torch.overrides` (tensor subclasses, `TorchFunctionMode`) each function is one operator; `FUNCTIONS`
lists them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

from striate.geometry import SharingMap, integer, local_grid, transposed_grid
from striate.nn import checks
from striate.ops.reference import local, local_transposed, low_rank

__all__ = [
    "FUNCTIONS",
    "locally_connected1d",
    "locally_connected2d",
    "locally_connected3d",
    "locally_connected_transpose1d",
    "locally_connected_transpose2d",
    "locally_connected_transpose3d",
    "low_rank_locally_connected2d",
]

#: An integer for all axes, or one for each.
Sizes = int | tuple[int, ...]
#: A block of positions, for all axes or for each, or a sharing map (an integer array).
Share = int | str | tuple[int | str, ...] | SharingMap | Any
Modes = str | tuple[str, ...]
_Function = TypeVar("_Function", bound=Callable[..., Tensor])


def _one_operator(function: _Function) -> _Function:
    """Let tensor subclasses and function modes answer for the function as for one of torch's own."""

    @functools.wraps(function)
    def run(input: Tensor, weight: Tensor, bias: Tensor | None = None, **options: Any) -> Any:
        tensors = (input, weight) if bias is None else (input, weight, bias)
        if has_torch_function(tensors):
            return handle_torch_function(run, tensors, input, weight, bias, **options)
        return function(input, weight, bias, **options)

    return cast(_Function, run)


@_one_operator
def locally_connected1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    share: Share = 1,
    padding_mode: Modes = "zeros",
) -> Tensor:
    """`locally_connected2d` of one dimension: (N, C, L) or (C, L) to (N, O, Lo) or (O, Lo).

    `weight` is (Lo', O, C/groups, k), with Lo' = ceil(Lo / share).

    >>> import torch
    >>> locally_connected1d(torch.rand(2, 1, 8), torch.zeros(3, 4, 1, 3), share=2).shape
    torch.Size([2, 4, 6])
    """
    return _local(
        "locally_connected1d",
        1,
        input,
        weight,
        bias,
        groups,
        stride=stride,
        padding=padding,
        dilation=dilation,
        share=share,
        padding_mode=padding_mode,
    )


@_one_operator
def locally_connected2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    share: Share = 1,
    padding_mode: Modes = "zeros",
) -> Tensor:
    """Windows whose kernels depend on the position, one kernel to a block of `share` positions.

    Args:
        input: (N, C, H, W) or (C, H, W).
        weight: (Ho', Wo', O, C/groups, kh, kw), with Ho' = ceil(Ho / share) and Wo' alike; with a
            sharing map (kernels, O, C/groups, kh, kw).
        bias: None, one per kernel, (Ho', Wo', O) or (kernels, O), or one per channel, (O,).
        stride, padding, dilation, groups, share, padding_mode: as `striate.nn.LocallyConnected2d`
            takes them.

    Returns:
        (N, O, Ho, Wo), or (O, Ho, Wo) for an unbatched input.

    Raises:
        ValueError: shapes that do not belong together, a window that does not fit the input.
        TypeError: arguments of the wrong type, an input and a weight of different dtypes.

    >>> import torch
    >>> weight = torch.zeros(6, 6, 4, 1, 3, 3)
    >>> locally_connected2d(torch.rand(2, 1, 8, 8), weight).shape
    torch.Size([2, 4, 6, 6])
    """
    return _local(
        "locally_connected2d",
        2,
        input,
        weight,
        bias,
        groups,
        stride=stride,
        padding=padding,
        dilation=dilation,
        share=share,
        padding_mode=padding_mode,
    )


@_one_operator
def locally_connected3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    share: Share = 1,
    padding_mode: Modes = "zeros",
) -> Tensor:
    """`locally_connected2d` of three dimensions: (N, C, D, H, W) to (N, O, Do, Ho, Wo).

    `weight` is (Do', Ho', Wo', O, C/groups, kd, kh, kw), with Do' = ceil(Do / share), the others alike.

    >>> import torch
    >>> weight = torch.zeros(2, 3, 3, 4, 1, 3, 2, 2)
    >>> locally_connected3d(torch.rand(2, 1, 4, 4, 4), weight).shape
    torch.Size([2, 4, 2, 3, 3])
    """
    return _local(
        "locally_connected3d",
        3,
        input,
        weight,
        bias,
        groups,
        stride=stride,
        padding=padding,
        dilation=dilation,
        share=share,
        padding_mode=padding_mode,
    )


@_one_operator
def locally_connected_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
    share: Share = 1,
) -> Tensor:
    """`locally_connected_transpose2d` of one dimension: (N, C, L) to (N, O, Lo).

    >>> import torch
    >>> locally_connected_transpose1d(torch.rand(2, 4, 6), torch.zeros(6, 4, 1, 3)).shape
    torch.Size([2, 1, 8])
    """
    return _transposed(
        "locally_connected_transpose1d",
        1,
        input,
        weight,
        bias,
        groups,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        dilation=dilation,
        share=share,
    )


@_one_operator
def locally_connected_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
    share: Share = 1,
) -> Tensor:
    """The adjoint of `locally_connected2d`: each input position spreads over a window of outputs.

    Args:
        input: (N, C, H, W) or (C, H, W).
        weight: (H', W', C, O/groups, kh, kw), one kernel to each block of `share` *input* positions;
            with a sharing map (kernels, C, O/groups, kh, kw).
        bias: None, (O,), or one per output position and channel, (Ho, Wo, O), where a size of 1
            stands for all positions along that axis.
        stride, padding, output_padding, groups, dilation: as `torch.nn.ConvTranspose2d` takes them.
        share: as for `locally_connected2d`, over input positions.

    Returns:
        (N, O, Ho, Wo) or (O, Ho, Wo), with the sizes of `torch.nn.ConvTranspose2d`.

    Raises:
        ValueError, TypeError: as `locally_connected2d`.

    >>> import torch
    >>> weight = torch.zeros(6, 6, 4, 1, 3, 3)
    >>> locally_connected_transpose2d(torch.rand(2, 4, 6, 6), weight).shape
    torch.Size([2, 1, 8, 8])
    """
    return _transposed(
        "locally_connected_transpose2d",
        2,
        input,
        weight,
        bias,
        groups,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        dilation=dilation,
        share=share,
    )


@_one_operator
def locally_connected_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
    share: Share = 1,
) -> Tensor:
    """`locally_connected_transpose2d` of three dimensions: (N, C, D, H, W) to (N, O, Do, Ho, Wo).

    >>> import torch
    >>> weight = torch.zeros(2, 2, 2, 4, 1, 3, 3, 3)
    >>> locally_connected_transpose3d(torch.rand(1, 4, 2, 2, 2), weight).shape
    torch.Size([1, 1, 4, 4, 4])
    """
    return _transposed(
        "locally_connected_transpose3d",
        3,
        input,
        weight,
        bias,
        groups,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        dilation=dilation,
        share=share,
    )


def low_rank_locally_connected2d(
    input: Tensor,
    bank: Tensor,
    mixing: Tensor,
    bias: Tensor | None = None,
    *,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    share: Share = 1,
    padding_mode: Modes = "zeros",
) -> Tensor:
    """`locally_connected2d` with the kernels `sum over r of mixing[..., r] * bank[r]`.

    Args:
        input: (N, C, H, W) or (C, H, W).
        bank: (rank, O, C/groups, kh, kw).
        mixing: (Ho', Wo', rank), or (kernels, rank) with a sharing map.
        bias: None, (O,), or one per output position and channel, (Ho, Wo, O).

    Returns:
        (N, O, Ho, Wo) or (O, Ho, Wo). The rank * O maps of the bank are its intermediate.

    >>> import torch
    >>> bank, mixing = torch.zeros(2, 4, 1, 3, 3), torch.zeros(6, 6, 2)
    >>> low_rank_locally_connected2d(torch.rand(2, 1, 8, 8), bank, mixing).shape
    torch.Size([2, 4, 6, 6])
    """
    who = "low_rank_locally_connected2d"
    tensors = (input, bank, mixing) if bias is None else (input, bank, mixing, bias)
    options: dict[str, Any] = {
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "share": share,
    }
    if has_torch_function(tensors):
        return handle_torch_function(
            low_rank_locally_connected2d,
            tensors,
            input,
            bank,
            mixing,
            bias,
            groups=groups,
            padding_mode=padding_mode,
            **options,
        )
    checks.tensors(who, input, bank=bank, mixing=mixing, bias=bias)
    if bank.dim() != 5:
        raise ValueError(
            f"{who}: bank of shape {tuple(bank.shape)}: "
            "expected (rank, outputs, inputs/groups, rows, columns)"
        )
    checks.dimensions(who, 2, input, bank, "outputs, inputs/groups")
    with checks.named(who):
        groups = integer("groups", groups)
        grid = local_grid(input.shape[-2:], bank.shape[-2:], padding_mode=padding_mode, **options)
    _check_channels(who, "bank", input, bank, 1, 2, groups)
    rank, outputs = bank.shape[:2]
    if tuple(mixing.shape) != (*grid.blocks, rank):
        raise ValueError(
            f"{who}: mixing of shape {tuple(mixing.shape)}: expected {(*grid.blocks, rank)}, "
            f"a weight of each of the {rank} kernels in the bank for each block of positions"
        )
    _check_bias(who, bias, outputs, (*grid.output_size, outputs), "one per position")
    return _batched(input, 2, lambda x: low_rank(x, bank, mixing, bias, grid, groups))


def _local(
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
    try:
        groups = integer("groups", groups)
        grid = local_grid(input.shape[-axes:], weight.shape[-axes:], axes=axes, **options)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{who}: {error}") from None
    place = weight.dim() - axes - 2
    _check_channels(who, "weight", input, weight, place, place + 1, groups)
    checks.kernels(who, weight, grid, "output positions")
    per_kernel = tuple(weight.shape[: place + 1])
    _check_bias(who, bias, weight.shape[place], per_kernel, "one per block")
    return _batched(input, axes, lambda x: local(x, weight, bias, grid, groups))


def _transposed(
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
    try:
        groups = integer("groups", groups)
        grid = transposed_grid(input.shape[-axes:], weight.shape[-axes:], axes=axes, **options)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{who}: {error}") from None
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
    return _batched(input, axes, lambda x: local_transposed(x, weight, bias, grid, groups))


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


#: Every function here: each is one operator to those who follow a forward.
FUNCTIONS: tuple[Callable[..., Tensor], ...] = (
    locally_connected1d,
    locally_connected2d,
    locally_connected3d,
    locally_connected_transpose1d,
    locally_connected_transpose2d,
    locally_connected_transpose3d,
    low_rank_locally_connected2d,
)
