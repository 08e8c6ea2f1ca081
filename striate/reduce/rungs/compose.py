"""A rung: stages in a row, with its exact counts, its fit and the module it becomes at a site."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from striate.nn.on_map import OnMap
from striate.reduce.moments import Evidence, solve
from striate.reduce.rungs.stage import (
    MOST_FEATURES,
    Counts,
    Fit,
    Front,
    Head,
    Json,
    Place,
    Stage,
    load_state,
)
from striate.reduce.sites import Layout

Carried = dict[tuple[Stage, ...], tuple[Tensor, Evidence]]


@dataclass(frozen=True)
class Rung:
    """One concrete alternative at a site. The last stage makes the outputs, those before it fewer inputs."""

    stages: tuple[Stage, ...]

    @property
    def fronts(self) -> tuple[Front, ...]:
        return cast(tuple[Front, ...], self.stages[:-1])

    @property
    def head(self) -> Head:
        return cast(Head, self.stages[-1])

    @property
    def kinds(self) -> tuple[str, ...]:
        """What it is made of, for comparing structures. `dense` behind a front stage adds nothing."""
        kinds = tuple(stage.kind for stage in self.stages)
        return kinds[:-1] if len(kinds) > 1 and kinds[-1] == "dense" else kinds

    @property
    def ideas(self) -> tuple[str, ...]:
        found = [idea for stage in self.stages for idea in stage.ideas]
        return tuple(dict.fromkeys(found))

    @property
    def unchanged(self) -> bool:
        return self.kinds == ("dense",)

    def label(self) -> str:
        return " + ".join(
            stage.label() for stage in self.stages if stage.kind != "dense" or len(self.stages) == 1
        )

    def counts(self, place: Place) -> Counts:
        total = Counts(0, 0, 0)
        if self.on_map and not place.ordered:
            total += Counts(0, 0, 4 * place.inputs)
        for front in self.fronts:
            total += front.counts(place)
            place = front.after(place)
        return total + self.head.counts(place)

    @property
    def on_map(self) -> bool:
        """Whether the module looks at its inputs as a map."""
        return len(self.stages) > 1 or self.kinds[-1] in ("local", "blocked", "shared")

    @property
    def reorders(self) -> bool:
        """Whether outputs are put on a grid, which changes their order."""
        return self.kinds[-1] in ("local", "blocked", "shared")

    @property
    def layout(self) -> Layout:
        """The map that a rung which reorders its outputs gives them."""
        return cast(Any, self.head).grid.layout  # type: ignore[no-any-return]

    def needs_table(self, place: Place) -> bool:
        return self.reorders and self.head.counts(self.at_head(place)).buffer_bytes > 0

    def at_head(self, place: Place) -> Place:
        """The place that the front stages leave to the head."""
        for front in self.fronts:
            place = front.after(place)
        return place

    def collected_behind(self, place: Place) -> Front | None:
        """The front stage behind which features must be collected at `place`, as moments cannot be carried through it:
        it is not linear, or what comes into it is too much for a Gram matrix."""
        if not self.fronts or (self.fronts[0].linear() and place.inputs <= MOST_FEATURES):
            return None
        return self.fronts[0]

    def anchor(self, weight: Tensor, place: Place) -> Tensor:
        """A dense layer's weight at `place` (outputs, inputs), on the features that are collected for this rung."""
        front = self.collected_behind(place)
        if front is None:
            return weight
        white = front.white(weight, None, place).fit
        return solve(white.xx, white.xy, 0.0).T

    def build(self, place: Place, index: Tensor | None = None) -> nn.Module:
        """The module, for flat inputs whose map positions stand at `index` (None: in order)."""
        if not self.on_map:
            return self.head.build(place)
        layout = place.layout
        assert layout is not None
        body: list[nn.Module] = []
        inner = place
        for front in self.fronts:
            body.append(front.build(inner))
            inner = front.after(inner)
        if not self.reorders:
            body.append(nn.Flatten())
        body.append(self.head.build(inner))
        units = torch.zeros(place.outputs, dtype=torch.int32) if self.needs_table(place) else None
        shape = (layout.channels, layout.height, layout.width)
        return OnMap(shape, nn.Sequential(*body), index, units)

    def fit(
        self, module: nn.Module, place: Place, evidence: Evidence, cache: Carried | None = None
    ) -> Fit:
        """Fit every stage, front to back, and put the weights into what `build` gave.

        `evidence` is about the site's inputs in the layout's order, or about what the first front stage gives: the
        number of its features tells. `cache` remembers what was carried through front stages, for rungs that share
        them; give the same one only with the same evidence.
        """
        inner, cache = place, {} if cache is None else cache
        if not place.bias:
            evidence = evidence.uncentred
        parts = list(cast(nn.Sequential, module.body)) if isinstance(module, OnMap) else [module]
        for number, front in enumerate(self.fronts):
            behind = front.after(inner)
            if number > 0 or len(evidence.fit.mean_x) == inner.inputs:
                passed = self.fronts[: number + 1]
                if passed not in cache:
                    matrix = front.matrix(evidence, inner)
                    cache[passed] = (matrix, evidence.through(matrix))
                matrix, evidence = cache[passed]
                front.load(parts[number], matrix, inner)
            inner = behind
        found = self.head.fit(evidence, inner)
        load_state(parts[-1], found.state)
        if isinstance(module, OnMap) and module.units is not None:
            assert found.slots is not None
            module.units.copy_(found.slots)
        return found

    def to_dict(self) -> Json:
        return {
            "label": self.label(),
            "stages": [{"kind": stage.kind, **asdict(cast(Any, stage))} for stage in self.stages],
        }
