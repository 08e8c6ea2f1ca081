"""The windows of a local layer, of one to three dimensions, and who shares a kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from striate.geometry.sharing import SharingMap, shares
from striate.geometry.windows import (
    AXES,
    block_count,
    each_axis,
    output_size,
    per_axis,
    same_padding,
    shown,
    span,
    taps_inside,
)

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")
_LARGEST = 2**63 - 1


@dataclass(frozen=True)
class LocalGrid:
    """The windows of a local layer and who shares a kernel; every entry is per axis.

    `padding` is (low, high) along each axis, filled as `padding_mode` says there. `share` is the
    block of adjacent output positions that use one kernel, cut to `output_size`, and `blocks` the
    number of kernels along each axis. With a sharing map `sharing` is that map, `share` is all ones
    and `blocks` is (kernels,): `blocks` always is how a weight's first axes look.
    """

    input_size: tuple[int, ...]
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    output_size: tuple[int, ...]
    share: tuple[int, ...]
    blocks: tuple[int, ...]
    padding_mode: tuple[str, ...]
    sharing: SharingMap | None = None

    @property
    def axes(self) -> int:
        """Dimensions of the grid, 1 to 3."""
        return len(self.input_size)

    @property
    def kernels(self) -> int:
        """How many kernels there are."""
        return prod(self.blocks)

    @property
    def own_kernels(self) -> bool:
        """Whether each output position has a kernel to itself, in the order of the positions."""
        return self.sharing is None and prod(self.share) == 1

    @property
    def taps_inside(self) -> int:
        """Taps of all windows that fall on the input rather than on padding, of whatever mode, for
        one input and one output channel."""
        return prod(
            taps_inside(size, kernel, stride, padding, dilation, outputs)
            for size, kernel, stride, padding, dilation, outputs in zip(
                self.input_size,
                self.kernel_size,
                self.stride,
                self.padding,
                self.dilation,
                self.output_size,
                strict=True,
            )
        )


def local_grid(
    input_size: object,
    kernel_size: object,
    stride: object = 1,
    padding: object = 0,
    dilation: object = 1,
    share: object = 1,
    *,
    padding_mode: object = "zeros",
    axes: int = 2,
) -> LocalGrid:
    """The grid of a local layer from arguments as `striate.nn.LocallyConnected2d` takes them.

    Raises TypeError or ValueError that name the argument, its value and what to give instead.

    >>> grid = local_grid((28, 28), 5, padding="same", share=(4, "all"))
    >>> grid.output_size, grid.share, grid.blocks
    ((28, 28), (4, 28), (7, 1))
    >>> local_grid(16000, 25, 4, padding_mode="reflect", padding=12, axes=1).output_size
    (4000,)
    """
    size = per_axis("input_size", input_size, axes)
    kernel = per_axis("kernel_size", kernel_size, axes)
    steps = per_axis("stride", stride, axes)
    gaps = per_axis("dilation", dilation, axes)
    pads = _paddings(padding, kernel, steps, gaps)
    modes = _modes(padding_mode, padding, pads, size)
    for axis, unit in enumerate(AXES[axes]):
        reach, room = span(kernel[axis], gaps[axis]), size[axis] + sum(pads[axis])
        if reach > room:
            needed = max(
                -((s - span(k, d)) // 2) for s, k, d in zip(size, kernel, gaps, strict=True)
            )
            dilated = any(gap != 1 for gap in gaps)
            raise ValueError(
                f"kernel_size={kernel}{f' with dilation={gaps}' if dilated else ''} does not fit "
                f"input_size={size} with padding={padding!r}: a window of {reach} {unit} on {room}; "
                f"use padding >= {needed}{', a smaller dilation' if dilated else ''} "
                "or a smaller kernel_size"
            )
    outputs = tuple(
        output_size(size[axis], kernel[axis], steps[axis], pads[axis], gaps[axis])
        for axis in range(axes)
    )
    return _grid(size, kernel, steps, pads, gaps, outputs, modes, share)


def transposed_grid(
    input_size: object,
    kernel_size: object,
    stride: object = 1,
    padding: object = 0,
    output_padding: object = 0,
    dilation: object = 1,
    share: object = 1,
    *,
    axes: int = 2,
) -> LocalGrid:
    """The grid of the local layer whose adjoint a transposed one is: from that layer's arguments.

    Its inputs are the transposed layer's outputs and its output positions that layer's inputs, so
    each *input* position of the transposed layer has a kernel, which `share` is about. Sizes are
    those of `torch.nn.ConvTranspose2d`. Raises as `local_grid` does.

    >>> grid = transposed_grid((7, 7), 3, stride=2, padding=1, output_padding=1)
    >>> grid.input_size, grid.output_size, grid.blocks
    ((14, 14), (7, 7), (7, 7))
    """
    inputs = per_axis("input_size", input_size, axes)
    kernel = per_axis("kernel_size", kernel_size, axes)
    steps = per_axis("stride", stride, axes)
    gaps = per_axis("dilation", dilation, axes)
    pads = per_axis("padding", padding, axes, minimum=0)
    extra = per_axis("output_padding", output_padding, axes, minimum=0)
    for more, step, gap in zip(extra, steps, gaps, strict=True):
        if more >= max(step, gap):
            raise ValueError(
                f"output_padding={shown(output_padding)}: expected less than stride={steps} or "
                f"dilation={gaps} along each axis"
            )
    sizes = tuple(
        (count - 1) * step - 2 * pad + span(taps, gap) + more
        for count, taps, step, pad, gap, more in zip(
            inputs, kernel, steps, pads, gaps, extra, strict=True
        )
    )
    if min(sizes) < 1:
        raise ValueError(
            f"padding={shown(padding)} leaves no output of input_size={inputs} with "
            f"kernel_size={kernel}: sizes of {sizes}; use a smaller padding or a larger kernel_size"
        )
    both = tuple((pad, pad) for pad in pads)
    return _grid(sizes, kernel, steps, both, gaps, inputs, ("zeros",) * axes, share)


def _grid(
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[tuple[int, int], ...],
    dilation: tuple[int, ...],
    outputs: tuple[int, ...],
    modes: tuple[str, ...],
    share: object,
) -> LocalGrid:
    padded = tuple(length + low + high for length, (low, high) in zip(size, padding, strict=True))
    for name, count in (
        (f"stride={stride}", max(stride)),
        (f"dilation={dilation}", max(dilation)),
        (f"input_size={size} with padding={padding}", prod(padded)),
        (f"kernel_size={kernel} at {outputs} positions", prod(outputs) * prod(kernel)),
    ):
        check_fits(name, count)
    found = shares(share, outputs)
    if isinstance(found, SharingMap):
        ones = (1,) * len(size)
        return LocalGrid(
            size, kernel, stride, padding, dilation, outputs, ones, (found.kernels,), modes, found
        )
    blocks = tuple(block_count(count, block) for count, block in zip(outputs, found, strict=True))
    return LocalGrid(size, kernel, stride, padding, dilation, outputs, found, blocks, modes)


def check_fits(what: str, count: int) -> None:
    """Raise ValueError where a number of elements or bytes needs more than 63 bits.

    >>> check_fits("input_size=(4, 4)", 16)
    """
    if count > _LARGEST:
        raise ValueError(
            f"{what}: {count:.2e} of them are more than 63 bits can count; use smaller sizes"
        )


def _paddings(
    value: object, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[tuple[int, int], ...]:
    axes = len(kernel)
    if isinstance(value, str):
        if value == "valid":
            return ((0, 0),) * axes
        if value != "same":
            several = {1: "", 2: " two,", 3: " three,"}[axes]
            raise ValueError(f"padding={value!r}: expected an integer,{several} 'same' or 'valid'")
        if any(step != 1 for step in stride):
            raise ValueError(
                f"padding='same' with stride={stride}: 'same' keeps the size only at stride 1; "
                "give padding as a number"
            )
        return tuple(same_padding(k, gap) for k, gap in zip(kernel, dilation, strict=True))
    return tuple((pad, pad) for pad in per_axis("padding", value, axes, minimum=0))


def _modes(
    value: object,
    padding: object,
    pads: tuple[tuple[int, int], ...],
    size: tuple[int, ...],
) -> tuple[str, ...]:
    """The mode of each axis; "zeros" where nothing is padded."""
    axes = len(size)
    entries: tuple[object, ...] = (value,) * axes
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        entries = tuple(value)
    known = ", ".join(repr(mode) for mode in PADDING_MODES)
    if len(entries) != axes or any(entry not in PADDING_MODES for entry in entries):
        raise ValueError(
            f"padding_mode={shown(value)}: expected one of {known}{each_axis(axes, 'these')}"
        )
    modes = []
    for mode, pad, length, unit in zip(entries, pads, size, AXES[axes], strict=True):
        room = {"reflect": length - 1, "circular": length}.get(str(mode), max(pad))
        if max(pad) > room:
            raise ValueError(
                f"padding={padding!r} with padding_mode={mode!r}: {max(pad)} {unit} beside "
                f"{length}, of which the mode can copy {room}; use a smaller padding or 'replicate'"
            )
        modes.append(str(mode) if max(pad) else "zeros")
    return tuple(modes)
