"""Memory for the results of the kernels.

The C library gives a block of 32 MiB or more back to the system as soon as it is free, and the system clears what it
gives out anew: for a layer of few inputs and many outputs that takes longer than computing them. So the last such block
is kept here for the next result that fits it, up to the size that the library keeps of smaller ones.
"""

from __future__ import annotations

import mmap
import threading
import weakref
from math import prod

import numpy as np
import torch
from torch import Tensor

#: Bytes. glibc's largest threshold for memory of its own from the system, and twice that, which it keeps at most
#: (mallopt(3): M_MMAP_THRESHOLD and M_TRIM_THRESHOLD).
_LEAST, _MOST = 32 << 20, 64 << 20
_FLOAT = 4


class _Kept:
    """One block of memory that nobody uses, or none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._block: mmap.mmap | None = None

    def take(self, size: int) -> mmap.mmap:
        """A block of at least so many bytes, the kept one if it will do."""
        with self._lock:
            block, self._block = self._block, None
        return (
            block
            if block is not None and len(block) >= size
            else mmap.mmap(-1, size, access=mmap.ACCESS_COPY)
        )

    def keep(self, block: mmap.mmap) -> None:
        with self._lock:
            self._block = block


_kept = _Kept()


def empty(shape: tuple[int, ...]) -> Tensor:
    """As `torch.empty`, float32 on the CPU. A tensor of 32 to 64 MiB cannot be made larger in place (`resize_`).

    >>> empty((2, 3)).shape
    torch.Size([2, 3])
    """
    count = prod(shape)
    if not _LEAST <= count * _FLOAT <= _MOST:
        return torch.empty(shape, dtype=torch.float32)
    block = _kept.take(count * _FLOAT)
    # torch holds the array as long as any tensor shows its memory. Of the final shape: a view of another tensor would be
    # another thing to autograd, which lets nobody change it in place.
    array = np.frombuffer(block, np.float32, count).reshape(shape)
    weakref.finalize(array, _kept.keep, block).atexit = False
    return torch.from_numpy(array)
