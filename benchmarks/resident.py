"""The most resident memory of this process while something runs, by the system's count.

The peak is that of resident pages, so memory of any allocator and of every thread counts, but only once it is touched.
"""

from __future__ import annotations

import ctypes
import gc
import re
from collections.abc import Callable
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
#: Of glibc's mallopt: what is freed goes back to the system at once, so that the next run has to ask for it.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _AT_ONCE = -1, -3, 1 << 16
#: Of prctl: no huge pages, of which a few bytes would count as two megabytes.
_NO_HUGE_PAGES = 41


def obstacle() -> str | None:
    """Why memory cannot be measured here, or None."""
    if not _RESET.is_file():
        return "the system has no /proc that tells the peak of a process"
    if not hasattr(_libc(), "malloc_trim"):
        return "the C library is not glibc, whose allocator can be told to give memory back"
    return None


def give_back_at_once() -> None:
    """Let what is freed go back to the system, so that the run that counts has to ask for it again."""
    libc = _libc()
    libc.mallopt(_TRIM_THRESHOLD, _AT_ONCE)
    libc.mallopt(_MMAP_THRESHOLD, _AT_ONCE)
    libc.prctl(_NO_HUGE_PAGES, 1, 0, 0, 0)


def settle() -> None:
    """Give back what nobody holds any more."""
    gc.collect()
    _libc().malloc_trim(0)


def peak_of(run: Callable[[], object]) -> int:
    """Kilobytes of the process at most; the results are freed on return."""
    _RESET.write_text("5")
    results = run()
    peak = kilobytes("VmHWM")
    del results
    settle()
    return peak


def kilobytes(name: str) -> int:
    """`VmRSS`, what is resident now, or `VmHWM`, the peak."""
    found = re.search(rf"^{name}:\s*(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    assert found, f"{_STATUS} has no {name}"
    return int(found[1])


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)
