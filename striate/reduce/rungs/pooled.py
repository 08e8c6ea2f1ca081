"""Pooled: windows of the input map are summarised by their average or maximum before the rest of the rung.

Any window and stride, overlapping or not, and uneven ones (adaptive pooling) where the sides do not divide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from striate import geometry
from striate.reduce.moments import Evidence, Moments
from striate.reduce.rungs.stage import Counts, Place, Room
from striate.reduce.sites import Layout

Pair = tuple[int, int]


@dataclass(frozen=True)
class Pooled:
    """`window` and `stride` of a plain pooling, or, with both None, `size`: the map's size after uneven windows."""

    mode: str
    size: Pair
    window: Pair | None = None
    stride: Pair | None = None
    kind: ClassVar[str] = "pooled"
    ideas: ClassVar[tuple[str, ...]] = ("pooling",)

    @classmethod
    def propose(cls, place: Place, room: Room) -> Iterator[Pooled]:
        """Windows of 2 and 3 with strides that halve or third the map, then uneven ones, then the whole map."""
        layout = place.layout
        if layout is None or layout.height * layout.width == 1:
            return
        height, width = layout.height, layout.width
        seen: set[Pair] = set()
        for window, stride in ((2, 2), (3, 2), (3, 3), (4, 4)):
            if window > min(height, width):
                continue
            size = ((height - window) // stride + 1, (width - window) // stride + 1)
            covered = all(
                (out - 1) * stride + window == side
                for out, side in zip(size, (height, width), strict=True)
            )
            if covered and size not in seen:
                seen.add(size)
                for mode in ("avg", "max"):
                    yield cls(mode, size, (window, window), (stride, stride))
        uneven = {
            (max(1, round(height * part)), max(1, round(width * part)))
            for part in (1 / 2, 1 / 3, 1 / 4)
        }
        for size in sorted({*uneven, (1, 1)} - seen, reverse=True):
            if size != (height, width):
                for mode in ("avg", "max"):
                    yield cls(mode, size)

    def _windows(self, layout: Layout) -> tuple[list[Pair], list[Pair]]:
        spans: list[list[Pair]] = []
        for axis, side in enumerate((layout.height, layout.width)):
            outputs = self.size[axis]
            if self.window is None or self.stride is None:
                spans.append(list(geometry.adaptive_windows(side, outputs)))
            else:
                window, stride = self.window[axis], self.stride[axis]
                spans.append([(k * stride, k * stride + window) for k in range(outputs)])
        return spans[0], spans[1]

    def after(self, place: Place) -> Place:
        assert place.layout is not None
        return place.fed(Layout(place.layout.channels, *self.size))

    def linear(self) -> bool:
        return self.mode == "avg"

    def matrix(self, evidence: Evidence, place: Place) -> Tensor:
        """Averages over the windows. Of a maximum this is the stand-in for weights carried over unfitted."""
        assert place.layout is not None
        identity = torch.eye(place.layout.channels, dtype=torch.float64)
        return torch.kron(identity, self._plane(place.layout))

    def _plane(self, layout: Layout) -> Tensor:
        """The averages over one channel: (windows, positions)."""
        rows, columns = self._windows(layout)
        vertical = torch.zeros(len(rows), layout.height, dtype=torch.float64)
        horizontal = torch.zeros(len(columns), layout.width, dtype=torch.float64)
        for k, (start, stop) in enumerate(rows):
            vertical[k, start:stop] = 1 / (stop - start)
        for k, (start, stop) in enumerate(columns):
            horizontal[k, start:stop] = 1 / (stop - start)
        return torch.kron(vertical, horizontal)

    def white(self, weight: Tensor, bias: Tensor | None, place: Place) -> Evidence:
        assert place.layout is not None
        channels, plane = place.layout.channels, self._plane(place.layout)
        weight = weight.detach().double().cpu()
        by_channel = weight.view(len(weight), channels, -1)
        offset = weight.new_zeros(len(weight)) if bias is None else bias.detach().double().cpu()
        identity = torch.eye(channels, dtype=torch.float64)
        return Evidence(
            Moments(
                count=1,
                mean_x=weight.new_zeros(channels * len(plane)),
                mean_y=offset,
                xx=torch.kron(identity, plane @ plane.T),
                xy=(by_channel @ plane.T).flatten(1).T.contiguous(),
                yy=weight.square().sum(1),
            )
        )

    def counts(self, place: Place) -> Counts:
        return Counts(0, 0)

    def build(self, place: Place) -> nn.Module:
        if self.window is None or self.stride is None:
            adaptive = nn.AdaptiveAvgPool2d if self.mode == "avg" else nn.AdaptiveMaxPool2d
            return adaptive(self.size)
        plain = nn.AvgPool2d if self.mode == "avg" else nn.MaxPool2d
        return plain(self.window, self.stride)

    def load(self, module: nn.Module, matrix: Tensor, place: Place) -> None:
        """Nothing to load: pooling has no weights."""

    def label(self) -> str:
        rows, columns = self.size
        if self.window is None or self.stride is None:
            return f"{self.mode} pool to {rows}x{columns}"
        step = "" if self.stride == self.window else f" stride {self.stride[0]}"
        return f"{self.mode} pool {self.window[0]}x{self.window[1]}{step}"
