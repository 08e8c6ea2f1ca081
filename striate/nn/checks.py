"""What the functions and layers of `striate.nn` refuse, and in which words."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from striate.geometry import LocalGrid, check_fits
from striate.geometry.windows import AXES

Device = torch.device | str | int | None
Shape = torch.Size | tuple[int, ...]

#: How the axes of an input are written in a shape.
LETTERS = {1: "L", 2: "H, W", 3: "D, H, W"}


@contextmanager
def named(who: str) -> Iterator[None]:
    """Put the name of a layer or function before the errors about its arguments."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"{who}: {error}") from None


def tensors(who: str, input: Tensor, **others: Tensor | None) -> None:
    """Raise TypeError for what is no dense tensor, and for weights of another type than the input."""
    for name, value in {"input": input, **others}.items():
        if not (name == "bias" and value is None):
            dense(who, name, value)
    for name, value in others.items():
        if value is not None and input.device != value.device:
            raise ValueError(
                f"{who}: input is on {input.device} but {name} is on {value.device}: "
                f"move one, for example input.to({str(value.device)!r})"
            )
        if value is not None and input.dtype != value.dtype and not _autocast(input.device.type):
            raise TypeError(
                f"{who}: input is {input.dtype} but {name} is {value.dtype}: "
                f"convert one, for example input.to({value.dtype})"
            )


def dense(who: str, name: str, value: object) -> None:
    """Raise TypeError for what is no tensor, or one that is stored sparsely or otherwise packed."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{who}: {name}: expected a Tensor, got {type(value).__name__}")
    if value.layout is not torch.strided:
        raise TypeError(
            f"{who}: {name} is {value.layout}: expected a dense tensor (torch.strided); "
            f"convert it, for example {name}.to_dense()"
        )


def _autocast(device: str) -> bool:
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def dimensions(
    who: str, axes: int, input: Shape, weight: Shape, per_kernel: str, name: str = "weight"
) -> None:
    """Raise ValueError for an input or a weight with another number of axes than a layer's, or nothing in it.

    A batch of no examples is one.
    """
    letters = LETTERS[axes]
    if len(input) not in (axes + 1, axes + 2):
        raise ValueError(
            f"{who}: input of shape {tuple(input)}: expected (N, C, {letters}) or (C, {letters})"
        )
    if len(weight) not in (axes + 3, 2 * axes + 2):
        blocks = ", ".join(f"block {unit}" for unit in AXES[axes])
        taps = ", ".join(AXES[axes])
        mapped = f", or (kernels, {per_kernel}, {taps}) with a sharing map" if axes > 1 else ""
        raise ValueError(
            f"{who}: weight of shape {tuple(weight)}: "
            f"expected ({blocks}, {per_kernel}, {taps}){mapped}"
        )
    for what, shape, sizes in (
        ("input", input, input[-axes - 1 :]),
        (name, weight, weight),
    ):
        if min(sizes) < 1:
            but = " but for the batch" if what == "input" else ""
            raise ValueError(f"{who}: {what} of shape {tuple(shape)}: expected sizes >= 1{but}")


def channels(
    who: str, name: str, input: Shape, weight: Shape, out: int, into: int, groups: int
) -> None:
    """Raise ValueError where a weight's axes `out` and `into` do not fit the groups and the input."""
    given = input[len(input) - (len(weight) - into)]
    if weight[out] % groups or given != weight[into] * groups:
        raise ValueError(
            f"{who}: {name} of shape {tuple(weight)} with groups={groups}: expected outputs "
            f"divisible by groups and {given}/groups input channels, as the input of shape "
            f"{tuple(input)} has"
        )


def kernels(who: str, weight: Shape, grid: LocalGrid, positions: str) -> None:
    """Raise ValueError for a weight without one kernel to each block of positions."""
    shape, taps = tuple(weight), len(grid.kernel_size)
    lead = shape[: len(shape) - taps - 2]
    if lead == grid.blocks:
        return
    had, counts = ("×".join(map(str, sizes)) for sizes in (lead, grid.output_size))
    if grid.sharing is not None:
        made = f"share names {grid.kernels} kernels for"
    else:
        blocks = "×".join(map(str, grid.blocks))
        made = f"share={grid.share} makes {blocks} blocks of"
    raise ValueError(
        f"{who}: weight of shape {shape} has {had} kernels, but {made} the {counts} {positions}"
    )


