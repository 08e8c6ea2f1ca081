"""From plan to network: the user's model stays, what is lossless loses nothing, fits beat plain weights."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace as changed
from math import ceil
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import RequestError
from striate.ledger import Limit, count
from striate.nn.on_map import OnMap
from striate.reduce.apply import Fitted, apply, fit, replace, skeleton
from striate.reduce.choose import choose
from striate.reduce.collect import Answer, Collector, layer_at
from striate.reduce.examples import TensorExamples
from striate.reduce.harm import Measurement, decision
from striate.reduce.plan import Plan
from striate.reduce.rungs.compose import Rung
from striate.reduce.rungs.dense import Dense
from striate.reduce.rungs.local import Grid, Local
from striate.reduce.rungs.low_rank import LowRank
from striate.reduce.rungs.pooled import Pooled
from striate.reduce.rungs.shared import Blocked, Shared
from striate.reduce.rungs.split import Split
from striate.reduce.rungs.stage import Place
from striate.reduce.sites import Layout
from striate.reduce.survey import Choice, Costs, Survey, survey
from tests.reduce.reductions import NETWORKS, images, inputs_for, network


def surveyed(name: str) -> tuple[nn.Module, Survey, tuple[int, ...]]:
    model, shape, layout = network(name)
    return model, survey(model, inputs_for(model, shape, 2), (), layout), shape


def choice(found: Survey, site: str, rung: Rung, opener: Choice | None = None) -> Choice:
    place = found.choices[site][0].place
    if opener is not None:
        place = changed(place, layout=opener.rung.layout, ordered=True)
    return Choice(site, rung, place, Costs.of(rung.counts(place), place.itemsize), opener)


def plan_for(found: Survey, *choices: Choice, refit: bool = True) -> Plan:
    ordered = sorted(choices, key=lambda one: found.site(one.site).order)
    sites = [one.site for one in ordered]
    readers = [name for site in sites for name in found.readers(site) if name not in sites]
    total = found.totals
    for one in ordered:
        total = total - found.choices[one.site][0].costs + one.costs
    return Plan(
        tuple(decision(one, found, None, None) for one in ordered),
        tuple(dict.fromkeys(readers)) if refit else (),
        total.params,
        total.macs,
        total.weight_bytes,
    )


def seeing_all(layout: Layout, outputs: int, share: int = 0) -> Rung:
    """Units on a grid of the map's size, each window so large that it sees the whole map: nothing is lost."""
    size = (layout.height, layout.width)
    grid = Grid(
        ceil(outputs / (size[0] * size[1])),
        size,
        (2 * size[0] - 1, 2 * size[1] - 1),
        (1, 1),
        (size[0] - 1, size[1] - 1),
    )
    return Rung((Local(grid),)) if share == 0 else Rung((Blocked(grid, share),))


def lossless(place: Place) -> list[Rung]:
    """Rungs that can do all that the layer does."""
    full = Rung((LowRank(min(place.inputs, place.outputs)),))
    if place.layout is None:
        return [full]
    layout, outputs = place.layout, place.outputs
    one = Grid(outputs, (1, 1), (layout.height, layout.width), (1, 1), (0, 0))
    same = Pooled("max", (layout.height, layout.width), (1, 1), (1, 1))
    return [
        full,
        seeing_all(layout, outputs),
        seeing_all(layout, outputs, share=1),
        Rung((Local(one),)),
        Rung((Shared(one),)),
        Rung((Split(layout.channels), Dense())),
        Rung((Split(layout.channels), *full.stages)),
        Rung((Pooled("avg", (layout.height, layout.width)), Dense())),
        Rung((same, Dense())),
        Rung((same, Split(layout.channels), Local(one))),
    ]


def snapshot(model: nn.Module) -> dict[str, Any]:
    return {
        "state": {name: value.clone() for name, value in model.state_dict().items()},
        "grads": {
            name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()
        },
        "trained": {name: p.requires_grad for name, p in model.named_parameters()},
        "modes": {name: module.training for name, module in model.named_modules()},
        "modules": [(name, id(module)) for name, module in model.named_modules()],
        "hooks": [
            len(module._forward_hooks) + len(module._forward_pre_hooks)
            for module in model.modules()
        ],
    }


