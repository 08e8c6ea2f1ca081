"""Measuring choices: what each rung does to the network's outputs when it is the only change.

The harm of a choice is the mean KL divergence from the original's outputs to the changed network's, on validation
examples, after the closed-form fit of the rung and of the linear layers that read it. It needs no labels.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import RequestError
from striate.reduce.apply import load_refit, put
from striate.reduce.collect import BATCH, Collector, passing, watched
from striate.reduce.copies import copied
from striate.reduce.evaluate import class_scores
from striate.reduce.examples import Examples, sample
from striate.reduce.moments import Evidence
from striate.reduce.original import Original
from striate.reduce.plan import Decision
from striate.reduce.replay import Recording
from striate.reduce.rungs.compose import Carried
from striate.reduce.rungs.stage import Fit, Front
from striate.reduce.survey import Choice, Survey, map_index, reader_of

Step = Callable[[str, Callable[[], dict[str, Any]]], dict[str, Any]]
# Rows for refitting what follows a fit, and for the harm: enough to rank rungs, few enough to try fifty.
_FOLLOWING = 1500
_JUDGED = 1000
# Rungs that open the next layer are tried with it only if they are the best of their kind and grid.
_OPENERS = 5
# Fitted rungs of at most so many weights are kept from the residuals to the harm; larger ones are fitted again.
_KEPT = 500_000


@dataclass(frozen=True)
class Measurement:
    """A choice with its held-out residual and its harm (of an opened choice: what it adds to its opener's)."""

    choice: Choice
    residual: float
    harm: float


def measure(
    original: Original,
    survey: Survey,
    validation: Examples,
    step: Step | None = None,
) -> list[Measurement]:
    """Measure the choices of a survey. `step(key, compute)` is called for each finished measurement.

    A `step` that remembers may give back an earlier result instead of calling `compute`. Of rungs of one structure
    only those are judged that no other beats in both weights and residual.
    """
    step = step or (lambda key, compute: compute())
    bench = _Bench(original, survey, validation)
    found: list[Measurement] = []
    for name, choices in survey.choices.items():
        own = [choice for choice in choices[1:] if choice.opener is None]
        found.append(Measurement(choices[0], 0.0, 0.0))
        if not own:
            continue
        fitted = step(f"measure/{name}/residuals", lambda own=own: bench.residuals(own))  # type: ignore[misc]
        residuals: dict[str, float] = fitted["residuals"]
        for choice in _undominated(own, residuals):
            result = step(f"measure/{choice.key}", lambda choice=choice: bench.harm(choice))  # type: ignore[misc]
            found.append(Measurement(choice, residuals[choice.key], result["harm"]))
    found += _measure_opened(survey, found, bench, step)
    return found


def _measure_opened(
    survey: Survey, alone: Sequence[Measurement], bench: _Bench, step: Step
) -> list[Measurement]:
    by_choice = {measurement.choice: measurement for measurement in alone}
    readers: dict[Choice, list[Choice]] = {}
    for choices in survey.choices.values():
        for choice in choices:
            if choice.opener in by_choice:
                readers.setdefault(choice.opener, []).append(choice)
    best: dict[tuple[object, ...], Choice] = {}
    for opener in sorted(readers, key=lambda choice: by_choice[choice].harm):
        best.setdefault((opener.site, opener.rung.kinds, opener.rung.layout), opener)
    found = []
    for opener in list(best.values())[:_OPENERS]:
        for choice in readers[opener]:
            result = step(
                f"measure/{choice.key}",
                lambda opener=opener, choice=choice: bench.harm_together(opener, choice),  # type: ignore[misc]
            )
            added = result["harm"] - by_choice[opener].harm
            found.append(Measurement(choice, result["residual"], added))
    return found


def _undominated(choices: Sequence[Choice], residuals: dict[str, float]) -> list[Choice]:
    """Choices that no other of the same structure beats in weights, MACs and residual."""
    kept = []
    for choice in choices:
        rivals = (
            other
            for other in choices
            if other.rung.kinds == choice.rung.kinds and other is not choice
        )
        if not any(
            other.costs.params <= choice.costs.params
            and other.costs.macs <= choice.costs.macs
            and residuals[other.key] < residuals[choice.key]
            for other in rivals
        ):
            kept.append(choice)
    return kept


class _Bench:
    """The original, its answers, and the evidence at every site, collected once, when first needed."""

    def __init__(
        self,
        original: Original,
        survey: Survey,
        validation: Examples,
    ) -> None:
        self._original, self._model, self._survey = original, original.model, survey
        self._judging = sample(validation, _JUDGED, original.seed)
        self._carried: dict[tuple[str, object], Carried] = {}
        self._fitted: dict[Choice, tuple[dict[str, Tensor], Fit]] = {}
        self._kept: dict[tuple[str, object, bool], Evidence] = {}
        self._last: tuple[Choice, nn.Module, dict[str, Collector], Fit] | None = None

    @cached_property
    def _collectors(self) -> dict[str, Collector]:
        collectors = {}
        for name, choices in self._survey.choices.items():
            rungs = [choice.rung for choice in choices[1:] if choice.opener is None]
            place = choices[0].place
            behind = [rung.collected_behind(place) for rung in rungs]
            fronts = [front for front in behind if front is not None]
            plain = None in behind
            index = None if place.layout is None else map_index(self._survey.site(name))
            collectors[name] = Collector(place, index, fronts, plain)
        with (
            passing(self._model, self._original.rows) as ready,
            torch.no_grad(),
            watched(self._model, collectors) as seen,
        ):
            for number, inputs in ready:
                self._model(inputs)
                for name, collector in collectors.items():
                    given, outputs = seen[name]
                    collector.add(given, self._original.answer(name, outputs, number))
        return collectors

    @cached_property
    def _judged(self) -> Recording:
        return self._record(self._judging, ())

    @cached_property
    def _following(self) -> Recording:
        readers = {reader for name in self._survey.choices for reader in self._survey.readers(name)}
        fitting = sample(self._original.rows, _FOLLOWING, self._original.seed)
        return self._record(fitting, readers)

    def _record(self, examples: Examples, always: Collection[str]) -> Recording:
        work = {site.name: site.macs for site in self._survey.sites}
        return Recording(self._model, work, examples, always)

    def _upstream(self, name: str) -> list[str]:
        """The layers that run before a site, which no change there can reach."""
        order = self._survey.site(name).order
        return [site.name for site in self._survey.sites if site.order < order]

    def residuals(self, choices: Sequence[Choice]) -> dict[str, Any]:
        scratch = copied(self._model)
        original = {choice.site: self._model.get_submodule(choice.site) for choice in choices}
        found = {}
        for choice in choices:
            found[choice.key] = self._fit_alone(scratch, choice).residual
            scratch.set_submodule(choice.site, copy.deepcopy(original[choice.site]))
        return {"residuals": found}

    def _decision(self, choice: Choice) -> Decision:
        return decision(choice, self._survey, None, None)

    def _fit_alone(self, net: nn.Module, choice: Choice) -> Fit:
        """Put a choice into `net`, whose layers before it are the original's, and fit it."""
        module = put(net, self._decision(choice))
        if choice in self._fitted:
            state, found = self._fitted[choice]
            module.load_state_dict(state)
            return found
        front = choice.rung.collected_behind(choice.place)
        evidence = self._evidence(choice, front)
        carried = self._carried.setdefault((choice.site, front), {})
        found = choice.rung.fit(module, choice.place, evidence, carried)
        if choice.costs.params <= _KEPT:
            self._fitted[choice] = (copy.deepcopy(module.state_dict()), found)
        return found

    def _evidence(self, choice: Choice, front: Front | None) -> Evidence:
        """Evidence at a site, on features in the map's order, or in the layer's own for rungs without a map."""
        name, on_map = choice.site, choice.rung.on_map
        key = (name, front, on_map)
        if key not in self._kept:
            weight = self._weight(name)
            if choice.place.layout is not None:
                index = map_index(self._survey.site(name))
                weight = weight if index is None else weight[:, torch.tensor(index)]
            anchor = choice.rung.anchor(weight, choice.place)
            evidence = self._collectors[name].evidence(front)
            evidence = evidence.anchored(anchor, self._original.metric(name))
            order = self._survey.site(name).input.index
            if not on_map and order is not None and choice.place.layout is not None:
                # A copy, as torch wants to be able to write.
                evidence = evidence.reordered(torch.from_numpy(order.copy()))
            self._kept[key] = evidence
        return self._kept[key]

    def _weight(self, name: str) -> Tensor:
        weight = self._model.get_submodule(name).weight
        assert isinstance(weight, Tensor)
        return weight.flatten(1)

    def harm(self, choice: Choice) -> dict[str, Any]:
        net, collectors, found = self._changed(choice, ())
        self._refit_readers(net, choice, collectors, found, skip=None)
        return {
            "harm": self._divergence(net, choice.site),
            "residual": found.residual,
            **_costs(choice),
        }

    def harm_together(self, opener: Choice, choice: Choice) -> dict[str, Any]:
        if self._last is None or self._last[0] != opener:
            readers = [
                other
                for others in self._survey.choices.values()
                for other in others
                if other.opener == opener
            ]
            self._last = (opener, *self._changed(opener, readers))
        _, base, collectors, first = self._last
        net = copied(base)
        self._refit_readers(net, opener, collectors, first, skip=choice.site)
        module = put(net, self._decision(choice))
        evidence = collectors[choice.site].evidence(choice.rung.collected_behind(choice.place))
        assert first.slots is not None
        weight = self._weight(choice.site)[:, torch.argsort(first.slots)]
        evidence = evidence.anchored(
            choice.rung.anchor(weight, choice.place), self._original.metric(choice.site)
        )
        found = choice.rung.fit(module, choice.place, evidence)
        return {
            "harm": self._divergence(net, opener.site),
            "residual": found.residual,
            **_costs(choice),
        }

    def _changed(
        self, choice: Choice, opened: Sequence[Choice]
    ) -> tuple[nn.Module, dict[str, Collector], Fit]:
        """The network with one fitted change, and evidence at the dense layers that read it."""
        net = copied(self._model)
        found = self._fit_alone(net, choice)
        collectors: dict[str, Collector] = {}
        for name in self._survey.readers(choice.site):
            mine = [other for other in opened if other.site == name]
            behind = [other.rung.collected_behind(other.place) for other in mine]
            fronts = [front for front in behind if front is not None]
            place = mine[0].place if mine else self._survey.choices[name][0].place
            collectors[name] = Collector(place, None, fronts)
        if collectors:
            following = self._following
            with watched(net, collectors) as seen:
                for number, _ in following.runs(net, self._upstream(choice.site)):
                    for name, collector in collectors.items():
                        outputs = following.layers[number][name]
                        collector.add(seen[name][0], self._original.answer(name, outputs, number))
        return net, collectors, found

    def _refit_readers(
        self,
        net: nn.Module,
        choice: Choice,
        collectors: dict[str, Collector],
        found: Fit,
        skip: str | None,
    ) -> None:
        reader = self._decision(choice).reader
        for name, collector in collectors.items():
            if name == skip:
                continue
            order = None
            if name == reader and found.slots is not None:
                order = torch.argsort(found.slots)
            load_refit(net.get_submodule(name), self._weight(name), collector.evidence(), order)

    def _divergence(self, net: nn.Module, site: str) -> float:
        """Mean KL divergence of a network, changed at `site` and behind it, from the original, in nats."""
        total = torch.zeros((), dtype=torch.float64)
        for number, output in self._judged.runs(net, self._upstream(site)):
            count = min(BATCH, len(self._judging) - number * BATCH)
            before = _log_probabilities(self._judged.answers[number], count)
            total += (before.exp() * (before - _log_probabilities(output, count))).sum()
        mean = float(total / len(self._judging))
        if not isfinite(mean):
            raise RequestError(
                "harm: the network's outputs are not finite; look for NaN or Inf in the data"
            )
        return mean


def _log_probabilities(output: object, count: int) -> Tensor:
    return F.log_softmax(class_scores(output, count, "harm").double().cpu(), dim=1)


def _costs(choice: Choice) -> dict[str, Any]:
    return {
        "site": choice.site,
        "rung": choice.rung.label(),
        "params": choice.costs.params,
        "macs": choice.costs.macs,
    }


def decision(
    choice: Choice, survey: Survey, residual: float | None, harm: float | None
) -> Decision:
    """A choice as a plan holds it."""
    site = survey.site(choice.site)
    reader = reader_of(site, survey.sites)
    folded = choice.rung.reorders and not choice.rung.needs_table(choice.place)
    index = map_index(site) if choice.rung.on_map and choice.opener is None else None
    return Decision(
        site=choice.site,
        rung=choice.rung,
        place=choice.place,
        params_before=survey.choices[choice.site][0].costs.params,
        params_after=choice.costs.params,
        residual=residual,
        harm=harm,
        index=index,
        reader=reader.name if folded and reader is not None else None,
    )
