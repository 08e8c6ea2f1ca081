"""Two-dimensional local connection in plain PyTorch: what every faster backend must equal.

    out[n, o, i, j] = bias[i // s, j // s, o]
        + sum over c, a, b of weight[i // s, j // s, o, c, a, b]
                              * padded[n, c, i * stride + a * dilation, j * stride + b * dilation]

with s the block of positions that share a kernel, per axis, and c over the channels of o's group. No
weight is ever repeated, and there is no Python loop over positions. Built from differentiable ATen
operators only, so autograd (to any order, both modes), `torch.func`, `torch.compile`, the meta device
and export need nothing of their own.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.geometry import LocalGrid, span

# From this many positions to a kernel, convolving each block's crop is faster than a matrix product
# over its patches, and the crops are the smaller copy (measured, one CPU core, batch 128).
_CROP_FROM = 16


def local2d(
    input: Tensor, weight: Tensor, bias: Tensor | None, grid: LocalGrid, groups: int
) -> Tensor:
    """The local connection of `input` (N, C, H, W) on `grid`: (N, O, Ho, Wo).

    `weight` is (Ho', Wo', O, C/groups, kh, kw), `bias` None, (O,) or (Ho', Wo', O). Arguments are
    taken as checked (`striate.nn.functional.locally_connected2d` checks them).

    >>> from striate.geometry import local_grid
    >>> grid = local_grid((4, 4), 3)
    >>> local2d(torch.ones(1, 1, 4, 4), torch.ones(2, 2, 5, 1, 3, 3), None, grid, 1).shape
    torch.Size([1, 5, 2, 2])
    """
    if bias is not None:
        bias = bias.expand(*grid.blocks, weight.shape[2])
    if grid.blocks == (1, 1):
        return _shared(input, weight, bias, grid, groups)
    padded = _pad_to_whole_blocks(input, grid)
    # The last block of an axis may be smaller: its surplus outputs are computed on zeros and cut off.
    if grid.share[0] * grid.share[1] >= _CROP_FROM:
        out = _by_crops(padded, weight, bias, grid, groups)
    else:
        out = _by_patches(padded, weight, bias, grid, groups)
    return out[:, :, : grid.output_size[0], : grid.output_size[1]]


def _shared(
    input: Tensor, weight: Tensor, bias: Tensor | None, grid: LocalGrid, groups: int
) -> Tensor:
    """One kernel for all positions: a convolution."""
    (top, bottom), (left, right) = grid.padding
    padding = (top, left)
    if (top, left) != (bottom, right):
        input, padding = F.pad(input, (left, right, top, bottom)), (0, 0)
    flat = None if bias is None else bias[0, 0]
    return F.conv2d(input, weight[0, 0], flat, grid.stride, padding, grid.dilation, groups)


def _pad_to_whole_blocks(input: Tensor, grid: LocalGrid) -> Tensor:
    """The input with zeros around it, exactly as long as the windows of `blocks * share` outputs."""
    ends = []
    for axis in (0, 1):
        windows = grid.blocks[axis] * grid.share[axis]
        reach = span(grid.kernel_size[axis], grid.dilation[axis])
        length = (windows - 1) * grid.stride[axis] + reach
        low = grid.padding[axis][0]
        # Negative where a stride leaves the last inputs unseen: they are cut off.
        ends.append((low, length - grid.input_size[axis] - low))
    (top, bottom), (left, right) = ends
    if not any((top, bottom, left, right)):
        return input
    return F.pad(input, (left, right, top, bottom))


def _by_patches(
    padded: Tensor, weight: Tensor, bias: Tensor | None, grid: LocalGrid, groups: int
) -> Tensor:
    """A matrix product per block: (outputs, taps) by (taps, examples times positions)."""
    batch, channels = padded.shape[:2]
    (rows, columns), (high, wide), (kh, kw) = grid.blocks, grid.share, grid.kernel_size
    outputs = weight.shape[2]
    patches = padded.unfold(2, span(kh, grid.dilation[0]), grid.stride[0])
    patches = patches.unfold(3, span(kw, grid.dilation[1]), grid.stride[1])
    patches = patches[..., :: grid.dilation[0], :: grid.dilation[1]]
    products = rows * columns * groups
    patches = (
        patches.reshape(batch, groups, channels // groups, rows, high, columns, wide, kh, kw)
        .permute(3, 5, 1, 0, 4, 6, 2, 7, 8)
        .reshape(products, -1, channels // groups * kh * kw)
    )
    # The weight stands left of the patches so that its gradient comes out in its own layout.
    kernels = weight.reshape(products, outputs // groups, -1)
    if bias is None:
        out = torch.bmm(kernels, patches.transpose(1, 2))
    else:
        offsets = bias.reshape(products, outputs // groups, 1)
        out = torch.baddbmm(offsets, kernels, patches.transpose(1, 2))
    return (
        out.reshape(rows, columns, outputs, batch, high, wide)
        .permute(3, 2, 0, 4, 1, 5)
        .reshape(batch, outputs, rows * high, columns * wide)
    )


def _by_crops(
    padded: Tensor, weight: Tensor, bias: Tensor | None, grid: LocalGrid, groups: int
) -> Tensor:
    """A convolution whose groups are the blocks, each on the part of the input that it sees."""
    batch, channels = padded.shape[:2]
    (rows, columns), (high, wide), (kh, kw) = grid.blocks, grid.share, grid.kernel_size
    outputs = weight.shape[2]
    tall = (high - 1) * grid.stride[0] + span(kh, grid.dilation[0])
    broad = (wide - 1) * grid.stride[1] + span(kw, grid.dilation[1])
    crops = (
        padded.unfold(2, tall, high * grid.stride[0])
        .unfold(3, broad, wide * grid.stride[1])
        .permute(0, 2, 3, 1, 4, 5)
        .reshape(batch, rows * columns * channels, tall, broad)
    )
    kernels = weight.reshape(rows * columns * outputs, channels // groups, kh, kw)
    offsets = None if bias is None else bias.reshape(-1)
    out = F.conv2d(crops, kernels, offsets, grid.stride, 0, grid.dilation, rows * columns * groups)
    return (
        out.reshape(batch, rows, columns, outputs, high, wide)
        .permute(0, 3, 1, 4, 2, 5)
        .reshape(batch, outputs, rows * high, columns * wide)
    )