def assert_unchanged(model: nn.Module, before: dict[str, Any]) -> None:
    after = snapshot(model)
    for key in ("trained", "modes", "modules", "hooks"):
        assert after[key] == before[key], key
    assert after["state"].keys() == before["state"].keys()
    for name, value in after["state"].items():
        assert value.dtype == before["state"][name].dtype
        assert torch.equal(value, before["state"][name]), name
    for name, grad in after["grads"].items():
        was = before["grads"][name]
        assert (grad is None) == (was is None)
        assert grad is None or torch.equal(grad, was)


def finalists(
    name: str, part: float = 0.35, seed: int = 0
) -> tuple[nn.Module, list[Plan], tuple[int, ...]]:
    """Plans of different structure, by made-up harm."""
    model, shape, layout = network(name)
    example = inputs_for(model, shape, 2)
    params = sum(p.numel() for p in model.parameters())
    found = survey(model, example, (Limit("params", int(part * params), "part"),), layout)
    generator = torch.Generator().manual_seed(seed)
    measurements = [
        Measurement(
            one, 0.1, 0.0 if one.rung.unchanged else float(torch.rand((), generator=generator))
        )
        for choices in found.choices.values()
        for one in choices
    ]
    return model, choose(found, measurements), shape


# Nothing is lost where nothing need be


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "no map"])
def test_plain_weights_in_a_lossless_rung_give_the_same_network(name: str) -> None:
    """Every kind, at every site: tables, maps out of order, outputs reordered and readers that follow."""
    model, found, shape = surveyed(name)
    x = inputs_for(model, shape, 20)
    tolerance = 1e-9 if x.dtype == torch.float64 else 2e-4
    for site in found.sites:
        for rung in lossless(found.choices[site.name][0].place):
            plan = plan_for(found, choice(found, site.name, rung))
            net = replace(model, plan).eval()
            with torch.no_grad():
                torch.testing.assert_close(
                    net(x), model(x), rtol=tolerance, atol=tolerance, msg=plan.label
                )


@pytest.mark.parametrize("name", ["permuted", "bias-free", "float64", "flattened", "mlp", "viewed"])
def test_fits_of_lossless_rungs_come_back_to_the_original(name: str) -> None:
    model, found, shape = surveyed(name)
    x, new = inputs_for(model, shape, 900).split([800, 100])
    for site in found.sites:
        for rung in lossless(found.choices[site.name][0].place):
            plan = plan_for(found, choice(found, site.name, rung))
            result = fit(model, plan, TensorExamples(x))
            assert set(result.residuals) == {site.name, *plan.refitted}
            assert max(result.residuals.values()) < 0.02, plan.label
            with torch.no_grad():
                y, other = model(new), result.model.eval()(new)
            assert float((y - other).square().mean() / y.var(0).mean()) < 0.02, plan.label