def offsets(
    who: str, bias: Shape | None, full: tuple[int, ...], each: str, *, ones: bool = False
) -> None:
    """Raise ValueError for a bias neither (outputs,) nor `full`; with `ones` any size but the last may be 1."""
    if bias is None:
        return
    shape = tuple(bias)
    fits = shape in (full[-1:], full) or (
        ones
        and len(shape) == len(full)
        and shape[-1] == full[-1]
        and all(size in (1, most) for size, most in zip(shape, full, strict=True))
    )
    if not fits:
        raise ValueError(
            f"{who}: bias of shape {shape}: expected {full} ({each}) or {full[-1:]} (one per channel)"
        )


def groups_divide(in_channels: int, out_channels: int, groups: int) -> None:
    """Raise ValueError where the groups do not divide both counts of channels (0: not known yet)."""
    for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if channels % groups:
            raise ValueError(
                f"groups={groups} does not divide {name}={channels}: use a divisor of both counts"
            )


def sizes(who: str, input_size: object) -> int:
    """The number of axes of an `input_size` that must say it; raise ValueError where it does not."""
    if not isinstance(input_size, tuple) or len(input_size) not in AXES:
        raise ValueError(
            f"{who}: input_size={input_size!r}: expected a tuple of one to three sizes"
        )
    return len(input_size)


def place(device: object) -> None:
    """Raise TypeError for a `device` argument that names none; which there are, torch knows and says."""
    if device is not None and (
        isinstance(device, bool) or not isinstance(device, torch.device | str | int)
    ):
        raise TypeError(f"device={device!r}: expected a torch.device, its name or its number")


def bias_and_dtype(bias: object, dtype: torch.dtype | None, one_per: str) -> None:
    """Raise for a `bias` argument that is none of its forms, or a `dtype` that is no real number's."""
    if not (isinstance(bias, bool) or (isinstance(bias, str) and bias == "channel")):
        raise ValueError(
            f"bias={bias!r}: expected True (one per {one_per}), 'channel' (one per channel) or False"
        )
    if dtype is not None and not isinstance(dtype, torch.dtype):
        raise TypeError(f"dtype={dtype!r}: expected a torch.dtype, such as torch.float32")
    if dtype is not None and not dtype.is_floating_point:
        raise TypeError(f"dtype={dtype}: expected a floating-point type, such as torch.float32")


#: Bytes for each place of a padded axis while the table is made of what stands there.
_PLACE = 48


def memory(name: str, shape: tuple[int, ...], device: Device, dtype: torch.dtype | None) -> None:
    """Raise ValueError for a parameter that no memory holds, before anything is allocated."""
    needed = math.prod(shape) * (dtype or torch.get_default_dtype()).itemsize
    advice = "use a larger share, fewer channels, or device='meta'"
    _holds(f"{name} of shape {shape}", needed, device, advice)


def maps(
    grid: LocalGrid,
    given: int,
    made: int,
    device: Device,
    dtype: torch.dtype | None,
    *,
    images: int = 1,
    transposed: bool = False,
) -> None:
    """Raise ValueError where no memory holds the padded input or the output of a layer, or their like transposed.

    Args:
        grid: the layer's; `input_size` and padding are those of a transposed layer's output.
        given, made: channels of the input and of the output.
    """
    size = (dtype or torch.get_default_dtype()).itemsize
    around, at = ("output", "input") if transposed else ("input", "output")
    outer, inner = (made, given) if transposed else (given, made)
    padded = tuple(
        length + low + high
        for length, (low, high) in zip(grid.input_size, grid.padding, strict=True)
    )
    several = f"{images} examples of " if images > 1 else ""
    advice = "use smaller sizes or padding, fewer channels, or device='meta'"
    beside = "" if padded == grid.input_size else f" with padding={grid.padding}"
    _holds(
        f"{around}_size={grid.input_size} of {several}{outer} channels{beside}",
        max(images * outer * math.prod(padded) * size, max(padded) * _PLACE),
        device,
        advice,
    )
    _holds(
        f"{at}_size={grid.output_size} of {several}{inner} channels",
        images * inner * math.prod(grid.output_size) * size,
        device,
        advice,
    )


def _holds(what: str, needed: int, device: Device, advice: str) -> None:
    """More bytes than 63 bits count are refused on any device, and on the CPU more than it has."""
    check_fits(f"{what}, in bytes", needed)
    on = torch.get_default_device() if device is None else torch.device(device)
    if on.type == "cpu" and needed > _there():
        raise ValueError(
            f"{what} takes {needed / 1e9:,.1f} GB, of {_there() / 1e9:,.1f} GB of memory; {advice}"
        )


@functools.cache
def _there() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
