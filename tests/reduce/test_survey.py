"""The survey: sites become places, choices cost what they say, the smallest network really is the smallest."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import LinearConstraint
from torch import nn

from striate.errors import UnreachableBudget
from striate.ledger import Limit, count
from striate.reduce.apply import skeleton
from striate.reduce.harm import decision
from striate.reduce.plan import Plan
from striate.reduce.survey import METRICS, Choice, Costs, Survey, map_index, solve, survey
from tests.reduce.reductions import NETWORKS, inputs_for, network

SURVEYS: dict[tuple[str, float], tuple[nn.Module, Survey]] = {}


def surveyed(
    name: str, part: float = 1.0, metric: str = "params"
) -> tuple[nn.Module, Survey, tuple[int, ...]]:
    model, shape, layout = network(name)
    example = inputs_for(model, shape, 2)
    found = survey(model, example, (), layout)
    if part < 1:
        limit = Limit(metric, int(part * getattr(found.totals, metric)), f"{metric} {part}")
        found = survey(model, example, (limit,), layout)
    return model, found, shape


def plan_of(found: Survey, choices: Sequence[Choice]) -> Plan:
    changed = sorted(
        (choice for choice in choices if not choice.rung.unchanged),
        key=lambda choice: found.site(choice.site).order,
    )
    total = found.totals
    for choice in changed:
        total = total - found.choices[choice.site][0].costs + choice.costs
    decisions = tuple(decision(choice, found, None, None) for choice in changed)
    return Plan(decisions, (), total.params, total.macs, total.weight_bytes)


def combinations(found: Survey) -> Iterator[tuple[Choice, ...]]:
    """Every choice at every site, as far as what one needs of another is given."""
    for chosen in itertools.product(*found.choices.values()):
        if all(choice.opener is None or choice.opener in chosen for choice in chosen):
            yield chosen


def total(found: Survey, chosen: Sequence[Choice]) -> Costs:
    costs = found.fixed
    for choice in chosen:
        costs = costs + choice.costs
    return costs


def thinned(found: Survey, seed: int, most: int = 5) -> Survey:
    """A few choices of each site, so that all combinations can be tried."""
    random = np.random.default_rng(seed)
    kept: dict[str, tuple[Choice, ...]] = {}
    for name, choices in found.choices.items():
        usable = [
            choice
            for choice in choices[1:]
            if choice.opener is None or choice.opener in kept.get(choice.opener.site, ())
        ]
        picked = sorted(random.permutation(len(usable))[:most].tolist())
        opened = [choice for choice in usable if choice.opener is not None][:2]
        rest = [usable[k] for k in picked if usable[k] not in opened]
        kept[name] = (choices[0], *rest, *opened)
    return replace(found, choices=kept)


# Costs


@pytest.mark.parametrize("name", NETWORKS)
def test_the_unchanged_choices_and_the_rest_are_the_network(name: str) -> None:
    model, found, shape = surveyed(name)
    totals = count(model, inputs_for(model, shape, 1)).totals
    assert (found.totals.params, found.totals.macs) == (totals.params, totals.macs)
    assert found.totals.weight_bytes == totals.weight_bytes
    assert found.totals.params == sum(p.numel() for p in model.parameters())
    for choices in found.choices.values():
        assert choices[0].rung.unchanged
        assert choices[0].opener is None
        assert not any(choice.rung.unchanged for choice in choices[1:])
        assert len({choice.key for choice in choices}) == len(choices)
    own = sum(choices[0].costs.params for choices in found.choices.values())
    assert found.fixed.params == totals.params - own
    assert set(found.choices) == {site.name for site in found.sites}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("part", "metric"), [(1.0, "params"), (0.3, "weight_bytes"), (0.5, "macs")]
)
def test_every_choice_costs_what_the_built_network_costs(
    name: str, part: float, metric: str
) -> None:
    model, found, shape = surveyed(name, part, metric)
    example = inputs_for(model, shape, 1)
    for choices in found.choices.values():
        for choice in choices[1 :: 1 + len(choices) // 14]:
            chosen = [choice] if choice.opener is None else [choice.opener, choice]
            plan = plan_of(found, chosen)
            built = count(skeleton(model, plan), example).totals
            counted = (built.params, built.macs, built.weight_bytes)
            assert counted == (plan.params, plan.macs, plan.weight_bytes), plan.label


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["permuted", "mlp", "flattened", "float64"])
def test_costs_of_combinations_add_up(name: str, seed: int) -> None:
    model, found, shape = surveyed(name)
    example = inputs_for(model, shape, 1)
    random = np.random.default_rng(seed)
    few = thinned(found, seed)
    everything = list(combinations(few))
    for k in random.permutation(len(everything))[:4]:
        plan = plan_of(few, everything[k])
        assert (plan.params, plan.macs, plan.weight_bytes) == tuple(
            getattr(total(few, everything[k]), metric) for metric in METRICS
        )
        built = count(skeleton(model, plan), example).totals
        assert (built.params, built.macs, built.weight_bytes) == (
            plan.params,
            plan.macs,
            plan.weight_bytes,
        ), plan.label


# Places


def test_a_place_knows_the_map_and_where_its_positions_stand() -> None:
    _, found, _ = surveyed("permuted")
    place = found.choices["fc1"][0].place
    assert place.layout is not None
    assert (place.layout.channels, place.layout.height, place.layout.width) == (8, 4, 4)
    assert not place.ordered
    assert place.foldable
    index = map_index(found.site("fc1"))
    assert index is not None
    # The model's flat input k is (row, column, channel); the map is (channel, row, column).
    flat = torch.arange(128).view(4, 4, 8).permute(2, 0, 1).reshape(-1)
    assert list(index) == flat.tolist()
    assert map_index(found.site("fc2")) is None
    assert not found.choices["fc2"][0].place.foldable


def test_flat_data_has_a_map_only_if_it_is_said() -> None:
    model, shape, layout = network("mlp")
    example = inputs_for(model, shape, 2)
    with_map = survey(model, example, (), layout)
    without = survey(model, example)
    assert with_map.choices["0"][0].place.layout == layout
    assert without.choices["0"][0].place.layout is None
    kinds = {kind for choice in without.choices["0"] for kind in choice.rung.kinds}
    assert kinds == {"dense", "low-rank"}


def test_tokens_have_no_map_and_run_once_a_token() -> None:
    _, found, _ = surveyed("tokens")
    place = found.choices["embed"][0].place
    assert place.layout is None
    assert place.rows == 8
    assert {choice.rung.kinds for choice in found.choices["embed"]} == {("dense",), ("low-rank",)}


def test_a_part_of_a_map_is_no_map() -> None:
    class Sliced(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 8, 3, padding=1)
            self.fc = nn.Linear(4 * 36, 16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.conv(x)[:, :4].flatten(1))  # type: ignore[no-any-return]

    found = survey(Sliced(), torch.zeros(2, 1, 6, 6))
    assert found.choices["fc"][0].place.layout is None


def test_grouped_convolutions_are_refused_with_the_reason() -> None:
    model = nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.Flatten(), nn.Linear(8 * 16, 10))
    found = survey(model, torch.zeros(2, 4, 6, 6))
    assert [site.name for site in found.sites] == ["2"]
    assert "groups=2" in {refusal.name: refusal.reason for refusal in found.refusals}["0"]
    assert found.fixed.params == sum(p.numel() for p in model[0].parameters())


def test_the_model_is_left_as_it_was() -> None:
    model, shape, layout = network("flattened")
    model.train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    before = torch.get_rng_state()
    survey(model, inputs_for(model, shape, 2), (), layout)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


# Openers


def test_a_rung_that_gives_a_map_opens_the_next_layer() -> None:
    _, found, _ = surveyed("mlp")
    opened = [choice for choice in found.choices["2"] if choice.opener is not None]
    assert {kind for choice in opened for kind in choice.rung.kinds} == {"pooled", "split"}
    for choice in opened:
        assert choice.opener in found.choices["0"]
        assert choice.opener.rung.reorders
        assert choice.opener.costs.weight_bytes == 4 * choice.opener.costs.params  # no table
        assert choice.place.layout == choice.opener.rung.layout
        assert f"after {choice.opener.rung.label()}" in choice.key


@pytest.mark.parametrize("between", [nn.Softmax(1), nn.LayerNorm(36)])
def test_what_cannot_follow_a_new_order_is_not_opened(between: nn.Module) -> None:
    """Between the layers is more than element-wise work: outputs keep their order, by a table."""
    from striate.reduce.sites import Layout

    model = nn.Sequential(nn.Linear(64, 36), between, nn.Linear(36, 5))
    found = survey(model, torch.zeros(2, 64), (), Layout(1, 8, 8))
    place = found.choices["0"][0].place
    assert place.layout is not None
    assert not place.foldable
    assert all(choice.opener is None for choice in found.choices["2"])
    grids = [choice for choice in found.choices["0"] if choice.rung.reorders]
    assert grids
    assert all(choice.rung.needs_table(choice.place) for choice in grids)


# The smallest network


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ["mlp", "permuted", "flattened", "float64", "tokens"])
def test_the_smallest_is_the_least_of_all_combinations(name: str, seed: int) -> None:
    _, found, _ = surveyed(name)
    few = thinned(found, seed, most=4)
    least = few.smallest()
    assert set(least) == set(METRICS)
    everything = [total(few, chosen) for chosen in combinations(few)]
    for metric in METRICS:
        assert least[metric] == min(getattr(costs, metric) for costs in everything)


@pytest.mark.parametrize("name", ["mlp", "permuted", "viewed", "no map"])
@pytest.mark.parametrize("metric", METRICS)
def test_the_limit_is_reachable_down_to_the_smallest_and_not_below(name: str, metric: str) -> None:
    model, shape, layout = network(name)
    example = inputs_for(model, shape, 2)
    least = survey(model, example, (), layout).smallest()[metric]

    def limited(value: int) -> Survey:
        return survey(model, example, (Limit(metric, value, f"{metric}={value}"),), layout)

    at = limited(least)
    assert at.smallest() == {metric: least}
    at.require_reachable()
    below = limited(least - 1)
    with pytest.raises(UnreachableBudget) as caught:
        below.require_reachable()
    assert caught.value.smallest == {metric: least}
    share = 100 * least / getattr(at.totals, metric)
    assert (
        f"--budget {metric}={least - 1}: the smallest network that can be reached has {least:,} "
        in str(caught.value)
    )
    assert f"({share:.2f} %); ask for at least that" in str(caught.value)


def test_limits_that_cannot_hold_together_are_said_to() -> None:
    model, shape, layout = network("permuted")
    example = inputs_for(model, shape, 2)
    least = survey(model, example, (), layout).smallest()
    limits = tuple(
        Limit(metric, least[metric], f"{metric}={least[metric]}")
        for metric in ("params", "weight_bytes")
    )
    both = survey(model, example, limits, layout)
    assert both.smallest() == {metric: least[metric] for metric in ("params", "weight_bytes")}
    with pytest.raises(UnreachableBudget, match="each can be met, but not all together") as caught:
        both.require_reachable()
    assert caught.value.smallest == both.smallest()
    assert all(limit.text in str(caught.value) for limit in limits)


def test_a_network_without_sites_can_only_be_met() -> None:
    model = nn.Sequential(nn.Conv2d(4, 8, 3, groups=4), nn.Flatten())
    example = torch.zeros(2, 4, 6, 6)
    params = sum(p.numel() for p in model.parameters())
    assert survey(model, example).smallest()["params"] == params
    met = survey(model, example, (Limit("params", params, "all"),))
    assert met.met
    met.require_reachable()
    short = survey(model, example, (Limit("params", params - 1, "less"),))
    assert not short.met
    with pytest.raises(UnreachableBudget, match=f"has {params} parameters"):
        short.require_reachable()


# The solver


@given(
    seed=st.integers(0, 10**6),
    name=st.sampled_from(["mlp", "permuted", "flattened"]),
    parts=st.lists(st.floats(0.01, 1.0), min_size=1, max_size=3),
    tiny=st.booleans(),
)
@settings(max_examples=60)
def test_the_solver_finds_the_least_harm_within_all_limits(
    seed: int, name: str, parts: list[float], tiny: bool
) -> None:
    if (name, 1.0) not in SURVEYS:
        SURVEYS[name, 1.0] = surveyed(name)[:2]
    found = thinned(SURVEYS[name, 1.0][1], seed, most=4)
    limits = tuple(
        Limit(metric, int(part * getattr(found.totals, metric)), metric)
        for metric, part in zip(METRICS, parts, strict=False)
    )
    found = replace(found, limits=limits)
    options = [choice for choices in found.choices.values() for choice in choices]
    random = np.random.default_rng(seed)
    # Added harms may be negative; and small ones must not drown in a tolerance.
    harm = random.normal(0.3, 1.0, len(options)) * (1e-7 if tiny else 1.0)
    by_choice = dict(zip(options, harm, strict=True))
    fitting = {
        chosen: sum(by_choice[choice] for choice in chosen)
        for chosen in combinations(found)
        if all(getattr(total(found, chosen), limit.metric) <= limit.limit for limit in limits)
    }
    ours = solve(options, harm, found)
    if not fitting:
        assert ours is None
        return
    assert ours is not None
    assert tuple(ours) in fitting
    assert fitting[tuple(ours)] == pytest.approx(min(fitting.values()), rel=1e-6, abs=1e-12)


def test_extra_constraints_hold() -> None:
    _, found, _ = surveyed("permuted")
    options = [choice for choices in found.choices.values() for choice in choices]
    pooled = np.array([[float("pooled" in choice.rung.kinds) for choice in options]])
    harm = np.array([float("pooled" in choice.rung.kinds) for choice in options])
    chosen = solve(options, harm, found, [LinearConstraint(pooled, 1, np.inf)])
    assert chosen is not None
    assert sum("pooled" in choice.rung.kinds for choice in chosen) == 1
    assert [choice.site for choice in chosen] == list(found.choices)
    impossible = LinearConstraint(pooled, len(options), np.inf)
    assert solve(options, harm, found, [impossible]) is None


def test_large_limits_are_kept_to_the_unit() -> None:
    """At 10^9 units the solver's own tolerance is a thousand of them."""
    _, found, _ = surveyed("no map")
    scale = 10**7
    choices = {
        name: tuple(
            replace(choice, costs=Costs(choice.costs.params * scale + k, choice.costs.macs, 4))
            for k, choice in enumerate(own)
        )
        for name, own in found.choices.items()
    }
    sizes = sorted(
        {sum(one.costs.params for one in chosen) for chosen in itertools.product(*choices.values())}
    )
    for size in sizes[1 :: max(1, len(sizes) // 6)]:
        for limit, reachable in ((size, size), (size - 1, max(s for s in sizes if s < size))):
            limited = replace(
                found,
                choices=choices,
                totals=Costs(sum(own[0].costs.params for own in choices.values()), 0, 8),
                limits=(Limit("params", limit, "much"),),
            )
            options = [choice for own in choices.values() for choice in own]
            # The larger the better.
            harm = np.array([-float(choice.costs.params) for choice in options])
            chosen = solve(options, harm, limited)
            assert chosen is not None
            assert sum(choice.costs.params for choice in chosen) == reachable
