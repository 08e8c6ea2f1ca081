"""The prospect: every weight accounted for, the smallest network the one a budget is refused by, the right verdict."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from striate.errors import RequestError, UnreachableBudget, UserCodeError
from striate.ledger import Limit, count
from striate.nn import LocallyConnected2d
from striate.reduce.prospect import Prospect, prospect
from striate.reduce.sites import Layout
from striate.reduce.survey import survey
from striate.sources.models import resolve
from tests.reduce.families import VGG16, Mixer, ViT, mlp, resnet, vgg
from tests.reduce.reductions import NETWORKS, inputs_for, network


class Net(nn.Module):
    """Modules by name and a forward over them."""

    def __init__(self, forward: Callable[[Any, Tensor], Any], **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self.run = forward

    def forward(self, x: Tensor) -> Any:
        return self.run(self, x)


def zoo(name: str, **arguments: object) -> nn.Module:
    return resolve(f"zoo:{name}", arguments).build()


def balances(model: nn.Module, found: Prospect) -> None:
    """What holds for any network."""
    params = sum(parameter.numel() for parameter in model.parameters())
    assert found.totals.params == params
    kept = sum(layer.params for layer in found.kept)
    assert found.inside + kept + found.elsewhere == params
    assert found.elsewhere >= 0
    assert sum(found.by_kind.values()) == params - found.elsewhere
    names = [layer.name for layer in (*found.sites, *found.kept)]
    assert len(set(names)) == len(names)
    assert found.smallest.params == params - sum(s.params - s.smallest for s in found.sites)
    assert 0 <= found.smallest.params <= found.smallest_by_three_ideas <= params
    assert found.smallest.macs <= found.totals.macs
    assert found.smallest.weight_bytes <= found.totals.weight_bytes
    assert 0 <= found.reached <= found.inside
    assert all(site.rungs >= 1 and site.ideas for site in found.sites)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["verdict"] == found.verdict


# ---- the families


FAMILIES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], str]] = {
    "mlp": (lambda: zoo("mlp", hidden=64), (1, 28, 28), "good fit"),
    "two hidden layers": (lambda: zoo("mlp", hidden=[64, 64]), (1, 28, 28), "good fit"),
    "keras-cnn": (lambda: zoo("keras-cnn"), (3, 32, 32), "good fit"),
    "lenet5": (lambda: zoo("lenet5"), (1, 28, 28), "good fit"),
    "vgg": (vgg, (3, 16, 16), "good fit"),
    "vgg without hidden layers": (lambda: vgg((32, 32, "pool"), hidden=8), (3, 16, 16), "good fit"),
    "vgg of many channels": (lambda: vgg((64, "pool", 64, "pool"), 8, 32), (3, 8, 8), "partial"),
    "resnet": (resnet, (3, 32, 32), "not this tool"),
    "mixer": (Mixer, (3, 32, 32), "not this tool"),
    "vit": (ViT, (3, 32, 32), "not this tool"),
    "vit, fused": (lambda: ViT(fused=True), (3, 32, 32), "not this tool"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_verdicts(family: str) -> None:
    make, shape, verdict = FAMILIES[family]
    model = make()
    found = prospect(model, torch.zeros(2, *shape))
    balances(model, found)
    assert found.verdict == verdict, found.because
    assert (verdict == "good fit") or found.advice


# As published; the shares of the weights that are dense over space are those of DESIGN.md.
PUBLISHED: dict[str, tuple[Callable[[], nn.Module], int, dict[str, int]]] = {
    "vgg-16": (lambda: vgg(VGG16, 224, 4096, 1000), 138_357_544, {"space": 102_764_544}),
    "resnet-50": (lambda: resnet((3, 4, 6, 3), 64, 1000), 25_557_032, {"space": 0, "norm": 53_120}),
    "mixer-b/16": (
        lambda: Mixer(224, 16, 768, 12, 384, 3072, 1000),
        59_880_472,
        {"space": 0, "places": 1_813_296, "channels": 56_669_184},
    ),
    "vit-b/16": (
        lambda: ViT(224, 16, 768, 12, 12, 3072, 1000),
        86_567_656,
        {"space": 0, "places": 0, "channels": 85_017_600, "own code": 152_064},
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks(name: str) -> None:
    make, params, held = PUBLISHED[name]
    with torch.device("meta"):
        model = make()
    # Of no value, and no memory is touched.
    model = model.to_empty(device="cpu")
    found = prospect(model, torch.zeros(2, 3, 224, 224))
    balances(model, found)
    assert found.totals.params == params
    assert {kind: found.by_kind.get(kind, 0) for kind in held} == held  # type: ignore[call-overload]
    assert found.verdict == ("good fit" if name == "vgg-16" else "not this tool")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "factory", "verdict"),
    [
        ("alexnet", "alexnet", "good fit"),
        ("vgg", "vgg16", "good fit"),
        ("resnet", "resnet50", "not this tool"),
        ("mixer", "mixer_b16", "not this tool"),
        ("vit", "vit_b16", "not this tool"),
    ],
)
def test_networks_of_the_benchmark(module: str, factory: str, verdict: str) -> None:
    written = pytest.importorskip(f"benchmarks.networks.{module}")
    model = getattr(written, factory)()
    found = prospect(model, torch.zeros(2, 3, 224, 224))
    balances(model, found)
    assert found.verdict == verdict


def test_a_mixer_says_what_is_dense_over_space_and_why_that_does_not_help() -> None:
    found = prospect(Mixer(), torch.zeros(2, 3, 32, 32))
    places = {site.name for site in found.sites if site.kind == "places"}
    assert places == {f"blocks.{block}.tokens.{layer}" for block in (0, 1) for layer in (0, 2)}
    assert "alike in all channels" in found.because
    assert found.reached == 0


def test_advice_is_fitted_to_what_holds_the_weights() -> None:
    for make, said in (
        (resnet, "convolutions"),
        (ViT, "layers over channels"),
        (Mixer, "layers over channels"),
    ):
        found = prospect(make(), torch.zeros(2, 3, 32, 32))
        assert found.advice[0].startswith(said)
        assert "low-rank" in found.advice[-1]
    assert prospect(zoo("mlp"), torch.zeros(2, 1, 28, 28)).advice == ()


# ---- layers over places


def test_layers_over_places_are_told_from_layers_over_channels() -> None:
    """Whatever is done to bring the places to the last axis, and whatever stands between."""

    def of_a_map(net: Any, x: Tensor) -> Tensor:
        return net.second(torch.relu(net.first(x.flatten(2))))

    def of_a_sequence(net: Any, x: Tensor) -> Tensor:
        tokens = net.norm(x.flatten(2).transpose(1, 2) + 1) * 2 + torch.ones(1, 64, 1)
        return net.second(net.first(tokens.permute(0, 2, 1)))

    def of_rows(net: Any, x: Tensor) -> Tensor:
        return net.first(x)

    def of_channels(net: Any, x: Tensor) -> Tensor:
        return net.first(x.flatten(2).transpose(1, 2))

    def of_padded_channels(net: Any, x: Tensor) -> Tensor:
        x = net.norm(x.permute(0, 2, 3, 1))
        return net.first(nn.functional.pad(x + x.flip(1), (0, 0, 0, 1, 0, 1)).flatten(1, 2))

    def kinds(run: Callable[[Any, Tensor], Tensor], features: int) -> list[str]:
        net = Net(
            run,
            norm=nn.LayerNorm(4),
            first=nn.Linear(features, 16),
            second=nn.Linear(16, features),
        )
        return [site.kind for site in prospect(net, torch.zeros(2, 4, 8, 8)).sites]

    assert kinds(of_a_map, 64) == ["places", "places"]
    assert kinds(of_a_sequence, 64) == ["places", "places"]
    assert kinds(of_rows, 8) == ["places"]
    assert kinds(of_channels, 4) == ["channels"]
    assert kinds(of_padded_channels, 4) == ["channels"]


# ---- every parameter once


@st.composite
def networks(draw: st.DrawFn) -> tuple[nn.Module, tuple[int, ...]]:
    """Convolutions of all kinds, then dense layers behind a flattening, a mean or along the places."""
    channels = draw(st.integers(1, 6))
    side = draw(st.integers(4, 9))
    shape = (channels, side, side)
    layers: list[nn.Module] = []
    for _ in range(draw(st.integers(0, 3))):
        width = draw(st.integers(1, 8))
        kernel = draw(st.sampled_from([1, 3]))
        groups = math.gcd(width, channels) if draw(st.booleans()) else 1
        layers.append(
            nn.Conv2d(
                channels,
                width,
                kernel,
                padding=kernel // 2,
                groups=groups,
                bias=draw(st.booleans()),
            )
        )
        channels = width
        if draw(st.booleans()):
            layers.append(nn.BatchNorm2d(channels))
        if draw(st.booleans()) and side > 3:
            layers.append(nn.MaxPool2d(2))
            side //= 2
    how = draw(st.sampled_from(["flatten", "mean", "tokens", "local"]))
    if how == "local":
        layers.append(LocallyConnected2d(channels, 2, 3, (side, side), padding=1))
        channels = 2
    if how == "tokens":
        layers.append(nn.Flatten(2))
        features = side * side
    elif how == "mean":
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        features = channels
    else:
        layers.append(nn.Flatten())
        features = channels * side * side
    for _ in range(draw(st.integers(1, 4))):
        width = draw(st.sampled_from([1, 2, 12, 16, 36]))
        layers += [nn.Linear(features, width, bias=draw(st.booleans())), nn.ReLU()]
        features = width
    model = nn.Sequential(*layers)
    dense = [module for module in model if isinstance(module, nn.Linear)]
    for one, other in itertools.pairwise(dense):
        if one.weight.shape == other.weight.shape and draw(st.booleans()):
            other.weight = one.weight
    if draw(st.booleans()):
        model.register_parameter("scale", nn.Parameter(torch.ones(3)))
    if draw(st.booleans()):
        dense[0].requires_grad_(False)
    return model, shape


@settings(max_examples=25, deadline=None)
@given(networks())
def test_every_parameter_is_in_one_place(made: tuple[nn.Module, tuple[int, ...]]) -> None:
    model, shape = made
    found = prospect(model, torch.zeros(2, *shape))
    balances(model, found)
    assert found.elsewhere == 0
    assert found.totals.params == count(model, (1, *shape)).totals.params
    frozen = sum(
        parameter.numel()
        for site in found.sites
        for parameter in model.get_submodule(site.name).parameters()
        if not parameter.requires_grad
    )
    assert found.frozen == frozen


@pytest.mark.parametrize("name", NETWORKS)
def test_the_smallest_is_what_a_budget_is_refused_by(name: str) -> None:
    model, shape, layout = network(name)
    example = inputs_for(model, shape, 2)
    found = prospect(model, example, layout)
    balances(model, found)
    for metric in ("params", "macs", "weight_bytes"):
        least = getattr(found.smallest, metric)
        asked = survey(model, example, (Limit(metric, least - 1, "too little"),), layout)
        with pytest.raises(UnreachableBudget) as refused:
            asked.require_reachable()
        assert refused.value.smallest == {metric: least}
        survey(model, example, (Limit(metric, least, "just so"),), layout).require_reachable()


def test_a_shared_tensor_counts_at_the_first_of_its_holders() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 64))
    net[2].weight = net[1].weight
    found = prospect(net, torch.zeros(2, 1, 8, 8))
    balances(net, found)
    assert [(layer.name, layer.params) for layer in found.kept] == [("1", 64 * 65), ("2", 64)]


def test_a_layer_that_cannot_be_smaller_stays() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 1), nn.Linear(1, 6))
    found = prospect(net, torch.zeros(2, 1, 1, 4))
    balances(net, found)
    assert [(layer.name, layer.reason) for layer in found.kept] == [("2", "no rung is smaller")]


# ---- what is out of the ordinary


def test_no_parameters() -> None:
    found = prospect(nn.Sequential(nn.Flatten(), nn.ReLU()), torch.zeros(2, 1, 8, 8))
    assert (found.verdict, found.because) == ("not this tool", "the network has no parameters")
    assert found.sites == found.kept == found.advice == ()


def test_a_forward_that_looks_at_values_is_followed_and_said() -> None:
    def run(net: Any, x: Tensor) -> Tensor:
        hidden = net.first(x.flatten(1))
        return net.second(hidden) if hidden.sum().item() > 1e9 else net.third(hidden)

    net = Net(run, first=nn.Linear(64, 32), second=nn.Linear(32, 9), third=nn.Linear(32, 9))
    found = prospect(net, torch.zeros(()).expand(2, 1, 8, 8))
    balances(net, found)
    assert [site.name for site in found.sites] == ["first", "third"]
    assert "looks at values" in found.notes[0]
    assert not prospect(mlp(8, 8), torch.zeros(2, 8)).notes


def test_a_partial_ledger_is_said() -> None:
    net = Net(lambda net, x: torch.linalg.svd(net.a(x.flatten(1))).U, a=nn.Linear(64, 64))
    found = prospect(net, torch.zeros(2, 1, 8, 8))
    assert [note for note in found.notes if "macs" in note]


def test_refused_dense_layers_that_could_change_the_verdict_are_said() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2))
    net[1].register_forward_hook(lambda *_: None)
    found = prospect(net, torch.zeros(2, 1, 8, 8))
    assert found.verdict == "not this tool"
    assert "dense layers with 96.9 % of the weights were refused" in found.because


def test_a_layout_gives_flat_data_a_map() -> None:
    net = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
    rows = torch.zeros(2, 784)
    assert prospect(net, rows).verdict == "not this tool"
    found = prospect(net, rows, Layout(1, 28, 28))
    assert found.verdict == "good fit"
    assert (found.sites[0].kind, found.sites[0].map) == ("space", "1x28x28")


def test_the_models_own_fault_is_raised() -> None:
    with pytest.raises(UserCodeError, match="forward raised"):
        prospect(mlp(8, 8), torch.zeros(2, 9))
    with pytest.raises(RequestError, match="not a batch"):
        prospect(mlp(8, 8), torch.zeros(8))
