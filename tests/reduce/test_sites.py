"""Sites: what feeds each layer, held against the values that really arrive there."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from striate.errors import RequestError, UserCodeError
from striate.nn import (
    LocallyConnected2d,
    LocallyConnectedTranspose2d,
    LowRankLocallyConnected2d,
)
from striate.nn.functional import locally_connected2d
from striate.reduce.sites import Layout, Refusal, Sites, find_sites
from striate.reduce.trace import Trace

Forward = Callable[[Any, Tensor], Any]


class Net(nn.Module):
    """Modules by name and a forward over them."""

    def __init__(self, forward: Forward, **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self.run = forward

    def forward(self, x: Tensor) -> Any:
        return self.run(self, x)


def outputs_and_inputs(model: nn.Module, x: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Each module's first input and its output, as numbers."""
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    handles = [
        module.register_forward_hook(
            lambda _, args, out, name=name: seen.update({name: (args[0].clone(), out.clone())})
        )
        for name, module in model.named_modules()
        if name
    ]
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    return seen


def refusals(found: Sites) -> dict[str, Refusal]:
    return {refusal.name: refusal for refusal in found.refusals}


# Each feature's origin


def factorings(size: int) -> st.SearchStrategy[tuple[int, ...]]:
    def split(parts: tuple[int, ...]) -> st.SearchStrategy[tuple[int, ...]]:
        last = parts[-1]
        divisors = [d for d in range(2, last) if last % d == 0]
        if not divisors or len(parts) == 4:
            return st.just(parts)
        further = st.sampled_from(divisors).flatmap(lambda d: split((*parts[:-1], d, last // d)))
        return st.one_of(st.just(parts), further)

    return split((size,))


Move = Callable[[Tensor], Tensor]


def one_move(draw: st.DrawFn, shape: tuple[int, ...]) -> Move:
    """A shape operation on features of this shape that leaves each example its own."""
    axis = draw(st.integers(1, len(shape) - 1))
    size = shape[axis]
    kind = draw(st.integers(0, 8))
    if kind == 0:
        order = (0, *draw(st.permutations(range(1, len(shape)))))
        return lambda x: x.permute(order)
    if kind == 1:
        parts = draw(factorings(math.prod(shape[1:])))
        return lambda x: x.contiguous().view(len(x), *parts)
    if kind == 2:
        return lambda x: x.flip(axis)
    if kind == 3:
        return lambda x: x.roll(1, axis)
    if kind == 4:
        part = slice(draw(st.integers(0, size - 1)), None, draw(st.integers(1, 2)))
        return lambda x: x[(slice(None),) * axis + (part,)]
    if kind == 5:
        return lambda x: torch.cat(x.chunk(2, axis)[::-1], axis)
    if kind == 6:
        return lambda x: torch.stack(x.unbind(axis)[::-1], -1)
    if kind == 7:
        chosen = draw(st.permutations(range(size)))
        return lambda x: x.index_select(axis, torch.tensor(chosen, device=x.device))
    return lambda x: x.unsqueeze(axis).transpose(-1, axis).squeeze(-1)


@st.composite
def moves(draw: st.DrawFn) -> Move:
    """A chain of shape operations, flattened at the end."""
    steps: list[Move] = []
    probe = torch.zeros(2, 3, 4, 6)
    for _ in range(draw(st.integers(0, 6))):
        step = one_move(draw, tuple(probe.shape))
        moved = step(probe)
        if 2 <= moved.ndim <= 6:
            steps.append(step)
            probe = moved

    def chain(x: Tensor) -> Tensor:
        for step in steps:
            x = step(x)
        return x.flatten(1)

    return chain


@settings(max_examples=60, deadline=None)
@given(move=moves(), pooled=st.booleans(), seed=st.integers(0, 99))
def test_the_index_says_where_each_input_comes_from(
    move: Callable[[Tensor], Tensor], pooled: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    features = move(torch.zeros(2, 3, 4, 6)).shape[1]
    net = Net(
        lambda m, x: m.dense(move(m.pool(m.conv(x)) if pooled else m.conv(x))),
        conv=nn.Conv2d(2, 3, 3, padding=1),
        pool=nn.MaxPool2d(3, stride=1, padding=1),
        dense=nn.Linear(features, 5),
    )
    x = torch.randn(2, 2, 4, 6)
    site = find_sites(net, x)["dense"]
    seen = outputs_and_inputs(net, x)
    assert site.input.source == ("pool" if pooled else "conv")
    assert site.input.layout == Layout(3, 4, 6)
    assert site.input.elementwise_only
    flat = seen[site.input.source][1].flatten(1)
    index = site.input.index if site.input.index is not None else np.arange(3 * 4 * 6)
    assert torch.equal(flat[:, torch.from_numpy(np.array(index))], seen["dense"][0])


FLATTENINGS: dict[str, tuple[Forward, bool]] = {
    "nn.Flatten": (lambda m, x: m.dense(nn.Flatten()(m.conv(x))), True),
    "view": (lambda m, x: m.dense(m.conv(x).view(x.shape[0], -1)), True),
    "view(-1, F)": (lambda m, x: m.dense(m.conv(x).view(-1, 4 * 6 * 6)), True),
    "reshape": (lambda m, x: m.dense(m.conv(x).reshape(x.size(0), -1)), True),
    "channels last": (lambda m, x: m.dense(m.conv(x).permute(0, 2, 3, 1).flatten(1)), False),
    "rearranged patches": (
        lambda m, x: m.dense(
            m.conv(x).reshape(len(x), 4, 3, 2, 3, 2).permute(0, 2, 4, 3, 5, 1).reshape(len(x), -1)
        ),
        False,
    ),
    "memory format": (
        lambda m, x: m.dense(m.conv(x).contiguous(memory_format=torch.channels_last).flatten(1)),
        True,
    ),
    "rows as tokens": (
        lambda m, x: m.dense(m.conv(x).flatten(2).transpose(1, 2).reshape(len(x), -1)),
        False,
    ),
    "one by one": (
        lambda m, x: m.dense(torch.stack([row.reshape(-1) for row in m.conv(x)])),
        True,
    ),
    "by shape": (
        lambda m, x: m.dense(m.conv(x).flatten(1) if x.shape[2] > 3 else x.flatten(1)),
        True,
    ),
    "two parts": (
        lambda m, x: m.dense(torch.cat([p.flatten(1) for p in m.conv(x).split(2, 1)], 1)),
        True,
    ),
}


@pytest.mark.parametrize("name", FLATTENINGS)
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_ways_to_flatten(name: str, batch: int) -> None:
    forward, straight = FLATTENINGS[name]
    net = Net(forward, conv=nn.Conv2d(1, 4, 3), dense=nn.Linear(144, 5))
    x = torch.randn(batch, 1, 8, 8)
    found = find_sites(net, x)
    site, seen = found["dense"], outputs_and_inputs(net, x)
    assert found.on_meta
    assert (site.input.source, site.input.layout) == ("conv", Layout(4, 6, 6))
    assert (site.input.index is None) == straight
    index = np.arange(144) if site.input.index is None else np.array(site.input.index)
    assert torch.equal(seen["conv"][1].flatten(1)[:, torch.from_numpy(index)], seen["dense"][0])
    assert found["conv"].consumers == ("dense",)
    assert not found["conv"].output_shared


def test_a_forward_that_looks_at_values_runs_on_values() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        x = x.flatten(1)[:, m.order]
        if float(x.sum()) > 1e9:
            x = x * 0
        out: Tensor = m.dense(x)
        return out

    net = Net(forward, dense=nn.Linear(16, 3))
    net.register_buffer("order", torch.randperm(16, generator=torch.Generator().manual_seed(0)))
    found = find_sites(net, torch.randn(2, 1, 4, 4))
    assert not found.on_meta
    index = found["dense"].input.index
    assert index is not None
    assert index.tolist() == net.get_buffer("order").tolist()
    with pytest.raises(ValueError, match="read-only"):
        index[0] = 1


# Where maps start


MAPS: dict[str, tuple[Callable[[Tensor], Tensor], str, Layout]] = {
    "max_pool": (lambda x: F.max_pool2d(x, 2), "max_pool2d", Layout(4, 3, 3)),
    "avg_pool": (lambda x: F.avg_pool2d(x, 2), "avg_pool2d", Layout(4, 3, 3)),
    "adaptive": (lambda x: F.adaptive_avg_pool2d(x, 2), "adaptive_avg_pool2d", Layout(4, 2, 2)),
    "global": (lambda x: x.mean((2, 3)), "mean", Layout(4, 1, 1)),
    "global, kept": (lambda x: x.mean((-1, -2), keepdim=True), "mean", Layout(4, 1, 1)),
    "upsampled": (
        lambda x: F.interpolate(x, scale_factor=2),
        "upsample_nearest2d",
        Layout(4, 12, 12),
    ),
    "padded": (lambda x: F.pad(x, (1, 1, 0, 0)), "constant_pad_nd", Layout(4, 6, 8)),
    "softmax": (lambda x: x.softmax(1), "softmax", Layout(4, 6, 6)),
    "gated": (lambda x: x * x.mean((2, 3), keepdim=True), "mul", Layout(4, 6, 6)),
    "added": (lambda x: x + x.flip(3), "add", Layout(4, 6, 6)),
    "channels joined": (lambda x: torch.cat([x, F.avg_pool2d(x, 1)], 1), "cat", Layout(8, 6, 6)),
    "local": (
        lambda x: locally_connected2d(x, torch.ones(4, 4, 2, 4, 3, 3, device=x.device)),
        "locally_connected2d",
        Layout(2, 4, 4),
    ),
}


@pytest.mark.parametrize("name", MAPS)
def test_where_a_new_map_starts(name: str) -> None:
    operation, source, layout = MAPS[name]
    net = Net(
        lambda m, x: (
            m.dense(operation(m.conv(x)).permute(0, *range(1, 4)).flatten(1))
            if name != "global"
            else m.dense(operation(m.conv(x)))
        ),
        conv=nn.Conv2d(1, 4, 3),
        dense=nn.Linear(layout.size, 5),
    )
    site = find_sites(net, torch.randn(2, 1, 8, 8))["dense"]
    assert (site.input.source, site.input.layout) == (source, layout)
    assert site.input.index is None


@pytest.mark.parametrize(
    "layer",
    [
        LocallyConnected2d(1, 4, 3, (8, 8), share=np.arange(36).reshape(6, 6) % 2),
        LocallyConnectedTranspose2d(1, 4, 3, 4),
        LowRankLocallyConnected2d(1, 4, 3, (8, 8), 2),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_local_layer_of_any_kind_gives_its_own_map(layer: nn.Module) -> None:
    size = layer.input_size
    net = nn.Sequential(layer, nn.Flatten(), nn.Linear(144, 8))
    found = find_sites(net, torch.randn(2, 1, *size))
    assert (found["2"].input.source, found["2"].input.layout) == ("0", Layout(4, 6, 6))
    assert refusals(found)["0"].reason == "it is locally connected already"


def test_a_module_gives_its_own_name_and_layout() -> None:
    layers = [
        LocallyConnected2d(1, 4, 3, (8, 8)),
        nn.Flatten(),
        nn.Linear(144, 8),
    ]
    found = find_sites(nn.Sequential(*layers), torch.randn(2, 1, 8, 8))
    assert (found["2"].input.source, found["2"].input.layout) == ("0", Layout(4, 6, 6))
    assert refusals(found)["0"].reason == "it is locally connected already"


def test_flat_data_takes_a_layout() -> None:
    net = nn.Sequential(nn.Linear(784, 16), nn.ReLU(), nn.Linear(16, 10))
    x = torch.randn(2, 784)
    assert find_sites(net, x)["0"].input.layout is None
    site = find_sites(net, x, Layout(1, 28, 28))["0"]
    assert (site.input.source, site.input.layout, site.input.index) == (
        "input",
        Layout(1, 28, 28),
        None,
    )
    pictures = nn.Sequential(nn.Flatten(), *net)
    assert find_sites(pictures, torch.randn(2, 1, 28, 28))["1"].input.layout == Layout(1, 28, 28)
    assert find_sites(pictures, torch.randn(2, 28, 28))["1"].input.layout == Layout(1, 28, 28)


def test_a_layout_that_does_not_fit_is_named() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    with pytest.raises(RequestError, match=r"layout=1x28x27 has 756 positions.*784 features"):
        find_sites(net, torch.randn(2, 784), Layout(1, 28, 27))
    with pytest.raises(RequestError, match=r"layout=1x14x56 contradicts .* 1x28x28"):
        find_sites(net, torch.randn(2, 1, 28, 28), Layout(1, 14, 56))
    with pytest.raises(ValueError, match="height=0"):
        Layout(1, 0, 2)


# Dense layers that read dense layers


def test_units_of_a_dense_layer_are_followed() -> None:
    net = Net(
        lambda m, x: m.c(torch.relu(m.b(m.act(m.a(x.flatten(1)))[:, 2:].flip(1)))),
        a=nn.Linear(16, 8),
        b=nn.Linear(6, 6),
        c=nn.Linear(6, 3),
        act=nn.GELU(),
    )
    found = find_sites(net, torch.randn(2, 1, 4, 4))
    b, c = found["b"], found["c"]
    assert (b.input.source, b.input.layout) == ("a", None)
    assert b.input.index is not None
    assert b.input.index.tolist() == [7, 6, 5, 4, 3, 2]
    assert b.input.elementwise_only
    assert (c.input.source, c.input.index) == ("b", None)
    assert [site.order for site in found] == [0, 1, 2]
    assert [site.consumers for site in found] == [("b",), ("c",), ()]
    assert [site.is_output for site in found] == [False, False, True]


BETWEEN: dict[str, tuple[Callable[[Tensor], Tensor], bool]] = {
    "relu": (torch.relu, True),
    "in place": (lambda x: F.relu_(x), True),
    "leaky": (lambda x: F.leaky_relu(x, 0.1), True),
    "hardswish": (F.hardswish, True),
    "logsigmoid": (F.logsigmoid, True),
    "silu by hand": (lambda x: x * torch.sigmoid(x), True),
    "scaled": (lambda x: (2 * x + 1).clamp(0, 6) / 6, True),
    "scaled by a number tensor": (lambda x: x * torch.tensor(0.5, device=x.device), True),
    "half precision": (lambda x: x.half().relu().float(), True),
    "masked": (lambda x: x.masked_fill(x < 0, 0.0), True),
    "where": (lambda x: torch.where(x > 0, x, 0.1 * x), True),
    "dropout in training": (lambda x: F.dropout(x, 0.5), False),
    "per unit": (lambda x: x * torch.arange(8.0, device=x.device), False),
    "layer norm": (lambda x: F.layer_norm(x, (8,)), False),
    "rms norm": (lambda x: F.rms_norm(x, (8,)), False),
    "normalised": (lambda x: F.normalize(x), False),
    "batch norm": (nn.BatchNorm1d(8).eval(), False),
    "prelu": (nn.PReLU(), True),
    "prelu by unit": (nn.PReLU(8), False),
    "part written": (lambda x: _scale_part(x), False),
}


def _scale_part(x: Tensor) -> Tensor:
    x[:, :3] *= 2
    return x


@pytest.mark.parametrize("name", BETWEEN)
def test_what_commutes_with_a_permutation(name: str) -> None:
    operation, commutes = BETWEEN[name]
    net = Net(lambda m, x: m.b(m.between(m.a(x))), a=nn.Linear(4, 8), b=nn.Linear(8, 3))
    net.between = operation
    found = find_sites(net, torch.randn(2, 4))
    assert (found["b"].input.source, found["b"].input.index) == ("a", None)
    assert found["b"].input.elementwise_only is commutes
    assert found["a"].consumers == ("b",)
    assert not found["a"].output_shared


SHARED: dict[str, tuple[Forward, tuple[str, ...], bool]] = {
    "alone": (lambda m, x: m.b(m.a(x).relu()), ("b",), False),
    "residual": (lambda m, x: m.b(x + m.a(x)), (), True),
    "residual in place": (lambda m, x: m.b(_add_to(m.a(x), x)), (), True),
    "residual beside": (lambda m, x: m.b(h := m.a(x)) + h, ("b",), True),
    "gate": (lambda m, x: m.b(x * m.a(x).sigmoid()), (), True),
    "two heads": (lambda m, x: (m.b(h := m.a(x)), m.c(h)), ("b", "c"), False),
    "also returned": (lambda m, x: {"out": m.b(h := m.a(x)), "features": h}, ("b",), True),
    "read by a grouped convolution": (lambda m, x: m.grouped(m.a(x)[..., None, None]), (), True),
    "written into a buffer": (lambda m, x: m.b(_filled(x, m.a(x))), (), True),
    "norm": (lambda m, x: m.b(F.layer_norm(m.a(x), (8,))), ("b",), False),
    "joined": (lambda m, x: m.wide(torch.cat([m.a(x), m.c(x)], 1)), ("wide",), False),
    "softmax": (lambda m, x: m.b(m.a(x).softmax(1)), (), True),
}


def _add_to(x: Tensor, y: Tensor) -> Tensor:
    x += y
    return x


def _filled(like: Tensor, x: Tensor) -> Tensor:
    out = like.new_zeros(len(x), 8)
    out[:, :4] = x[:, :4]
    return out


@pytest.mark.parametrize("name", SHARED)
def test_where_a_layers_output_goes(name: str) -> None:
    forward, consumers, shared = SHARED[name]
    net = Net(
        forward,
        a=nn.Linear(8, 8),
        b=nn.Linear(8, 8),
        c=nn.Linear(8, 8),
        wide=nn.Linear(16, 2),
        grouped=nn.Conv2d(8, 8, 1, groups=8),
    )
    site = find_sites(net, torch.randn(2, 8))["a"]
    assert site.consumers == consumers
    assert site.output_shared is shared


def test_pools_lie_between_a_convolution_and_its_reader() -> None:
    net = nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 6, 3, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)),
    )
    found = find_sites(net, torch.randn(2, 3, 12, 12))
    first, second, last = found
    assert (first.kind, second.kind, last.kind) == ("conv", "conv", "dense")
    assert (first.consumers, second.consumers) == (("4",), ("7",))
    assert (first.in_features, first.out_features, first.positions) == (27, 8, (10, 10))
    assert (first.params, first.macs) == (27 * 8 + 8, 27 * 8 * 100)
    assert (second.input.source, second.input.layout, second.bias) == ("3", Layout(8, 5, 5), False)
    assert (last.input.source, last.input.layout) == ("5", Layout(6, 1, 1))
    assert [(r.name, r.params) for r in found.refusals] == [("1", 16)]


# Refusals


def _tied() -> nn.Module:
    net = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    net[1].weight = net[0].weight
    return net


def _same_memory() -> nn.Module:
    net = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    net[1].weight = nn.Parameter(net[0].weight.data)
    return net


def _hooked() -> nn.Module:
    net = nn.Sequential(nn.Linear(8, 8))
    net[0].register_forward_hook(lambda module, args, out: out + 1)
    return net


class Scaled(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


def _twice() -> nn.Module:
    return Net(lambda m, x: m.a(m.a(x)), a=nn.Linear(8, 8))


def _aliased() -> nn.Module:
    layer = nn.Linear(8, 8)
    return Net(lambda m, x: m.a(x), a=layer, b=layer)


REFUSED: dict[str, tuple[Callable[[], nn.Module], str, str]] = {
    "tied": (_tied, "0", "tied to 1"),
    "same memory": (_same_memory, "1", "tied to 0"),
    "hooked": (_hooked, "0", "forward hooks"),
    "parametrized": (
        lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))),
        "0",
        "parametrized",
    ),
    "called twice": (_twice, "a", "called 2 times"),
    "two names": (_aliased, "a", "registered as a and b"),
    "never called": (lambda: Net(lambda m, x: x, a=nn.Linear(8, 8)), "a", "never called"),
    "weights borrowed": (
        lambda: Net(lambda m, x: m.a(x) @ m.a.weight, a=nn.Linear(8, 8)),
        "a",
        "outside its own call",
    ),
    "forward by hand": (
        lambda: Net(lambda m, x: m.a.forward(x), a=nn.Linear(8, 8)),
        "a",
        "outside its own call",
    ),
    "own forward": (lambda: nn.Sequential(Scaled(8, 8)), "0", "its class changes"),
    "constant input": (
        lambda: Net(lambda m, x: x + m.a(torch.ones_like(x)), a=nn.Linear(8, 8)),
        "a",
        "does not depend",
    ),
    "examples mixed": (
        lambda: Net(lambda m, x: m.a(x.flip(0)), a=nn.Linear(8, 8)),
        "a",
        "mix the examples of input",
    ),
    "features across examples": (
        lambda: Net(lambda m, x: m.a(x.t().reshape(2, 8)), a=nn.Linear(8, 8)),
        "a",
        "mix the examples of input",
    ),
    "features repeated": (
        lambda: Net(lambda m, x: m.a(x[:, :4].repeat(1, 2)), a=nn.Linear(8, 8)),
        "a",
        "hold position 0 of input 2 times",
    ),
    "two sources": (
        lambda: Net(
            lambda m, x: m.b(torch.cat([m.a(x), x], 1)), a=nn.Linear(8, 8), b=nn.Linear(16, 2)
        ),
        "b",
        "joined from a and input",
    ),
    "a constant joined": (
        lambda: Net(lambda m, x: m.a(torch.cat([x, x.new_ones(len(x), 1)], 1)), a=nn.Linear(9, 2)),
        "a",
        "joined from input and a constant",
    ),
    "recurrent": (
        lambda: Net(lambda m, x: m.a(x[:, None])[0], a=nn.LSTM(8, 8, batch_first=True)),
        "a",
        "recurrent",
    ),
    "attention": (
        lambda: nn.Sequential(nn.TransformerEncoderLayer(8, 2, 8, batch_first=True)),
        "0.self_attn",
        "attention",
    ),
    "norm": (lambda: nn.Sequential(nn.BatchNorm1d(8)), "0", "a normalisation has no dense"),
    "embedding": (
        lambda: Net(lambda m, x: m.a(x.long().abs()), a=nn.Embedding(9, 2)),
        "a",
        "an embedding has no dense",
    ),
    "complex": (
        lambda: Net(lambda m, x: m.a(x + 0j), a=nn.Linear(8, 8, dtype=torch.complex64)),
        "a",
        "not real numbers",
    ),
    "script": (
        lambda: nn.Sequential(torch.jit.script(nn.Linear(8, 8))),
        "0",
        "TorchScript",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_say_why(name: str) -> None:
    make, layer, reason = REFUSED[name]
    found = find_sites(make(), torch.rand(2, 8))
    assert layer not in [site.name for site in found]
    refused = refusals(found)[layer]
    assert reason in refused.reason
    assert refused.params == sum(p.numel() for p in make().get_submodule(layer).parameters(False))


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.Conv2d(4, 8, 3, groups=4), "groups=4"),
        (nn.ConvTranspose2d(4, 4, 3), "not ConvTranspose2d"),
        (nn.Conv2d(4, 1, 1), "small"),
        (nn.GroupNorm(2, 4), "normalisation"),
    ],
)
def test_refused_layers_of_maps(layer: nn.Module, reason: str) -> None:
    found = find_sites(nn.Sequential(layer), torch.randn(2, 4, 8, 8))
    assert not found.sites
    assert reason in found.refusals[0].reason


