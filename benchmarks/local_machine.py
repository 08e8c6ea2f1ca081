"""What the machine can do, measured on the spot, and how large its last cache is."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from striate.ops import cpu

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True)
class Machine:
    """`bandwidth` in bytes and `peak` in float32 FLOPs, both per second."""

    bandwidth: float
    peak: float

    def bound(self, moved: int, flops: int) -> tuple[float, str]:
        """The least seconds for so many bytes and FLOPs, and which of them says so."""
        by_bytes, by_flops = moved / self.bandwidth, flops / self.peak
        return max(by_bytes, by_flops), "memory" if by_bytes > by_flops else "arithmetic"


class Gauge:
    """How fast memory is read and numbers are multiplied, on the threads that torch is given, whenever it is asked.

    Memory is read by the fastest ways that torch has (a sum of all is a third slower): the product of two vectors,
    and of a matrix and a vector that the cache holds. Arithmetic is multiply-adds in registers alone, or torch's
    product of matrices where that is faster or there are no kernels; on some processors it reaches half of what they
    can do.
    """

    def __init__(self, megabytes: int = 512, side: int = 1536, rounds: int = 1_000_000) -> None:
        self._rounds = rounds
        columns = 1 << 14
        rows = max(1, megabytes * 1_000_000 // 8 // columns)
        self._halves, self._vector = torch.ones(2, rows, columns), torch.ones(columns)
        self._square = torch.ones(side, side)
        self.measure()  # the first time, memory and threads are new

    def measure(self) -> Machine:
        first, second = self._halves.flatten(1)
        matrix, square = self._halves.flatten(0, 1), self._square
        ways = (lambda: first @ second, lambda: matrix @ self._vector)
        reading = min(_seconds(way) for way in ways * 2)
        multiplying = min(_seconds(lambda: square @ square) for _ in range(2))
        peak = max(2 * len(square) ** 3 / multiplying, self._in_registers())
        return Machine(self._halves.numel() * 4 / reading, peak)

    def _in_registers(self) -> float:
        if cpu.library() is None:
            return 0.0
        threads = torch.get_num_threads()

        def rate() -> float:
            start = time.perf_counter()
            return cpu.multiply_adds(self._rounds, threads=threads) / (time.perf_counter() - start)

        return max(rate() for _ in range(2))


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def last_cache() -> int | None:
    """Bytes of the largest cache that the first core sees, or None where the system does not say."""
    sizes = [_size(path.read_text()) for path in _CACHES.glob("index*/size")]
    return max(sizes, default=None)


def _size(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([KMG]?)", text.strip()).groups()  # type: ignore[union-attr]
    return int(number) * _UNITS[unit]


@dataclass(frozen=True)
class Surroundings:
    """What numbers depend on beside the code."""

    processor: str
    cores: int
    threads: int
    last_cache: int | None
    rotated: int
    instructions: str
    openmp_waits: str
    torch: str
    jax: str | None

    def document(self) -> dict[str, object]:
        return asdict(self)


def surroundings(threads: int, rotated: int, jax: str | None) -> Surroundings:
    return Surroundings(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        threads=threads,
        last_cache=last_cache(),
        rotated=rotated,
        instructions="none" if cpu.library() is None else cpu.instructions(),
        openmp_waits=os.environ.get("OMP_WAIT_POLICY", "as by default"),
        torch=torch.__version__,
        jax=jax,
    )


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    found = None
    if information.is_file():
        found = re.search(r"^model name\s*:\s*(.*)$", information.read_text(), re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


def use_cores(threads: int) -> None:
    """Keep this process on so many cores, so that no library uses more; call it before any has started threads."""
    allowed = sorted(os.sched_getaffinity(0))
    if threads < len(allowed):
        os.sched_setaffinity(0, allowed[:threads])
    torch.set_num_threads(threads)
