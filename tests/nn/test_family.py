"""The family of locally connected layers: against torch.nn, as PyTorch citizens, and when given wrong
arguments."""

from __future__ import annotations

import copy
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from striate.geometry import LocalGrid, SharingMap
from striate.nn import (
    LazyLocallyConnected1d,
    LazyLocallyConnected2d,
    LazyLocallyConnected3d,
    LazyLocallyConnectedTranspose1d,
    LazyLocallyConnectedTranspose2d,
    LazyLocallyConnectedTranspose3d,
    LazyLowRankLocallyConnected2d,
    LocallyConnected1d,
    LocallyConnected2d,
    LocallyConnected3d,
    LocallyConnectedTranspose1d,
    LocallyConnectedTranspose2d,
    LocallyConnectedTranspose3d,
    LowRankLocallyConnected2d,
    functional,
)
from striate.nn.layer import LocalLayer
from tests.grids import draw, grids, loop, share_of
from tests.tolerances import CLOSE

LOCAL = {1: LocallyConnected1d, 2: LocallyConnected2d, 3: LocallyConnected3d}
TRANSPOSED = {
    1: LocallyConnectedTranspose1d,
    2: LocallyConnectedTranspose2d,
    3: LocallyConnectedTranspose3d,
}
CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
CONV_TRANSPOSE = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
SIZES = {1: (13,), 2: (9, 7), 3: (5, 4, 6)}
TILES = np.arange(5)[:, None] % 2 * 2 + np.arange(6) % 2

LAYERS: dict[str, Any] = {
    "1d": lambda: LocallyConnected1d(2, 4, 3, 9, 2, share=2, padding=1, padding_mode="circular"),
    "2d map": lambda: LocallyConnected2d(2, 4, 3, (7, 8), share=TILES, groups=2),
    "2d globe": lambda: LocallyConnected2d(
        2, 4, 3, (7, 8), padding=1, padding_mode=("zeros", "circular"), bias="channel"
    ),
    "3d": lambda: LocallyConnected3d(2, 4, 2, (4, 3, 3), share=(2, "all", 1)),
    "transposed 1d": lambda: LocallyConnectedTranspose1d(2, 4, 4, 6, 2, 1, bias=False),
    "transposed 2d": lambda: LocallyConnectedTranspose2d(2, 4, 3, (4, 5), 2, 1, 1, 2, share=2),
    "transposed 2d map": lambda: LocallyConnectedTranspose2d(2, 4, 3, (5, 6), share=TILES),
    "transposed 3d": lambda: LocallyConnectedTranspose3d(
        2, 4, 2, (2, 2, 3), share=(1, "all", 1), bias="channel"
    ),
    "low rank": lambda: LowRankLocallyConnected2d(2, 4, 3, (7, 8), 2, groups=2),
    "low rank, row+column": lambda: LowRankLocallyConnected2d(
        2, 4, 3, (7, 8), 3, mixing="row+column", share=2, bias=True, padding="same"
    ),
    "low rank map": lambda: LowRankLocallyConnected2d(2, 4, 3, (7, 8), 2, share=TILES, bias=False),
}


@pytest.fixture(params=LAYERS.values(), ids=LAYERS)
def layer(request: pytest.FixtureRequest) -> LocalLayer:
    torch.manual_seed(0)
    made: LocalLayer = request.param()
    return made


def example(layer: LocalLayer, batch: int = 3) -> Tensor:
    return torch.randn(batch, layer.in_channels, *layer.input_size)


def close(one: Tensor, other: Tensor, dtype: torch.dtype = torch.float32) -> None:
    torch.testing.assert_close(one, other, **CLOSE[dtype])


# -- what they compute ------------------------------------------------------------------------------


@settings(max_examples=40)
@given(grids(), st.integers(1, 2), st.sampled_from([True, False, "channel"]))
def test_the_layer_of_a_grid_computes_it(grid: LocalGrid, groups: int, bias: bool | str) -> None:
    layer = LOCAL[grid.axes](
        2 * groups,
        3 * groups,
        grid.kernel_size,
        grid.input_size,
        grid.stride,
        "same"
        if any(low != high for low, high in grid.padding)
        else tuple(p for p, _ in grid.padding),
        grid.dilation,
        groups,
        bias,
        grid.padding_mode,
        share=share_of(grid),
        dtype=torch.float64,
    )
    assert layer.grid == grid
    x = draw(2, 2 * groups, *grid.input_size)
    offsets = None if layer.bias is None else layer.bias.detach().numpy()
    expected = loop(x.numpy(), layer.weight.detach().numpy(), offsets, grid, groups)
    close(layer(x).detach(), torch.from_numpy(expected), torch.float64)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"padding": "same", "kernel_size": 2},
        {"stride": 2, "padding": 1, "groups": 2},
        {"padding": 2, "dilation": 2, "padding_mode": "reflect", "bias": False},
        {"padding": 1, "padding_mode": "replicate", "stride": 2},
        {"padding": "same", "padding_mode": "circular"},
    ],
    ids=str,
)
def test_fully_shared_equals_the_convolution_with_its_gradients(axes: int, options: Any) -> None:
    options = {"kernel_size": 3} | options
    conv = CONV[axes](4, 6, dtype=torch.float64, **options)
    shared = LOCAL[axes](4, 6, input_size=SIZES[axes], share="all", dtype=torch.float64, **options)
    _same_with_gradients(shared, conv, draw(2, 4, *SIZES[axes]))


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "padding": 1, "output_padding": 1},
        {"stride": 2, "dilation": 3, "output_padding": 2, "groups": 2},
        {"padding": 2, "bias": False},
    ],
    ids=str,
)
def test_fully_shared_equals_the_transposed_convolution(axes: int, options: Any) -> None:
    conv = CONV_TRANSPOSE[axes](4, 6, 3, dtype=torch.float64, **options)
    kind = TRANSPOSED[axes]
    shared = kind(4, 6, 3, SIZES[axes], share="all", dtype=torch.float64, **options)
    assert shared.output_size == tuple(conv(draw(1, 4, *SIZES[axes])).shape[2:])
    _same_with_gradients(shared, conv, draw(2, 4, *SIZES[axes]))
    local = kind(4, 6, 3, SIZES[axes], share=2, dtype=torch.float64, **options)
    with torch.no_grad():
        for ours, theirs in zip(local.parameters(), conv.parameters(), strict=True):
            ours.copy_(theirs.expand_as(ours))
    close(local(draw(2, 4, *SIZES[axes])), conv(draw(2, 4, *SIZES[axes])), torch.float64)


