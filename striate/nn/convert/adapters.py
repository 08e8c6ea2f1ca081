"""Locally connected weights from other libraries, in the layouts that people have them in.

The layers take channels first, (N, C, ...), as all of PyTorch does, whatever the source took.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.geometry import per_axis, span
from striate.nn import checks
from striate.nn.convert.build import LOCAL, empty, filled
from striate.nn.functional import Sizes
from striate.nn.local import LocallyConnected


def from_keras(
    kernel: Any,
    bias: Any = None,
    *,
    kernel_size: Sizes,
    input_size: tuple[int, ...],
    strides: Sizes = 1,
    data_format: str = "channels_last",
) -> LocallyConnected:
    """A layer from what `get_weights()` gives of a Keras 2 `LocallyConnected1D` or `2D`.

    Of `implementation=1`, the default, which knows no padding but "valid".

    Args:
        kernel: (positions, taps and input channels, filters), an array or a tensor. Its middle axis has
            the channels last or first, as `data_format` says.
        bias: (*output sizes, filters) or None. Keras with channels first *reshapes* it to (filters,
            *output sizes), and so does this.
        kernel_size, strides, data_format: of the Keras layer.
        input_size: (rows, columns), or (length,) for `LocallyConnected1D`.

    Raises ValueError where shapes do not belong together, TypeError for what is no array.

    >>> kernel = np.zeros((36, 9 * 2, 5), "float32")
    >>> from_keras(kernel, np.zeros((6, 6, 5), "float32"), kernel_size=3, input_size=(8, 8))
    LocallyConnected2d(2, 5, kernel_size=(3, 3), input_size=(8, 8), stride=(1, 1), share=(1, 1))
    """
    who = "from_keras"
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(
            f"{who}: data_format={data_format!r}: expected 'channels_last' or 'channels_first'"
        )
    weight = _tensor(who, "kernel", kernel, 3)
    _, features, filters = weight.shape
    layer = _layer(who, "kernel", weight, features, filters, kernel_size, input_size, strides)
    taps, outputs = layer.kernel_size, layer.output_size
    _check(who, "kernel", weight, (prod(outputs), features, filters))
    last = data_format == "channels_last"
    inner = (*taps, layer.in_channels) if last else (layer.in_channels, *taps)
    # (positions, taps.., channels, filters) or (positions, channels, taps.., filters)
    weight = weight.reshape(-1, *inner, filters).movedim(-1, 1)
    weight = weight.movedim(-1, 2) if last else weight
    values = None
    if bias is not None:
        values = _tensor(who, "bias", bias, len(outputs) + 1)
        _check(who, "bias", values, (*outputs, filters))
        if not last:
            values = values.reshape(filters, *outputs).movedim(0, -1)
    return _filled(layer, weight, values)


def from_jax(
    rhs: Any,
    bias: Any = None,
    *,
    filter_shape: Sizes,
    input_size: tuple[int, ...],
    window_strides: Sizes = 1,
    padding: Any = "VALID",
    rhs_dilation: Sizes = 1,
    rhs_spec: str | None = None,
) -> LocallyConnected:
    """A layer from the weights of `jax.lax.conv_general_dilated_local`.

    Args:
        rhs: (O, C * taps, *output sizes), with the channel before the taps in its second axis.
        bias: None, (O,), or one per position, (O, *output sizes).
        filter_shape, window_strides, padding, rhs_dilation: as JAX takes them. Padding that differs
            between the two sides of an axis must be "SAME" at stride 1, or put around the input before.
        input_size: an entry for each axis.
        rhs_spec: the middle one of JAX's `dimension_numbers`, such as "HWIO"; "OI" and the axes where
            None.

    Raises ValueError where shapes do not belong together, TypeError for what is no array.

    >>> rhs = np.zeros((5, 2 * 9, 8, 8), "float32")
    >>> from_jax(rhs, filter_shape=(3, 3), input_size=(8, 8), padding="SAME").padding
    (1, 1)
    """
    who = "from_jax"
    axes = checks.sizes(who, input_size)
    weight = _tensor(who, "rhs", rhs, axes + 2)
    if rhs_spec is not None:
        spatial = [letter for letter in rhs_spec if letter not in "OI"]
        if len(rhs_spec) != axes + 2 or len({*rhs_spec}) != axes + 2 or not {*"OI"} <= {*rhs_spec}:
            raise ValueError(
                f"{who}: rhs_spec={rhs_spec!r}: expected {axes + 2} letters with O and I, such as "
                f"{'OI' + 'DHW'[3 - axes :]!r}"
            )
        weight = weight.permute(*(rhs_spec.index(letter) for letter in ("O", "I", *spatial)))
    outputs, features = weight.shape[:2]
    with checks.named(who):
        taps = per_axis("filter_shape", filter_shape, axes)
        steps = per_axis("window_strides", window_strides, axes)
        gaps = per_axis("rhs_dilation", rhs_dilation, axes)
    pads = _jax_padding(who, padding, input_size, taps, steps, gaps)
    layer = _layer(who, "rhs", weight, features, outputs, taps, input_size, steps, pads, gaps)
    _check(who, "rhs", weight, (outputs, features, *layer.output_size))
    values = None
    if bias is not None:
        values = _tensor(who, "bias", bias)
        if values.dim() == 1:
            values = values.view(-1, *(1,) * axes).expand(-1, *layer.output_size)
        _check(who, "bias", values, (outputs, *layer.output_size))
        values = values.movedim(0, -1)
    return _filled(layer, weight.movedim((0, 1), (-2, -1)), values)


def from_gist(
    weight: Any,
    bias: Any = None,
    *,
    kernel_size: Sizes,
    input_size: tuple[int, int],
    stride: Sizes = 1,
    padding: Sizes | str = 0,
) -> LocallyConnected:
    """A layer from the parameters of the unfold-based module that is copied from forum posts.

    That module computes `(unfolded input[:, None] * weight).sum([2, -1]) + bias`. It has no padding: whoever
    wants some puts zeros around its input before, `torch.nn.functional.pad`, and the layer can do it instead.

    Args:
        weight: (1, O, C, Ho, Wo, k*k), an array or a tensor.
        bias: (1, O, Ho, Wo) or None.
        kernel_size, stride: of the module.
        input_size: (H, W) of the layer's inputs: of the module's, less the padding.
        padding: zeros around the layer's input, as `LocallyConnected2d` takes it. Of other values, or not as much on
            both sides of an axis: keep the `pad`, and give the padded size and no padding.

    Raises ValueError where shapes do not belong together, TypeError for what is no array.

    >>> from_gist(torch.zeros(1, 4, 3, 6, 6, 9), kernel_size=3, input_size=(8, 8)).weight.shape
    torch.Size([6, 6, 4, 3, 3, 3])
    >>> weight = torch.zeros(1, 4, 3, 8, 8, 9)
    >>> layer = from_gist(weight, kernel_size=3, input_size=(8, 8), padding=1)  # in place of F.pad(x, (1, 1, 1, 1))
    >>> layer(torch.rand(2, 3, 8, 8)).shape
    torch.Size([2, 4, 8, 8])
    """
    who = "from_gist"
    values = _tensor(who, "weight", weight, 6)
    _, outputs, channels = values.shape[:3]
    with checks.named(who):
        taps = prod(per_axis("kernel_size", kernel_size, 2))
    features = channels * taps
    layer = _layer(
        who, "weight", values, features, outputs, kernel_size, input_size, stride, padding
    )
    _check(who, "weight", values, (1, outputs, channels, *layer.output_size, taps))
    offsets = None
    if bias is not None:
        offsets = _tensor(who, "bias", bias, 4)
        _check(who, "bias", offsets, (1, outputs, *layer.output_size))
        offsets = offsets[0].movedim(0, -1)
    return _filled(layer, values[0].permute(2, 3, 0, 1, 4), offsets)


def _tensor(who: str, name: str, value: Any, axes: int | None = None) -> Tensor:
    if not (isinstance(value, Tensor) or hasattr(value, "__array__")):
        raise TypeError(f"{who}: {name}={type(value).__name__}: expected an array or a tensor")
    if isinstance(value, Tensor):
        checks.dense(who, name, value)
    tensor = value.detach() if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
    if not tensor.is_floating_point():
        raise TypeError(f"{who}: {name} is {tensor.dtype}: expected a floating-point type")
    if axes is not None and tensor.dim() != axes:
        raise ValueError(f"{who}: {name} of shape {tuple(tensor.shape)}: expected {axes} axes")
    return tensor


def _layer(
    who: str,
    name: str,
    weight: Tensor,
    features: int,
    outputs: int,
    kernel_size: Sizes,
    input_size: tuple[int, ...],
    stride: Sizes,
    padding: Any = 0,
    dilation: Sizes = 1,
) -> LocallyConnected:
    """The empty layer, with as many channels as the features of a window say."""
    axes = checks.sizes(who, input_size)
    with checks.named(who):
        taps = prod(per_axis("kernel_size", kernel_size, axes))
        if features % taps or not features:
            raise ValueError(
                f"{name} of shape {tuple(weight.shape)} has {features} weights a window: expected a "
                f"multiple of the {taps} taps of kernel_size={kernel_size}"
            )
        return empty(
            LOCAL[axes],
            in_channels=features // taps,
            out_channels=outputs,
            kernel_size=kernel_size,
            input_size=input_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            dtype=weight.dtype,
        )


def _check(who: str, name: str, tensor: Tensor, expected: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != expected:
        raise ValueError(f"{who}: {name} of shape {tuple(tensor.shape)}: expected {expected}")


def _filled(layer: LocallyConnected, weight: Tensor, bias: Tensor | None) -> LocallyConnected:
    """`weight` and `bias` in the right order of axes, if not in their shape."""
    if bias is None:
        layer.bias, layer.bias_form = None, False
    return filled(layer, weight=weight.reshape(layer.weight.shape), bias=bias)


def _jax_padding(
    who: str,
    padding: Any,
    sizes: tuple[int, ...],
    taps: tuple[int, ...],
    steps: tuple[int, ...],
    gaps: tuple[int, ...],
) -> Any:
    pairs: list[tuple[int, ...]]
    if isinstance(padding, str):
        if padding.upper() == "VALID":
            return 0
        if padding.upper() != "SAME":
            raise ValueError(f"{who}: padding={padding!r}: expected 'SAME', 'VALID' or pairs")
        totals: list[int] = [
            max(0, (-(-size // step) - 1) * step + span(kernel, gap) - size)
            for size, kernel, step, gap in zip(sizes, taps, steps, gaps, strict=True)
        ]
        pairs = [(total // 2, total - total // 2) for total in totals]
        if all(step == 1 for step in steps) and any(low != high for low, high in pairs):
            return "same"
    else:
        pairs = [tuple(map(int, pair)) for pair in padding]
    if len(pairs) != len(sizes) or any(len(pair) != 2 or pair[0] != pair[1] for pair in pairs):
        raise ValueError(
            f"{who}: padding={padding!r}, {pairs}: expected the same on both sides of each axis; put "
            "other padding around the input before (torch.nn.functional.pad) and give 'VALID'"
        )
    return tuple(low for low, _ in pairs)
