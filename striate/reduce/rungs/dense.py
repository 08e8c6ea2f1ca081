"""Dense: every output sees every feature. The head behind a front stage, and the rung that a site starts on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from striate.reduce.moments import Evidence
from striate.reduce.rungs.stage import Counts, Fit, Place, Room


@dataclass(frozen=True)
class Dense:
    kind: ClassVar[str] = "dense"
    ideas: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def propose(cls, place: Place, room: Room) -> Iterator[Dense]:
        if place.patch is None:
            yield cls()

    def counts(self, place: Place) -> Counts:
        weights = place.inputs * place.outputs
        return Counts(weights + place.bias * place.outputs, weights * place.rows)

    def build(self, place: Place) -> nn.Module:
        return nn.Linear(place.inputs, place.outputs, bias=place.bias)

    def fit(self, evidence: Evidence, place: Place) -> Fit:
        found = evidence.regression
        state = {"weight": found.weight}
        if place.bias:
            state["bias"] = found.bias
        return Fit(state, evidence.residual(found.weight, found.bias))

    def label(self) -> str:
        return "dense"