def _same_with_gradients(ours: nn.Module, conv: nn.Module, x: Tensor) -> None:
    with torch.no_grad():
        for parameter, theirs in zip(ours.parameters(), conv.parameters(), strict=True):
            parameter.copy_(theirs.reshape(parameter.shape))
    results = []
    for module in (ours, conv):
        leaf = x.clone().requires_grad_()
        out = module(leaf)
        out.square().sum().backward()
        results.append((out, leaf.grad, *(p.grad for p in module.parameters())))
    for one, other in zip(*results, strict=True):
        close(one.reshape(other.shape), other, torch.float64)


def test_a_transposed_layer_undoes_nothing_but_is_the_adjoint_of_the_local_one() -> None:
    local = LocallyConnected2d(3, 5, 3, (9, 8), 2, 1, bias=False, share=2, dtype=torch.float64)
    back = LocallyConnectedTranspose2d(
        5, 3, 3, local.output_size, 2, 1, (0, 1), bias=False, share=2, dtype=torch.float64
    )
    assert back.output_size == local.input_size
    assert back.weight.shape == local.weight.shape
    back.load_state_dict(local.state_dict())
    x, y = draw(2, 3, 9, 8), draw(2, 5, *local.output_size, seed=1)
    close((local(x) * y).sum(), (x * back(y)).sum(), torch.float64)


def test_low_rank_starts_as_a_convolution_and_reaches_any_local_layer() -> None:
    for mixing in ("free", "row+column"):
        layer = LowRankLocallyConnected2d(2, 4, 3, 8, 3, mixing=mixing, dtype=torch.float64)
        conv = nn.Conv2d(2, 4, 3, dtype=torch.float64)
        with torch.no_grad():
            conv.weight.copy_(layer.weight.sum(0) / 3**0.5)
            assert layer.bias is not None
            assert conv.bias is not None
            conv.bias.copy_(layer.bias)
        close(layer(draw(2, 2, 8, 8)), conv(draw(2, 2, 8, 8)), torch.float64)
    local = LocallyConnected2d(1, 2, 2, 3, bias=False, dtype=torch.float64)
    full = LowRankLocallyConnected2d(1, 2, 2, 3, 4, bias=False, dtype=torch.float64)
    with torch.no_grad():
        full.weight.copy_(local.weight.flatten(0, 1))
        assert full.mixing is not None
        full.mixing.copy_(torch.eye(4, dtype=torch.float64).view(2, 2, 4))
    close(full(draw(2, 1, 3, 3)), local(draw(2, 1, 3, 3)), torch.float64)


# -- how they start ---------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_variance_through_ten_layers_is_that_of_convolutions(axes: int) -> None:
    """Uniform in ±1/sqrt(fan-in) has variance 1/(3 fan-in): each layer keeps a third."""
    torch.manual_seed(axes)
    size, channels, kernel = {1: 96, 2: 12, 3: 6}[axes], {1: 24, 2: 12, 3: 6}[axes], 3

    def stack(kind: Any, **options: Any) -> nn.Sequential:
        circular = {"padding": 1, "padding_mode": "circular", "bias": False}
        layers = (kind(channels, channels, kernel, **circular, **options) for _ in range(10))
        return nn.Sequential(*layers)

    x = torch.randn(64, channels, *(size,) * axes)
    local = stack(LOCAL[axes], input_size=size)
    with torch.no_grad():
        kept = float(local(x).var() / x.var())
    assert kept ** (1 / 10) == pytest.approx(1 / 3, rel=0.05)
    assert LOCAL[axes](1, 1, 3, 8, device="meta").weight.is_meta


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_transposed_starts_as_the_transposed_convolution(axes: int) -> None:
    torch.manual_seed(3)
    conv = CONV_TRANSPOSE[axes](4, 8, 3, groups=2)
    torch.manual_seed(3)
    ours = TRANSPOSED[axes](4, 8, 3, 6, groups=2, share="all")
    close(ours.weight.reshape(conv.weight.shape), conv.weight)
    assert ours.bias is not None
    assert conv.bias is not None
    close(ours.bias.flatten(), conv.bias)


def test_low_rank_keeps_the_variance_of_a_local_layer() -> None:
    torch.manual_seed(0)
    x = torch.randn(256, 8, 16, 16)
    for mixing in ("free", "row+column"):
        layer = LowRankLocallyConnected2d(8, 64, 3, 16, 4, bias=False, mixing=mixing)
        assert float(layer(x).var().detach()) == pytest.approx(1 / 3, rel=0.1)


# -- shapes and attributes --------------------------------------------------------------------------


