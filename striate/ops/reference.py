"""Local connection of one to three dimensions in plain PyTorch: what every faster backend must equal.

    out[n, o, p] = bias[k(p), o] + sum over c, t of weight[k(p), o, c, t] * input[n, c, s(p, t)]

with p an output position, k(p) its kernel (`geometry.kernel_of_position`), t a tap, s(p, t) the input
position that it reads (`geometry.input_of_tap`; a zero where that is -1) and c over the channels of o's
group. No weight is ever repeated, and there is no Python loop over positions. Built from differentiable
ATen operators only, so autograd (to any order, both modes), `torch.func`, `torch.compile`, the meta
device and export need nothing of their own.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.geometry import LocalGrid, padding_sources, span
from striate.ops.by_map import MapTables, tensors_of

_CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)
_TRANSPOSED = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)

# From this many positions to a kernel, convolving each block's crop is faster than a matrix product
# over its patches, and the crops are the smaller copy (measured, one CPU core, batch 128).
_CROP_FROM = 16


def local(
    input: Tensor, weight: Tensor, bias: Tensor | None, grid: LocalGrid, groups: int
) -> Tensor:
    """The local connection of `input` (N, C, *sizes) on `grid`: (N, O, *output sizes).

    `weight` is (*blocks, O, C/groups, *kernel), `bias` None, (O,) or (*blocks, O). Arguments are
    taken as checked (`striate.nn.functional.locally_connected2d` checks them).

    >>> from striate.geometry import local_grid
    >>> grid = local_grid((4, 4), 3)
    >>> local(torch.ones(1, 1, 4, 4), torch.ones(2, 2, 5, 1, 3, 3), None, grid, 1).shape
    torch.Size([1, 5, 2, 2])
    """
    if bias is not None:
        bias = bias.expand(*grid.blocks, weight.shape[len(grid.blocks)])
    if grid.kernels == 1:
        return _cut(_shared(input, weight, bias, grid, groups), grid)
    padded = _pad_to_whole_blocks(input, grid)
    if grid.sharing is not None:
        return _by_map(padded, weight, bias, grid, groups)
    # The last block of an axis may be smaller: its surplus outputs are computed on zeros and cut off.
    if prod(grid.share) >= _CROP_FROM:
        out = _by_crops(padded, weight, bias, grid, groups)
    else:
        out = _by_patches(padded, weight, bias, grid, groups)
    return _cut(out, grid)


def _cut(out: Tensor, grid: LocalGrid) -> Tensor:
    """Without positions beyond the grid's: of blocks cut off, or those of a transposed layer's grid."""
    for axis, count in enumerate(grid.output_size):
        if out.shape[2 + axis] != count:
            out = out.narrow(2 + axis, 0, count)
    return out


def local_transposed(
    input: Tensor, weight: Tensor, bias: Tensor | None, grid: LocalGrid, groups: int
) -> Tensor:
    """The adjoint of `local` on `grid`, from its output to its input: (N, O, *grid.input_size).

    `input` is (N, C, *grid.output_size), `weight` (*blocks, C, O/groups, *kernel) with one kernel to
    each input position or block of them, `bias` None, (O,) or one that broadcasts against
    (*grid.input_size, O).

    >>> from striate.geometry import transposed_grid
    >>> grid = transposed_grid((2, 2), 3)
    >>> local_transposed(torch.ones(1, 5, 2, 2), torch.ones(2, 2, 5, 1, 3, 3), None, grid, 1).shape
    torch.Size([1, 1, 4, 4])
    """
    lead, axes = len(grid.blocks), grid.axes
    if grid.kernels == 1:
        kernel = weight.flatten(0, lead)
        pads = tuple(low for low, _ in grid.padding)
        out = _TRANSPOSED[axes - 1](
            input, kernel, None, grid.stride, pads, _extra(grid), groups, grid.dilation
        )
    else:
        # A layer of windows of one input that gives each output's share of it, then their sums.
        ones, none = (1,) * axes, ((0, 0),) * axes
        pointwise = replace(
            grid,
            input_size=grid.output_size,
            kernel_size=ones,
            stride=ones,
            dilation=ones,
            padding=none,
        )
        channels = weight.shape[lead]
        kernels = (
            weight.reshape(*grid.blocks, groups, channels // groups, -1)
            .transpose(-1, -2)
            .reshape(*grid.blocks, -1, channels // groups, *ones)
        )
        out = _fold(local(input, kernels, None, pointwise, groups), grid)
    return with_bias(out, bias)


def low_rank(
    input: Tensor, bank: Tensor, mixing: Tensor, bias: Tensor | None, grid: LocalGrid, groups: int
) -> Tensor:
    """Local connection whose kernels are mixed from a bank: (N, O, *output sizes).

    `bank` is (rank, O, C/groups, *kernel), `mixing` (*blocks, rank), `bias` None, (O,) or
    (*output sizes, O). The bank is convolved with the input, then mixed position by position.

    >>> from striate.geometry import local_grid
    >>> grid = local_grid((4, 4), 3)
    >>> low_rank(torch.ones(1, 1, 4, 4), torch.ones(7, 5, 1, 3, 3), torch.ones(2, 2, 7), None, grid, 1).shape
    torch.Size([1, 5, 2, 2])
    """
    rank, outputs = bank.shape[:2]
    # A convolution's groups are its outermost output channels.
    kernels = (
        bank.reshape(rank, groups, outputs // groups, *bank.shape[2:])
        .transpose(0, 1)
        .reshape(*(1,) * grid.axes, rank * outputs, *bank.shape[2:])
    )
    shared = replace(grid, share=grid.output_size, blocks=(1,) * grid.axes, sharing=None)
    maps = local(input, kernels, None, shared, groups)
    maps = maps.reshape(maps.shape[0], groups, rank, outputs // groups, *grid.output_size)
    weights = at_positions(mixing, grid).movedim(-1, 0).unsqueeze(1)
    out = (maps * weights.to(maps.dtype)).sum(2).flatten(1, 2)
    return with_bias(out, bias)


def with_bias(out: Tensor, bias: Tensor | None) -> Tensor:
    """`bias` is (outputs,) or (*positions, outputs); under autocast it has another type."""
    if bias is None:
        return out
    offsets = bias.movedim(-1, 0) if bias.dim() > 1 else bias.view(-1, *(1,) * (out.dim() - 2))
    return out + offsets.to(out.dtype)


def at_positions(per_kernel: Tensor, grid: LocalGrid) -> Tensor:
    """What is stored for each kernel, (*blocks, ...), for each output position: (*output sizes, ...)."""
    if grid.sharing is not None:
        numbers = tensors_of(grid.sharing, per_kernel.device).numbers
        return per_kernel.index_select(0, numbers).reshape(*grid.output_size, -1)
    for axis, (count, block) in enumerate(zip(grid.output_size, grid.share, strict=True)):
        if block > 1:
            along = torch.arange(count, device=per_kernel.device) // block
            per_kernel = per_kernel.index_select(axis, along)
    return per_kernel


def _extra(grid: LocalGrid) -> tuple[int, ...]:
    """Outputs of a transposed layer beyond the last that a window without them would reach."""
    return tuple(
        size + low + high - (count - 1) * stride - span(kernel, dilation)
        for size, (low, high), count, stride, kernel, dilation in zip(
            grid.input_size,
            grid.padding,
            grid.output_size,
            grid.stride,
            grid.kernel_size,
            grid.dilation,
            strict=True,
        )
    )


def _fold(columns: Tensor, grid: LocalGrid) -> Tensor:
    """Sum (N, O * taps, *positions) into the inputs that the taps read: (N, O, *grid.input_size)."""
    batch, axes = columns.shape[0], grid.axes
    channels = columns.shape[1] // prod(grid.kernel_size)
    out = columns.reshape(batch, channels, *grid.kernel_size, *grid.output_size)
    # Along one axis after the other, the last first: its taps and positions become its size. Before
    # each step there are (N, O, taps of the axes up to it, their positions, sizes of those after it).
    for axis in reversed(range(axes)):
        kernel, stride, gap = grid.kernel_size[axis], grid.stride[axis], grid.dilation[axis]
        out = out.movedim((2 + axis, 3 + 2 * axis), (-2, -1))
        lead = out.shape[:-2]
        # All that the windows reach; then the padding is cut off, and what no window reaches is zero.
        reach = (grid.output_size[axis] - 1) * stride + span(kernel, gap)
        flat = out.reshape(prod(lead), kernel, grid.output_size[axis])
        folded = F.fold(flat, (reach, 1), (kernel, 1), (gap, 1), 0, (stride, 1))
        low = grid.padding[axis][0]
        # The end first: the windows may all lie within the padding before the first output.
        end = grid.input_size[axis] + low - reach
        out = F.pad(folded.reshape(*lead, reach), (0, end))[..., low:].movedim(-1, 2 + 2 * axis)
    return out.reshape(batch, channels, *grid.input_size)


def _shared(
    input: Tensor, weight: Tensor, bias: Tensor | None, grid: LocalGrid, groups: int
) -> Tensor:
    """One kernel for all positions: a convolution."""
    padding = tuple(low for low, _ in grid.padding)
    even = all(low == high for low, high in grid.padding)
    if not even or any(mode != "zeros" for mode in grid.padding_mode):
        input, padding = _pad(input, grid, grid.padding), (0,) * grid.axes
    kernel = weight.flatten(0, len(grid.blocks))
    flat = None if bias is None else bias.flatten()
    convolution = _CONVOLUTIONS[grid.axes - 1]
    return convolution(input, kernel, flat, grid.stride, padding, grid.dilation, groups)


def _pad(input: Tensor, grid: LocalGrid, amounts: tuple[tuple[int, int], ...]) -> Tensor:
    """The input padded by (low, high) along each axis; a negative high cuts inputs off.

    Up to `grid.padding` with what the mode of the axis says, beyond it with zeros.
    """
    zeros: list[int] = []
    for axis, (low, high) in enumerate(amounts):
        mode = grid.padding_mode[axis]
        if mode != "zeros":
            places = padding_sources(grid.input_size[axis], grid.padding[axis], mode)
            surplus = high - grid.padding[axis][1]
            kept = places[: len(places) + min(surplus, 0)]
            index = torch.tensor(kept, device=input.device)
            input = input.index_select(2 + axis, index)
            low, high = 0, max(surplus, 0)
        zeros[:0] = (low, high)
    return F.pad(input, zeros) if any(zeros) else input


def _pad_to_whole_blocks(input: Tensor, grid: LocalGrid) -> Tensor:
    """The padded input, exactly as long as the windows of `blocks * share` outputs."""
    amounts = []
    for axis in range(grid.axes):
        windows = -(-grid.output_size[axis] // grid.share[axis]) * grid.share[axis]
        reach = span(grid.kernel_size[axis], grid.dilation[axis])
        length = (windows - 1) * grid.stride[axis] + reach
        low = grid.padding[axis][0]
        # Negative where a stride leaves the last inputs unseen: they are cut off.
        amounts.append((low, length - grid.input_size[axis] - low))
    return _pad(input, grid, tuple(amounts))


def windows(input: Tensor, grid: LocalGrid) -> Tensor:
    """What every tap of every window reads: (N, C, *output sizes, *kernel), a view of the padded input.

    >>> from striate.geometry import local_grid
    >>> windows(torch.arange(4.0).view(1, 1, 4), local_grid(4, 2, axes=1)).tolist()
    [[[[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]]]]
    """
    return _windows(_pad(input, grid, grid.padding), grid)


def _windows(padded: Tensor, grid: LocalGrid) -> Tensor:
    """A view of every window: (N, C, *positions, *kernel)."""
    for axis, (kernel, stride, dilation) in enumerate(
        zip(grid.kernel_size, grid.stride, grid.dilation, strict=True)
    ):
        padded = padded.unfold(2 + axis, span(kernel, dilation), stride)[..., ::dilation]
    return padded


def _interleaved(*parts: tuple[int, ...]) -> tuple[int, ...]:
    """(first of each, second of each, ...)."""
    return tuple(entry for group in zip(*parts, strict=True) for entry in group)


def _by_patches(
    padded: Tensor, weight: Tensor, bias: Tensor | None, grid: LocalGrid, groups: int
) -> Tensor:
    """A matrix product per block: (outputs, taps) by (taps, examples times positions)."""
    batch, channels = padded.shape[:2]
    axes, blocks, share = grid.axes, grid.blocks, grid.share
    patches = _windows(padded, grid).reshape(
        batch, groups, channels // groups, *_interleaved(blocks, share), *grid.kernel_size
    )
    # (*blocks, group, example, *share, channel, *kernel)
    order = (*range(3, 3 + 2 * axes, 2), 1, 0, *range(4, 4 + 2 * axes, 2), 2)
    patches = patches.permute(*order, *range(3 + 2 * axes, 3 + 3 * axes)).reshape(
        grid.kernels * groups, -1, channels // groups * prod(grid.kernel_size)
    )
    out = _products(weight, patches, bias, groups)
    return _joined(out.reshape(*blocks, weight.shape[axes], batch, *share), grid)


def _products(weight: Tensor, patches: Tensor, bias: Tensor | None, groups: int) -> Tensor:
    """(kernels * groups, outputs, columns) of patches (kernels * groups, columns, taps).

    The weight stands left of the patches so that its gradient comes out in its own layout.
    """
    taps = patches.shape[2]
    kernels = weight.reshape(patches.shape[0], -1, taps)
    if bias is None:
        return torch.bmm(kernels, patches.transpose(1, 2))
    offsets = bias.reshape(patches.shape[0], -1, 1)
    return torch.baddbmm(offsets, kernels, patches.transpose(1, 2))


def _joined(out: Tensor, grid: LocalGrid) -> Tensor:
    """(*blocks, outputs, examples, *share) as (examples, outputs, *positions)."""
    axes = grid.axes
    order = _interleaved(tuple(range(axes)), tuple(range(axes + 2, 2 * axes + 2)))
    sizes = (b * s for b, s in zip(grid.blocks, grid.share, strict=True))
    outputs, batch = out.shape[axes : axes + 2]
    return out.permute(axes + 1, axes, *order).reshape(batch, outputs, *sizes)


def _by_crops(
    padded: Tensor, weight: Tensor, bias: Tensor | None, grid: LocalGrid, groups: int
) -> Tensor:
    """A convolution whose groups are the blocks, each on the part of the input that it sees."""
    batch, channels = padded.shape[:2]
    axes, blocks, share = grid.axes, grid.blocks, grid.share
    crops = padded
    for axis in range(axes):
        reach = span(grid.kernel_size[axis], grid.dilation[axis])
        length = (share[axis] - 1) * grid.stride[axis] + reach
        crops = crops.unfold(2 + axis, length, share[axis] * grid.stride[axis])
    sizes = crops.shape[2 + axes :]
    crops = crops.permute(0, *range(2, 2 + axes), 1, *range(2 + axes, 2 + 2 * axes)).reshape(
        batch, grid.kernels * channels, *sizes
    )
    kernels = weight.flatten(0, axes)
    outputs = weight.shape[axes]
    offsets = None if bias is None else bias.reshape(-1)
    convolution = _CONVOLUTIONS[axes - 1]
    out = convolution(crops, kernels, offsets, grid.stride, 0, grid.dilation, grid.kernels * groups)
    out = out.reshape(batch, *blocks, outputs, *share)
    return _joined(out.movedim(0, axes + 1), grid)


def _by_map(
    padded: Tensor, weight: Tensor, bias: Tensor | None, grid: LocalGrid, groups: int
) -> Tensor:
    """A matrix product per kernel over the patches of its positions, wherever they lie.

    Kernels with about as many positions as each other are computed together, padded to the most.
    """
    assert grid.sharing is not None
    tables: MapTables = tensors_of(grid.sharing, padded.device)
    batch, channels = padded.shape[:2]
    outputs = weight.shape[1]
    every = _windows(padded, grid)
    results = []
    for kernels, members, places in tables.buckets:
        everywhere: tuple[slice | Tensor, ...] = (slice(None), slice(None))
        patches = every[everywhere + places]
        most = len(places[0]) // kernels
        patches = (
            patches.reshape(batch, groups, channels // groups, kernels, most, *grid.kernel_size)
            .permute(3, 1, 4, 0, 2, *range(5, 5 + grid.axes))
            .reshape(kernels * groups, most * batch, channels // groups * prod(grid.kernel_size))
        )
        some = len(tables.buckets) > 1
        chosen = weight.index_select(0, members) if some else weight
        offsets = bias.index_select(0, members) if some and bias is not None else bias
        out = _products(chosen, patches, offsets, groups)
        results.append(
            out.reshape(kernels, outputs, most, batch)
            .permute(3, 1, 0, 2)
            .reshape(batch, outputs, kernels * most)
        )
    out = torch.cat(results, 2).index_select(2, tables.slots)
    return out.reshape(batch, outputs, *grid.output_size)
