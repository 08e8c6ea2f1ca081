"""The CPU kernels (`csrc/striate.h`) on torch tensors: they fill tensors that are given, and know no autograd.

    y[n, o, p] = bias[k(p), o] + sum over c, t of weight[k(p), o, c, t] * x[n, g(o) * C/groups + c, s(p, t)]

Everything is checked here in words and again in the library in numbers, before a pointer is followed.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import weakref
from collections.abc import Iterator
from functools import cache
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from striate.ops.tables import Integers, WindowTables

Instructions = Literal["best", "baseline", "avx2", "avx512"]
Order = Literal["choose", "images", "taps", "rows", "positions"]

INSTRUCTIONS: dict[str, int] = {"best": 0, "baseline": 1, "avx2": 2, "avx512": 3}
ORDERS: dict[str, int] = {"choose": 0, "images": 1, "taps": 2, "rows": 3, "positions": 4}

_ABI = 2
_NO_MEMORY = 6
_FILE = "libstriate_kernels"
#: Multiply-accumulates that are worth waking a thread for.
_WORK_OF_A_THREAD = 200_000

_Int32s = ctypes.POINTER(ctypes.c_int32)


class _Call(ctypes.Structure):
    _fields_ = (
        ("images", ctypes.c_int64),
        ("channels", ctypes.c_int64),
        ("outputs", ctypes.c_int64),
        ("groups", ctypes.c_int64),
        ("threads", ctypes.c_int32),
        ("instructions", ctypes.c_int32),
        ("order", ctypes.c_int32),
        ("reserved", ctypes.c_int32),
    )


class _Array(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("count", ctypes.c_int64))


def _candidates() -> Iterator[Path]:
    """Where the library may be: beside this file, or where an editable install put it."""
    places = [Path(__file__).parent]
    try:
        installed = importlib.metadata.distribution("striate").locate_file("striate/ops")
        places.append(Path(str(installed)))
    except importlib.metadata.PackageNotFoundError:
        pass  # Run from a clone, without an install: there is only the one place.
    for place in places:
        for ending in (".so", ".dylib"):
            yield place / (_FILE + ending)


@cache
def _load() -> tuple[ctypes.CDLL | None, str]:
    path = next((path for path in _candidates() if path.is_file()), None)
    if path is None:
        return None, (
            "the compiled kernels are not installed: install a C++ compiler (g++ or clang++) "
            "and run pip install --force-reinstall --no-deps on striate again"
        )
    try:
        found = ctypes.CDLL(str(path))
    except OSError as error:
        return None, f"the compiled kernels do not load: {error}"
    try:
        abi = int(found.striate_abi())
        if abi == _ABI:
            _declare(found)
    except AttributeError as error:
        return None, f"{path} is no whole library of striate: {error}: reinstall striate"
    if abi != _ABI:
        return (
            None,
            f"{path} is of another version (interface {abi}, not {_ABI}): reinstall striate",
        )
    return found, str(path)


def _declare(found: ctypes.CDLL) -> None:
    """Say what the library's functions take and give. Raises AttributeError where one is missing."""
    size = ctypes.c_int64
    found.striate_windows_new.argtypes = (
        *(size,) * 5,
        *(_Int32s,) * 4,
        ctypes.POINTER(ctypes.c_void_p),
    )
    found.striate_windows_free.argtypes = (ctypes.c_void_p,)
    found.striate_windows_free.restype = None
    call = (ctypes.c_void_p, ctypes.POINTER(_Call))
    found.striate_forward.argtypes = (*call, _Array, _Array, ctypes.c_int, _Array, _Array)
    found.striate_input_gradient.argtypes = (*call, _Array, _Array, _Array)
    found.striate_weight_gradient.argtypes = (*call, _Array, _Array, _Array)
    found.striate_multiply_adds.argtypes = (
        ctypes.c_int,
        ctypes.c_int,
        size,
        ctypes.POINTER(size),
    )
    found.striate_message.restype = ctypes.c_char_p


def library() -> ctypes.CDLL | None:
    """The compiled kernels, or None where there are none; `missing` says why."""
    return _load()[0]


def missing() -> str | None:
    """Why there are no compiled kernels and what to do, or None where there are."""
    found, text = _load()
    return text if found is None else None


def path() -> str | None:
    """Where the library is that is used, or None."""
    found, text = _load()
    return None if found is None else text


def instructions() -> str:
    """The widest instructions that the kernels use on this processor: "avx512", "avx2" or "baseline"."""
    best = _needed().striate_best_instructions()
    return next(name for name, code in INSTRUCTIONS.items() if code == best)


def _needed() -> ctypes.CDLL:
    found, text = _load()
    if found is None:
        raise RuntimeError(text)
    return found


def _raise_for(status: int, what: str) -> None:
    if not status:
        return
    text = f"{what}: {_needed().striate_message(status).decode()}"
    raise MemoryError(text) if status == _NO_MEMORY else ValueError(text)