def test_shapes_are_those_of_the_contract() -> None:
    one = LocallyConnected1d(2, 4, 3, 10, 2, 1, share=2)
    assert (one.weight.shape, one.bias.shape) == ((3, 4, 2, 3), (3, 4))  # type: ignore[union-attr]
    three = LocallyConnected3d(4, 6, (1, 2, 3), (3, 4, 5), groups=2, share=(2, "all", 1))
    assert three.weight.shape == (2, 1, 3, 6, 2, 1, 2, 3)
    mapped = LocallyConnected2d(2, 4, 3, (7, 8), share=TILES)
    assert (mapped.weight.shape, mapped.bias.shape) == ((4, 4, 2, 3, 3), (4, 4))  # type: ignore[union-attr]
    assert mapped.share == SharingMap.of(TILES)
    assert mapped.blocks == (4,)
    back = LocallyConnectedTranspose2d(4, 6, 3, (5, 6), 2, groups=2, share=(1, "all"))
    assert back.weight.shape == (5, 1, 4, 3, 3, 3)
    assert back.output_size == (11, 13)
    assert back.bias is not None
    assert back.bias.shape == (11, 1, 6)
    low = LowRankLocallyConnected2d(
        2, 4, 3, (7, 8), 5, share=(2, 1), mixing="row+column", bias=True
    )
    assert low.weight.shape == (5, 4, 2, 3, 3)
    assert low.mixing is None
    assert low.mixing_rows is not None
    assert low.mixing_columns is not None
    assert (low.mixing_rows.shape, low.mixing_columns.shape) == ((3, 5), (6, 5))
    assert low.bias is not None
    assert low.bias.shape == (5, 6, 4)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (
            LocallyConnected1d(1, 2, 3, 8, padding=1, padding_mode="circular", share="all"),
            "LocallyConnected1d(1, 2, kernel_size=(3,), input_size=(8,), stride=(1,), padding=1, "
            "padding_mode='circular', share=('all',))",
        ),
        (
            LocallyConnected2d(2, 4, 3, (7, 8), groups=2, share=TILES),
            "LocallyConnected2d(2, 4, kernel_size=(3, 3), input_size=(7, 8), stride=(1, 1), groups=2, "
            "share=SharingMap(5×6 positions, 4 kernels))",
        ),
        (
            LocallyConnectedTranspose2d(2, 4, 3, 5, 2, 1, 1, dilation=2, bias=False),
            "LocallyConnectedTranspose2d(2, 4, kernel_size=(3, 3), input_size=(5, 5), stride=(2, 2), "
            "padding=1, output_padding=1, dilation=(2, 2), bias=False, share=(1, 1))",
        ),
        (
            LowRankLocallyConnected2d(1, 2, 3, 8, 2),
            "LowRankLocallyConnected2d(1, 2, kernel_size=(3, 3), input_size=(8, 8), stride=(1, 1), "
            "bias='channel', share=(1, 1), rank=2, mixing='free')",
        ),
        (
            LazyLocallyConnected2d(4, 3, share=(2, "all")),
            "LazyLocallyConnected2d(4, kernel_size=(3, 3), stride=(1, 1), share=(2, 'all'))",
        ),
    ],
)
def test_repr(layer: LocalLayer, text: str) -> None:
    assert repr(layer) == text


# -- as PyTorch citizens ----------------------------------------------------------------------------


def test_unbatched_empty_and_strided_inputs(layer: LocalLayer) -> None:
    x = example(layer)
    out = layer(x)
    assert out.shape == (3, layer.out_channels, *layer.output_size)
    close(layer(x[1]), out[1])
    close(layer(x.transpose(1, -1).contiguous().transpose(1, -1)), out)
    close(layer(x[:1].expand_as(x))[2], out[0])
    empty = torch.zeros(0, *x.shape[1:], requires_grad=True)
    nothing = layer(empty)
    assert nothing.shape == (0, *out.shape[1:])
    nothing.sum().backward()
    for parameter in layer.parameters():
        assert parameter.grad is not None
        assert not parameter.grad.any()


def channels_last(x: Tensor) -> Tensor:
    forms = {4: torch.channels_last, 5: torch.channels_last_3d}
    return x.contiguous(memory_format=forms[x.dim()]) if x.dim() in forms else x.mT.contiguous().mT


def test_channels_last_inputs_give_the_same_and_what_kernels_give_is_contiguous(
    layer: LocalLayer,
) -> None:
    for dtype in (torch.float32, torch.float64):
        layer.to(dtype)
        x = example(layer).to(dtype)
        turned = channels_last(x)
        assert not turned.is_contiguous()
        for recording in (True, False):
            with torch.set_grad_enabled(recording):
                out, expected = layer(turned), layer(x)
            close(out, expected, dtype)
            if layer.backend(x).name == "cpu":
                assert out.is_contiguous()
            assert torch.equal(out.flatten(1), out.contiguous().view(len(out), -1))


def test_a_fully_shared_layer_keeps_channels_last_as_the_convolution_does() -> None:
    layer, conv = LocallyConnected2d(2, 4, 3, (7, 8), share="all"), nn.Conv2d(2, 4, 3)
    x = channels_last(torch.randn(3, 2, 7, 8))
    assert layer(x).stride() == conv(x).stride()


def test_gradients_come_in_the_parameters_own_layout(layer: LocalLayer) -> None:
    layer(example(layer)).sum().backward()
    for parameter in layer.parameters():
        assert parameter.is_contiguous()
        assert parameter.grad is not None
        assert parameter.grad.is_contiguous()


def test_autocast_computes_and_returns_the_lower_precision(layer: LocalLayer) -> None:
    x = example(layer)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer(x)
    assert out.dtype is torch.bfloat16
    close(out.float(), layer(x), torch.bfloat16)


def test_torch_compile_sees_one_graph(layer: LocalLayer) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    for batch in (2, 3):
        x = example(layer, batch).requires_grad_()
        (gradient,) = torch.autograd.grad(compiled(x).square().sum(), x)
        (expected,) = torch.autograd.grad(layer(x).square().sum(), x)
        close(gradient, expected)


def test_torch_func_per_example_gradients(layer: LocalLayer) -> None:
    parameters = {name: p.detach().double() for name, p in layer.named_parameters()}
    x = example(layer).double()

    def loss(parameters: dict[str, Tensor], one: Tensor) -> Tensor:
        return torch.func.functional_call(layer, parameters, (one,)).square().sum()

    stacked = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, x)
    for index in range(3):
        for name, gradient in torch.func.grad(loss)(parameters, x[index]).items():
            close(stacked[name][index], gradient, torch.float64)


