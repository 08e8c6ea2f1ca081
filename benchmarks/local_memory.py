"""The most memory that a run takes beside its inputs, weights and outputs, by the system's count, in fresh processes.

Each measurement is a process of its own, forked from one that has loaded the libraries and run nothing. The peak is
that of resident pages, so memory of any allocator and of every thread counts, but only once it is touched.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import re
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from local_peers import PEERS
from local_shapes import DIRECTIONS, Problem, Shape

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
            yield {
                "kind": "memory",
                "shape": shape.name,
                "direction": direction,
                "peer": peer.name,
                "extra": _in_a_process(threads, _extra, peer.name, shape, direction),
                "tensors": shape.tensor_bytes(direction),
            }


def of_article(threads: int, size: int = 1000, kernel: int = 10) -> Iterator[dict[str, Any]]:
    """The whole process, libraries and all, that makes a `LocallyConnected2d` of 1000×1000 and runs it once."""
    for direction in DIRECTIONS:
        weights, peak = _in_a_process(threads, _article, size, kernel, direction)
        yield {"kind": "article", "direction": direction, "weights": weights, "peak": peak}


def _in_a_process(threads: int, function: Any, *arguments: Any) -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "local_peers"])
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(send, threads, function, *arguments))
    process.start()
    send.close()
    try:
        return receive.recv()
    except EOFError:
        process.join()
        raise RuntimeError(
            f"{function.__name__}{arguments}: the process ended with code {process.exitcode}"
        ) from None
    finally:
        process.join()


def _answer(send: Connection, threads: int, function: Any, *arguments: Any) -> None:
    torch.set_num_threads(threads)
    send.send(function(*arguments))


def _extra(name: str, shape: Shape, direction: str) -> int:
    _give_back_at_once()
    prepare = next(peer.prepare for peer in PEERS if peer.name == name)
    small = Problem.of(_SMALL)
    prepare(small, direction).run(small.weight)
    problem = Problem.of(shape)
    ready = prepare(problem, direction)
    gc.collect()
    _libc().malloc_trim(0)
    before = _kilobytes("VmRSS")
    _RESET.write_text("5")
    results = ready.run(problem.weight)
    # Some outputs are views of more than themselves: that counts as extra.
    outputs = sum(result.numel() * result.element_size() for result in results)
    return max(0, 1024 * (_kilobytes("VmHWM") - before) - outputs)


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
