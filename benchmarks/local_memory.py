"""The most memory that a run takes beside its inputs, weights and outputs, by the system's count, in fresh processes.

Each measurement is a process of its own. The peak is that of resident pages, so memory of any allocator and of every
thread counts, but only once it is touched.
"""

from __future__ import annotations

import ctypes
import gc
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from local_peers import PEERS, Ready
from local_process import in_a_process
from local_shapes import Problem, Shape

from striate import nn

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
#: Of glibc's mallopt: what is freed goes back to the system at once, so that the next run has to ask for it.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _AT_ONCE = -1, -3, 1 << 16
#: Of prctl: no huge pages, of which a few bytes would count as two megabytes.
_NO_HUGE_PAGES = 41
#: So that libraries, threads and the autograd engine are there before memory is counted.
_SMALL = Shape("small", 4, 8, (40, 40), 8, 3)


def obstacle() -> str | None:
    """Why memory cannot be measured here, or None."""
    if not _RESET.is_file():
        return "the system has no /proc that tells the peak of a process"
    if not hasattr(_libc(), "malloc_trim"):
        return "the C library is not glibc, whose allocator can be told to give memory back"
    return None


def of_peers(
    shape: Shape, direction: str, names: Sequence[str], threads: int
) -> Iterator[dict[str, Any]]:
    """A row for each of the peers (layers in PyTorch) that can do the shape."""
    for peer in PEERS:
        if peer.name in names and peer.obstacle(shape) is None:
            first, again = in_a_process(threads, _extra, peer.name, shape, direction)
            yield {
                "kind": "memory",
                "shape": shape.name,
                "direction": direction,
                "peer": peer.name,
                "extra": first,
                "again": again,
                "tensors": shape.tensor_bytes(direction),
            }


def of_article(direction: str, threads: int, size: int = 1000, kernel: int = 10) -> dict[str, Any]:
    """The whole process, libraries and all, that makes a `LocallyConnected2d` of 1000×1000 and runs it once."""
    weights, peak = in_a_process(threads, _article, size, kernel, direction)
    return {"kind": "article", "direction": direction, "weights": weights, "peak": peak}


def _extra(name: str, shape: Shape, direction: str) -> tuple[int, int]:
    """Of the first run, in which a layer's tables are made, and of the next, with what the first has kept."""
    _give_back_at_once()
    prepare = next(peer.prepare for peer in PEERS if peer.name == name)
    small = Problem.of(_SMALL)
    prepare(small, direction).run(small.weight)
    problem = Problem.of(shape)
    ready = prepare(problem, direction)
    gc.collect()
    _libc().malloc_trim(0)
    before = _kilobytes("VmRSS")
    first = _peak_of(ready, problem) - before
    again = _peak_of(ready, problem) - before
    outputs = shape.output_bytes
    if direction == "backward":
        outputs += shape.input_bytes + shape.weight_bytes
    return max(0, 1024 * first - outputs), max(0, 1024 * again - outputs)


def _peak_of(ready: Ready, problem: Problem) -> int:
    """Kilobytes of the process at most; the results are freed on return."""
    _RESET.write_text("5")
    results = ready.run(problem.weight)
    peak = _kilobytes("VmHWM")
    del results
    gc.collect()
    _libc().malloc_trim(0)
    return peak


def _give_back_at_once() -> None:
    """Let what is freed go back to the system, so that the run that counts has to ask for it again."""
    libc = _libc()
    libc.mallopt(_TRIM_THRESHOLD, _AT_ONCE)
    libc.mallopt(_MMAP_THRESHOLD, _AT_ONCE)
    libc.prctl(_NO_HUGE_PAGES, 1, 0, 0, 0)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def _article(size: int, kernel: int, direction: str) -> tuple[int, int]:
    layer = nn.LocallyConnected2d(1, 1, kernel, input_size=(size, size), padding="same")
    x = torch.randn(1, 1, size, size)
    if direction == "forward":
        with torch.no_grad():
            layer(x)
    else:
        layer(x).sum().backward()
        assert layer.weight.grad is not None
    return layer.weight.numel() * layer.weight.element_size(), 1024 * _kilobytes("VmHWM")


def _kilobytes(name: str) -> int:
    found = re.search(rf"^{name}:\s*(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    assert found, f"{_STATUS} has no {name}"
    return int(found[1])
