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

from striate.geometry import SharingMap
from striate.nn import calls

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
    return calls.local(
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
            takes them. A map that is used often is checked once as `striate.geometry.SharingMap.of(map)`.

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
    return calls.local(
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
    return calls.local(
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
    return calls.transposed(
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
    return calls.transposed(
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
    return calls.transposed(
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
    tensors = (input, bank, mixing) if bias is None else (input, bank, mixing, bias)
    options: dict[str, Any] = {
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "share": share,
        "padding_mode": padding_mode,
    }
    if has_torch_function(tensors):
        return handle_torch_function(
            low_rank_locally_connected2d,
            tensors,
            input,
            bank,
            mixing,
            bias,
            **options,
        )
    return calls.low_rank("low_rank_locally_connected2d", input, bank, mixing, bias, **options)


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