def test_a_rung_that_opens_the_next_layer_hands_over_its_map() -> None:
    """The second layer looks at the first one's units where they stand now."""
    for name, first, second in (
        ("mlp", "0", "2"),
        ("permuted", "fc1", "fc2"),
        ("flattened", "4", "7"),
    ):
        model, found, shape = surveyed(name)
        x = inputs_for(model, shape, 600)
        place = found.choices[first][0].place
        assert place.layout is not None
        outputs = found.choices[first][0].place.outputs
        side = 2
        assert outputs % (side * side) == 0
        window = (place.layout.height, place.layout.width)
        reach = (window[0] - 1, window[1] - 1)
        # 2x2 positions that all see everything.
        grid = Grid(
            outputs // 4,
            (2, 2),
            (window[0] + reach[0], window[1] + reach[1]),
            (reach[0], reach[1]),
            (reach[0], reach[1]),
        )
        opener = choice(found, first, Rung((Local(grid),)))
        for rung in (
            Rung((Split(outputs // 4), Dense())),
            Rung((Pooled("avg", (2, 2)), Dense())),
            Rung((LowRank(min(outputs, found.choices[second][0].place.outputs)),)),
        ):
            plan = plan_for(found, opener, choice(found, second, rung, opener))
            assert plan.permuted == (second,)
            with torch.no_grad():
                net = replace(model, plan).eval()
                torch.testing.assert_close(net(x), model(x).to(x.dtype), rtol=1e-3, atol=1e-3)
                fitted = fit(model, plan, TensorExamples(x)).model.eval()
                y = model(x)
                assert float((fitted(x) - y).square().mean() / y.var(0).mean()) < 0.02
            body = net.get_submodule(second)
            if rung.on_map:
                assert isinstance(body, OnMap)
                assert body.index is None  # the columns moved instead
                assert body.shape == (outputs // 4, 2, 2)


# The user's model


@pytest.mark.parametrize("name", NETWORKS)
def test_the_users_model_is_not_touched(name: str) -> None:
    model, plans, shape = finalists(name)
    assert plans
    model.train()
    next(model.children()).eval()
    x = inputs_for(model, shape, 60)
    model(x).sum().backward()
    parameters = list(model.parameters())
    parameters[-1].requires_grad_(False)
    before, random = snapshot(model), torch.get_rng_state()
    for plan in plans:
        skeleton(model, plan)
        replace(model, plan)
        apply(model, plan)
        fit(model, plan, TensorExamples(x))
    assert_unchanged(model, before)
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize("name", NETWORKS)
def test_untouched_layers_keep_their_keys_and_bits(name: str) -> None:
    model, plans, shape = finalists(name)
    x = TensorExamples(inputs_for(model, shape, 60))
    original = model.state_dict()
    for plan in plans:
        new = {decision.site for decision in plan.decisions}
        touched = {*new, *plan.refitted}
        for net in (replace(model, plan), fit(model, plan, x).model):
            state = net.state_dict()
            for key, value in original.items():
                owner = key.rpartition(".")[0]
                if owner in new:
                    continue
                assert key in state
                if owner not in touched:
                    assert torch.equal(state[key], value), key
            # Nothing but the new modules has new keys.
            assert all(
                key in original or any(key.startswith(f"{site}.") for site in new) for key in state
            )
            # The networks share no memory.
            pointers = {value.data_ptr() for value in original.values()}
            assert not any(value.data_ptr() in pointers for value in state.values())


def test_plain_weights_leave_readers_alone_but_for_their_order() -> None:
    model, found, _ = surveyed("permuted")
    layout = found.choices["fc1"][0].place.layout
    assert layout is not None
    grid = Grid(8, (2, 2), (2, 2), (2, 2), (0, 0))
    local = plan_for(found, choice(found, "fc1", Rung((Local(grid),))))
    net = replace(model, local)
    was, now = model.get_submodule("fc2"), net.get_submodule("fc2")
    assert isinstance(was, nn.Linear)
    assert isinstance(now, nn.Linear)
    assert not torch.equal(now.weight, was.weight)
    order = [int((was.weight == column[:, None]).all(0).nonzero()) for column in now.weight.T]
    assert sorted(order) == list(range(32))
    assert torch.equal(now.bias, was.bias)
    pooled = plan_for(found, choice(found, "fc1", Rung((Pooled("avg", (2, 2)), Dense()))))
    assert torch.equal(replace(model, pooled).get_submodule("fc2").weight, was.weight)  # type: ignore[arg-type]


# The counts of what is built


@pytest.mark.parametrize("part", [0.15, 0.5])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_network_has_the_plans_counts(name: str, part: float) -> None:
    model, plans, shape = finalists(name, part)
    x = inputs_for(model, shape, 60)
    for plan in plans:
        again = Plan.from_dict(plan.to_dict())
        for net in (
            skeleton(model, again),
            apply(model, again),
            apply(model, plan, TensorExamples(x)),
        ):
            totals = count(net, x[:1]).totals
            assert totals.params == plan.params == sum(p.numel() for p in net.parameters())
            assert totals.macs == plan.macs
            assert totals.weight_bytes == plan.weight_bytes
            assert net(x[:3]).shape == model(x[:3]).shape


def test_apply_is_replace_or_fit() -> None:
    model, plans, shape = finalists("permuted")
    x = TensorExamples(inputs_for(model, shape, 80))
    for plan in plans:
        for one, two in (
            (apply(model, plan), replace(model, plan)),
            (apply(model, plan, x), fit(model, plan, x).model),
        ):
            for (name, left), (_, right) in zip(
                one.state_dict().items(), two.state_dict().items(), strict=True
            ):
                assert torch.equal(left, right), name


def test_an_empty_plan_is_a_copy() -> None:
    model, found, shape = surveyed("viewed")
    x = inputs_for(model, shape, 30)
    for net in (apply(model, plan_for(found)), apply(model, plan_for(found), TensorExamples(x))):
        assert net is not model
        assert torch.equal(net(x), model(x))


# Fits


@pytest.mark.parametrize("name", NETWORKS)
def test_a_fitted_network_is_nearer_to_the_original(name: str) -> None:
    model, plans, shape = finalists(name, 0.3)
    x, new = inputs_for(model, shape, 1300).split([1000, 300])
    better = 0
    for plan in plans:
        result = fit(model, plan, TensorExamples(x))
        assert set(result.residuals) == {*(d.site for d in plan.decisions), *plan.refitted}
        assert all(0 <= value < 2 for value in result.residuals.values())
        with torch.no_grad():
            y = model(new)
            ours = float((result.model.eval()(new) - y).square().mean())
            theirs = float((replace(model, plan).eval()(new) - y).square().mean())
        assert ours < theirs * 1.05, plan.label
        assert ours < 1.1 * float(y.var(0).mean()), plan.label  # no worse than the mean answer
        better += ours < theirs
    assert better >= len(plans) - 1


def test_refitting_the_reader_takes_up_what_was_lost() -> None:
    model, found, shape = surveyed("permuted")
    x, new = inputs_for(model, shape, 1300).split([1000, 300])
    rung = Rung((Pooled("avg", (1, 1)), Dense()))
    with_reader = plan_for(found, choice(found, "fc1", rung))
    alone = plan_for(found, choice(found, "fc1", rung), refit=False)
    assert with_reader.refitted == ("fc2",)
    with torch.no_grad():
        y = model(new)
        left = [
            float((fit(model, plan, TensorExamples(x)).model(new) - y).square().mean())
            for plan in (with_reader, alone)
        ]
    assert left[0] < left[1]


def test_each_layer_is_fitted_from_what_the_reduced_ones_before_give() -> None:
    """Asymmetric: the second layer's inputs are the reduced network's, its targets the original's."""
    model, found, shape = surveyed("flattened")
    x = inputs_for(model, shape, 800).double()
    model.double()
    first, second = Rung((Pooled("avg", (1, 1)), Dense())), Rung((LowRank(3),))
    plan = plan_for(found, choice(found, "4", first), choice(found, "7", second))
    assert plan.refitted == ("9",)
    net = fit(model, plan, TensorExamples(x)).model.eval()
    with torch.no_grad():
        given, answer = layer_at(net, "7", x)[0], layer_at(model, "7", x)[1].clone()
        a, b = given - given.mean(0), answer - answer.mean(0)
        full = a @ torch.linalg.lstsq(a, b).solution
        optimum = float((b - full).square().sum() + torch.linalg.svdvals(full)[3:].square().sum())
        ours = float((net.get_submodule("7")(given) - answer).square().sum())
        assert ours < 1.1 * optimum
        # The reader behind it as well.
        given, answer = layer_at(net, "9", x)[0], layer_at(model, "9", x)[1].clone()
        design = torch.cat([given, torch.ones(len(given), 1, dtype=given.dtype)], 1)
        best = float((design @ torch.linalg.lstsq(design, answer).solution - answer).square().sum())
        assert float((net.get_submodule("9")(given) - answer).square().sum()) < 1.1 * best


def test_fits_repeat_bit_for_bit() -> None:
    model, plans, shape = finalists("flattened")
    x = TensorExamples(inputs_for(model, shape, 200))
    for plan in plans:
        torch.manual_seed(1)
        one = fit(model, plan, x, seed=3)
        torch.manual_seed(2)
        two = fit(model, plan, x, seed=3)
        assert one.residuals == two.residuals
        for left, right in zip(
            one.model.state_dict().values(), two.model.state_dict().values(), strict=True
        ):
            assert torch.equal(left, right)


def test_a_fit_wants_twenty_examples() -> None:
    model, plans, shape = finalists("mlp")
    with pytest.raises(RequestError, match="calibration: 19 examples; a fit needs at least 20"):
        fit(model, plans[0], TensorExamples(inputs_for(model, shape, 19)))
    fit(model, plans[0], TensorExamples(inputs_for(model, shape, 20)))


def test_in_place_activations_do_not_spoil_the_targets() -> None:
    """The original's answers are those of the layer, not what the next operation makes of them."""
    torch.manual_seed(0)
    clean = nn.Sequential(
        nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 5)
    )
    hasty = copy.deepcopy(clean)
    for module in hasty:
        if isinstance(module, nn.ReLU):
            module.inplace = True
    x = torch.randn(400, 20)
    found = survey(clean, x[:2])
    plan = plan_for(
        found, choice(found, "0", Rung((LowRank(4),))), choice(found, "2", Rung((LowRank(4),)))
    )
    one, two = fit(clean, plan, TensorExamples(x)), fit(hasty, plan, TensorExamples(x))
    assert one.residuals == two.residuals
    assert torch.equal(one.model(x), two.model(x))


# Types, modes, frozen parts


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_the_type_is_kept(dtype: torch.dtype) -> None:
    model, plans, shape = finalists("permuted")
    model.to(dtype)
    x = inputs_for(model, shape, 60)
    for plan in plans:
        for net in (replace(model, plan), fit(model, plan, TensorExamples(x)).model):
            assert {p.dtype for p in net.parameters()} == {dtype}
            assert net(x).dtype == dtype
            assert bool(torch.isfinite(net(x)).all())
            assert {
                b.dtype for m in net.modules() if isinstance(m, OnMap) for b in m.buffers()
            } <= {torch.int32}


def test_the_device_is_kept() -> None:
    model, plans, _ = finalists("permuted")
    for plan in plans:
        net = skeleton(model.to("meta"), plan)
        assert {p.device.type for p in net.parameters()} == {"meta"}
        assert {b.device.type for b in net.buffers()} <= {"meta"}


def test_modes_and_frozen_layers_stay_as_they_were() -> None:
    model, found, shape = surveyed("permuted")
    x = TensorExamples(inputs_for(model, shape, 60))
    for parameter in model.fc1.parameters():  # type: ignore[union-attr]
        parameter.requires_grad_(False)
    for parameter in model.conv.parameters():  # type: ignore[union-attr]
        parameter.requires_grad_(False)
    model.train()
    model.fc1.eval()  # type: ignore[union-attr]
    rung = Rung((Pooled("avg", (2, 2)), Split(2), LowRank(2)))
    plan = plan_for(found, choice(found, "fc1", rung))
    for net in (replace(model, plan), fit(model, plan, x).model):
        new = net.get_submodule("fc1")
        assert not any(p.requires_grad for p in new.parameters())
        assert not any(module.training for module in new.modules())
        assert not any(p.requires_grad for p in net.get_submodule("conv").parameters())
        assert all(p.requires_grad for p in net.get_submodule("fc2").parameters())
        assert net.training
        assert net.get_submodule("conv").training
    plan = plan_for(found, choice(found, "fc2", Rung((LowRank(2),))))
    net = replace(model, plan)
    assert all(p.requires_grad for p in net.get_submodule("fc2").parameters())
    assert all(module.training for module in net.get_submodule("fc2").modules())


def test_dropout_and_batch_statistics_do_not_enter_a_fit() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(20, 16),
        nn.BatchNorm1d(16),
        nn.Dropout(0.5),
        nn.Linear(16, 12),
        nn.ReLU(),
        nn.Linear(12, 5),
    )
    x = torch.randn(300, 20) + 1
    model(x)
    found = survey(model, x[:2])
    plan = plan_for(found, choice(found, "3", Rung((LowRank(4),))))
    quiet = fit(model.eval(), plan, TensorExamples(x))
    loud = fit(model.train(), plan, TensorExamples(x))
    assert quiet.residuals == loud.residuals
    assert loud.model.training
    assert torch.equal(model[1].running_mean, loud.model[1].running_mean)  # type: ignore[index, union-attr, arg-type]


def test_a_layer_under_weight_norm_elsewhere_is_copied() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        normed = nn.utils.weight_norm(nn.Linear(20, 16))
    model = nn.Sequential(normed, nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 5))
    x = torch.randn(100, 20)
    model(x)  # the weight is a result now, which copy.deepcopy refuses
    found = survey(model, x[:2])
    plan = plan_for(found, choice(found, "2", Rung((LowRank(5),))))
    net = fit(model, plan, TensorExamples(x)).model
    assert net(x).shape == (100, 5)
    assert net[0].weight_g.requires_grad  # type: ignore[index, union-attr]
    torch.testing.assert_close(net[0](x), model[0](x))  # type: ignore[index, operator]


# Wrong requests


def spoiled(plan: Plan, **values: Any) -> Plan:
    return changed(plan, decisions=(changed(plan.decisions[0], **values),))


def test_a_plan_for_another_model_is_refused() -> None:
    model, found, _ = surveyed("permuted")
    plan = plan_for(found, choice(found, "fc1", Rung((LowRank(2),))))
    with pytest.raises(RequestError, match="plan: the model has no layer 'fc9'"):
        apply(model, spoiled(plan, site="fc9"))
    with pytest.raises(RequestError, match="plan: the model has no layer 'fc8'"):
        apply(model, spoiled(plan, reader="fc8"))
    with pytest.raises(RequestError, match="plan: the model has no layer 'fc7'"):
        apply(model, changed(plan, refitted=("fc7",)))
    other, _, _ = network("permuted")
    other.fc1 = nn.Linear(128, 30)
    with pytest.raises(
        RequestError, match=r"fc1 is 128 -> 30 in this model, and 128 -> 32 in the plan"
    ):
        apply(other, plan)
    other.fc1 = nn.Identity()
    with pytest.raises(RequestError, match="fc1 is a Identity; expected the Linear or Conv2d"):
        apply(other, plan)
    other.fc1 = nn.Conv2d(8, 32, 4)  # the same numbers, another kind
    with pytest.raises(RequestError, match=r"fc1 is Conv2d\(.* not the layer in the plan"):
        apply(other, plan)
    other.fc1 = nn.Linear(128, 32, bias=False)
    with pytest.raises(RequestError, match=r"fc1 is Linear\(.*bias=True\)"):
        apply(other, plan)
    other, _, _ = network("permuted")
    plan = plan_for(found, choice(found, "conv", Rung((LowRank(2),))))
    apply(other, plan)
    other.conv = nn.Conv2d(1, 8, 3, padding=1, padding_mode="reflect")
    with pytest.raises(RequestError, match=r"conv is Conv2d\(.*reflect"):
        apply(other, plan)


# The collector


def size_of(thing: object, seen: set[int] | None = None) -> int:
    """Bytes of all tensors that a thing holds."""
    seen = set() if seen is None else seen
    if id(thing) in seen:
        return 0
    seen.add(id(thing))
    if isinstance(thing, Tensor):
        return thing.untyped_storage().nbytes()
    if isinstance(thing, dict):
        parts: Any = [*thing.keys(), *thing.values()]
    elif isinstance(thing, list | tuple | set):
        parts = thing
    elif hasattr(thing, "__dict__"):
        parts = vars(thing).values()
    else:
        return 0
    return sum(size_of(part, seen) for part in parts)


@pytest.mark.parametrize("fronts", [0, 2])
def test_a_collector_does_not_grow_with_the_rows(fronts: int) -> None:
    place = Place(72, 10, True, Layout(2, 6, 6))
    pools = [Pooled("max", (3, 3), (2, 2), (2, 2)), Pooled("max", (2, 2))][:fronts]
    collector = Collector(place, tuple(torch.randperm(72).tolist()), pools)
    sizes = []
    for batches in (1, 3, 30):
        for _ in range(batches):
            collector.add(torch.randn(50, 72), Answer(torch.randn(50, 10)))
        sizes.append(size_of(collector))
    assert sizes[0] == sizes[1] == sizes[2]
    assert sizes[0] > 8 * 72 * 72
    evidence = collector.evidence()
    assert evidence.held is not None
    assert evidence.fit.count + evidence.held.count == 50 * 34
    assert evidence.held.count == 50 * 34 // 5


def test_a_collector_reads_the_map_in_order_and_through_pools() -> None:
    layout = Layout(2, 6, 4)
    index = torch.randperm(48, generator=torch.Generator().manual_seed(0))
    pool = Pooled("max", (3, 2), (2, 2), (2, 2))
    x, y = torch.randn(100, 48), torch.randn(100, 3)
    collector = Collector(Place(48, 3, True, layout), tuple(index.tolist()), [pool])
    for start in range(0, 100, 33):
        collector.add(x[start : start + 33], Answer(y[start : start + 33]))
    maps = x[:, index].view(100, 2, 6, 4)
    held = torch.arange(100) % 5 == 4
    for front, features in ((None, maps.flatten(1)), (pool, F.max_pool2d(maps, 2).flatten(1))):
        evidence = collector.evidence(front)
        for moments, rows in ((evidence.fit, ~held), (evidence.held, held)):
            assert moments is not None
            a, b = features[rows].double(), y[rows].double()
            torch.testing.assert_close(moments.mean_x, a.mean(0))
            torch.testing.assert_close(moments.xx, torch.cov(a.T, correction=0))
            torch.testing.assert_close(moments.xy, (a - a.mean(0)).T @ (b - b.mean(0)) / len(a))


def test_tokens_of_an_example_are_held_out_together() -> None:
    """Rows of one example are alike: judging by the neighbours of fitted rows would flatter the fit."""
    place = Place(6, 4, True, rows=5)
    collector = Collector(place, None, [])
    x = torch.zeros(50, 5, 6)
    x[4::5] = 1.0  # every fifth example, the held-out ones
    collector.add(x, Answer.of(torch.randn(50, 5, 4), 0, maps=False))
    evidence = collector.evidence()
    assert evidence.held is not None
    assert float(evidence.fit.mean_x.abs().max()) == 0
    assert float((evidence.held.mean_x - 1).abs().max()) == 0
    assert evidence.held.count == 10 * 5


def test_the_layer_of_interest_is_the_last_to_run() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(inplace=True), nn.Linear(3, 2))
    ran: list[int] = []
    model[2].register_forward_hook(lambda *_: ran.append(2))
    x = torch.randn(6, 4)
    given, answer = layer_at(model, "0", x)
    assert torch.equal(given, x)
    assert torch.equal(answer, model[0](x))
    assert ran == []
    assert len(model[0]._forward_hooks) == 0


def test_fitted_says_what_it_holds() -> None:
    model, found, shape = surveyed("mlp")
    result = fit(
        model,
        plan_for(found, choice(found, "0", Rung((LowRank(5),)))),
        TensorExamples(inputs_for(model, shape, 200)),
    )
    assert isinstance(result, Fitted)
    assert set(result.residuals) == {"0", "2"}
    assert 0 < result.residuals["0"] < 1


def test_a_fit_on_few_rows_is_no_worse_than_the_weights_carried_over() -> None:
    """With fewer rows than features, a regression alone would forget what the weights already say."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12 * 8 * 8, 96), nn.ReLU(), nn.Linear(96, 5))
    x = images(400, Layout(12, 8, 8)).float()
    found = survey(net, x[:2], (Limit("params", 30_000, "30k"),))
    for choice in found.choices["1"][1:]:
        if choice.rung.kinds[-1] in ("low-rank", "pooled", "split"):
            plan = plan_for(found, choice)
            few = TensorExamples(x[:100])
            errors = [
                float((net(x[200:]) - other(x[200:])).square().mean())
                for other in (fit(net, plan, few).model, replace(net, plan))
            ]
            assert errors[0] <= 1.1 * errors[1], choice.key
