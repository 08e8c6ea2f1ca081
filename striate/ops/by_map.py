"""A sharing map as tensors of indices: the positions of each kernel, kernels of like use together."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.geometry import SharingMap


class Bucket(NamedTuple):
    """Kernels that are computed together, as each has at most twice the positions of another."""

    #: How many kernels.
    kernels: int
    #: Which: (kernels,).
    members: Tensor
    #: Per axis of the grid, where their positions are: (kernels * most positions of one,). Kernels with
    #: fewer have their first position again.
    places: tuple[Tensor, ...]


class MapTables(NamedTuple):
    """What `reference` needs of a map: the kernel of each position, the buckets, and where each
    position's result is among those of all buckets."""

    numbers: Tensor
    buckets: tuple[Bucket, ...]
    slots: Tensor


def tensors_of(sharing: SharingMap, device: torch.device) -> MapTables:
    """The tables of a map on a device, int64.

    >>> tables = tensors_of(SharingMap.of([1, 0, 0, 0, 0]), torch.device("cpu"))
    >>> [(bucket.members.tolist(), bucket.places[0].tolist()) for bucket in tables.buckets]
    [([1], [0]), ([0], [1, 2, 3, 4])]
    >>> tables.slots.tolist()
    [0, 1, 2, 3, 4]
    """
    numbers, parts, slots = _arrays(sharing)

    def tensor(array: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(array).to(device)

    return MapTables(
        tensor(numbers),
        tuple(
            Bucket(len(members), tensor(members), tuple(tensor(axis) for axis in places))
            for members, places in parts
        ),
        tensor(slots),
    )


# What `torch.compiler.assume_constant_result` does, without loading the compiler, which takes seconds:
# while a graph is traced the tables are constants, and numpy's part in them is not traced.
tensors_of._dynamo_marked_constant = True  # type: ignore[attr-defined]

_Part = tuple[NDArray[np.int64], tuple[NDArray[np.int64], ...]]


# Arrays, not tensors, are kept: a tensor made while a graph is traced must not outlive the tracing.
@lru_cache(maxsize=32)
def _arrays(
    sharing: SharingMap,
) -> tuple[NDArray[np.int64], tuple[_Part, ...], NDArray[np.int64]]:
    numbers = sharing.array.reshape(-1).astype(np.int64)
    counts = np.bincount(numbers)
    # The positions of kernel k are by_kernel[first[k] : first[k] + counts[k]].
    by_kernel = np.argsort(numbers, kind="stable")
    first = np.cumsum(counts) - counts
    slots = np.empty_like(numbers)
    classes = np.ceil(np.log2(counts)).astype(np.int64)
    parts, done = [], 0
    for size in np.unique(classes):
        members = np.flatnonzero(classes == size)
        most = int(counts[members].max())
        turn = np.arange(most)
        held = turn < counts[members][:, None]
        at = by_kernel[first[members][:, None] + np.where(held, turn, 0)]
        slots[at[held]] = done + np.flatnonzero(held.reshape(-1))
        done += at.size
        # What unravel_index gives are views of one array, which torch saves with a warning.
        places = np.unravel_index(at.reshape(-1), sharing.shape)
        parts.append((members, tuple(np.ascontiguousarray(axis) for axis in places)))
    return numbers, tuple(parts), slots
