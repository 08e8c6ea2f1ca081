"""What a rung is made of: stages, each of which knows its counts, its fit and the module it becomes.

A rung is a sequence of stages, front to back: any number that make the inputs fewer (pooled, split), then one
that makes the outputs (dense, low-rank, local, blocked, shared). See `compose` for the sequences that are tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, TypeVar

import torch
from torch import Tensor, nn

from striate.reduce.moments import Evidence
from striate.reduce.sites import Layout

Json = dict[str, object]
# A Gram matrix of this many features takes half a gigabyte in float64.
MOST_FEATURES = 8192


@dataclass(frozen=True)
class Patch:
    """The geometry of a convolution whose windows are the rows of the fit."""

    channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] | str
    dilation: tuple[int, int]
    padding_mode: str
    positions: int

    @classmethod
    def of(cls, module: nn.Conv2d, positions: int) -> Patch:
        return cls(
            module.in_channels,
            _pair(module.kernel_size),
            _pair(module.stride),
            module.padding if isinstance(module.padding, str) else _pair(module.padding),
            _pair(module.dilation),
            module.padding_mode,
            positions,
        )


def _pair(value: tuple[int, ...]) -> tuple[int, int]:
    rows, columns = value
    return rows, columns


@dataclass(frozen=True)
class Place:
    """What a stage finds where it stands: how many features come in, how many outputs are wanted.

    `layout` says that the features are a map of channels x rows x columns, in that order; `patch` that the site is
    a convolution and the features those of one window. `rows` is how often one example passes through.
    `ordered` is False where a table of positions must bring the features into the layout's order, `foldable` False
    where outputs must keep the original's order, so that a rung that reorders them needs a table too. `itemsize` is
    the bytes of one weight.
    """

    inputs: int
    outputs: int
    bias: bool
    layout: Layout | None = None
    patch: Patch | None = None
    rows: int = 1
    ordered: bool = True
    foldable: bool = True
    itemsize: int = 4

    def fed(self, layout: Layout) -> Place:
        """The place behind a stage that gives a map of this layout."""
        return replace(self, inputs=layout.channels * layout.height * layout.width, layout=layout)


@dataclass(frozen=True)
class Counts:
    """Exact costs: trained weights with biases, MACs per example (nominal), buffer elements and their bytes."""

    params: int
    macs: int
    buffer_bytes: int = 0

    def stored(self, itemsize: int) -> int:
        """Bytes of weights and buffers, with `itemsize` bytes a weight."""
        return itemsize * self.params + self.buffer_bytes

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.params + other.params,
            self.macs + other.macs,
            self.buffer_bytes + other.buffer_bytes,
        )


@dataclass(frozen=True)
class Room:
    """The most that a proposed rung may cost; ladders of sizes start from it."""

    params: int
    macs: int
    bytes: int

    def holds(self, counts: Counts, itemsize: int) -> bool:
        return (
            counts.params <= self.params
            and counts.macs <= self.macs
            and counts.stored(itemsize) <= self.bytes
        )


S = TypeVar("S", bound="Stage")


class Stage(Protocol):
    """One stage of a rung. Stages are frozen dataclasses of plain numbers and strings."""

    kind: ClassVar[str]
    ideas: ClassVar[tuple[str, ...]]

    def counts(self, place: Place) -> Counts:
        """Exact costs at a place, before anything is built."""
        ...

    def build(self, place: Place) -> nn.Module:
        """The module that this stage becomes; its weights are whatever initialisation gives."""
        ...

    def label(self) -> str:
        """A few characters for tables: `pool 2x2`, `rank 49`."""
        ...


class Front(Stage, Protocol):
    """A stage that makes the inputs of the next one fewer. Works on a map and gives a map."""

    def after(self, place: Place) -> Place: ...

    def linear(self) -> bool:
        """Whether the stage is a linear map of its inputs, so that moments can be carried through it."""
        ...

    def matrix(self, evidence: Evidence, place: Place) -> Tensor:
        """The stage as a float64 matrix (features after, features before), fitted if it has weights."""
        ...

    def white(self, weight: Tensor, bias: Tensor | None, place: Place) -> Evidence:
        """`Moments.white` of a dense layer at `place`, behind this stage: for maps too large to start before it."""
        ...

    def load(self, module: nn.Module, matrix: Tensor, place: Place) -> None:
        """Put the fitted weights into what `build` gave."""
        ...


@dataclass(frozen=True)
class Fit:
    """A fitted head: tensors for its module by name, the held-out residual, which unit each output is."""

    state: dict[str, Tensor]
    residual: float
    slots: Tensor | None = None


class Head(Stage, Protocol):
    """The last stage: makes the outputs."""

    def fit(self, evidence: Evidence, place: Place) -> Fit: ...


def load_state(module: nn.Module, state: dict[str, Tensor]) -> None:
    """Copy fitted float64 tensors into a module's parameters, whatever their type."""
    own = dict(module.named_parameters())
    if own.keys() != state.keys():
        raise AssertionError(f"fitted {sorted(state)} for a module with {sorted(own)}")
    with torch.no_grad():
        for name, value in state.items():
            own[name].copy_(value.reshape(own[name].shape))


def ladder(largest: int, smallest: int = 1, steps: int = 5, ratio: float = 1.5) -> Iterator[int]:
    """Sizes from `largest` downwards by `ratio`, at most `steps` of them, none below `smallest`."""
    size, given = largest, 0
    while size >= smallest and given < steps:
        yield size
        given += 1
        size = min(size - 1, int(size / ratio))