def test_export_runs_at_any_batch_size_without_striate(layer: LocalLayer) -> None:
    x = example(layer, 2)
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(layer.eval(), (x,), dynamic_shapes=({0: batch},))
    for size in (1, 7):
        close(program.module()(example(layer, size) * 0 + 1), layer(example(layer, size) * 0 + 1))
    targets = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert all(t.startswith("aten.") or t == "<built-in function mul>" for t in targets), targets


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_onnx_gives_the_same_at_any_batch_size(layer: LocalLayer, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    file = tmp_path / "layer.onnx"
    shapes = ({0: torch.export.Dim("batch")},)
    torch.onnx.export(
        layer.eval(), (example(layer, 2),), file, dynamo=True, dynamic_shapes=shapes, verbose=False
    )
    session = runtime.InferenceSession(str(file))
    for size in (1, 7):
        x = example(layer, size)
        (out,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        close(torch.from_numpy(out), layer(x))


def test_calls_keep_no_grid_of_another_call() -> None:
    """Grids are kept from call to call; arguments that only look alike are not the same."""
    x, weight = torch.rand(1, 1, 4, 4), torch.rand(2, 2, 1, 1, 3, 3)
    functional.locally_connected2d(x, weight, stride=1)
    for wrong in (True, 1.0):
        with pytest.raises(TypeError, match="expected an integer"):
            functional.locally_connected2d(x, weight, stride=wrong)  # type: ignore[arg-type]
    as_list = functional.locally_connected2d(x, weight, stride=[1, 1])  # type: ignore[arg-type]
    assert torch.equal(as_list, functional.locally_connected2d(x, weight))
    ones = torch.ones(2, 1, 1, 3, 3)
    for numbers in ([[0, 1], [1, 0]], [[0, 0], [1, 0]]):
        for kind in (np.array, torch.tensor):
            out = functional.locally_connected2d(
                torch.ones(1, 1, 4, 4),
                ones * torch.tensor([1.0, 2.0]).view(2, 1, 1, 1, 1),
                share=kind(numbers),
            )
            assert torch.equal(out[0, 0], 9.0 + 9 * torch.tensor(numbers))


def test_the_meta_device_takes_no_memory(layer: LocalLayer) -> None:
    twin = copy.deepcopy(layer).to("meta")
    out = twin(example(layer).to("meta"))
    assert out.shape == layer(example(layer)).shape
    real = twin.to_empty(device="cpu")
    real.reset_parameters()
    if layer.sharing_map is not None:
        assert real.sharing_map is not None
        assert torch.equal(real.sharing_map, layer.sharing_map)
    assert all(p.isfinite().all() for p in real.parameters())


# -- saved states -----------------------------------------------------------------------------------


def test_copies_and_saved_weights_give_the_same_bits(layer: LocalLayer) -> None:
    x = example(layer)
    assert torch.equal(copy.deepcopy(layer)(x), layer(x))
    other = copy.deepcopy(layer)
    other.reset_parameters()
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(x), layer(x))
    other.reset_parameters()
    other.load_state_dict(safetensors.torch.load(safetensors.torch.save(layer.state_dict())))
    assert torch.equal(other(x), layer(x))
    whole = io.BytesIO()
    torch.save(layer, whole)
    whole.seek(0)
    assert torch.equal(torch.load(whole, weights_only=False)(x), layer(x))


def test_weights_of_another_map_are_refused() -> None:
    saved = LocallyConnected2d(2, 4, 3, (7, 8), share=TILES).state_dict()
    other = LocallyConnected2d(2, 4, 3, (7, 8), share=TILES[::-1].copy() % 4)
    assert saved["sharing_map"].dtype is torch.int32
    swapped = LocallyConnected2d(2, 4, 3, (7, 8), share=3 - TILES)
    with pytest.raises(RuntimeError, match="belong to another sharing map"):
        nn.Sequential(swapped).load_state_dict({f"0.{k}": v for k, v in saved.items()})
    other.load_state_dict(other.state_dict())


def test_the_state_has_a_version_and_older_ones_are_migrated() -> None:
    class Newer(LocallyConnected2d):
        _version = 2

        @classmethod
        def migrate(cls, state: dict[str, Tensor], version: int) -> None:
            assert version == 1
            state["weight"] = state["weight"] * 2

    old, new = LocallyConnected2d(1, 2, 3, 5), Newer(1, 2, 3, 5)
    state = nn.Sequential(old).state_dict()
    assert state._metadata["0"]["version"] == 1  # type: ignore[attr-defined]
    nn.Sequential(new).load_state_dict(state)
    assert torch.equal(new.weight, old.weight * 2)
    assert torch.equal(state["0.weight"], old.weight)
    new.load_state_dict(new.state_dict())
    with pytest.raises(
        RuntimeError, match="saved state is of version 2, this striate knows up to 1"
    ):
        old.load_state_dict(new.state_dict())
    new.load_state_dict(dict(old.state_dict()))  # no metadata: today's layout
    assert torch.equal(new.weight, old.weight)


OTHER_BLOCKS: list[tuple[Any, Any]] = [  # as many kernels, at other positions
    (
        lambda share: LocallyConnected1d(2, 4, 3, 9, share=share),
        (4, 5),
    ),
    (
        lambda share: LocallyConnected2d(2, 4, 3, (7, 8), share=share, bias=False),
        (3, (4, 3)),
    ),
    (
        lambda share: LocallyConnected3d(2, 4, 2, (6, 3, 3), share=share),
        ((3, "all", 1), (4, "all", 1)),
    ),
    (
        lambda share: LocallyConnectedTranspose2d(2, 4, 3, 5, share=share, bias="channel"),
        (3, 4),
    ),
    (
        lambda share: LowRankLocallyConnected2d(2, 4, 3, 7, 2, share=share),
        (3, 4),
    ),
    (
        lambda share: LowRankLocallyConnected2d(2, 4, 3, 7, 2, mixing="row+column", share=share),
        (3, 4),
    ),
]


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(("make", "shares"), OTHER_BLOCKS)
def test_weights_of_blocks_of_another_size_are_refused(
    make: Any, shares: Any, strict: bool
) -> None:
    one, other = map(make, shares)
    assert [p.shape for p in one.parameters()] == [p.shape for p in other.parameters()]
    file = io.BytesIO()
    torch.save(nn.Sequential(one).state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(
        RuntimeError, match=r"0\.weight: .*share=.* was saved, and the layer has share="
    ):
        nn.Sequential(other).load_state_dict(state, strict=strict)
    for name, tensor in other.state_dict().items():
        assert torch.equal(tensor, before[name])
    nn.Sequential(other).load_state_dict(dict(state))  # as from safetensors: nothing is known
    assert torch.equal(other.weight, one.weight)


def test_weights_of_as_many_blocks_on_another_size_are_refused() -> None:
    saved = LocallyConnected2d(1, 2, 3, 14, share=(4, "all")).state_dict()
    with pytest.raises(RuntimeError, match=r"share=\(4, 'all'\) on \(12, 12\) positions was saved"):
        LocallyConnected2d(1, 2, 3, 8, share=(2, "all")).load_state_dict(saved)
    # Along the axis that shares throughout another size is that of a convolution on a larger picture.
    LocallyConnected2d(1, 2, 3, (14, 20), share=(4, "all")).load_state_dict(saved)
    shared = LocallyConnected2d(1, 2, 3, 14, share="all")
    shared.load_state_dict(LocallyConnected2d(1, 2, 3, 8, share="all").state_dict())


def test_blocks_and_maps_are_not_mistaken_for_each_other() -> None:
    blocks = LocallyConnected1d(1, 2, 3, 6, share=2)
    mapped = LocallyConnected1d(1, 2, 3, 6, share=np.array([0, 1, 1, 0]))
    for into, out_of, said in (
        (blocks, mapped, "share='map' on"),
        (mapped, blocks, r"share=\(2,\)"),
    ):
        with pytest.raises(RuntimeError, match=f"{said}.* was saved"):
            into.load_state_dict(out_of.state_dict(), strict=False)


def test_a_lazy_layer_refuses_them_at_its_first_input() -> None:
    saved = LocallyConnected2d(2, 4, 3, 7, share=3).state_dict()
    wrong, right = LazyLocallyConnected2d(4, 3, share=4), LazyLocallyConnected2d(4, 3, share=3)
    for layer in (wrong, right):
        layer.load_state_dict(saved)
    with pytest.raises(ValueError, match=r"share=\(3, 3\) on \(5, 5\) positions was saved"):
        wrong(torch.zeros(1, 2, 7, 7))
    right(torch.zeros(1, 2, 7, 7))
    assert torch.equal(right.weight, saved["weight"])


def test_a_lazy_layer_that_refused_an_input_still_shares_as_it_was_asked_to() -> None:
    saved = LocallyConnected2d(2, 4, 3, 9, share=(1, "all"), bias=False).state_dict()
    layer = LazyLocallyConnected2d(4, 3, share=(1, "all"), bias=False)
    layer.load_state_dict(saved)
    with pytest.raises(ValueError, match="the loaded one has shape"):
        layer(torch.zeros(1, 2, 7, 7))
    assert layer(torch.zeros(1, 2, 9, 9)).shape == (1, 4, 7, 7)
    assert layer.blocks == (7, 1)


def test_a_state_from_before_the_record_loads() -> None:
    layer = LocallyConnected2d(2, 4, 3, 7, share=3)
    state = layer.state_dict()
    del state._metadata[""]["sharing"]  # type: ignore[attr-defined]
    LocallyConnected2d(2, 4, 3, 7, share=3).load_state_dict(state)
    layer.state_dict(destination={})  # has no place for metadata


# -- lazy ones --------------------------------------------------------------------------------------

LAZY: list[tuple[Any, type[LocalLayer], tuple[int, ...], dict[str, Any]]] = [
    (LazyLocallyConnected1d, LocallyConnected1d, (9,), {"share": 2}),
    (LazyLocallyConnected2d, LocallyConnected2d, (7, 8), {"share": TILES, "bias": "channel"}),
    (LazyLocallyConnected3d, LocallyConnected3d, (4, 3, 5), {"padding": "same", "bias": False}),
    (LazyLocallyConnectedTranspose1d, LocallyConnectedTranspose1d, (6,), {"stride": 2}),
    (LazyLocallyConnectedTranspose2d, LocallyConnectedTranspose2d, (5, 6), {"share": TILES}),
    (LazyLocallyConnectedTranspose3d, LocallyConnectedTranspose3d, (2, 3, 2), {"groups": 2}),
    (LazyLowRankLocallyConnected2d, LowRankLocallyConnected2d, (7, 8), {"rank": 2}),
    (
        LazyLowRankLocallyConnected2d,
        LowRankLocallyConnected2d,
        (7, 8),
        {"rank": 2, "mixing": "row+column", "bias": True},
    ),
]


@pytest.mark.parametrize(("lazy", "kind", "size", "options"), LAZY)
def test_lazy_layers_become_the_eager_ones_at_their_first_input(
    lazy: Any, kind: Any, size: tuple[int, ...], options: dict[str, Any]
) -> None:
    layer = lazy(6, 3, **options)
    assert layer.has_uninitialized_params()
    x = torch.randn(2, 4, *size)
    torch.manual_seed(5)
    out = layer(x)
    torch.manual_seed(5)
    eager = kind(4, 6, 3, size, **options)
    assert type(layer) is kind
    assert repr(layer) == repr(eager)
    assert {k: v.shape for k, v in layer.state_dict().items()} == {
        k: v.shape for k, v in eager.state_dict().items()
    }
    assert torch.equal(out, eager(x))
    again = lazy(6, 3, **options)
    again.load_state_dict(eager.state_dict())
    assert torch.equal(again(x[0]), eager(x[0]))
    assert type(again) is kind
    copied = copy.deepcopy(lazy(6, 3, **options))
    assert copied(x).shape == out.shape


def test_lazy_layers_say_what_is_wrong_at_once_or_at_the_first_input() -> None:
    for wrong, said in [
        ({"kernel_size": 0}, "LazyLocallyConnected2d: kernel_size=0"),
        ({"share": "some"}, "LazyLocallyConnected2d: share='some'"),
        ({"groups": 4}, "LazyLocallyConnected2d: groups=4 does not divide out_channels=6"),
        ({"padding": "same", "stride": 2}, "padding='same' with stride=(2, 2)"),
        ({"padding_mode": "odd"}, "padding_mode='odd'"),
        ({"bias": None}, "bias=None"),
    ]:
        with pytest.raises(ValueError, match="LazyLocallyConnected2d: ") as caught:
            LazyLocallyConnected2d(**{"out_channels": 6, "kernel_size": 3} | wrong)  # type: ignore[arg-type]
        assert said in str(caught.value)
    layer = LazyLocallyConnected2d(6, 3, groups=2)
    for shape, said in [
        ((8, 8), r"input of shape \(8, 8\): expected \(N, C, H, W\) or \(C, H, W\)"),
        ((1, 4, 2, 8), r"does not fit input_size=\(2, 8\)"),
        ((1, 3, 8, 8), "groups=2 does not divide in_channels=3"),
    ]:
        with pytest.raises(ValueError, match=said):
            layer(torch.zeros(shape))
        assert layer.has_uninitialized_params()
    layer(torch.zeros(1, 4, 8, 8))
    loaded = LazyLocallyConnected2d(6, 3, groups=2)
    loaded.load_state_dict(layer.state_dict())
    with pytest.raises(ValueError, match="the loaded one has shape"):
        loaded(torch.zeros(1, 4, 9, 9))


# -- wrong arguments --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (
            lambda: LocallyConnected1d(1, 1, 3, (8, 8)),
            ValueError,
            "LocallyConnected1d: input_size=(8, 8)",
        ),
        (lambda: LocallyConnected3d(1, 1, (3, 3), 8), ValueError, "kernel_size=(3, 3): expected"),
        (
            lambda: LocallyConnected2d(1, 1, 3, 8, share=TILES),
            ValueError,
            "map of shape (5, 6): expected (6",
        ),
        (lambda: LocallyConnected2d(1, 1, 3, 8, padding_mode="x"), ValueError, "padding_mode='x'"),
        (
            lambda: LocallyConnectedTranspose2d(1, 1, 3, 8, padding="same"),  # type: ignore[arg-type]
            TypeError,
            "LocallyConnectedTranspose2d: padding='same': expected an integer >= 0 or two",
        ),
        (lambda: LocallyConnectedTranspose2d(1, 1, 3, 8, 2, 0, 2), ValueError, "output_padding=2"),
        (
            lambda: LocallyConnectedTranspose2d(1, 3, 3, 8, groups=2),
            ValueError,
            "groups=2 does not",
        ),
        (
            lambda: LocallyConnectedTranspose2d(1, 1, 3, 8, bias="all"),
            ValueError,
            "one per output position",
        ),
        (
            lambda: LowRankLocallyConnected2d(1, 1, 3, 8, 0),
            ValueError,
            "rank=0: expected an integer",
        ),
        (
            lambda: LowRankLocallyConnected2d(1, 1, 3, 8, 2, mixing="any"),
            ValueError,
            "mixing='any'",
        ),
        (
            lambda: LowRankLocallyConnected2d(
                1, 1, 3, 8, 2, mixing="row+column", share=np.zeros((6, 6), int)
            ),
            ValueError,
            "mixing='row+column' with a sharing map",
        ),
        (lambda: LocallyConnected2d(2**40, 2**40, 3, 8), ValueError, "more than 63 bits can count"),
        (lambda: LocallyConnected2d(1, 2**61, 3, 8, share="all"), ValueError, "more than 63 bits"),
        (
            lambda: LocallyConnected2d(2**14, 2**14, 3, 300),
            ValueError,
            "GB of memory; use a larger share",
        ),
        (lambda: LocallyConnected2d(1, 1, 1, 2**33), ValueError, "more than 63 bits can count"),
    ],
)
def test_wrong_arguments(make: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error) as caught:
        make()
    assert said in str(caught.value)
    assert "ocallyConnected" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: functional.locally_connected2d(
                torch.zeros(1, 0, 4, 4), torch.zeros(2, 2, 3, 0, 3, 3)
            ),
            "locally_connected2d: input of shape (1, 0, 4, 4): expected sizes >= 1 but for the batch",
        ),
        (
            lambda: functional.locally_connected1d(torch.zeros(2, 0), torch.zeros(1, 1, 2, 3)),
            "locally_connected1d: input of shape (2, 0): expected sizes >= 1",
        ),
        (
            lambda: functional.locally_connected2d(
                torch.zeros(1, 2, 4, 4), torch.zeros(2, 2, 0, 2, 3, 3)
            ),
            "locally_connected2d: weight of shape (2, 2, 0, 2, 3, 3): expected sizes >= 1",
        ),
        (
            lambda: functional.locally_connected2d(
                torch.zeros(1, 2, 4, 4), torch.zeros(2, 2, 1, 2, 0, 3)
            ),
            "locally_connected2d: weight of shape (2, 2, 1, 2, 0, 3): expected sizes >= 1",
        ),
        (
            lambda: functional.locally_connected_transpose2d(
                torch.zeros(1, 2, 4, 4), torch.zeros(4, 4, 2, 0, 3, 3)
            ),
            "locally_connected_transpose2d: weight of shape (4, 4, 2, 0, 3, 3): expected sizes >= 1",
        ),
        (
            lambda: functional.low_rank_locally_connected2d(
                torch.zeros(1, 2, 4, 4), torch.zeros(0, 3, 2, 3, 3), torch.zeros(2, 2, 0)
            ),
            "low_rank_locally_connected2d: bank of shape (0, 3, 2, 3, 3): expected sizes >= 1",
        ),
        (
            lambda: LazyLocallyConnected2d(4, 3)(torch.zeros(1, 0, 8, 8)),
            "LazyLocallyConnected2d: in_channels=0: expected an integer >= 1",
        ),
        (
            lambda: LazyLocallyConnectedTranspose2d(4, 3)(torch.zeros(1, 2, 0, 8)),
            "LazyLocallyConnectedTranspose2d: input_size=(0, 8): expected an integer >= 1",
        ),
        (
            lambda: LocallyConnectedTranspose1d(1, 0, 3, 8),
            "LocallyConnectedTranspose1d: out_channels=0: expected an integer >= 1",
        ),
        (
            lambda: LowRankLocallyConnected2d(1, 1, 3, (8, 0), 2),
            "LowRankLocallyConnected2d: input_size=(8, 0): expected an integer >= 1",
        ),
        (
            lambda: LowRankLocallyConnected2d(1, 1, 9, 8, 2),
            "LowRankLocallyConnected2d: kernel_size=(9, 9) does not fit input_size=(8, 8) with padding=0",
        ),
    ],
)
def test_nothing_is_no_size(call: Any, said: str) -> None:
    with pytest.raises(ValueError, match="onnected") as caught:
        call()
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("kind", [LocallyConnected2d, LazyLocallyConnected2d])
def test_a_device_that_is_none(kind: Any) -> None:
    sizes = (1, 2, 3, 8) if kind is LocallyConnected2d else (2, 3)
    with pytest.raises(TypeError, match=rf"^{kind.__name__}: device=3.5: expected a torch.device"):
        kind(*sizes, device=3.5)
    with pytest.raises(RuntimeError, match="device string: foo"):  # torch's, which names the value
        kind(*sizes, device="foo")


