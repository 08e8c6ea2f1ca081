"""Local: each output sees a window of the input map, with weights of its own.

The outputs of a dense layer have no place; they are given one. A grid of rows x columns x channels has at least as
many slots as there are outputs, and each output goes to the slot whose window predicts it best, all of them together
at the least total error (a linear assignment). Slots left over are computed and dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import ClassVar

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from striate.nn import LocallyConnected2d
from striate.reduce.moments import Evidence, solve
from striate.reduce.rungs.stage import Counts, Fit, Place, Room
from striate.reduce.sites import Layout

Pair = tuple[int, int]
_RIDGES = (1e-3, 1e-2, 1e-1)
# About as many units choose the ridge for all.
_ASKED = 64
_MOST_SURPLUS = 0.15
# The assignment of units to slots takes a second for a thousand, a minute for four.
_MOST_OUTPUTS = 2048


@dataclass(frozen=True)
class Grid:
    """Where outputs are put: `channels` at each of `size` positions, seen through windows of the input map."""

    channels: int
    size: Pair
    window: Pair
    stride: Pair
    padding: Pair

    @property
    def slots(self) -> int:
        return self.channels * self.size[0] * self.size[1]

    @property
    def layout(self) -> Layout:
        return Layout(self.channels, *self.size)

    def label(self) -> str:
        rows, columns = self.window
        step = f" stride {self.stride[0]}" if self.stride != (1, 1) else ""
        return f"{rows}x{columns}{step} to {self.channels}x{self.size[0]}x{self.size[1]}"


def grids(place: Place) -> Iterator[Grid]:
    """Grids for a place: those that the outputs fill exactly first, then the closest others; windows small to large."""
    layout = place.layout
    if layout is None or place.rows != 1 or min(layout.height, layout.width) < 3:
        return
    if place.outputs > _MOST_OUTPUTS:
        return
    exact: list[Pair] = []
    near: list[Pair] = []
    for rows in range(2, layout.height + 1):
        size = (rows, max(2, round(rows * layout.width / layout.height)))
        channels = ceil(place.outputs / (size[0] * size[1]))
        surplus = channels * size[0] * size[1] - place.outputs
        if surplus == 0:
            exact.append(size)
        elif surplus <= _MOST_SURPLUS * place.outputs and channels > 1:
            near.append(size)
    # Near grids only stand in where the exact ones are few: they cannot open the next site.
    chosen = exact[-3:] + near[:: max(1, len(near) // 2)][: max(0, 3 - len(exact))]
    for size in chosen:
        channels = ceil(place.outputs / (size[0] * size[1]))
        vertical = list(_windows(layout.height, size[0]))
        horizontal = {
            window: (stride, pad) for window, stride, pad in _windows(layout.width, size[1])
        }
        for window, stride, pad in vertical:
            if window in horizontal:
                other_stride, other_pad = horizontal[window]
                yield Grid(
                    channels, size, (window, window), (stride, other_stride), (pad, other_pad)
                )


def _windows(side: int, outputs: int) -> Iterator[tuple[int, int, int]]:
    """(window, stride, padding) that give `outputs` positions on `side` and cover all of it."""
    for stride in sorted({max(1, side // outputs), max(1, -(-side // outputs))}):
        covering = side - (outputs - 1) * stride
        overlapping = 2 * stride + 1
        if covering > overlapping + stride:
            continue
        for window in sorted(
            {max(covering, overlapping), max(covering, overlapping + 2, 3 * stride)}
        ):
            padding = -(-(window - covering) // 2)
            reached = (side + 2 * padding - window) // stride + 1
            if window <= side and padding < window and reached == outputs:
                yield window, stride, padding
        return


@dataclass(frozen=True)
class Windows:
    """For each position of a grid: the features inside its window, and which taps of the kernel they are."""

    features: list[Tensor]
    taps: list[Tensor]
    size: int

    @classmethod
    def of(cls, grid: Grid, layout: Layout) -> Windows:
        positions = torch.arange(layout.height * layout.width).view(layout.height, layout.width) + 1
        padded = nn.functional.pad(positions, (grid.padding[1],) * 2 + (grid.padding[0],) * 2)
        area = grid.window[0] * grid.window[1]
        features, taps = [], []
        for row in range(grid.size[0]):
            for column in range(grid.size[1]):
                top, left = row * grid.stride[0], column * grid.stride[1]
                seen = padded[top : top + grid.window[0], left : left + grid.window[1]].reshape(-1)
                inside = seen.nonzero().view(-1)
                plane = seen[inside] - 1
                channel = torch.arange(layout.channels)[:, None]
                features.append((channel * layout.height * layout.width + plane).reshape(-1))
                taps.append((channel * area + inside).reshape(-1))
        return cls(features, taps, layout.channels * area)


def assign(errors: Tensor, channels: int) -> Tensor:
    """The slot (channel * positions + position) of each unit, from errors (units, positions), at least total error."""
    slots = np.tile(errors.numpy(), (1, channels))
    rows, columns = linear_sum_assignment(slots)
    assert len(rows) == len(errors)
    return torch.from_numpy(columns.astype(np.int64))


@dataclass(frozen=True)
class Placed:
    """Units on a grid: the slot of each, its kernel with the bias last (units, taps + 1), the total error left."""

    slots: Tensor
    kernels: Tensor
    error: float


def place_units(evidence: Evidence, grid: Grid, layout: Layout) -> Placed:
    """Put every unit where its own window predicts it best, at the ridge with the least held-out error."""
    if grid not in evidence.memo:
        windows = Windows.of(grid, layout)
        ridge = 0.0 if evidence.held is None else _best_ridge(evidence, windows)
        seen = _see(evidence, windows, torch.arange(len(evidence.fit.mean_y)), ridge)
        evidence.memo[grid] = _place(evidence, windows, grid.channels, *seen)
    found: Placed = evidence.memo[grid]
    return found


def _best_ridge(evidence: Evidence, windows: Windows) -> float:
    """The ridge with the least held-out error if every unit could have its best window; some speak for all."""
    units = torch.arange(0, len(evidence.fit.mean_y), max(1, len(evidence.fit.mean_y) // _ASKED))

    def error(ridge: float) -> float:
        _, errors = _see(evidence, windows, units, ridge)
        return float(errors.min(1).values.sum())

    return min(_RIDGES, key=error)


def _see(
    evidence: Evidence, windows: Windows, units: Tensor, ridge: float
) -> tuple[list[Tensor], Tensor]:
    """For each window the weights (units, taps inside) of some units, and errors (units, windows)."""
    fit, judge = evidence.fit, evidence.held or evidence.fit
    mean, mean_held = fit.mean_y[units], judge.mean_y[units]
    weights, errors = [], []
    for inside in windows.features:
        gram, cross = fit.xx[inside][:, inside], fit.xy[inside][:, units]
        if evidence.start is None:
            weight = solve(gram, cross, ridge)
        else:
            masked = evidence.start[units][:, inside].T
            weight = solve(gram, cross - gram @ masked, ridge) + masked
        square = (weight * (judge.xx[inside][:, inside] @ weight)).sum(0)
        # The bias is right on the fitted rows; on others the means are a little different.
        missed = mean_held - mean - (judge.mean_x - fit.mean_x)[inside] @ weight
        common = (weight * judge.xy[inside][:, units]).sum(0)
        weights.append(weight.T)
        errors.append(judge.yy[units] - 2 * common + square + missed.square())
    return weights, torch.stack(errors, 1)


def _place(
    evidence: Evidence, windows: Windows, channels: int, weights: list[Tensor], errors: Tensor
) -> Placed:
    fit = evidence.fit
    slots = assign(errors, channels)
    positions = len(weights)
    kernels = fit.xx.new_zeros(len(slots), windows.size + 1)
    for position, (inside, taps) in enumerate(zip(windows.features, windows.taps, strict=True)):
        units = (slots % positions == position).nonzero().view(-1)
        weight = weights[position][units]
        kernels[units[:, None], taps] = weight
        kernels[units, -1] = fit.mean_y[units] - weight @ fit.mean_x[inside]
    left = errors.gather(1, (slots % positions)[:, None]).sum()
    return Placed(slots, kernels, float(left))


@dataclass(frozen=True)
class Local:
    grid: Grid
    kind: ClassVar[str] = "local"
    ideas: ClassVar[tuple[str, ...]] = ("locality",)

    @classmethod
    def propose(cls, place: Place, room: Room) -> Iterator[Local]:
        yield from (cls(grid) for grid in grids(place))

    def counts(self, place: Place) -> Counts:
        assert place.layout is not None
        taps = place.layout.channels * self.grid.window[0] * self.grid.window[1]
        slots = self.grid.slots
        return Counts(slots * (taps + place.bias), slots * taps, table_bytes(self.grid, place))

    def build(self, place: Place) -> nn.Module:
        return build(self.grid, place, 1)

    def fit(self, evidence: Evidence, place: Place) -> Fit:
        assert place.layout is not None
        placed = place_units(evidence, self.grid, place.layout)
        positions = self.grid.size[0] * self.grid.size[1]
        by_slot = placed.kernels.new_zeros(self.grid.channels, positions, placed.kernels.shape[1])
        by_slot.flatten(0, 1)[placed.slots] = placed.kernels
        by_position = by_slot.transpose(0, 1)
        state = {"weight": by_position[:, :, :-1]}
        if place.bias:
            state["bias"] = by_position[:, :, -1]
        return Fit(state, evidence.part(max(placed.error, 0.0)), placed.slots)

    def label(self) -> str:
        return f"local {self.grid.label()}"


def table_bytes(grid: Grid, place: Place) -> int:
    """Bytes of the table that brings slots back into the order of the outputs, where one is needed."""
    return 0 if place.foldable and grid.slots == place.outputs else 4 * place.outputs


def build(grid: Grid, place: Place, share: int | str) -> nn.Module:
    """The locally connected layer of a grid; the fully shared one is a plain convolution."""
    assert place.layout is not None
    layout = place.layout
    if share == "all":
        return nn.Conv2d(
            layout.channels, grid.channels, grid.window, grid.stride, grid.padding, bias=place.bias
        )
    return LocallyConnected2d(
        layout.channels,
        grid.channels,
        grid.window,
        input_size=(layout.height, layout.width),
        stride=grid.stride,
        padding=grid.padding,
        bias=place.bias,
        share=share,
    )
