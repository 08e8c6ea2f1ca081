"""A dense layer whose weights fit the windows of a local one."""

from __future__ import annotations

from math import prod
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from striate.geometry import LocalGrid, input_of_tap, kernel_of_position
from striate.nn import checks
from striate.nn.convert.build import LOCAL, empty, filled
from striate.nn.functional import Modes, Share, Sizes
from striate.nn.local import LocallyConnected


def from_linear(
    linear: nn.Module,
    in_channels: int,
    out_channels: int,
    kernel_size: Sizes,
    input_size: tuple[int, ...],
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    padding_mode: Modes = "zeros",
    *,
    share: Share = 1,
    bias: bool | str = True,
    tolerance: float = 1e-6,
) -> LocallyConnected:
    """The locally connected layer that computes what a `Linear` does between flattened maps.

    The Linear's inputs are (channels, *positions) flattened, its outputs alike; its weights must be
    zero outside the windows, and equal where a kernel is shared.

    Args:
        linear: it is left as it is.
        input_size: the size of the input map, an entry for each of the one to three axes.
        bias: how the Linear's bias is stored, if it has one: True or "channel".
        tolerance: how far a weight may lie from what the layer has in its place, as a part of the
            largest weight; what is shared becomes the mean.
        The others are as in `LocallyConnected2d`.

    Raises ValueError that says how far the weights are off and where the most, and for sizes that do
    not belong together.

    >>> dense = nn.Linear(4, 3, bias=False)
    >>> with torch.no_grad():
    ...     _ = dense.weight.copy_(torch.tensor([[1., 2, 0, 0], [0, 3, 4, 0], [0, 0, 5, 6]]))
    >>> from_linear(dense, 1, 1, kernel_size=2, input_size=(4,)).weight.flatten().tolist()
    [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    >>> from_linear(dense, 1, 1, kernel_size=2, input_size=(4,), share="all")
    Traceback (most recent call last):
    ValueError: from_linear: the weight from input (channel 0, position (0,)) to output ... is 1, ...
    """
    if not isinstance(linear, nn.Linear):
        raise TypeError(f"from_linear: linear={type(linear).__name__}: expected a torch.nn.Linear")
    checks.sizes("from_linear", input_size)
    if bias not in (True, "channel"):
        raise ValueError(f"from_linear: bias={bias!r}: expected True or 'channel'")
    offsets = cast("Tensor | None", linear.bias)
    options: dict[str, Any] = {"padding_mode": padding_mode, "share": share}
    with checks.named("from_linear"):
        layer = empty(
            LOCAL[len(input_size)],
            in_channels=in_channels,
            out_channels=out_channels,
            kernel_size=kernel_size,
            input_size=input_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=bias if offsets is not None else False,
            dtype=linear.weight.dtype,
            **options,
        )
    grid = layer.grid
    for name, given, size, channels in (
        ("in_features", linear.in_features, grid.input_size, layer.in_channels),
        ("out_features", linear.out_features, grid.output_size, layer.out_channels),
    ):
        if given != channels * prod(size):
            raise ValueError(
                f"from_linear: linear.{name}={given}: expected {channels * prod(size)}, "
                f"{channels} channels of {size}"
            )
    table = input_of_tap(grid)
    _refuse_repeats(table, grid)
    dense = linear.weight.detach().double()
    dense = dense.view(layer.out_channels, len(table), layer.in_channels, -1)
    kernels, again = _windows_of(dense, table, grid, layer.groups)
    _compare(dense, again, table, grid, layer.groups, tolerance)
    values = None
    if offsets is not None:
        flat = offsets.detach().double().view(layer.out_channels, -1)
        numbers = torch.from_numpy(kernel_of_position(grid)).to(flat.device)
        if bias == "channel":
            numbers = torch.zeros_like(numbers)
        values = _means(flat.T, numbers)
        _compare_bias(flat, values[numbers].T, grid, tolerance)
        values = values.view(layer.bias.shape if layer.bias is not None else -1).to(offsets)
    weight = kernels.reshape(layer.weight.shape).to(linear.weight)
    return filled(layer, weight=weight, bias=values).train(linear.training)