PICTURE, KERNEL = torch.zeros(1, 2, 8, 8), torch.zeros(1, 1, 4, 2, 3, 3)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: LocallyConnected2d(2, 4, 3, 8, padding=10**6, share="all"),
            "LocallyConnected2d: input_size=(8, 8) of 2 channels with padding=((1000000, 1000000), ",
        ),
        (
            lambda: LocallyConnected1d(1, 1, 3, 8, padding=10**12, dilation=10**12),
            "LocallyConnected1d: input_size=(8,) of 1 channels with padding=((1000000000000, ",
        ),
        (
            lambda: LocallyConnected2d(2, 4, 3, 10**6, share="all"),
            "LocallyConnected2d: input_size=(1000000, 1000000) of 2 channels takes 8,000.0 GB",
        ),
        (
            lambda: LocallyConnected2d(1, 2**22, 1, 10**4, share="all"),
            "LocallyConnected2d: output_size=(10000, 10000) of 4194304 channels takes",
        ),
        (
            lambda: LocallyConnectedTranspose2d(2, 4, 3, 8, dilation=10**6, share="all"),
            "LocallyConnectedTranspose2d: output_size=(2000008, 2000008) of 4 channels takes",
        ),
        (
            lambda: LocallyConnectedTranspose2d(2, 4, 3, 8, padding=10**6, dilation=10**6),
            "LocallyConnectedTranspose2d: output_size=(8, 8) of 4 channels with padding=((1000000, ",
        ),
        (
            lambda: LowRankLocallyConnected2d(2, 4, 3, 8, 2, padding=10**6, share="all"),
            "LowRankLocallyConnected2d: input_size=(8, 8) of 2 channels with padding=((1000000, ",
        ),
        (
            lambda: LazyLocallyConnected2d(4, 3, padding=10**6, share="all")(PICTURE),
            "LazyLocallyConnected2d: input_size=(8, 8) of 2 channels with padding=((1000000, ",
        ),
        (
            lambda: functional.locally_connected2d(PICTURE, KERNEL, padding=10**6, share="all"),
            "locally_connected2d: input_size=(8, 8) of 2 channels with padding=((1000000, 1000000)",
        ),
        (
            lambda: functional.locally_connected2d(
                PICTURE[:, :, :1, :1].expand(10**6, 2, 1000, 1000),
                KERNEL[..., :1, :1],
                share="all",
            ),
            "locally_connected2d: input_size=(1000, 1000) of 1000000 examples of 2 channels takes",
        ),
        (
            lambda: functional.locally_connected_transpose2d(
                PICTURE, KERNEL.transpose(2, 3), stride=10**6, share="all"
            ),
            "locally_connected_transpose2d: output_size=(7000003, 7000003) of 4 channels takes",
        ),
        (
            lambda: functional.low_rank_locally_connected2d(
                PICTURE,
                torch.zeros(1).expand(2**20, 4, 2, 3, 3),
                torch.zeros(1).expand(1, 1, 2**20),
                padding=1000,
                share="all",
            ),
            "low_rank_locally_connected2d: output_size=(2006, 2006) of 4194304 channels takes",
        ),
    ],
)
def test_what_no_memory_holds_is_refused_before_it_is_allocated(call: Any, said: str) -> None:
    with pytest.raises(ValueError, match=r"GB of memory; use smaller sizes or padding") as caught:
        call()
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("name", ["stride", "dilation", "padding"])
def test_numbers_of_more_than_63_bits_are_refused(name: str) -> None:
    weight = torch.zeros(1, 1, 4, 2, 1, 1)
    for kind in (LocallyConnected2d, LocallyConnectedTranspose2d):
        with pytest.raises(ValueError, match=r"63 bits|leaves no output"):
            kind(2, 4, 1, 8, share="all", **{name: 2**63}, device="meta")
    with pytest.raises(ValueError, match=rf"^locally_connected2d: .*{name}=.* 63 bits"):
        functional.locally_connected2d(PICTURE, weight, share="all", **{name: 2**63})  # type: ignore[arg-type]


