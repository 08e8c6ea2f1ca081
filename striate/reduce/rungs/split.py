"""Split: a 1x1 convolution over channels first, then the rest of the rung.

A dense layer over a map mixes channels and positions at once; here the channels are mixed to fewer, alike at every
position (local, and shared by all positions), and only then is everything connected. The channel directions are those
of a Tucker-1 decomposition of the layer's ridge solution, measured in the channels' own covariance and, at the outputs,
by what errors there do to the network's answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from striate.reduce.moments import Evidence, Moments
from striate.reduce.rungs.stage import Counts, Place, Room, ladder
from striate.reduce.sites import Layout


@dataclass(frozen=True)
class Split:
    channels: int
    kind: ClassVar[str] = "split"
    ideas: ClassVar[tuple[str, ...]] = ("locality", "sharing")

    @classmethod
    def propose(cls, place: Place, room: Room) -> Iterator[Split]:
        layout = place.layout
        if layout is None or layout.channels < 4 or layout.height * layout.width == 1:
            return
        yield from (cls(channels) for channels in ladder(layout.channels // 2, 1, steps=4, ratio=2))

    def after(self, place: Place) -> Place:
        assert place.layout is not None
        return place.fed(Layout(self.channels, place.layout.height, place.layout.width))

    def linear(self) -> bool:
        return True

    def matrix(self, evidence: Evidence, place: Place) -> Tensor:
        mix = self._mix(evidence, place)
        positions = place.inputs // mix.shape[1]
        return torch.kron(mix, torch.eye(positions, dtype=torch.float64))

    def white(self, weight: Tensor, bias: Tensor | None, place: Place) -> Evidence:
        evidence = Evidence(Moments.white(weight, bias))
        return evidence.through(self.matrix(evidence, place))

    def _mix(self, evidence: Evidence, place: Place) -> Tensor:
        """The 1x1 kernel (channels after, channels before)."""
        assert place.layout is not None
        channels = place.layout.channels
        fit = evidence.fit
        by_channel = evidence.felt.T.reshape(channels, -1)
        grid = fit.xx.reshape(channels, place.inputs // channels, channels, -1)
        covariance = grid.diagonal(dim1=1, dim2=3).mean(-1)
        values, vectors = torch.linalg.eigh((covariance + covariance.T) / 2)
        values = values.clamp_min(float(values[-1]) * 1e-6)
        root = (vectors * values.sqrt()) @ vectors.T
        inverse = (vectors / values.sqrt()) @ vectors.T
        # x'B = (x' root^-1) (root B): keep the directions of root B that carry most, then undo the root.
        left = torch.linalg.eigh(root @ by_channel @ by_channel.T @ root).eigenvectors
        mix = left[:, -self.channels :].T @ inverse
        unit: Tensor = mix / mix.norm(dim=1, keepdim=True)
        return unit

    def counts(self, place: Place) -> Counts:
        assert place.layout is not None
        weights = self.channels * place.layout.channels
        return Counts(weights, weights * place.layout.height * place.layout.width)

    def build(self, place: Place) -> nn.Module:
        assert place.layout is not None
        return nn.Conv2d(place.layout.channels, self.channels, 1, bias=False)

    def load(self, module: nn.Module, matrix: Tensor, place: Place) -> None:
        assert isinstance(module, nn.Conv2d)
        positions = place.inputs // module.in_channels
        with torch.no_grad():
            module.weight.copy_(matrix[::positions, ::positions].reshape(module.weight.shape))

    def label(self) -> str:
        return f"split c{self.channels}"
