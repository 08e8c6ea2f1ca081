"""Memory for the results of the kernels.

The C library gives a block of 32 MiB or more back to the system as soon as it is free, and the system clears what it
gives out anew: for a layer of few inputs and many outputs that takes longer than computing them. So the last such block
is kept here for the next result that fits it, up to the size that the library keeps of smaller ones.
"""

from __future__ import annotations

import mmap
import weakref
from collections import deque
from math import prod

import numpy as np
import torch
from torch import Tensor

#: Bytes. glibc's largest threshold for memory of its own from the system, and twice that, which it keeps at most
#: (mallopt(3): M_MMAP_THRESHOLD and M_TRIM_THRESHOLD).
_LEAST, _MOST = 32 << 20, 64 << 20
_FLOAT = 4


#: The last block that nobody uses any more, if there is one. Its ends are atomic: a lock could be held in a fork, or by
#: the very thread that frees a tensor.
_kept: deque[mmap.mmap] = deque(maxlen=1)


def _block(size: int) -> mmap.mmap:
    """At least so many bytes: those that are kept if they will do."""
    try:
        block = _kept.pop()
    except IndexError:
        block = None
    if block is not None and len(block) >= size:
        return block
    del block  # before there is another
    return mmap.mmap(-1, size, access=mmap.ACCESS_COPY)


def empty(shape: tuple[int, ...]) -> Tensor:
    """As `torch.empty`, float32 on the CPU. A tensor of 32 to 64 MiB cannot be made larger in place (`resize_`).

    >>> empty((2, 3)).shape
    torch.Size([2, 3])
    """
    count = prod(shape)
    if not _LEAST <= count * _FLOAT <= _MOST:
        return torch.empty(shape, dtype=torch.float32)
    try:
        block = _block(count * _FLOAT)
    except OSError:  # no memory: torch says so in its words
        return torch.empty(shape, dtype=torch.float32)
    # torch holds the array as long as any tensor shows its memory. It has the final shape: autograd lets nobody
    # change a view in place that a function has made.
    array = np.frombuffer(block, np.float32, count).reshape(shape)
    weakref.finalize(array, _kept.append, block).atexit = False
    return torch.from_numpy(array)