def test_what_no_memory_holds_may_be_counted_on_the_meta_device() -> None:
    empty = torch.zeros(1, 2, 8, 8, device="meta")
    large = LocallyConnected2d(2, 4, 3, 8, padding=10**6, share="all", device="meta")
    assert large(empty).shape == (1, 4, 2000006, 2000006)
    with FakeTensorMode():
        fake = functional.locally_connected2d(
            torch.zeros(1, 2, 8, 8), torch.zeros(1, 1, 4, 2, 3, 3), padding=10**6, share="all"
        )
    assert fake.shape == large(empty).shape
    assert LocallyConnected2d(2**14, 2**14, 3, 300, device="meta").weight.numel() > 10**14


def test_an_input_of_another_shape_is_refused(layer: LocalLayer) -> None:
    sizes = ", ".join(map(str, (layer.in_channels, *layer.input_size)))
    for shape in [(2, 3, *layer.input_size), layer.input_size, (2, 2, 2, 2, 2, 2)]:
        with pytest.raises(ValueError, match="input of shape") as caught:
            layer(torch.zeros(shape))
        assert f"expected (N, {sizes}) or ({sizes})" in str(caught.value)


@pytest.mark.parametrize(
    ("pack", "layout"),
    [
        (Tensor.to_sparse, "torch.sparse_coo"),
        (lambda t: t.flatten(1).to_sparse_csr(), "torch.sparse_csr"),
        (Tensor.to_mkldnn, "torch._mkldnn"),
    ],
)
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_an_input_that_is_not_dense_is_refused(layer: LocalLayer, pack: Any, layout: str) -> None:
    x = example(layer)
    said = rf"^{type(layer).__name__}: input is {re.escape(layout)}: expected a dense tensor .* input\.to_dense\(\)"
    for call in (layer, layer.backend):
        with pytest.raises(TypeError, match=said):
            call(pack(x))


