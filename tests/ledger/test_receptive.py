"""Receptive fields: against gradients on random networks, and against published figures."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from striate.ledger.capture import capture
from striate.ledger.provenance import read
from striate.ledger.receptive import Sight, receptive_fields
from striate.ledger.receptive.sight import SHARP, UNSURE
from striate.ledger.receptive.unit import unit
from tests.ledger import receptive_networks as parts
from tests.ledger.receptive_networks import Do, alive

CHANNELS = 4
Box = tuple[tuple[int, int], ...]


def sight_of(model: nn.Module, *inputs: Any) -> Sight | None:
    """What is known of the network's output."""
    graph = capture(model, inputs)
    return receptive_fields(graph, read(graph)).get(graph.outputs[0].id)


def box_of(slope: Tensor) -> Box:
    """From the first to the last input with a gradient, along each axis behind the channels."""
    touched = slope.abs().sum((0, 1)) > 0
    found = []
    for axis in range(touched.ndim):
        others = [other for other in range(touched.ndim) if other != axis]
        hit = (touched.any(dim=others) if others else touched).nonzero().flatten()
        found.append((int(hit[0]), int(hit[-1]) + 1) if len(hit) else (0, 0))
    return tuple(found)


def seen(output: Tensor, image: Tensor, places: Any = None) -> Box:
    chosen = output
    for axis, indices in enumerate(places or ()):
        chosen = chosen.index_select(axis, torch.tensor(indices))
    weights = torch.rand(
        chosen.shape, dtype=torch.double, generator=torch.Generator().manual_seed(1)
    )
    (slope,) = torch.autograd.grad((chosen * (weights + 0.1)).sum(), image, retain_graph=True)
    return box_of(slope)


@st.composite
def steps(draw: st.DrawFn, size: tuple[int, int]) -> nn.Module:
    h, w = size
    kernel, stride, padding = (
        draw(st.integers(1, 4)),
        draw(st.integers(1, 3)),
        draw(st.integers(0, 2)),
    )
    dilation = draw(st.integers(1, 2))
    while dilation * (kernel - 1) + 1 > min(h, w) + 2 * padding:
        kernel -= 1
    groups = draw(st.sampled_from([1, 1, 2, CHANNELS]))
    odd = draw(st.sampled_from([1, 3, 5]))
    window = (kernel, stride, padding, dilation)
    same = nn.Conv2d(CHANNELS, CHANNELS, odd, 1, odd // 2, groups=groups)
    choices: list[nn.Module] = [
        nn.Conv2d(CHANNELS, CHANNELS, *window, groups=groups),
        nn.Sequential(nn.ReLU(), nn.Conv2d(CHANNELS, CHANNELS, *window)),
        parts.Residual(same, nn.Softplus()),
        parts.Branches(
            nn.Conv2d(CHANNELS, CHANNELS, odd, stride, odd // 2),
            nn.Conv2d(CHANNELS, CHANNELS, 1, stride),
        ),
        parts.Branches(nn.Conv2d(CHANNELS, 1, 1), nn.Conv2d(CHANNELS, 3, odd, 1, odd // 2)),
        parts.ChannelsLast(CHANNELS),
        parts.Gate(CHANNELS),
        parts.Unfold(CHANNELS, kernel, dilation, padding, stride),
        Do(lambda x: F.channel_shuffle(x, 2)),
        Do(lambda x: x.chunk(2, 1)[1].repeat(1, 2, 1, 1)),
        Do(lambda x: x[:, :, 1:, : w - 1] if min(h, w) > 2 else x),
        Do(lambda x: x[:, :, ::stride]),
        Do(lambda x: F.pad(x, (padding, 1, 0, padding))),
        Do(lambda x: F.interpolate(x, scale_factor=2)),
        Do(lambda x: F.interpolate(x, scale_factor=2, mode="bilinear")),
        Do(lambda x: torch.roll(x, 1, 2)),
        Do(lambda x: torch.cat([x[:, :, 1:], x[:, :, :1]], 2)),
        Do(lambda x: F.adaptive_avg_pool2d(x, (max(1, h // 2), max(1, w - 1)))),
        nn.ConvTranspose2d(CHANNELS, CHANNELS, max(stride, kernel), stride),
        nn.GroupNorm(2, CHANNELS),
        parts.Attention(CHANNELS, fused=draw(st.booleans())),
        parts.TokenMixer(h * w),
        Do(lambda x: x.mean((2, 3), keepdim=True) + x),
    ]
    if min(h, w) >= 2:
        choices.append(nn.AvgPool2d(2, ceil_mode=draw(st.booleans())))
        choices.append(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, padding_mode="circular"))
    if h % 2 == w % 2 == 0:
        choices += [Do(lambda x: F.pixel_unshuffle(x, 2)), parts.Attention(CHANNELS, 2)] * 2
    return draw(st.sampled_from(choices))


@st.composite
def networks(draw: st.DrawFn) -> tuple[nn.Module, tuple[int, ...]]:
    shape = (2, CHANNELS, draw(st.integers(6, 16)), draw(st.integers(6, 16)))
    model, size, channels = nn.Sequential(), shape[2:], CHANNELS
    for _ in range(draw(st.integers(1, 5))):
        step: nn.Module = draw(steps(size))
        model.append(step)
        with torch.no_grad():
            result = step.double()(torch.zeros(1, CHANNELS, *size, dtype=torch.double))
        size, channels = tuple(result.shape[2:]), result.shape[1]
        if channels != CHANNELS:
            model.append(nn.Conv2d(channels, CHANNELS, 1))
        if max(size) > 40:
            break
    end = draw(st.integers(0, 3))
    if end == 1:
        model.append(nn.Flatten())
        model.append(nn.Linear(CHANNELS * size[0] * size[1], 3))
    elif end == 2:
        model.append(Do(lambda x: x.mean((2, 3))))
    return model, shape


@settings(max_examples=150, deadline=None)
@given(networks(), st.data())
def test_what_is_claimed_is_what_gradients_see(
    network: tuple[nn.Module, tuple[int, ...]], data: st.DataObject
) -> None:
    model, shape = alive(network[0]), network[1]
    sight = sight_of(model, shape)
    if sight is None:
        return
    image = torch.rand(shape, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    image.requires_grad_()
    output = model(image)
    reach: dict[int, tuple[int, int]] = {}
    for term in sight.terms:
        low, high = reach.get(term.axis, term.reach)
        reach[term.axis] = (min(low, term.reach[0]), max(high, term.reach[1]))
    border = max(term.border for term in sight.terms)
    if border < UNSURE:
        assert seen(output, image) == tuple(reach[axis] for axis in sorted(reach))
    for _ in range(3):
        one = unit(sight, lambda length: data.draw(st.integers(0, length - 1)))
        if one is None:
            return
        true = seen(output, image, one.places)
        for (a, b), (low, high) in zip(true, one.box, strict=True):
            assert a == b or (low <= a and b <= high), (true, one.box)
    one = unit(sight)
    assert one is not None
    if border == SHARP:
        assert seen(output, image, one.places) == one.box
