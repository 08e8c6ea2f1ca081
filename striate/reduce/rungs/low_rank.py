"""Low-rank: a layer as two, with `rank` units between. For dense layers and, over windows, for convolutions.

The fit is reduced-rank regression (Izenman 1975): of all maps of that rank, the one with the least squared error
on the rows. With B the ridge solution, its output directions are the leading eigenvectors of B' Cxx B, here written
through Cxy so that the ridge enters once. On white inputs it is the truncated SVD of the weights.

Errors count as much as they change the network's answers, where that is known: y is then taken in that metric, as in
Fisher-weighted SVD (Hsu et al. 2022), with the whole matrix in place of one weight a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from striate.reduce.moments import Evidence
from striate.reduce.rungs.stage import Counts, Fit, Place, Room, ladder


@dataclass(frozen=True)
class LowRank:
    rank: int
    kind: ClassVar[str] = "low-rank"
    ideas: ClassVar[tuple[str, ...]] = ("low-rank",)

    @classmethod
    def propose(cls, place: Place, room: Room) -> Iterator[LowRank]:
        """Ranks from the largest that fits the room and still saves weights, downwards; always rank 1."""
        each, fixed = place.inputs + place.outputs, place.bias * place.outputs
        largest = min(
            cls.largest(place),
            (room.params - fixed) // each,
            room.macs // max(1, each * place.rows),
        )
        yield from (cls(rank) for rank in ladder(largest))
        if cls.largest(place) >= 1:
            yield cls(1)

    @staticmethod
    def largest(place: Place) -> int:
        """The largest rank that has fewer weights than the dense layer; 0 where none has."""
        return (place.inputs * place.outputs - 1) // (place.inputs + place.outputs)

    def counts(self, place: Place) -> Counts:
        weights = self.rank * (place.inputs + place.outputs)
        return Counts(weights + place.bias * place.outputs, weights * place.rows)

    def build(self, place: Place) -> nn.Module:
        patch = place.patch
        if patch is None:
            return nn.Sequential(
                nn.Linear(place.inputs, self.rank, bias=False),
                nn.Linear(self.rank, place.outputs, bias=place.bias),
            )
        return nn.Sequential(
            nn.Conv2d(
                patch.channels,
                self.rank,
                patch.kernel,
                patch.stride,
                patch.padding,
                patch.dilation,
                bias=False,
                padding_mode=patch.padding_mode,  # type: ignore[arg-type]
            ),
            nn.Conv2d(self.rank, place.outputs, 1, bias=place.bias),
        )

    def fit(self, evidence: Evidence, place: Place) -> Fit:
        outer = evidence.directions[:, -self.rank :]
        inner = outer.T @ evidence.felt
        if evidence.metric is not None:
            outer = evidence.metric.inverse @ outer
        bias = evidence.fit.mean_y - outer @ (inner @ evidence.fit.mean_x)
        residual = evidence.residual(outer @ inner, bias)
        # Both factors get the same norm, unit by unit: training moves them at the same pace.
        norm = (inner.norm(dim=1) / outer.norm(dim=0)).clamp_min(1e-12).sqrt()
        state = {"0.weight": inner / norm[:, None], "1.weight": outer * norm}
        if place.bias:
            state["1.bias"] = bias
        return Fit(state, residual)

    def label(self) -> str:
        return f"rank {self.rank}"