def test_every_parameter_is_in_a_site_or_refused() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.GroupNorm(2, 8),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.PReLU(),
        nn.Flatten(),
        nn.Linear(128, 10),
    )
    found = find_sites(net, torch.randn(2, 3, 8, 8))
    counted = sum(s.params for s in found) + sum(r.params for r in found.refusals)
    assert counted == sum(p.numel() for p in net.parameters())


# Layers at every position


def test_tokens_have_no_map() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        x = m.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([m.token.expand(len(x), -1, -1), x], 1)
        x = x + m.down(F.gelu(m.up(F.layer_norm(x, (8,)))))
        out: Tensor = m.head(x[:, 0])
        return out

    net = Net(
        forward,
        patch=nn.Conv2d(3, 8, 4, 4),
        up=nn.Linear(8, 32),
        down=nn.Linear(32, 8),
        head=nn.Linear(8, 4),
    )
    net.register_parameter("token", nn.Parameter(torch.zeros(1, 1, 8)))
    found = find_sites(net, torch.randn(2, 3, 8, 8))
    assert found.on_meta
    assert [site.tokens for site in found] == [False, True, True, False]
    assert found["up"].input.layout is None
    assert found["up"].macs == 5 * 8 * 32
    down = found["down"].input
    assert (down.source, down.index, down.elementwise_only) == ("up", None, True)
    assert found["down"].output_shared
    assert found["head"].input.layout is None
    assert refusals(found)[""].params == 8


