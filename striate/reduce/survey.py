"""What can be done with a network, before any data is looked at: its sites, and the rungs worth trying at each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import Bounds, LinearConstraint, milp
from torch import Tensor, nn

from striate.errors import UnreachableBudget
from striate.ledger import Ledger, Limit, count
from striate.reduce.rungs import DENSE, propose
from striate.reduce.rungs.compose import Rung
from striate.reduce.rungs.dense import Dense
from striate.reduce.rungs.stage import MOST_FEATURES, Counts, Patch, Place, Room
from striate.reduce.sites import Layout, Refusal, Site, find_sites

METRICS = ("params", "macs", "weight_bytes")
_ENDLESS = 2**62
# Rungs of each kind tried behind a rung that gives its outputs a map.
_OPENED = 4
# The largest harm as the solver sees it.
_HARM = 1e4


@dataclass(frozen=True)
class Costs:
    """What limits are set on, of a layer or of a network."""

    params: int
    macs: int
    weight_bytes: int

    @classmethod
    def of(cls, counts: Counts, itemsize: int) -> Costs:
        return cls(counts.params, counts.macs, counts.stored(itemsize))

    def __add__(self, other: Costs) -> Costs:
        return Costs(
            self.params + other.params,
            self.macs + other.macs,
            self.weight_bytes + other.weight_bytes,
        )

    def __sub__(self, other: Costs) -> Costs:
        return Costs(
            self.params - other.params,
            self.macs - other.macs,
            self.weight_bytes - other.weight_bytes,
        )


@dataclass(frozen=True)
class Choice:
    """A rung at a site. `opener`: the choice that the layer before must take, since it gives this one its map."""

    site: str
    rung: Rung
    place: Place
    costs: Costs
    opener: Choice | None = None

    @property
    def key(self) -> str:
        given = "" if self.opener is None else f" after {self.opener.rung.label()}"
        return f"{self.site}: {self.rung.label()}{given}"


@dataclass(frozen=True)
class Survey:
    """The sites of a network and the choices at each, the unchanged one first.

    `on_meta` false: the forward had to be followed on values, and may go another way on others. `uncertain` names the
    metrics of which `totals` has only a part.
    """

    sites: tuple[Site, ...]
    refusals: tuple[Refusal, ...]
    totals: Costs
    limits: tuple[Limit, ...]
    choices: Mapping[str, tuple[Choice, ...]]
    on_meta: bool = True
    uncertain: frozenset[str] = frozenset()

    def site(self, name: str) -> Site:
        return next(site for site in self.sites if site.name == name)

    def readers(self, name: str) -> tuple[str, ...]:
        """Dense layers that read the outputs of a site and can be fitted again."""
        dense = {site.name for site in self.sites if _refittable(site)}
        return tuple(consumer for consumer in self.site(name).consumers if consumer in dense)

    @cached_property
    def fixed(self) -> Costs:
        """What the layers that are no sites cost."""
        rest = self.totals
        for choices in self.choices.values():
            rest = rest - choices[0].costs
        return rest

    @property
    def met(self) -> bool:
        """Whether the network meets its limits as it is."""
        return all(getattr(self.totals, limit.metric) <= limit.limit for limit in self.limits)

    def smallest(self) -> dict[str, int]:
        """The least value that each limited metric can reach on its own."""
        metrics = [limit.metric for limit in self.limits] or list(METRICS)
        return {
            metric: _total(self.cheapest(metric), self, metric) for metric in dict.fromkeys(metrics)
        }

    def cheapest(self, metric: str) -> list[Choice]:
        """The choices of the smallest network, whatever the limits."""
        options = [choice for choices in self.choices.values() for choice in choices]
        costs = np.array([getattr(choice.costs, metric) for choice in options], dtype=float)
        chosen = solve(options, costs, replace(self, limits=()))
        # Without limits the network as it is would do.
        assert chosen is not None
        return chosen

    def require_reachable(self) -> None:
        """Raise `UnreachableBudget` if no combination of rungs meets every limit."""
        least = self.smallest()
        for limit in self.limits:
            if least[limit.metric] > limit.limit:
                raise UnreachableBudget(self._unreachable(limit, least[limit.metric]), least)
        options = [choice for choices in self.choices.values() for choice in choices]
        if solve(options, np.zeros(len(options)), self) is None:
            asked = ", ".join(limit.text for limit in self.limits)
            raise UnreachableBudget(
                f"--budget {asked}: each can be met, but not all together; relax one of them", least
            )

    def _unreachable(self, limit: Limit, least: int) -> str:
        total = getattr(self.totals, limit.metric)
        unit = {"params": "parameters", "macs": "MACs", "weight_bytes": "bytes of weights"}[
            limit.metric
        ]
        return (
            f"--budget {limit.text}: the smallest network that can be reached has {least:,} {unit} "
            f"({100 * least / total:.2f} %); ask for at least that"
        )


def totals_of(model: nn.Module, example: Tensor) -> Costs:
    """What a network costs as it is."""
    return _costs_of(_ledger_of(model, example))


def _ledger_of(model: nn.Module, example: Tensor) -> Ledger:
    with torch.no_grad():
        return count(model, example[:1])


def _costs_of(ledger: Ledger) -> Costs:
    totals = ledger.totals
    return Costs(totals.params, totals.macs or 0, totals.weight_bytes)


def survey(
    model: nn.Module, example: Tensor, limits: Sequence[Limit] = (), layout: Layout | None = None
) -> Survey:
    """Find the sites of `model` on `example`, a batch of two or more, and propose rungs that leave the rest room."""
    found = find_sites(model, example, layout)
    ledger = _ledger_of(model, example)
    places = {site.name: place_of(model, site, found.sites) for site in found.sites}

    def options(name: str, room: Room) -> tuple[Choice, ...]:
        place = places[name]
        unchanged = Choice(name, DENSE, place, Costs.of(dense_counts(place), place.itemsize))
        rungs = [rung for rung in propose(place, room) if not rung.unchanged]
        return (
            unchanged,
            *(
                Choice(name, rung, place, Costs.of(rung.counts(place), place.itemsize))
                for rung in rungs
            ),
        )

    bare = Survey(
        found.sites,
        found.refusals,
        _costs_of(ledger),
        tuple(limits),
        {name: options(name, Room(0, 0, 0)) for name in places},
        found.on_meta,
        ledger.uncertain & set(METRICS),
    )

    def offered(rooms: Mapping[str, Room]) -> Survey:
        whole = replace(bare, choices={name: options(name, rooms[name]) for name in places})
        opened = {name: _opened(whole, name, rooms[name]) for name in places}
        return replace(
            bare, choices={name: (*whole.choices[name], *opened[name]) for name in places}
        )

    # What is smallest must not depend on what was asked for. Where nothing fits, the smallest of all is proposed;
    # what opens another layer may be larger.
    roomy = offered({name: Room(_ENDLESS, _ENDLESS, _ENDLESS) for name in places})
    everything = _joined(bare, [c for choices in roomy.choices.values() for c in choices])
    least = [choice for metric in METRICS for choice in everything.cheapest(metric)]
    return _joined(offered({name: _room(bare, name) for name in places}), least)


def _joined(whole: Survey, more: Sequence[Choice]) -> Survey:
    """A survey with further choices."""
    choices = {
        name: tuple(dict.fromkeys([*own, *(choice for choice in more if choice.site == name)]))
        for name, own in whole.choices.items()
    }
    return replace(whole, choices=choices)


def dense_counts(place: Place) -> Counts:
    """The counts of the layer as it is, dense or convolution."""
    weights = place.inputs * place.outputs
    return Counts(weights + place.bias * place.outputs, weights * place.rows)


def place_of(model: nn.Module, site: Site, sites: Sequence[Site]) -> Place:
    """The place that a site's own module stands at."""
    module = model.get_submodule(site.name)
    if isinstance(module, nn.Conv2d):
        height, width = site.positions or (1, 1)
        patch = Patch.of(module, height * width)
        inputs = module.in_channels * patch.kernel[0] * patch.kernel[1]
        return Place(
            inputs,
            module.out_channels,
            module.bias is not None,
            patch=patch,
            rows=height * width,
            itemsize=module.weight.element_size(),
        )
    assert isinstance(module, nn.Linear)
    layout = site.input.layout
    if layout is not None and (site.tokens or layout.size != module.in_features):
        # A part of a map (a slice of it, say) is not a map that windows can be laid over.
        layout = None
    return Place(
        module.in_features,
        module.out_features,
        module.bias is not None,
        layout=layout,
        rows=max(1, site.macs // (module.in_features * module.out_features)),
        ordered=site.input.index is None,
        foldable=reader_of(site, sites) is not None,
        itemsize=module.weight.element_size(),
    )


def map_index(site: Site) -> tuple[int, ...] | None:
    """Where the positions of a site's map stand among its flat inputs; None where they are in order."""
    if site.input.index is None:
        return None
    return tuple(int(k) for k in np.argsort(site.input.index))


def reader_of(site: Site, sites: Sequence[Site]) -> Site | None:
    """The one dense layer that reads a site's outputs, in order, through element-wise operations only.

    Then the site may give its outputs in another order, as that layer's columns can follow.
    """
    if site.tokens or site.output_shared or len(site.consumers) != 1:
        return None
    for other in sites:
        if other.name == site.consumers[0]:
            source = other.input
            straight = (
                source.source == site.name and source.elementwise_only and source.index is None
            )
            whole = _refittable(other) and other.in_features == site.out_features
            return other if straight and whole and not other.tokens else None
    return None


def _refittable(site: Site) -> bool:
    """Whether a layer is dense and its Gram matrix can be held."""
    return site.kind == "dense" and site.in_features <= MOST_FEATURES


def _room(bare: Survey, name: str) -> Room:
    """What a site may cost when every other site takes its smallest rung."""
    left = {metric: _ENDLESS for metric in METRICS}
    for limit in bare.limits:
        others = getattr(bare.fixed, limit.metric) + sum(
            min(getattr(choice.costs, limit.metric) for choice in choices)
            for site, choices in bare.choices.items()
            if site != name
        )
        left[limit.metric] = min(left[limit.metric], limit.limit - others)
    return room_of(left, bare.choices[name][0].place)


def room_of(left: Mapping[str, int], place: Place) -> Room:
    """The room that is left of each metric at a place."""
    # Ladders of sizes start from the weights that fit, and a limit on bytes is one on weights too.
    weights = min(left["params"], left["weight_bytes"] // place.itemsize)
    return Room(weights, left["macs"], left["weight_bytes"])


def _opened(whole: Survey, name: str, room: Room) -> Iterator[Choice]:
    """Choices at a site whose map comes from a rung before it."""
    before = [
        site
        for site in whole.sites
        # The first is the quick part of the second.
        if site.consumers == (name,) and reader_of(site, whole.sites) is not None
    ]
    for source in before:
        for opener in whole.choices[source.name]:
            if not opener.rung.reorders or opener.rung.needs_table(opener.place):
                continue
            layout = opener.rung.layout
            place = replace(whole.choices[name][0].place, layout=layout, ordered=True)
            # What does not look at the map is a choice already; behind a rung that was only just fitted, the plain
            # compositions say enough.
            rungs = [
                rung
                for rung in propose(place, room)
                if len(rung.fronts) == 1 and rung.head == Dense()
            ]
            for kind in ("pooled", "split"):
                alike = [
                    Choice(name, rung, place, Costs.of(rung.counts(place), place.itemsize), opener)
                    for rung in rungs
                    if rung.kinds == (kind,)
                ]
                smallest = [
                    min(alike, key=lambda choice, cost=cost: getattr(choice.costs, cost))  # type: ignore[misc]
                    for cost in METRICS[: len(alike)]
                ]
                yield from dict.fromkeys([*alike[:_OPENED], *smallest])


def solve(
    options: Sequence[Choice],
    harm: npt.NDArray[np.float64],
    survey: Survey,
    extra: Sequence[LinearConstraint] = (),
) -> list[Choice] | None:
    """The choices of least total harm that meet every limit, one a site; None where there are none.

    A multiple-choice knapsack with implications, solved exactly (HiGHS through `scipy.optimize.milp`).
    """
    constraints = list(extra)
    while (chosen := _solve(options, harm, survey, constraints)) is not None:
        own = {id(choice) for choice in chosen}
        taken = np.array([id(choice) in own for choice in options], dtype=float)
        if all(_total(chosen, survey, limit.metric) <= limit.limit for limit in survey.limits):
            return chosen
        # HiGHS's tolerance let a limit be passed by a few weights: not these, then.
        constraints.append(LinearConstraint(taken[None], -np.inf, len(chosen) - 1))
    return None


def _total(chosen: Sequence[Choice], survey: Survey, metric: str) -> int:
    total: int = sum(
        (getattr(choice.costs, metric) for choice in chosen), getattr(survey.fixed, metric)
    )
    return total


def _solve(
    options: Sequence[Choice],
    harm: npt.NDArray[np.float64],
    survey: Survey,
    extra: Sequence[LinearConstraint],
) -> list[Choice] | None:
    count = len(options)
    if count == 0:
        return [] if survey.met else None
    names = list(dict.fromkeys(choice.site for choice in options))
    one = np.array([[choice.site == name for choice in options] for name in names], dtype=float)
    constraints = [LinearConstraint(one, 1, 1), *extra]
    for limit in survey.limits:
        costs = np.array([getattr(choice.costs, limit.metric) for choice in options], dtype=float)
        free = limit.limit - getattr(survey.fixed, limit.metric)
        # Scaled by the limit: HiGHS's tolerances are absolute.
        constraints.append(
            LinearConstraint(costs[None] / max(1, limit.limit), -np.inf, free / max(1, limit.limit))
        )
    where = {choice: k for k, choice in enumerate(options)}
    for k, choice in enumerate(options):
        if choice.opener is not None:
            row = np.zeros(count)
            row[k], row[where[choice.opener]] = 1, -1
            constraints.append(LinearConstraint(row[None], -np.inf, 0))
    # Solved to an absolute gap of 1e-6, whatever the scale of the harm, and to no relative one.
    scale = _HARM / max(float(np.abs(harm).max()), 1e-12)
    found = milp(
        harm * scale,
        integrality=np.ones(count),
        bounds=Bounds(0, 1),
        constraints=constraints,
        options={"mip_rel_gap": 0.0},
    )
    if found.x is None:
        return None
    return [choice for choice, taken in zip(options, found.x, strict=True) if taken > 0.5]