class Windows:
    """Tables that the library has checked and keeps; made once for a layer's geometry, for any channels.

    Raises RuntimeError where the library is missing, ValueError for tables that it refuses.
    """

    def __init__(self, tables: WindowTables) -> None:
        found = _needed()
        self.inputs, self.positions = tables.inputs, tables.positions
        self.kernels, self.taps = tables.kernels, tables.taps
        # Held while the library reads them.
        arrays = [
            None if array is None else np.ascontiguousarray(array, dtype=np.int32)
            for array in (tables.base, tables.pattern, tables.offsets, tables.kernel)
        ]
        base, pattern, offsets, kernel = arrays
        assert base is not None and pattern is not None and offsets is not None  # noqa: PT018
        for name, array in (("pattern", pattern), ("kernel", kernel)):
            if array is not None and array.shape != base.shape:
                raise ValueError(
                    f"{name} of shape {array.shape}: expected {base.shape}, as base has"
                )
        if base.ndim != 1 or offsets.ndim != 2:
            raise ValueError(
                f"base of shape {base.shape}, offsets of shape {offsets.shape}: "
                "expected (positions,) and (patterns, taps)"
            )
        made = ctypes.c_void_p()
        sizes = (self.inputs, self.positions, self.kernels, self.taps, len(offsets))
        status = found.striate_windows_new(*sizes, *map(_pointer, arrays), ctypes.byref(made))
        _raise_for(status, "window tables")
        self.handle = made
        weakref.finalize(self, found.striate_windows_free, made)


def _pointer(array: Integers | None) -> object:
    return None if array is None else array.ctypes.data_as(_Int32s)


def _array(name: str, tensor: Tensor, *dtypes: torch.dtype) -> _Array:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name}: expected a Tensor, got {type(tensor).__name__}")
    if tensor.device.type != "cpu" or tensor.layout is not torch.strided:
        raise ValueError(
            f"{name}: expected a dense tensor on the CPU, got {tensor.layout} on {tensor.device}"
        )
    if tensor.dtype not in dtypes:
        expected = " or ".join(str(dtype) for dtype in dtypes)
        raise TypeError(f"{name} is {tensor.dtype}: expected {expected}")
    if not tensor.is_contiguous():
        raise ValueError(f"{name} is not contiguous: give {name}.contiguous()")
    return _Array(tensor.data_ptr(), tensor.numel())


def _map(name: str, tensor: Tensor, positions: int) -> _Array:
    """A tensor (N, channels, *sizes) whose sizes are those of so many positions."""
    array = _array(name, tensor, torch.float32)
    if tensor.dim() < 3 or prod(tensor.shape[2:]) != positions:
        raise ValueError(
            f"{name} of shape {tuple(tensor.shape)}: expected (N, channels, ...) with "
            f"{positions:,} positions"
        )
    return array


def _weights(
    name: str, tensor: Tensor, windows: Windows, outputs: int, channels: int, *dtypes: torch.dtype
) -> _Array:
    array = _array(name, tensor, *dtypes)
    expected = (windows.kernels, outputs, channels, windows.taps)
    if tensor.numel() != prod(expected):
        raise ValueError(
            f"{name} of shape {tuple(tensor.shape)}: expected kernels × outputs × channels/groups × "
            f"taps = {'×'.join(map(str, expected))} elements"
        )
    return array


def _per_output(name: str, tensor: Tensor, windows: Windows, outputs: int) -> _Array:
    array = _array(name, tensor, torch.float32)
    if tensor.numel() not in (outputs, windows.kernels * outputs):
        raise ValueError(
            f"{name} of shape {tuple(tensor.shape)}: expected {outputs} elements (one per channel) or "
            f"{windows.kernels}×{outputs} (one per kernel)"
        )
    return array


