"""The network to shrink, on its calibration examples: what several fits ask of it is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from torch import Tensor, nn

from striate.reduce.collect import BATCH, Collector, layer_at
from striate.reduce.examples import Examples, batches, remembered, sample
from striate.reduce.moments import Evidence, Metric
from striate.reduce.replay import MOST
from striate.reduce.rungs.stage import Front, Place
from striate.reduce.running import evaluating
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
        self._answers: dict[str, list[Tensor]] = {}
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
        answers = self._answered(name) if upstream is not self.model else []
        with evaluating(self.model), evaluating(upstream):
            for number, (inputs, _) in enumerate(batches(self.rows, BATCH)):
                given, answer = layer_at(upstream, name, inputs)
                if answers:
                    answer = answers[number]
                elif upstream is not self.model:
                    _, answer = layer_at(self.model, name, inputs)
                collector.add(given, answer)
        found = collector.evidence(front)
        if upstream is self.model:
            self._evidence[key] = found
        return found

    def _answered(self, name: str) -> list[Tensor]:
        """The outputs of a dense layer, batch by batch; nothing for layers whose outputs are maps: these are large."""
        if name not in self._answers:
            found: list[Tensor] = []
            with evaluating(self.model):
                for inputs, _ in batches(self.rows, BATCH):
                    _, answer = layer_at(self.model, name, inputs)
                    if answer.dim() != 2:
                        break
                    found.append(answer)
            self._answers[name] = found
        return self._answers[name]
