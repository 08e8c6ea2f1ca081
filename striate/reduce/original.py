"""The network to shrink, on its calibration examples: what several fits ask of it is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor, nn

from striate.reduce.collect import BATCH, Answer, Collector, layer_at, passing, watched
from striate.reduce.examples import Examples, remembered, sample
from striate.reduce.moments import Evidence, Metric
from striate.reduce.replay import MOST
from striate.reduce.rungs.stage import Front, Place
from striate.reduce.sensitivity import Sensitivity, sensitivity

# Twice the rows give a divergence that is smaller by a thirtieth, for twice the time.
CALIBRATION = 5000


class Original:
    """`model` on at most 5,000 of the calibration examples, with an eye on the layers of some `names`."""

    def __init__(
        self, model: nn.Module, names: Sequence[str], calibration: Examples, seed: int = 0
    ) -> None:
        self.model = model
        self._calibration = calibration
        self._names = tuple(names)
        self.seed = seed
        self._evidence: dict[object, Evidence] = {}

    @cached_property
    def rows(self) -> Examples:
        return remembered(sample(self._calibration, CALIBRATION, self.seed), BATCH, MOST)

    @cached_property
    def sensitivity(self) -> Sensitivity:
        """What errors in each layer's outputs cost."""
        return sensitivity(self.model, self._names, self.rows, self.seed)

    def metric(self, name: str) -> Metric | None:
        """What errors in a layer's outputs cost, where it is known."""
        return self.sensitivity.metrics.get(name)

    def evidence(
        self,
        upstream: nn.Module,
        name: str,
        place: Place,
        index: tuple[int, ...] | None = None,
        front: Front | None = None,
    ) -> Evidence:
        """Evidence at a layer: its inputs in `upstream`, which may be the original, and the original's outputs."""
        key = (name, place, index, front)
        if upstream is self.model and key in self._evidence:
            return self._evidence[key]
        collector = Collector(place, index, [] if front is None else [front], plain=front is None)
        with passing(upstream, self.rows) as ready:
            for number, inputs in ready:
                given, _ = layer_at(upstream, name, inputs)
                collector.add(given, self._answers[name][number])
        found = collector.evidence(front)
        if upstream is self.model:
            self._evidence[key] = found
        return found

    @cached_property
    def _answers(self) -> dict[str, list[Answer]]:
        """What the layers gave, batch by batch."""
        found: dict[str, list[Answer]] = {name: [] for name in self._names}
        with (
            passing(self.model, self.rows) as ready,
            torch.no_grad(),
            watched(self.model, found) as seen,
        ):
            for number, inputs in ready:
                self.model(inputs)
                for name, answers in found.items():
                    answers.append(self.answer(name, seen[name][1], number))
        return found

    def answer(self, name: str, outputs: Tensor, number: int) -> Answer:
        """The rows of what a layer of the original gave for the batch of that number."""
        maps = isinstance(self.model.get_submodule(name), nn.Conv2d)
        return Answer.of(outputs, number * BATCH, maps=maps)