def test_dense_layers_over_a_map_with_channels_last_make_a_map() -> None:
    net = Net(
        lambda m, x: m.head(m.mix(m.conv(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2).flatten(1)),
        conv=nn.Conv2d(1, 4, 3),
        mix=nn.Linear(4, 2),
        head=nn.Linear(72, 3),
    )
    found = find_sites(net, torch.randn(2, 1, 8, 8))
    assert found["mix"].tokens
    head = found["head"].input
    assert (head.source, head.layout, head.index) == ("mix", Layout(2, 6, 6), None)


def test_frames_folded_into_the_batch_count_as_often_as_they_run() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        maps = m.conv(x.flatten(0, 1))
        out: Tensor = m.head(m.dense(maps.flatten(1)).view(len(x), -1))
        return out

    net = Net(forward, conv=nn.Conv2d(1, 4, 3), dense=nn.Linear(144, 5), head=nn.Linear(15, 2))
    found = find_sites(net, torch.randn(2, 3, 1, 8, 8))
    assert found["dense"].input.layout == Layout(4, 6, 6)
    assert found["dense"].macs == 3 * 144 * 5
    assert not found["head"].tokens
    assert found["head"].macs == 30


# The model is left as it was


def test_the_model_and_the_random_states_are_left_as_they_were() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        m.calls += 1
        m.count.add_(1)
        noise = torch.rand(1) + random.random() + float(np.random.rand())
        if float(x.flatten()[0]) > 1e9:
            return x
        out: Tensor = m.dense(m.norm(m.conv(x)).flatten(1)) + noise
        return out

    net = Net(forward, conv=nn.Conv2d(1, 4, 3), norm=nn.BatchNorm2d(4), dense=nn.Linear(144, 5))
    net.calls = 0
    net.register_buffer("count", torch.zeros(1))
    net.train()
    net.norm.eval()
    net(torch.randn(2, 1, 8, 8)).sum().backward()
    calls = net.calls
    before = {name: value.clone() for name, value in net.state_dict().items()}
    gradients = {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}
    attributes = {name: set(vars(module)) for name, module in net.named_modules()}
    states = torch.get_rng_state(), random.getstate(), np.random.get_state(legacy=False)

    assert not find_sites(net, torch.randn(2, 1, 8, 8, generator=torch.Generator())).on_meta

    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    np.testing.assert_equal(np.random.get_state(legacy=False), states[2])
    assert net.calls == calls
    assert net.training
    assert not net.norm.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert gradients.keys() == {name for name, _ in net.named_parameters()}
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None
        assert torch.equal(gradients[name], parameter.grad)
    for name, module in net.named_modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert set(vars(module)) == attributes[name]
    assert torch.is_grad_enabled()


def test_old_weight_norm_can_be_copied() -> None:
    with pytest.warns(FutureWarning):
        net = nn.Sequential(nn.utils.weight_norm(nn.Linear(8, 8)), nn.Linear(8, 2))
    found = find_sites(net, torch.randn(2, 8))
    assert [site.name for site in found] == ["1"]


def test_compiled_models_are_followed() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 5))
    found = find_sites(torch.compile(net), torch.randn(2, 1, 8, 8))  # type: ignore[arg-type]
    assert found["_orig_mod.2"].input.layout == Layout(4, 6, 6)


