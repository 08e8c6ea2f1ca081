"""A layer around weights that are there already."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from striate.geometry import SharingMap
from striate.nn.layer import LocalLayer
from striate.nn.local import LocallyConnected1d, LocallyConnected2d, LocallyConnected3d
from striate.nn.transposed import (
    LocallyConnectedTranspose1d,
    LocallyConnectedTranspose2d,
    LocallyConnectedTranspose3d,
)

Layer = TypeVar("Layer", bound=LocalLayer)

LOCAL = {1: LocallyConnected1d, 2: LocallyConnected2d, 3: LocallyConnected3d}
TRANSPOSED = {
    1: LocallyConnectedTranspose1d,
    2: LocallyConnectedTranspose2d,
    3: LocallyConnectedTranspose3d,
}


def arguments(layer: Any) -> dict[str, Any]:
    """What a layer was made with, by name, but for what a family has of its own."""
    names = ("output_padding", "padding_mode")
    return {
        "in_channels": layer.in_channels,
        "out_channels": layer.out_channels,
        "kernel_size": layer.kernel_size,
        "input_size": layer.input_size,
        "stride": layer.stride,
        "padding": layer.padding,
        "dilation": layer.dilation,
        "groups": layer.groups,
        "bias": layer.bias_form,
        "share": layer.share,
        "dtype": layer.weight.dtype,
        **{name: getattr(layer, name) for name in names if hasattr(layer, name)},
    }


def empty(cls: type[Layer], **options: Any) -> Layer:
    """The layer without memory, for its integers and to be filled: nothing is drawn at random."""
    try:
        return cls(**options, device="meta")
    except (TypeError, ValueError) as error:  # who calls puts its own name before it
        raise type(error)(str(error).removeprefix(f"{cls.__name__}: ")) from None


def filled(layer: Layer, **tensors: Tensor | None) -> Layer:
    """Put tensors in the place of an empty layer's parameters, as contiguous ones of their own."""
    device = None
    for name, tensor in tensors.items():
        if tensor is None:
            continue
        old = getattr(layer, name)
        if tuple(tensor.shape) != tuple(old.shape):
            raise ValueError(f"{name} of shape {tuple(tensor.shape)}: expected {tuple(old.shape)}")
        own = tensor.detach().clone(memory_format=torch.contiguous_format)
        setattr(layer, name, nn.Parameter(own))
        device = own.device
    if isinstance(layer.share, SharingMap):
        layer.sharing_map = torch.tensor(layer.share.array, dtype=torch.int32, device=device)
    return layer
