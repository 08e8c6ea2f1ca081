"""Convolutions as locally connected layers, and fully shared layers as convolutions."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.parameter import is_lazy

from striate.nn import checks
from striate.nn.convert.build import LOCAL, TRANSPOSED, empty, filled
from striate.nn.functional import Share, Sizes
from striate.nn.layer import LocalLayer
from striate.nn.local import LocallyConnected
from striate.nn.low_rank import LowRankLocallyConnected2d
from striate.nn.transposed import LocallyConnectedTranspose

_CONV: dict[int, type[Any]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_CONV_TRANSPOSE: dict[int, type[Any]] = {
    1: nn.ConvTranspose1d,
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}


def from_conv(
    conv: nn.Module, input_size: Sizes, share: Share = 1, *, bias: bool | str = True
) -> LocalLayer:
    """The locally connected layer that computes what a convolution computes, on inputs of one size.

    Args:
        conv: a `Conv1d` to `Conv3d` or `ConvTranspose1d` to `ConvTranspose3d`; it is left as it is.
        input_size: the size of its inputs without batch and channels.
        share: as the layer takes it; the kernel is copied to every block.
        bias: how the convolution's bias is stored, if it has one: True or "channel".

    Raises TypeError for another module and ValueError for what the layers refuse.

    >>> import torch
    >>> conv, x = nn.Conv2d(3, 8, 3, padding=1), torch.rand(2, 3, 8, 8)
    >>> layer = from_conv(conv, input_size=(8, 8), share=4)
    >>> layer.weight.shape, torch.allclose(layer(x), conv(x), atol=1e-5)
    (torch.Size([2, 2, 8, 3, 3, 3]), True)
    """
    if not isinstance(conv, _ConvNd):
        raise TypeError(
            f"from_conv: conv={type(conv).__name__}: expected a Conv1d to Conv3d or a "
            "ConvTranspose1d to ConvTranspose3d"
        )
    if is_lazy(conv.weight):
        raise ValueError("from_conv: conv is lazy and has no weights yet; run it once on an input")
    if bias not in (True, "channel"):
        raise ValueError(f"from_conv: bias={bias!r}: expected True or 'channel'")
    axes = conv.weight.dim() - 2
    transposed = isinstance(conv, _ConvTransposeNd)
    options: dict[str, Any] = (
        {"output_padding": conv.output_padding}
        if transposed
        else {"padding_mode": conv.padding_mode}
    )
    with checks.named("from_conv"):
        layer: LocalLayer = empty(
            (TRANSPOSED if transposed else LOCAL)[axes],
            in_channels=conv.in_channels,
            out_channels=conv.out_channels,
            kernel_size=conv.kernel_size,
            input_size=input_size,
            stride=conv.stride,
            padding=conv.padding,
            dilation=conv.dilation,
            groups=conv.groups,
            bias=False if conv.bias is None else bias,
            share=share,
            dtype=conv.weight.dtype,
            **options,
        )
    weight = conv.weight.expand(layer.weight.shape)
    values = None
    if conv.bias is not None and layer.bias is not None:
        values = conv.bias.expand(layer.bias.shape)
    return filled(layer, weight=weight, bias=values).train(conv.training)


def to_conv(layer: LocalLayer) -> nn.Module:
    """The convolution of a layer with one kernel for all positions.

    Raises ValueError where there are more kernels (`project(layer, share="all")` gives one), or where
    padding modes differ by axis, which no convolution has.

    >>> from striate.nn import LocallyConnected2d
    >>> to_conv(LocallyConnected2d(3, 8, 5, input_size=16, share="all", padding="same"))
    Conv2d(3, 8, kernel_size=(5, 5), stride=(1, 1), padding=same)
    """
    if isinstance(layer, LowRankLocallyConnected2d):
        raise ValueError(
            "to_conv: a low-rank layer has a kernel for each position; "
            "project(lift(layer), share='all') gives one"
        )
    if not isinstance(layer, LocallyConnected | LocallyConnectedTranspose):
        raise TypeError(
            f"to_conv: layer={type(layer).__name__}: expected a locally connected layer"
        )
    if layer.grid.kernels > 1:
        raise ValueError(
            f"to_conv: the layer has {layer.grid.kernels} kernels: expected one; "
            "project(layer, share='all') gives that"
        )
    options: dict[str, Any] = {}
    if isinstance(layer, LocallyConnectedTranspose):
        kind = _CONV_TRANSPOSE[layer.axes]
        options["output_padding"] = layer.output_padding
    else:
        kind = _CONV[layer.axes]
        modes = set(layer.grid.padding_mode)
        if len(modes) > 1:
            raise ValueError(
                f"to_conv: padding_mode={layer.padding_mode!r}: a convolution has one for all axes"
            )
        options["padding_mode"] = modes.pop()
    conv: _ConvNd = kind(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        dilation=layer.dilation,
        groups=layer.groups,
        bias=layer.bias is not None,
        device="meta",
        **options,
    )
    conv.weight = nn.Parameter(layer.weight.detach().reshape(conv.weight.shape).clone())
    if layer.bias is not None:
        conv.bias = nn.Parameter(layer.bias.detach().reshape(-1).clone())
    return conv.train(layer.training)
