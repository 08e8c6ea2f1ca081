"""Blocked and shared: outputs on a grid, as in `local`, where a block of positions, or all of them, share kernels.

The outputs of a dense layer were not trained to share anything, so a shared kernel cannot match them all where it
stands; it is fitted as well as it goes: units go to the position whose window predicts them best, then, by turns, each
kernel becomes the least-squares one for the units it serves, and the units of a position go to the kernels that
predict them best. What is lost is taken up by refitting the next linear layer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import ClassVar

import torch
from torch import Tensor, nn

from striate.reduce.moments import Evidence, Moments, solve
from striate.reduce.rungs.local import (
    Grid,
    Placed,
    Windows,
    assign,
    build,
    grids,
    place_units,
    table_bytes,
)
from striate.reduce.rungs.stage import Counts, Fit, Place, Room

_TURNS = 3
# While units still change places; the last kernels' ridge is chosen on held-out rows.
_RIDGE = 1e-2


@dataclass(frozen=True)
class _Sharing(ABC):
    grid: Grid

    @property
    @abstractmethod
    def block(self) -> tuple[int, int]:
        """Rows and columns of positions that share a kernel."""

    def _blocks(self) -> Tensor:
        """The block of each position, (positions,)."""
        rows, columns = self.grid.size
        across = ceil(columns / self.block[1])
        row = torch.arange(rows)[:, None] // self.block[0]
        column = torch.arange(columns) // self.block[1]
        return (row * across + column).reshape(-1)

    def counts(self, place: Place) -> Counts:
        assert place.layout is not None
        taps = place.layout.channels * self.grid.window[0] * self.grid.window[1]
        kernels = (int(self._blocks().max()) + 1) * self.grid.channels
        return Counts(
            kernels * (taps + place.bias), self.grid.slots * taps, table_bytes(self.grid, place)
        )

    def fit(self, evidence: Evidence, place: Place) -> Fit:
        assert place.layout is not None
        grid, windows, blocks = self.grid, Windows.of(self.grid, place.layout), self._blocks()
        placed = place_units(evidence, grid, place.layout)
        slots = placed.slots
        problem = _Shared(evidence.fit, windows, blocks, grid.channels)
        kernels = problem.first(placed)
        for _ in range(_TURNS):
            slots = problem.swap(kernels, slots)
            (kernels,) = problem.refit(slots, [0.0 if evidence.held is None else _RIDGE])
        judge = _Shared(evidence.held or evidence.fit, windows, blocks, grid.channels)

        def left(kernels: Tensor) -> float:
            return float(judge.errors(kernels).gather(1, slots[:, None]).sum())

        kernels = min(problem.refit(slots, evidence.ridges), key=left)
        state = {"weight": kernels[:, :, :-1]}
        if place.bias:
            state["bias"] = kernels[:, :, -1]
        return Fit(state, evidence.part(max(left(kernels), 0.0)), slots)


@dataclass(frozen=True)
class Blocked(_Sharing):
    share: int
    kind: ClassVar[str] = "blocked"
    ideas: ClassVar[tuple[str, ...]] = ("locality", "sharing")

    @classmethod
    def propose(cls, place: Place, room: Room) -> Iterator[Blocked]:
        """Blocks of about half the grid: a few kernels a channel, the first step away from one."""
        for grid in grids(place):
            share = max(2, min(grid.size) // 4 * 2)
            # One block is not blocked: that is the shared rung.
            if share < max(grid.size):
                yield cls(grid, share)

    @property
    def block(self) -> tuple[int, int]:
        return self.share, self.share

    def build(self, place: Place) -> nn.Module:
        return build(self.grid, place, self.share)

    def label(self) -> str:
        return f"blocked {self.share} {self.grid.label()}"


@dataclass(frozen=True)
class Shared(_Sharing):
    kind: ClassVar[str] = "shared"
    ideas: ClassVar[tuple[str, ...]] = ("locality", "sharing")

    @classmethod
    def propose(cls, place: Place, room: Room) -> Iterator[Shared]:
        yield from (cls(grid) for grid in grids(place))

    @property
    def block(self) -> tuple[int, int]:
        return self.grid.size

    def build(self, place: Place) -> nn.Module:
        return build(self.grid, place, "all")

    def label(self) -> str:
        return f"shared {self.grid.label()}"


class _Shared:
    """Raw second moments of each window, with a constant feature for the bias, against every unit."""

    def __init__(self, moments: Moments, windows: Windows, blocks: Tensor, channels: int) -> None:
        self.channels, self.blocks, self.taps = channels, blocks, windows.size
        self.square = moments.yy + moments.mean_y.square()
        self.inside: list[Tensor] = []
        self.gram: list[Tensor] = []
        self.cross: list[Tensor] = []
        for features, taps in zip(windows.features, windows.taps, strict=True):
            mean = torch.cat([moments.mean_x[features], moments.mean_x.new_ones(1)])
            gram = nn.functional.pad(moments.xx[features][:, features], (0, 1, 0, 1)) + torch.outer(
                mean, mean
            )
            cross = nn.functional.pad(moments.xy[features], (0, 0, 0, 1)) + torch.outer(
                mean, moments.mean_y
            )
            self.inside.append(torch.cat([taps, torch.tensor([windows.size])]))
            self.gram.append(gram)
            self.cross.append(cross)

    def first(self, placed: Placed) -> Tensor:
        """Kernels to start from: in each block, those of the units at its middle position."""
        positions = len(self.inside)
        kernels = self.square.new_zeros(int(self.blocks.max()) + 1, self.channels, self.taps + 1)
        by_slot = self.square.new_zeros(self.channels * positions, self.taps + 1)
        by_slot[placed.slots] = placed.kernels
        for block in range(len(kernels)):
            members = (self.blocks == block).nonzero().view(-1)
            kernels[block] = by_slot[int(members[len(members) // 2]) :: positions]
        return kernels

    def errors(self, kernels: Tensor) -> Tensor:
        """Mean squared error (units, channels * positions) of each unit by the kernel of each slot."""
        by_position = []
        for position, inside in enumerate(self.inside):
            kernel = kernels[self.blocks[position]][:, inside]
            square = ((kernel @ self.gram[position]) * kernel).sum(1)
            by_position.append(
                self.square[:, None] - 2 * (kernel @ self.cross[position]).T + square
            )
        return torch.stack(by_position, 2).flatten(1)

    def swap(self, kernels: Tensor, slots: Tensor) -> Tensor:
        """New slots for the units, each at its old position, at the least total error there."""
        positions = len(self.inside)
        found = slots.clone()
        for position, inside in enumerate(self.inside):
            units = (slots % positions == position).nonzero().view(-1)
            kernel = kernels[self.blocks[position]][:, inside]
            square = ((kernel @ self.gram[position]) * kernel).sum(1)
            errors = square - 2 * (kernel @ self.cross[position][:, units]).T
            found[units] = assign(errors, 1) * positions + position
        return found

    def refit(self, slots: Tensor, ridges: Sequence[float]) -> list[Tensor]:
        """For each ridge: for each block and channel the least-squares kernel for the units assigned to it."""
        positions, size = len(self.inside), self.taps + 1
        count = int(self.blocks.max()) + 1
        cross = self.square.new_zeros(count, self.channels, size)
        filled = torch.zeros(self.channels, positions, dtype=torch.bool)
        filled.view(-1)[slots] = True
        for unit, slot in enumerate(slots.tolist()):
            channel, position = divmod(slot, positions)
            cross[self.blocks[position], channel, self.inside[position]] += self.cross[position][
                :, unit
            ]
        kernels = [self.square.new_zeros(count, self.channels, size) for _ in ridges]
        for block in range(count):
            members = (self.blocks == block).nonzero().view(-1).tolist()
            # Channels that fill the same positions have the same Gram matrix and are solved together.
            patterns, which = filled[:, members].unique(dim=0, return_inverse=True)
            for number, pattern in enumerate(patterns):
                served = [position for position, used in zip(members, pattern, strict=True) if used]
                channels = (which == number).nonzero().view(-1)
                if not served:
                    continue
                gram = self._gram(served)
                for ridge, found in zip(ridges, kernels, strict=True):
                    found[block, channels] = _solve(gram, cross[block, channels].T, ridge).T
        return kernels

    def _gram(self, positions: list[int]) -> Tensor:
        total = self.square.new_zeros(self.taps + 1, self.taps + 1)
        for position in positions:
            inside = self.inside[position]
            total[inside[:, None], inside] += self.gram[position]
        return total


def _solve(gram: Tensor, cross: Tensor, ridge: float) -> Tensor:
    """Kernels (taps + 1, k) for right sides (taps + 1, k). The bias, last, goes first: no ridge shrinks it."""
    weight = gram[-1, -1]
    mean = gram[-1, :-1] / weight
    centred = gram[:-1, :-1] - weight * torch.outer(mean, mean)
    kernel = solve(centred, cross[:-1] - torch.outer(mean, cross[-1]), ridge)
    return torch.cat([kernel, (cross[-1] / weight - mean @ kernel)[None]])
