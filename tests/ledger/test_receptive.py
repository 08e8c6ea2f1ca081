"""Receptive fields: against gradients on random networks, and against published figures."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import event, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from striate.ledger import count
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
    return receptive_fields(graph, read(graph)).of(graph.outputs[0])


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


@settings(max_examples=100)
@given(networks(), st.data())
def test_what_is_claimed_is_what_gradients_see(
    network: tuple[nn.Module, tuple[int, ...]], data: st.DataObject
) -> None:
    model, shape = alive(network[0]), network[1]
    sight = sight_of(model, shape)
    event("not known" if sight is None else "evenly" if sight.fields() else "known in part")
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


# -- published figures -------------------------------------------------------------------------
# Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019.


def field_of(model: nn.Module, *inputs: Any) -> dict[str, list[float]] | None:
    return count(model, *inputs).receptive_field


def size_of(model: nn.Module, *inputs: Any) -> float:
    found = field_of(model, *inputs)
    assert found is not None
    assert len(set(found["size"])) == 1
    return found["size"][0]


def test_alexnet_and_vgg16() -> None:
    alexnet = nn.Sequential(
        *(nn.Conv2d(3, 2, 11, 4, 2), nn.MaxPool2d(3, 2), nn.Conv2d(2, 2, 5, padding=2)),
        *(nn.MaxPool2d(3, 2), *(nn.Conv2d(2, 2, 3, padding=1) for _ in range(3))),
    )
    assert size_of(alexnet, (1, 3, 224, 224)) == 163
    assert size_of(alexnet.append(nn.MaxPool2d(3, 2)), (1, 3, 224, 224)) == 195
    vgg = nn.Sequential()
    for convolutions in (2, 2, 3, 3, 3):
        vgg.extend(nn.LazyConv2d(2, 3, padding=1) for _ in range(convolutions))
        vgg.append(nn.MaxPool2d(2))
    vgg(torch.zeros(1, 3, 32, 32))
    assert size_of(vgg, (1, 3, 224, 224)) == 212
    assert field_of(vgg, (1, 3, 224, 224)) == {
        "size": [212, 212],
        "stride": [32, 32],
        "centre": [15.5, 15.5],
    }


class Bottleneck(nn.Module):
    def __init__(self, stride: int, place: int) -> None:
        super().__init__()
        strides = [stride if place == index else 1 for index in range(3)]
        self.inner = nn.Sequential(
            nn.Conv2d(1, 1, 1, strides[0]),
            nn.BatchNorm2d(1),
            nn.ReLU(inplace=True),
            nn.Conv2d(1, 1, 3, strides[1], 1),
            nn.BatchNorm2d(1),
            nn.ReLU(inplace=True),
            nn.Conv2d(1, 1, 1, strides[2]),
        )
        self.shortcut = nn.Conv2d(1, 1, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(x)
        y += self.shortcut(x)
        return F.relu(y)


def resnet(depths: tuple[int, ...], place: int) -> nn.Sequential:
    """With the stride of each stage in its first block, at the first 1x1 convolution (0) or the 3x3 (1)."""
    model = nn.Sequential(nn.Conv2d(3, 1, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    for stage, depth in enumerate(depths):
        for block in range(depth):
            model.append(Bottleneck(2 if stage and not block else 1, place))
    return model


@pytest.mark.parametrize(
    ("depths", "place", "size"),
    [
        ((3, 4, 6, 3), 0, 483),
        ((3, 4, 23, 3), 0, 1027),
        ((3, 8, 36, 3), 0, 1507),
        ((3, 4, 6, 3), 1, 427),  # torchvision's: 11 + 3*8, 8 + 3*16, 16 + 5*32, 32 + 2*64
    ],
)
def test_resnets(depths: tuple[int, ...], place: int, size: int) -> None:
    model = resnet(depths, place)
    assert size_of(model, (1, 3, 224, 224)) == size
    model.append(nn.AdaptiveAvgPool2d(1))
    model.append(nn.Flatten())
    model.append(nn.Linear(1, 5))
    found = field_of(model, (1, 3, 224, 224))
    assert found == {"size": [224, 224], "stride": [0, 0], "centre": [111.5, 111.5]}


def test_mobilenet() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 3, 2, 1))
    for stride in (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1):
        model.append(nn.Conv2d(2, 2, 3, stride, 1, groups=2))
        model.append(nn.BatchNorm2d(2))
        model.append(nn.ReLU6())
        model.append(nn.Conv2d(2, 2, 1))
    assert size_of(model, (1, 3, 224, 224)) == 315


# -- cases -------------------------------------------------------------------------------------

IMAGE = (1, CHANNELS, 32, 32)
EVERYTHING = {"size": [32, 32], "stride": [0, 0], "centre": [15.5, 15.5]}


def test_a_convnext_block_in_the_other_layout() -> None:
    patches = nn.Conv2d(CHANNELS, CHANNELS, 4, 4)
    depthwise = nn.Conv2d(CHANNELS, CHANNELS, 7, padding=3, groups=CHANNELS)
    found = count(nn.Sequential(patches, depthwise, parts.ChannelsLast(CHANNELS)), IMAGE)
    assert found.receptive_field == {"size": [28, 28], "stride": [4, 4], "centre": [1.5, 1.5]}
    rows = {layer.name: layer.receptive_field for layer in found.layers}
    assert rows["2.norm"] == rows["2.up"] == rows["2.down"] == found.receptive_field


def test_a_vision_transformer_sees_everything_from_its_first_attention_on() -> None:
    model = nn.Sequential(
        nn.Conv2d(CHANNELS, CHANNELS, 8, 8), parts.ClassToken(CHANNELS, 16, blocks=2)
    )
    rows = {layer.name: layer.receptive_field for layer in count(model, IMAGE).layers}
    assert rows["0"] == {"size": [8, 8], "stride": [8, 8], "centre": [3.5, 3.5]}
    # The class token sees nothing, the others a patch: no one field.
    assert rows["1.blocks.0.norm1"] is None
    assert rows["1.blocks.0.linear1"] == rows["1.blocks.1.norm1"] == rows["1.head"] == EVERYTHING


@pytest.mark.parametrize("fused", [True, False])
def test_attention_inside_of_windows_is_not_global(fused: bool) -> None:
    windows = nn.Sequential(
        nn.Conv2d(CHANNELS, CHANNELS, 2, 2), parts.Attention(CHANNELS, 4, fused)
    )
    found = count(windows, IMAGE)
    assert found.receptive_field is None  # four units in a row see the same
    rows = {layer.name: layer.receptive_field for layer in found.layers}
    # One window a row of the dense layer: 4 units of 2 inputs.
    assert rows["1.out"] == {"size": [8, 8], "stride": [8, 8], "centre": [3.5, 3.5]}
    shifted = nn.Sequential(
        windows,
        Do(lambda x: torch.roll(x, (-2, -2), (2, 3))),
        parts.Attention(CHANNELS, 4, fused),
        Do(lambda x: torch.roll(x, (2, 2), (2, 3))),
    )
    assert field_of(shifted, IMAGE) is None
    # The mean over all positions sees all that any of them sees.
    shifted.append(nn.AdaptiveAvgPool2d(1))
    assert field_of(shifted, IMAGE) == EVERYTHING


@pytest.mark.parametrize("how", ["constant", "causal", "bias"])
def test_a_mask_leaves_attention_unknown_and_a_trained_bias_does_not(how: str) -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.zeros(9))
            self.register_buffer("places", torch.zeros(16 * 16, dtype=torch.long))

        def forward(self, x: Tensor) -> Tensor:
            y = x.flatten(2).transpose(1, 2)
            bias = torch.ones(16, 16).tril().log()
            if how == "bias":
                bias = self.table[self.places].view(16, 16).unsqueeze(0)
            if how == "causal":
                return F.scaled_dot_product_attention(y, y, y, is_causal=True)
            return (y @ y.transpose(1, 2) + bias).softmax(-1) @ y

    found = field_of(Masked(), (1, CHANNELS, 4, 4))
    everything = {"size": [4, 4], "stride": [0, 0], "centre": [1.5, 1.5]}
    assert found == (everything if how == "bias" else None)


def whole(x: Tensor) -> Tensor:
    return x.mean((1, 2, 3))


@pytest.mark.parametrize(
    ("function", "size"),
    [
        (lambda x: x.permute(0, 2, 3, 1).mean((1, 2)), [32, 32]),
        (lambda x: x.mean(3), [1, 32]),
        (lambda x: x.amax((-1, -2)), [32, 32]),
        (lambda x: x[:, :, 5], [1, 1]),
        (lambda x: F.pixel_unshuffle(x, 2).sum(1), [2, 2]),
        (lambda x: F.max_pool2d(F.channel_shuffle(x, 2), 3), [3, 3]),
        (lambda x: torch.cat([F.avg_pool2d(x, 3, 1, 1), x], 1), [3, 3]),
        (lambda x: torch.stack([x, F.max_pool2d(x, 5, 1, 2)]).sum(0), [5, 5]),
        (lambda x: F.layer_norm(x, x.shape[1:]), [32, 32]),
        (lambda x: F.instance_norm(x), [32, 32]),
        (lambda x: torch.fft.fft2(x).abs(), [32, 32]),
        (lambda x: F.adaptive_avg_pool2d(x, (8, 1)), [4, 32]),
        (lambda x: torch.cat([x[..., ::2], x[..., 1::2]], 1).sum(1), [1, 2]),
        (lambda x: x.unfold(2, 3, 2).sum(-1), [3, 1]),
        # Not known: positions in another order, or fields that do not follow each other evenly.
        (lambda x: torch.roll(x, 1, 2), None),
        (lambda x: x.flip(3), None),
        (lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"), None),
        (lambda x: F.pixel_shuffle(x, 2), None),
        (lambda x: F.interpolate(x, scale_factor=2), None),
        (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), None),
        (lambda x: F.adaptive_avg_pool2d(x, 5), None),
        (lambda x: x.flatten(2).unfold(2, 5, 3).sum(-1), None),
        (lambda x: x.sort(2)[0], None),
        (lambda x: x.cumsum(2), None),
        # Known again once all of it is put together.
        (lambda x: whole(torch.roll(x, 1, 2)), [32, 32]),
        (lambda x: whole(F.pad(x, (1, 1, 1, 1), mode="circular")), [32, 32]),
        (lambda x: whole(F.interpolate(x, scale_factor=2, mode="bilinear")), [32, 32]),
        (lambda x: whole(F.interpolate(x, scale_factor=2)[:, :, 4:8]), [2, 32]),
        (lambda x: whole(F.adaptive_avg_pool2d(x, 5)), [32, 32]),
        # What is left out is not seen: 32 rows hold ten windows of 3, and 2 rows.
        (lambda x: whole(F.avg_pool2d(x, 3)), [30, 30]),
        (lambda x: whole(x[:, :, 3:-2]), [27, 32]),
    ],
)
def test_functions(function: Any, size: list[int] | None) -> None:
    found = field_of(Do(function), IMAGE)
    assert (None if found is None else found["size"]) == size


def test_transposed_convolutions() -> None:
    same = nn.ConvTranspose2d(CHANNELS, 2, 3, padding=1)
    assert field_of(same, IMAGE) == {"size": [3, 3], "stride": [1, 1], "centre": [0.0, 0.0]}
    # Two units in a row see the same input, or there are as many as one or two inputs.
    for kernel in (2, 3, 4):
        up = nn.ConvTranspose2d(CHANNELS, 2, kernel, 2)
        assert field_of(up, IMAGE) is None
        assert field_of(nn.Sequential(up, nn.AdaptiveMaxPool2d(1)), IMAGE) == EVERYTHING
    up = nn.ConvTranspose2d(CHANNELS, 2, 2, 2)
    down = nn.Conv2d(2, 2, 2, 2)
    assert field_of(nn.Sequential(up, nn.PixelUnshuffle(2)), IMAGE) == {
        "size": [1, 1],
        "stride": [1, 1],
        "centre": [0.0, 0.0],
    }
    assert field_of(nn.Sequential(up, down), IMAGE) is None


def test_maps_of_one_and_three_axes_and_maps_without_a_batch() -> None:
    assert field_of(nn.Conv1d(2, 2, 3, 2), (1, 2, 9)) == {"size": [3], "stride": [2], "centre": [1]}
    volume = nn.Sequential(nn.Conv3d(1, 2, (1, 2, 3)), nn.MaxPool3d(2))
    found = field_of(volume, (1, 1, 8, 8, 8))
    assert found is not None
    assert found["size"] == [2, 3, 4]
    alone = count(nn.Conv2d(3, 2, 3), (3, 8, 8), batch_dim=None)
    assert alone.receptive_field == {"size": [3, 3], "stride": [1, 1], "centre": [1.0, 1.0]}
    # Whether (2, 5, 8) are 8 positions or 8 channels, a dense layer does not say.
    assert field_of(nn.Linear(8, 3), (2, 5, 8)) is None


def test_the_field_is_that_of_the_first_input() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(1, 2, 7, padding=3)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return self.left(x) + self.right(y) * y.mean()

    found = count(Two(), (1, 1, 8, 8), (1, 1, 8, 8))
    assert found.receptive_field == {"size": [3, 3], "stride": [1, 1], "centre": [0.0, 0.0]}
    assert [layer.receptive_field is None for layer in found.layers if layer.name] == [False, True]


def test_what_is_written_into_a_part_is_not_followed() -> None:
    def write(x: Tensor) -> Tensor:
        y = x * 2
        y[:, :, 1:] += F.avg_pool2d(x, 3, 1, 1)[:, :, 1:]
        return y

    assert field_of(Do(write), IMAGE) is None
    assert field_of(Do(lambda x: (x * 2).view(1, CHANNELS, -1).relu_().view_as(x)), IMAGE) == {
        "size": [1, 1],
        "stride": [1, 1],
        "centre": [0.0, 0.0],
    }


def test_branches_of_the_channels_apart_again() -> None:
    """Channels joined are said to see the union; half of them alone is not known to, unless each half has both."""
    wide = nn.Conv2d(CHANNELS, CHANNELS, 5, padding=2)
    both = nn.Sequential(parts.Branches(nn.Identity(), wide))
    assert size_of(both, IMAGE) == 5
    half = Do(lambda x: x.chunk(2, 1)[0])
    assert field_of(nn.Sequential(both, half), IMAGE) is None
    assert size_of(nn.Sequential(both, Do(lambda x: F.channel_shuffle(x, 2)), half), IMAGE) == 5


def test_a_border_that_gaps_hide_is_not_claimed() -> None:
    """Dilated windows on padding, cut: what is left of them sees less than from end to end."""
    cut = nn.Sequential(
        nn.Conv2d(CHANNELS, 1, 3, padding=4, dilation=4), Do(lambda x: x[:, :, 1:3])
    )
    assert size_of(cut, IMAGE) == 9
    assert field_of(nn.Sequential(cut, Do(whole)), IMAGE) is None
    assert field_of(nn.Conv2d(CHANNELS, 1, 1, padding=3), IMAGE) is not None


def test_a_row_is_of_the_output_before_it_is_added_to_in_place() -> None:
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.wide = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 7, padding=3)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            y += self.wide(x)
            return y

    found = count(InPlace(), IMAGE)
    sizes = {layer.name: (layer.receptive_field or {}).get("size") for layer in found.layers}
    assert sizes == {"conv": [3, 3], "wide": [7, 7], "": [7, 7]}
    assert found.receptive_field is not None
    assert found.receptive_field["size"] == [7, 7]