def test_weights_that_are_not_dense_are_refused() -> None:
    x, weight, bias = torch.rand(1, 2, 4, 4), torch.rand(2, 2, 3, 2, 3, 3), torch.rand(2, 2, 3)
    bank, mixing = torch.rand(2, 3, 2, 3, 3), torch.rand(2, 2, 2)
    for name, call in {
        "weight": lambda: functional.locally_connected2d(x, weight.to_sparse()),
        "bias": lambda: functional.locally_connected2d(x, weight, bias.to_sparse()),
        "input": lambda: functional.locally_connected_transpose2d(x.to_sparse(), weight),
        "bank": lambda: functional.low_rank_locally_connected2d(x, bank.to_sparse(), mixing),
        "mixing": lambda: functional.low_rank_locally_connected2d(x, bank, mixing.to_sparse()),
    }.items():
        with pytest.raises(
            TypeError, match=rf"2d: {name} is torch\.sparse_coo: .* {name}\.to_dense"
        ):
            call()
    with pytest.raises(TypeError, match=r"LazyLocallyConnected2d: input is torch\.sparse_coo"):
        LazyLocallyConnected2d(3, 3)(x.to_sparse())
    layer = LocallyConnected2d(2, 3, 3, 4)
    layer.weight = nn.Parameter(layer.weight.detach().to_sparse())
    with pytest.raises(TypeError, match=r"weight is torch\.sparse_coo"):
        layer(x)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: functional.locally_connected1d(
                torch.zeros(1, 2, 8), torch.zeros(6, 4, 2, 3, 3)
            ),
            "locally_connected1d: weight of shape (6, 4, 2, 3, 3): expected (block positions, outputs, "
            "inputs/groups, positions)",
        ),
        (
            lambda: functional.locally_connected3d(
                torch.zeros(1, 2, 4, 4, 4),
                torch.zeros(5, 3, 2, 2, 2, 2),
                share=np.zeros((3, 3, 3), int),
            ),
            "locally_connected3d: weight of shape (5, 3, 2, 2, 2, 2) has 5 kernels, but share names 1 "
            "kernels for the 3×3×3 output positions",
        ),
        (
            lambda: functional.locally_connected_transpose2d(
                torch.zeros(1, 3, 4, 4), torch.zeros(4, 4, 2, 1, 3, 3)
            ),
            "expected 3 input channels, as the input of shape (1, 3, 4, 4) has",
        ),
        (
            lambda: functional.locally_connected_transpose1d(
                torch.zeros(1, 3, 4), torch.zeros(4, 3, 2, 3), torch.zeros(6, 3)
            ),
            "bias of shape (6, 3): expected (6, 2) (one per position) or (2,) (one per channel)",
        ),
        (
            lambda: functional.low_rank_locally_connected2d(
                torch.zeros(1, 3, 4, 4), torch.zeros(2, 5, 3, 3, 3), torch.zeros(2, 3, 2)
            ),
            "mixing of shape (2, 3, 2): expected (2, 2, 2)",
        ),
        (
            lambda: functional.low_rank_locally_connected2d(
                torch.zeros(1, 3, 4, 4), torch.zeros(5, 3, 3, 3), torch.zeros(2, 2, 2)
            ),
            "bank of shape (5, 3, 3, 3): expected (rank, outputs, inputs/groups, rows, columns)",
        ),
        (
            lambda: functional.low_rank_locally_connected2d(
                torch.zeros(1, 4, 4, 4), torch.zeros(2, 5, 3, 3, 3), torch.zeros(2, 2, 2)
            ),
            "expected outputs divisible by groups and 4/groups input channels",
        ),
    ],
)
def test_the_functions_refuse_what_does_not_belong_together(call: Any, said: str) -> None:
    with pytest.raises(ValueError, match="loc") as caught:
        call()
    assert said in str(caught.value)
