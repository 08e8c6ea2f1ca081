"""Harm: what it is, measured as said, once, and the same again after a resume."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import RequestError
from striate.ledger import Limit
from striate.reduce.apply import fit
from striate.reduce.examples import Examples, TensorExamples
from striate.reduce.harm import Measurement, decision, measure
from striate.reduce.original import Original
from striate.reduce.plan import Plan
from striate.reduce.survey import Choice, Survey, survey
from tests.reduce.reductions import NETWORKS, inputs_for, network

Compute = Callable[[], dict[str, Any]]


class Journal:
    """Remembers each result as text, as a run does."""

    def __init__(self) -> None:
        self.lines: dict[str, str] = {}
        self.computed: list[str] = []

    def __call__(self, key: str, compute: Compute) -> dict[str, Any]:
        if key not in self.lines:
            self.computed.append(key)
            self.lines[key] = json.dumps(compute(), allow_nan=False)
        result: dict[str, Any] = json.loads(self.lines[key])
        return result


def harms(
    model: nn.Module,
    found: Survey,
    calibration: Examples,
    validation: Examples,
    step: Journal | None = None,
    seed: int = 0,
) -> list[Measurement]:
    return measure(Original(model, list(found.choices), calibration, seed), found, validation, step)


def thinned(found: Survey, most: int = 3) -> Survey:
    """A few choices of every structure at every site, with the openers of what is opened."""
    kept: dict[str, tuple[Choice, ...]] = {}
    for name, choices in found.choices.items():
        taken: dict[tuple[Any, ...], list[Choice]] = {}
        for choice in choices[1:]:
            if choice.opener is not None and choice.opener not in kept.get(choice.opener.site, ()):
                continue
            taken.setdefault((choice.rung.kinds, choice.opener), []).append(choice)
        kept[name] = (
            choices[0],
            *(
                choice
                for (_, opener), alike in taken.items()
                for choice in alike[: most if opener is None else 1]
            ),
        )
    return replace(found, choices=kept)


def surveyed(
    name: str, part: float = 0.5, most: int = 2
) -> tuple[nn.Module, Survey, tuple[int, ...]]:
    model, shape, layout = network(name)
    params = sum(p.numel() for p in model.parameters())
    limit = Limit("params", int(part * params), "part")
    return model, thinned(survey(model, inputs_for(model, shape, 2), (limit,), layout), most), shape


def divergence(model: nn.Module, net: nn.Module, x: Tensor) -> float:
    with torch.no_grad():
        before, after = (F.log_softmax(m.eval()(x).double(), 1) for m in (model, net))
    return float((before.exp() * (before - after)).sum(1).mean())


def plan_of(found: Survey, *choices: Choice) -> Plan:
    """The choices, and the layers that read the first of them refitted."""
    sites = [choice.site for choice in choices]
    readers = tuple(name for name in found.readers(sites[0]) if name not in sites)
    decisions = tuple(decision(choice, found, None, None) for choice in choices)
    return Plan(decisions, readers, 0, 0, 0)


# Networks whose activations write into the layers' outputs are among them.
@pytest.mark.parametrize("name", NETWORKS)
def test_harm_is_the_divergence_of_the_network_with_this_change_alone(name: str) -> None:
    model, found, shape = surveyed(name)
    x, validation = inputs_for(model, shape, 500).split([300, 200])
    measurements = harms(model, found, TensorExamples(x), TensorExamples(validation))
    by_choice = {measurement.choice: measurement for measurement in measurements}
    assert len(by_choice) == len(measurements)
    for choice, measurement in by_choice.items():
        if choice.rung.unchanged:
            assert (measurement.residual, measurement.harm) == (0.0, 0.0)
            continue
        together = [choice] if choice.opener is None else [choice.opener, choice]
        result = fit(model, plan_of(found, *together), TensorExamples(x))
        expected = divergence(model, result.model, validation)
        harm = measurement.harm + (0 if choice.opener is None else by_choice[choice.opener].harm)
        assert harm == pytest.approx(expected, rel=2e-2, abs=1e-5), choice.key
        assert measurement.residual == pytest.approx(
            result.residuals[choice.site], rel=1e-2, abs=1e-6
        ), choice.key
        assert harm >= -1e-9


def test_every_structure_is_measured_and_only_what_another_beats_is_not() -> None:
    model, found, shape = surveyed("permuted", most=9)
    x = TensorExamples(inputs_for(model, shape, 200))
    journal = Journal()
    measurements = harms(model, found, x, x, journal)
    measured = {measurement.choice for measurement in measurements}
    for name, choices in found.choices.items():
        alone = [choice for choice in choices[1:] if choice.opener is None]
        residuals = json.loads(journal.lines[f"measure/{name}/residuals"])["residuals"]
        assert set(residuals) == {choice.key for choice in alone}
        assert {choice.rung.kinds for choice in alone} == {
            choice.rung.kinds for choice in alone if choice in measured
        }
        for choice in alone:
            beaten = any(
                other.rung.kinds == choice.rung.kinds
                and other.costs.params <= choice.costs.params
                and other.costs.macs <= choice.costs.macs
                and residuals[other.key] < residuals[choice.key]
                for other in alone
            )
            assert (choice in measured) != beaten
    assert any(choice.opener is not None for choice in measured)
    assert all(choice.opener is None or choice.opener in measured for choice in measured)


def test_each_measurement_is_one_step_and_is_not_repeated() -> None:
    model, found, shape = surveyed("permuted")
    x = TensorExamples(inputs_for(model, shape, 120))
    journal = Journal()
    first = harms(model, found, x, x, journal)
    assert len(journal.computed) == len(set(journal.computed))
    assert all(key.startswith("measure/") for key in journal.computed)
    changed = [m for m in first if not m.choice.rung.unchanged]
    assert {f"measure/{m.choice.key}" for m in changed} <= set(journal.computed)
    for line in journal.lines.values():
        assert isinstance(json.loads(line), dict)
    before = list(journal.computed)
    assert harms(model, found, x, x, journal) == first
    assert journal.computed == before


def test_a_run_that_stopped_anywhere_goes_on_to_the_same_measurements() -> None:
    model, found, shape = surveyed("mlp")
    x = TensorExamples(inputs_for(model, shape, 120))
    whole = Journal()
    expected = harms(model, found, x, x, whole)
    keys = list(whole.lines)
    for kept in range(0, len(keys), 3):
        part = Journal()
        part.lines = {key: whole.lines[key] for key in keys[:kept]}
        assert harms(model, found, x, x, part) == expected
        assert part.computed == keys[kept:]
        assert part.lines == whole.lines


def test_the_same_seed_gives_the_same_bits_whatever_the_random_state() -> None:
    model, found, shape = surveyed("flattened")
    x = TensorExamples(inputs_for(model, shape, 400))
    torch.manual_seed(1)
    one = harms(model, found, x, x, seed=5)
    torch.manual_seed(2)
    two = harms(model, found, x, x, seed=5)
    assert one == two


def test_the_model_and_the_random_state_are_left_as_they_were() -> None:
    model, found, shape = surveyed("flattened")
    model.train()
    x = TensorExamples(inputs_for(model, shape, 60))
    state, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    harms(model, found, x, x)
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())
    assert not any("forward" in vars(module) for module in model.modules())
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)


def test_labels_are_not_needed_nor_looked_at() -> None:
    model, found, shape = surveyed("no map")
    x = inputs_for(model, shape, 100)
    without = harms(model, found, TensorExamples(x), TensorExamples(x))
    labels = TensorExamples(x, torch.zeros(100, dtype=torch.int64))
    assert harms(model, found, labels, labels) == without


def test_in_place_activations_measure_the_same() -> None:
    model, _, shape = surveyed("flattened")
    clean = copy.deepcopy(model)
    for module in clean.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    x = inputs_for(model, shape, 300)
    limit = Limit("params", 1500, "1500")
    results = []
    for net in (model, clean):
        found = thinned(survey(net, x[:2], (limit,)), 1)
        results.append(harms(net, found, TensorExamples(x), TensorExamples(x[:100])))
    hasty, calm = results
    assert [m.choice.key for m in hasty] == [m.choice.key for m in calm]
    assert hasty == calm


def test_layers_called_by_keyword_are_measured() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(12, 16), nn.Linear(16, 6)

        def forward(self, x: Tensor) -> Tensor:
            return self.two(input=torch.relu(self.one(input=x)))  # type: ignore[no-any-return]

    torch.manual_seed(0)
    model, x = Named(), torch.randn(100, 12)
    found = survey(model, x[:2])
    measurements = harms(model, found, TensorExamples(x), TensorExamples(x))
    assert any(not m.choice.rung.unchanged for m in measurements)


def test_a_model_with_weight_norm_elsewhere_is_measured() -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        normed = nn.utils.weight_norm(nn.Linear(12, 16))
    model, x = (
        nn.Sequential(normed, nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 5)),
        torch.randn(100, 12),
    )
    model(x)
    found = survey(model, x[:2])
    assert len(harms(model, found, TensorExamples(x), TensorExamples(x))) > len(found.sites)


def test_outputs_that_are_not_finite_are_a_request_error() -> None:
    model, found, shape = surveyed("no map")
    x = inputs_for(model, shape, 100)
    bad = x.clone()
    bad[7] = float("nan")
    with pytest.raises(RequestError, match="not finite"):
        harms(model, found, TensorExamples(x), TensorExamples(bad))


def test_too_few_examples_are_a_request_error() -> None:
    model, found, shape = surveyed("no map")
    x = TensorExamples(inputs_for(model, shape, 10))
    with pytest.raises(RequestError, match="a fit needs at least 20"):
        harms(model, found, x, x)


def test_a_model_without_sites_has_nothing_to_measure() -> None:
    model = nn.Sequential(nn.Conv2d(4, 8, 3, groups=4), nn.Flatten())
    x = torch.randn(30, 4, 6, 6)
    assert harms(model, survey(model, x[:2]), TensorExamples(x), TensorExamples(x)) == []


def test_measurements_compare_by_value() -> None:
    _, found, _ = surveyed("mlp")
    choice = found.choices["0"][1]
    assert Measurement(choice, 0.5, 0.1) == Measurement(choice, 0.5, 0.1)
