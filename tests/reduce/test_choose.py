"""Choosing, held against trying every combination."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.ledger import Limit, count
from striate.reduce.apply import skeleton
from striate.reduce.choose import choose
from striate.reduce.harm import Measurement
from striate.reduce.plan import Plan
from striate.reduce.rungs import widest
from striate.reduce.rungs.low_rank import LowRank
from striate.reduce.survey import METRICS, Choice, Costs, Survey, room_of, survey
from tests.reduce.reductions import inputs_for, network

Chosen = tuple[Choice, ...]
WHOLE: dict[str, Survey] = {}


def whole(name: str) -> Survey:
    if name not in WHOLE:
        model, shape, layout = network(name)
        WHOLE[name] = survey(model, inputs_for(model, shape, 2), (), layout)
    return WHOLE[name]


def small_survey(name: str, seed: int, part: float, metric: str = "params") -> Survey:
    """A few choices at each site that cannot be widened, under a limit."""
    found, random = whole(name), np.random.default_rng(seed)
    kept: dict[str, tuple[Choice, ...]] = {}
    for site, choices in found.choices.items():
        fixed = [
            choice
            for choice in choices[1:]
            if not isinstance(choice.rung.head, LowRank)
            or choice.rung.head.rank == LowRank.largest(choice.rung.at_head(choice.place))
        ]
        usable = [
            choice
            for choice in fixed
            if choice.opener is None or choice.opener in kept.get(choice.opener.site, ())
        ]
        alone = [choice for choice in usable if choice.opener is None]
        opened = [choice for choice in usable if choice.opener is not None]
        picked = [alone[k] for k in random.permutation(len(alone))[:5]]
        kept[site] = (
            choices[0],
            *picked,
            *(opened[k] for k in random.permutation(len(opened))[:2]),
        )
    limit = Limit(metric, int(part * getattr(found.totals, metric)), f"{part:.0%}")
    return replace(found, choices=kept, limits=(limit,))


def measured(found: Survey, seed: int) -> list[Measurement]:
    random = np.random.default_rng(seed)
    return [
        Measurement(choice, 0.0, 0.0)
        if choice.rung.unchanged
        else Measurement(choice, float(random.uniform()), float(random.exponential()))
        for choices in found.choices.values()
        for choice in choices
    ]


def feasible(found: Survey, measurements: list[Measurement]) -> dict[Chosen, float]:
    """All combinations within the limits, with their harm."""
    harm = {measurement.choice: measurement.harm for measurement in measurements}
    fitting: dict[Chosen, float] = {}
    for chosen in itertools.product(*found.choices.values()):
        if any(choice.opener is not None and choice.opener not in chosen for choice in chosen):
            continue
        total = found.fixed
        for choice in chosen:
            total = total + choice.costs
        if all(getattr(total, limit.metric) <= limit.limit for limit in found.limits):
            fitting[chosen] = sum(harm[choice] for choice in chosen)
    return fitting


def structure(found: Survey, chosen: Chosen) -> frozenset[tuple[str, tuple[str, ...]]]:
    """What is done at the layers that hold the weights, and what a rung opened."""
    largest = max(choices[0].costs.params for choices in found.choices.values())
    return frozenset(
        (choice.site, choice.rung.kinds)
        for choice in chosen
        if found.choices[choice.site][0].costs.params >= largest / 5 or choice.opener is not None
    )


def chosen_of(found: Survey, plan: Plan) -> Chosen:
    """The choices that a plan was made of."""
    taken: list[Choice] = []
    decided = {decision.site: decision for decision in plan.decisions}
    for name, choices in found.choices.items():
        if name not in decided:
            taken.append(choices[0])
            continue
        one = decided[name]
        taken.append(
            next(
                choice
                for choice in choices
                if choice.rung == one.rung
                and choice.place == one.place
                and (choice.opener is None or choice.opener in taken)
            )
        )
    return tuple(taken)


def harm_of(plan: Plan) -> float:
    return sum(decision.harm or 0.0 for decision in plan.decisions)


@given(
    name=st.sampled_from(["mlp", "permuted", "flattened", "viewed"]),
    seed=st.integers(0, 10**6),
    part=st.floats(0.03, 0.9),
    metric=st.sampled_from(METRICS),
)
@settings(max_examples=60)
def test_finalists_against_every_combination(
    name: str, seed: int, part: float, metric: str
) -> None:
    found = small_survey(name, seed, part, metric)
    measurements = measured(found, seed)
    fitting = feasible(found, measurements)
    plans = choose(found, measurements)
    if not fitting:
        assert plans == []
        return
    finalists = [chosen_of(found, plan) for plan in plans]
    structures = [structure(found, chosen) for chosen in finalists]

    # All of them fit, in the order of their harm, and say the harm that was measured.
    for plan, chosen in zip(plans, finalists, strict=True):
        assert chosen in fitting
        assert harm_of(plan) == pytest.approx(fitting[chosen])
        assert all(getattr(plan, limit.metric) <= limit.limit for limit in found.limits)
    assert [harm_of(plan) for plan in plans] == sorted(harm_of(plan) for plan in plans)

    # The first is the least harmful of all.
    assert harm_of(plans[0]) == pytest.approx(min(fitting.values()))

    # No two do the same everywhere, and there are four unless nothing else fits.
    everywhere = [kinds_everywhere(chosen) for chosen in finalists]
    assert len(set(everywhere)) == len(everywhere)
    if len(plans) < 4:
        assert {kinds_everywhere(chosen) for chosen in fitting} == set(everywhere)

    # The best with a shared and the best with a pooled rung are among them: of those whose main layers differ from
    # the finalists before, or, where there are none, of all.
    before, kinds = [structures[0]], set(plans[0].kinds)
    for kind in ("shared", "pooled"):
        having = {
            chosen: harm
            for chosen, harm in fitting.items()
            if any(kind in choice.rung.kinds for choice in chosen)
        }
        if kind in kinds or not having:
            continue
        apart = [
            chosen
            for chosen in having
            if not any(alike(other, structure(found, chosen)) for other in before)
        ]
        best = min(apart or having, key=lambda chosen: having[chosen])
        assert best in finalists
        before.append(structure(found, best))
        kinds |= {kind for choice in best for kind in choice.rung.kinds}


def kinds_everywhere(chosen: Chosen) -> frozenset[tuple[str, tuple[str, ...]]]:
    """What is done at every layer, without sizes."""
    return frozenset((choice.site, choice.rung.kinds) for choice in chosen)


def alike(
    one: frozenset[tuple[str, tuple[str, ...]]], other: frozenset[tuple[str, tuple[str, ...]]]
) -> bool:
    """Whether everything that makes up the first is also in the second."""
    return one <= other


@pytest.mark.parametrize("kind", ["shared", "pooled"])
@pytest.mark.parametrize("name", ["permuted", "mlp", "flattened"])
def test_the_best_of_a_kind_is_a_finalist_however_harmful(name: str, kind: str) -> None:
    found = replace(whole(name), limits=(Limit("params", whole(name).totals.params // 2, "50%"),))
    random = np.random.default_rng(3)
    measurements = []
    for choices in found.choices.values():
        for choice in choices:
            bad = kind in choice.rung.kinds
            harm = 0.0 if choice.rung.unchanged else float(random.uniform()) + 100 * bad
            measurements.append(Measurement(choice, harm, harm))
    plans = choose(found, measurements)
    assert len(plans) >= 4
    having = [plan for plan in plans if kind in plan.kinds]
    assert having
    # Nothing with that kind is less harmful: one such rung alone is enough to meet the limit here.
    least = min(
        m.harm for m in measurements if kind in m.choice.rung.kinds and m.choice.opener is None
    )
    assert min(harm_of(plan) for plan in having) <= least + 3
    assert harm_of(plans[0]) < 100


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", ["permuted", "mlp", "float64", "bias-free", "tokens"])
def test_ranks_are_raised_to_what_the_limit_leaves(name: str, metric: str) -> None:
    model, shape, layout = network(name)
    example = inputs_for(model, shape, 2)
    first = survey(model, example, (), layout)
    limit = Limit(metric, int(0.35 * getattr(first.totals, metric)), "35%")
    found = survey(model, example, (limit,), layout)
    plans = choose(found, measured(found, 1))
    assert plans
    for plan in plans:
        built = count(skeleton(model, plan), example[:1]).totals
        assert (built.params, built.macs, built.weight_bytes) == (
            plan.params,
            plan.macs,
            plan.weight_bytes,
        )
        left = limit.limit - getattr(plan, metric)
        assert left >= 0
        for decision in plan.decisions:
            assert decision.params_before == found.choices[decision.site][0].costs.params
            counts = decision.rung.counts(decision.place)
            assert decision.params_after == counts.params
            assert decision.harm is not None
            assert decision.residual is not None
            # Not one rank more would have fitted.
            own = Costs.of(counts, decision.place.itemsize)
            room = {other: 2**62 for other in METRICS} | {metric: getattr(own, metric) + left}
            wider = widest(decision.rung, decision.place, room_of(room, decision.place))
            assert wider == decision.rung


def test_unchanged_readers_are_refitted_and_reordered() -> None:
    found = replace(whole("permuted"), limits=(Limit("params", 1600, "1600"),))
    plans = choose(found, measured(found, 5))
    for plan in plans:
        sites = [decision.site for decision in plan.decisions]
        assert sites == sorted(sites, key=lambda site: found.site(site).order)
        assert set(plan.refitted).isdisjoint(sites)
        for decision in plan.decisions:
            for reader in found.readers(decision.site):
                assert reader in sites or reader in plan.refitted
            assert (decision.reader is not None) == (
                decision.rung.reorders and not decision.rung.needs_table(decision.place)
            )
        assert all(any(name in found.readers(site) for site in sites) for name in plan.refitted)
    assert any(plan.refitted for plan in plans)
    assert any(plan.permuted for plan in plans)


def test_without_a_limit_that_binds_nothing_changes_first() -> None:
    found = replace(
        whole("permuted"), limits=(Limit("params", whole("permuted").totals.params, "100%"),)
    )
    plans = choose(found, measured(found, 6))
    assert plans[0].decisions == ()
    assert plans[0].params == found.totals.params


def test_as_many_finalists_as_asked_for() -> None:
    found = replace(whole("flattened"), limits=(Limit("params", 1500, "1500"),))
    measurements = measured(found, 7)
    assert len(choose(found, measurements, finalists=6)) == 6
    # The best of all, the best shared and the best pooled are there in any case.
    few = choose(found, measurements, finalists=1)
    assert {"shared", "pooled"} <= {kind for plan in few for kind in plan.kinds}


def test_an_impossible_limit_gives_no_plans() -> None:
    found = replace(whole("permuted"), limits=(Limit("params", 3, "3"),))
    assert choose(found, measured(found, 8)) == []


def test_choosing_uses_no_random_numbers() -> None:
    found = replace(whole("mlp"), limits=(Limit("params", 300, "300"),))
    state = torch.get_rng_state()
    first = choose(found, measured(found, 9))
    assert torch.equal(torch.get_rng_state(), state)
    assert choose(found, measured(found, 9)) == first
