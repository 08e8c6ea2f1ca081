"""Choosing: finalists of different structure that meet every limit, at the least measured harm."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import LinearConstraint

from striate.reduce.harm import Measurement, decision
from striate.reduce.plan import Plan
from striate.reduce.rungs import widest
from striate.reduce.survey import METRICS, Choice, Costs, Survey, room_of, solve

# The part of the largest site's weights that makes another site count for the structure.
_MAIN = 0.2

Wanted = Callable[[Choice], bool]


def choose(survey: Survey, measurements: Sequence[Measurement], finalists: int = 4) -> list[Plan]:
    """At least `finalists` plans of different structure where as many fit, the least harmful first.

    Harm before training ranks rungs wrongly across kinds, so the best plan with a shared and the best with a pooled
    rung are always among them; training decides.
    """
    field = _Field(survey, measurements)
    found: list[list[Choice]] = []

    def take(wanted: Wanted | None = None, strictly: bool = True) -> bool:
        chosen = field.best(found, wanted, strictly)
        if chosen is not None:
            found.append(chosen)
        return chosen is not None

    take()
    for kind in ("shared", "pooled"):
        if not any(kind in choice.rung.kinds for chosen in found for choice in chosen):

            def has(choice: Choice, kind: str = kind) -> bool:
                return kind in choice.rung.kinds

            _ = take(has) or take(has, strictly=False)
    while len(found) < finalists and (take() or take(strictly=False)):
        continue
    return sorted((field.plan(chosen) for chosen in found), key=lambda plan: _harm(plan))


def _harm(plan: Plan) -> float:
    return sum(decision.harm or 0.0 for decision in plan.decisions)


class _Field:
    def __init__(self, survey: Survey, measurements: Sequence[Measurement]) -> None:
        self._survey = survey
        self._measured = {measurement.choice: measurement for measurement in measurements}
        self._options = list(self._measured)
        own = {name: choices[0].costs.params for name, choices in survey.choices.items()}
        self._main = {name for name, params in own.items() if params >= _MAIN * max(own.values())}
        self._harm = np.array([measurement.harm for measurement in self._measured.values()])

    def best(
        self, before: Sequence[Sequence[Choice]], wanted: Wanted | None, strictly: bool
    ) -> list[Choice] | None:
        """The least harmful choices whose structure differs from each of `before`, one of them `wanted`.

        Structures differ if they do so at a site that holds a good part of the weights, or in what a rung opened:
        a small last layer written as two makes hardly another network. Not `strictly`, any site will do.
        """
        extra = []
        for chosen in before:
            main = [one for one in chosen if not strictly or self._matters(one)]
            alike = [any(_alike(option, one) for one in main) for option in self._options]
            extra.append(LinearConstraint(_row(alike), -np.inf, len(main) - 1))
        if wanted is not None:
            extra.append(LinearConstraint(_row(map(wanted, self._options)), 1, np.inf))
        return solve(self._options, self._harm, self._survey, extra)

    def _matters(self, choice: Choice) -> bool:
        return choice.site in self._main or choice.opener is not None

    def plan(self, chosen: Sequence[Choice]) -> Plan:
        """The plan of some choices, with ranks raised to use up what the limits leave."""
        chosen = self._filled([choice for choice in chosen if not choice.rung.unchanged])
        survey = self._survey
        order = {site.name: site.order for site in survey.sites}
        changed = sorted(chosen, key=lambda choice: order[choice.site])
        names = {choice.site for choice in changed}
        refitted: dict[str, None] = {}
        for choice in changed:
            for reader in survey.readers(choice.site):
                if reader not in names:
                    refitted[reader] = None
        total = self._total(changed)
        decisions = []
        for choice in changed:
            measured = self._nearest(choice)
            decisions.append(decision(choice, survey, measured.residual, measured.harm))
        return Plan(tuple(decisions), tuple(refitted), total.params, total.macs, total.weight_bytes)

    def _nearest(self, choice: Choice) -> Measurement:
        """The measurement of a choice, or, where it was widened, of the nearest measured rank."""
        if choice in self._measured:
            return self._measured[choice]
        alike = [
            measured
            for other, measured in self._measured.items()
            if _alike(other, choice) and other.rung.fronts == choice.rung.fronts
        ]
        return min(
            alike, key=lambda measured: abs(measured.choice.costs.params - choice.costs.params)
        )

    def _total(self, changed: Sequence[Choice]) -> Costs:
        total = self._survey.totals
        for choice in changed:
            total = total - self._survey.choices[choice.site][0].costs + choice.costs
        return total

    def _filled(self, chosen: list[Choice]) -> list[Choice]:
        for k in sorted(range(len(chosen)), key=lambda k: -self._measured[chosen[k]].harm):
            choice, total = chosen[k], self._total(chosen)
            left = {metric: 2**62 for metric in METRICS}
            for limit in self._survey.limits:
                slack = limit.limit - getattr(total, limit.metric)
                own = getattr(choice.costs, limit.metric)
                left[limit.metric] = min(left[limit.metric], own + slack)
            if not self._survey.limits:
                continue
            grown = widest(choice.rung, choice.place, room_of(left, choice.place))
            costs = Costs.of(grown.counts(choice.place), choice.place.itemsize)
            before = self._survey.choices[choice.site][0].costs
            if grown != choice.rung and costs.params < before.params:
                chosen[k] = replace(choice, rung=grown, costs=costs)
        return chosen


def _row(taken: Iterable[bool]) -> npt.NDArray[np.float64]:
    return np.array([[float(one) for one in taken]])


def _alike(one: Choice, other: Choice) -> bool:
    """Whether two choices differ in sizes only. Average and maximum pooling are one structure."""
    return one.site == other.site and one.rung.kinds == other.rung.kinds