def _means(rows: Tensor, numbers: Tensor) -> Tensor:
    """The mean of the rows of each number: (numbers, ...)."""
    kernels = int(numbers.max()) + 1
    counts = torch.bincount(numbers, minlength=kernels)
    sums = rows.new_zeros(kernels, *rows.shape[1:]).index_add_(0, numbers, rows)
    return sums / counts.view(-1, *(1,) * (rows.dim() - 1))


def _refuse_repeats(table: np.ndarray, grid: LocalGrid) -> None:
    ordered = np.sort(table, axis=1)
    twice = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(axis=1)
    if twice.any():
        at = tuple(map(int, np.unravel_index(int(twice.argmax()), grid.output_size)))
        raise ValueError(
            f"from_linear: padding_mode={grid.padding_mode} lets the window at output position {at} "
            "read an input twice, so a Linear's weight does not say what each tap has; "
            "use padding_mode='zeros'"
        )


def _windows_of(
    dense: Tensor, table: np.ndarray, grid: LocalGrid, groups: int
) -> tuple[Tensor, Tensor]:
    """The kernels (kernels, O, C/groups, taps) in a dense weight, and the dense weight they make."""
    outputs, _, channels, _ = dense.shape
    per, own = outputs // groups, channels // groups
    device = dense.device
    taps = torch.from_numpy(table).to(device)
    inside = taps >= 0
    numbers = torch.from_numpy(kernel_of_position(grid)).to(device)
    counts = inside.new_zeros(grid.kernels, table.shape[1], dtype=torch.float64)
    counts.index_add_(0, numbers, inside.double())
    index = taps.clamp(min=0)[None, :, None].expand(per, -1, own, -1)
    kernels, again = [], torch.zeros_like(dense)
    for group in range(groups):
        out, into = slice(group * per, (group + 1) * per), slice(group * own, (group + 1) * own)
        at = dense[out, :, into].gather(3, index) * inside[None, :, None]
        sums = dense.new_zeros(grid.kernels, per, own, table.shape[1])
        sums.index_add_(0, numbers, at.transpose(0, 1))
        # A tap that no position of its kernel has inside the input says nothing: it stays zero.
        kernel = sums / counts.clamp(min=1)[:, None, None]
        placed = (kernel[numbers] * inside[:, None, None]).transpose(0, 1)
        again[out, :, into] = again[out, :, into].scatter_add(3, index, placed)
        kernels.append(kernel)
    return torch.cat(kernels, 1), again


def _compare(
    dense: Tensor, again: Tensor, table: np.ndarray, grid: LocalGrid, groups: int, tolerance: float
) -> None:
    off = (dense - again).abs()
    largest = float(dense.abs().max())
    if float(off.max()) <= tolerance * largest:
        return
    place = np.unravel_index(int(off.argmax()), tuple(dense.shape))
    out, position, into, source = map(int, place)
    here, there = (
        tuple(map(int, np.unravel_index(number, size)))
        for number, size in ((position, grid.output_size), (source, grid.input_size))
    )
    per, own = dense.shape[0] // groups, dense.shape[2] // groups
    value, made = (
        float(dense[out, position, into, source]),
        float(again[out, position, into, source]),
    )
    if source not in table[position]:
        why = "outside the window there, so the layer has 0"
    elif out // per != into // own:
        why = f"between two of the {groups} groups, so the layer has 0"
    else:
        why = f"but the kernel that is shared there has {made:.4g}"
    missed = float(off.square().sum() / dense.square().sum())
    raise ValueError(
        f"from_linear: the weight from input (channel {into}, position {there}) to output (channel "
        f"{out}, position {here}) is {value:.4g}, {why}; of all squared weights {missed:.2%} do not fit; "
        "use a larger kernel_size or a smaller share"
    )


def _compare_bias(bias: Tensor, again: Tensor, grid: LocalGrid, tolerance: float) -> None:
    off = (bias - again).abs()
    if float(off.max()) <= tolerance * float(bias.abs().max()):
        return
    out, position = map(int, np.unravel_index(int(off.argmax()), tuple(bias.shape)))
    here = tuple(map(int, np.unravel_index(position, grid.output_size)))
    raise ValueError(
        f"from_linear: the bias of output (channel {out}, position {here}) is "
        f"{float(bias[out, position]):.4g}, but the one shared there is "
        f"{float(again[out, position]):.4g}; use a smaller share"
    )
