"""Random networks: counts against brute force, the recount against a network built without pooling."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd import grad

from striate.ledger import count
from striate.ledger.ideas import regroup
from striate.nn import LocallyConnected2d

sides = st.integers(3, 9)


@st.composite
def windows(draw: st.DrawFn) -> dict[str, int]:
    return {
        "kernel_size": draw(st.integers(1, 4)),
        "stride": draw(st.integers(1, 3)),
        "padding": draw(st.integers(0, 2)),
        "dilation": draw(st.integers(1, 2)),
    }


def taps(layer: nn.Module, size: tuple[int, int, int]) -> int:
    """All ones everywhere: the outputs add up to the number of taps inside the input."""
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
        return round(float(layer.double()(torch.ones(1, *size, dtype=torch.double)).sum()))


@settings(max_examples=40)
@given(window=windows(), rows=sides, columns=sides, groups=st.sampled_from([1, 2]), data=st.data())
def test_connections_of_convolutions_and_local_layers(
    window: dict[str, int], rows: int, columns: int, groups: int, data: st.DataObject
) -> None:
    reach = window["dilation"] * (window["kernel_size"] - 1) + 1
    assume(min(rows, columns) + 2 * window["padding"] >= reach)
    share = data.draw(st.sampled_from([1, 2, 3, "all"]))
    layers: list[nn.Module] = [
        nn.Conv2d(2, 4, groups=groups, **window),
        LocallyConnected2d(2, 4, input_size=(rows, columns), groups=groups, share=share, **window),
    ]
    for layer in layers:
        (row,) = count(layer, (1, 2, rows, columns)).layers
        outputs = layer(torch.zeros(1, 2, rows, columns)).numel()
        assert row.connections == outputs * (2 // groups) * window["kernel_size"] ** 2
        assert row.connections_inside == taps(layer, (2, rows, columns))
        assert row.dense_params == 2 * rows * columns * outputs
        assert row.params == row.weights + row.bias
        assert row.macs == row.connections


@settings(max_examples=25)
@given(window=windows(), rows=sides, columns=sides, extra=st.integers(0, 1))
def test_connections_of_transposed_convolutions(
    window: dict[str, int], rows: int, columns: int, extra: int
) -> None:
    assume(extra < max(window["stride"], window["dilation"]))
    layer = nn.ConvTranspose2d(2, 3, output_padding=extra, **window)
    try:
        outputs = layer(torch.zeros(1, 2, rows, columns)).numel()
    except RuntimeError:  # the padding takes all outputs away
        assume(False)
    (row,) = count(layer, (1, 2, rows, columns)).layers
    assert row.connections == 2 * rows * columns * 3 * window["kernel_size"] ** 2
    assert row.connections_inside == taps(layer, (2, rows, columns))
    assert row.dense_params == 2 * rows * columns * outputs


@settings(max_examples=25)
@given(window=windows(), rows=sides, columns=sides, pads=st.tuples(*[st.integers(0, 2)] * 4))
def test_zeros_padded_before_count_like_padding_of_the_layer(
    window: dict[str, int], rows: int, columns: int, pads: tuple[int, int, int, int]
) -> None:
    model = nn.Sequential(nn.ZeroPad2d(pads), nn.Conv2d(1, 2, **window))
    reach = window["dilation"] * (window["kernel_size"] - 1) + 1
    left, right, top, bottom = pads
    assume(rows + top + bottom + 2 * window["padding"] >= reach)
    assume(columns + left + right + 2 * window["padding"] >= reach)
    row = count(model, (1, 1, rows, columns)).layers[-1]
    assert row.connections_inside == taps(model, (1, rows, columns))
    outputs = model(torch.zeros(1, 1, rows, columns, dtype=torch.double)).numel()
    assert row.dense_params == rows * columns * outputs


POOLS = [
    lambda k, s: nn.MaxPool2d(k, s, ceil_mode=True),
    lambda k, s: nn.AvgPool2d(k, s),
    lambda k, s: nn.AdaptiveAvgPool2d(k),
    lambda k, s: nn.AdaptiveMaxPool2d((k, s)),
]


@settings(max_examples=30)
@given(data=st.data())
def test_the_recount_equals_a_network_built_without_its_poolings(data: st.DataObject) -> None:
    layers: list[nn.Module] = []
    bare: list[nn.Module] = []
    shape, bare_shape = (1, 2, 17, 15), (1, 2, 17, 15)

    def out(stack: list[nn.Module], start: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(nn.Sequential(*stack).eval()(torch.zeros(start)).shape)

    for _ in range(data.draw(st.integers(1, 3))):
        channels = out(layers, shape)[1] if layers else 2
        kernel, stride, padding = (data.draw(st.integers(*b)) for b in ((1, 3), (1, 2), (0, 1)))
        assume(min(out(layers, shape)[2:] if layers else (17, 15)) + 2 * padding >= kernel)
        conv = nn.Conv2d(channels, 3, kernel, stride, padding)
        layers += [conv, nn.ReLU(), nn.BatchNorm2d(3)]
        bare += [conv, nn.ReLU(), nn.BatchNorm2d(3)]
        k, s = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
        assume(min(out(layers, shape)[2:]) >= k)
        layers.append(data.draw(st.sampled_from(POOLS))(k, s))
    model = nn.Sequential(*layers).eval()
    features = model(torch.zeros(shape)).numel()
    twin = nn.Sequential(*bare).eval()
    more = twin(torch.zeros(bare_shape)).numel()
    pooled = count(nn.Sequential(model, nn.Flatten(), nn.Linear(features, 5)), shape)
    unpooled = count(nn.Sequential(twin, nn.Flatten(), nn.Linear(more, 5)), bare_shape)
    assert pooled.ideas.pooling.saved is not None
    assert pooled.totals.dense_params + pooled.ideas.pooling.saved == unpooled.totals.dense_params
    assert unpooled.ideas.pooling.factor == 1


@settings(max_examples=25)
@given(data=st.data())
def test_receptive_fields_against_gradients(data: st.DataObject) -> None:
    """The inputs that move the middle output are the receptive field, where nothing cuts it off."""
    layers: list[nn.Module] = []
    for _ in range(data.draw(st.integers(1, 4))):
        kernel = data.draw(st.integers(1, 3))
        stride = data.draw(st.integers(1, 2))
        if data.draw(st.booleans()):
            conv = nn.Conv2d(1, 1, kernel, stride, data.draw(st.integers(0, 1)), bias=False)
            layers.append(conv)
            nn.init.ones_(conv.weight)
        else:
            layers.append(nn.AvgPool2d(kernel, stride))
    model = nn.Sequential(*layers).double()
    size = 121
    found = count(model, (1, 1, size, size), limits=()).receptive_field
    assert found is not None
    image = torch.ones(1, 1, size, size, dtype=torch.double, requires_grad=True)
    output: Tensor = model(image)
    middle = output.shape[-1] // 2
    (slope,) = grad(output[0, 0, middle, middle], image)
    seen = slope[0, 0].sum(0).nonzero().flatten()
    low, high = int(seen.min()), int(seen.max())
    assert high - low + 1 <= found["size"][1]
    centre = found["centre"][1] + middle * found["stride"][1]
    # Windows with gaps (a stride above the next kernel) can leave single inputs at the rim unseen.
    assert (low + high) / 2 == centre
    assert high - low + 1 == found["size"][1]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.data())
def test_regroup_of_unchanged_sizes_is_the_view(old: list[int], data: st.DataObject) -> None:
    total = torch.Size(old).numel()
    new: list[int] = []
    rest = total
    while rest > 1:
        divisor = data.draw(st.sampled_from([d for d in range(2, rest + 1) if rest % d == 0]))
        new.append(divisor)
        rest //= divisor
    ones = data.draw(st.integers(0, 2))
    new += [1] * ones
    if not new:
        new = [1]
    assert regroup(tuple(old), tuple(old), tuple(new)) == tuple(new)


@pytest.mark.parametrize(
    ("old", "changed", "new", "expected"),
    [
        ((2, 3, 4, 4), (2, 3, 8, 8), (2, 48), (2, 192)),
        ((2, 3, 4, 4), (2, 3, 8, 8), (2, 3, 16), (2, 3, 64)),
        ((1, 3, 1, 1), (1, 3, 5, 5), (1, 3), (1, 75)),
        ((2, 3, 4, 4), (2, 3, 8, 8), (2, 3, 2, 2, 2, 2), None),
        ((2, 48), (2, 192), (2, 3, 16), None),
        ((2, 3, 1, 4), (2, 3, 1, 9), (2, 3, 4), (2, 3, 9)),
    ],
)
def test_regroup(
    old: tuple[int, ...],
    changed: tuple[int, ...],
    new: tuple[int, ...],
    expected: tuple[int, ...] | None,
) -> None:
    assert regroup(old, changed, new) == expected