# What goes wrong


def test_an_exception_of_the_forward_is_the_users() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        raise KeyError("no such head")

    with pytest.raises(UserCodeError, match=r"KeyError: 'no such head' \(.*test_sites.py:\d+\)"):
        find_sites(Net(forward), torch.randn(2, 3))


def test_an_exception_of_the_tracing_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a fault")

    monkeypatch.setattr(Trace, "_rule", broken)
    with pytest.raises(KeyError, match="a fault"):
        find_sites(nn.Sequential(nn.ReLU()), torch.randn(2, 3))


def test_examples_and_models_that_cannot_be_used() -> None:
    net = nn.Sequential(nn.Linear(3, 2))
    with pytest.raises(RequestError, match=r"shape \(3,\) is not a batch"):
        find_sites(net, torch.randn(3))
    with pytest.raises(TypeError, match="got ndarray"):
        find_sites(net, np.zeros((2, 3)))  # type: ignore[arg-type]
    with pytest.raises(RequestError, match=r"0\.weight has no shape yet"):
        find_sites(nn.Sequential(nn.LazyLinear(3)), torch.randn(2, 3))
    net.stream = (value for value in range(3))
    with pytest.raises(RequestError, match="Sequential cannot be copied"):
        find_sites(net, torch.randn(2, 3))