def _call(
    windows: Windows,
    x: Tensor,
    y: Tensor,
    groups: int,
    threads: int | None,
    instructions: str,
    order: str,
) -> _Call:
    """The sizes of a call, from tensors of the shape of its input and of its output."""
    (images, channels), outputs = x.shape[:2], y.shape[1]
    if y.shape[0] != images:
        raise ValueError(f"tensors of {images} and {y.shape[0]} images: expected the same batch")
    if groups < 1 or channels % groups or outputs % groups:
        raise ValueError(
            f"groups={groups}: expected a divisor of {channels} input and {outputs} output channels"
        )
    for name, value, table in (
        ("instructions", instructions, INSTRUCTIONS),
        ("order", order, ORDERS),
    ):
        if value not in table:
            raise ValueError(f"{name}={value!r}: expected one of {', '.join(table)}")
    if threads is None:
        work = images * windows.positions * outputs * (channels // groups) * windows.taps
        threads = min(torch.get_num_threads(), work // _WORK_OF_A_THREAD + 1)
    elif threads < 1:
        raise ValueError(f"threads={threads}: expected at least 1")
    return _Call(
        images,
        channels,
        outputs,
        groups,
        min(threads, 2**15),
        INSTRUCTIONS[instructions],
        ORDERS[order],
        0,
    )


def forward(
    windows: Windows,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    out: Tensor,
    *,
    groups: int = 1,
    threads: int | None = None,
    instructions: Instructions = "best",
    order: Order = "choose",
) -> None:
    """Fill `out` with the local connection of `x`.

    Args:
        x: (N, C, *sizes) float32, contiguous, as many positions as the windows' inputs.
        weight: (K, O, C/groups, T) in this order and contiguous, its axes flattened or not (as
            `striate.nn.LocallyConnected2d` keeps it), float32 or bfloat16. Sums are float32.
        bias: None, (K, O), in any shape with as many elements, or (O,); float32.
        out: (N, O, *sizes) float32, contiguous, as many positions as the windows have.
        threads: at most this many; None: as many as torch uses, fewer for little work. The result is the
            same to the bit.
        instructions, order: force what is chosen otherwise, for tests.

    Raises ValueError or TypeError that name the argument; MemoryError.
    """
    run = Forward(
        windows,
        x,
        weight,
        bias,
        out,
        groups=groups,
        threads=threads,
        instructions=instructions,
        order=order,
    )
    run(x, weight, bias, out)


class Forward:
    """`forward` for tensors of the sizes and types of some, which are checked once for all calls; as it in all else.

    Each call's tensors must have those sizes and types, be on the CPU and contiguous: the caller sees to it. For
    layers so small that checking takes longer than they do.
    """

    def __init__(
        self,
        windows: Windows,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        out: Tensor,
        *,
        groups: int = 1,
        threads: int | None = None,
        instructions: str = "best",
        order: str = "choose",
    ) -> None:
        maps = (_map("x", x, windows.inputs), _map("out", out, windows.positions))
        self._call = _call(windows, x, out, groups, threads, instructions, order)
        outputs, channels = self._call.outputs, self._call.channels // groups
        kinds = (torch.float32, torch.bfloat16)
        weights = _weights("weight", weight, windows, outputs, channels, *kinds)
        offsets = _Array(None, 0)
        if bias is not None:
            offsets = _per_output("bias", bias, windows, outputs)
        self._counts = (maps[0].count, weights.count, offsets.count, maps[1].count)
        self._kind = int(weight.dtype is torch.bfloat16)
        self._windows = windows  # whose handle ends with it
        self._run = _needed().striate_forward

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor) -> None:
        # New arrays at each call, as several threads may be here at once.
        inputs, weights, offsets, outputs = self._counts
        status = self._run(
            self._windows.handle,
            ctypes.byref(self._call),
            _Array(x.data_ptr(), inputs),
            _Array(weight.data_ptr(), weights),
            self._kind,
            _Array(None if bias is None else bias.data_ptr(), offsets),
            _Array(out.data_ptr(), outputs),
        )
        if status:
            _raise_for(status, "forward")


def input_gradient(
    windows: Windows,
    y_gradient: Tensor,
    weight: Tensor,
    out: Tensor,
    *,
    groups: int = 1,
    threads: int | None = None,
    instructions: Instructions = "best",
    order: Order = "choose",
) -> None:
    """Fill `out` (N, C, *sizes) with the gradient of x; also the forward of a transposed layer.

    `y_gradient` is (N, O, *sizes); the rest as in `forward`, all float32.
    """
    arrays = (_map("y_gradient", y_gradient, windows.positions), _map("out", out, windows.inputs))
    call = _call(windows, out, y_gradient, groups, threads, instructions, order)
    channels = call.channels // groups
    weights = _weights("weight", weight, windows, call.outputs, channels, torch.float32)
    status = _needed().striate_input_gradient(
        windows.handle, ctypes.byref(call), arrays[0], weights, arrays[1]
    )
    _raise_for(status, "input_gradient")


def weight_gradient(
    windows: Windows,
    y_gradient: Tensor,
    x: Tensor,
    out: Tensor,
    *,
    groups: int = 1,
    threads: int | None = None,
    instructions: Instructions = "best",
) -> None:
    """Fill `out`, of the weight's shape, with its gradient; arguments as in `forward`, all float32."""
    arrays = (_map("y_gradient", y_gradient, windows.positions), _map("x", x, windows.inputs))
    call = _call(windows, x, y_gradient, groups, threads, instructions, "choose")
    weights = _weights("out", out, windows, call.outputs, call.channels // groups, torch.float32)
    status = _needed().striate_weight_gradient(
        windows.handle, ctypes.byref(call), arrays[0], arrays[1], weights
    )
    _raise_for(status, "weight_gradient")


def multiply_adds(rounds: int, *, threads: int = 1, instructions: Instructions = "best") -> int:
    """Compute in registers alone, longer with more rounds; returns how many floating-point operations that were.

    What the processor can do at most, for whoever takes the time. Raises ValueError for fewer than one of either.
    """
    done = ctypes.c_int64()
    status = _needed().striate_multiply_adds(
        threads, INSTRUCTIONS[instructions], rounds, ctypes.byref(done)
    )
    _raise_for(status, f"multiply_adds: rounds={rounds}, threads={threads}")
    return done.value
