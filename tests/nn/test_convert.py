"""Convolutions, dense layers and other degrees of sharing, to locally connected layers and back."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from striate.geometry import LocalGrid, input_of_tap, kernel_of_position
from striate.nn import (
    LazyLocallyConnected2d,
    LocallyConnected1d,
    LocallyConnected2d,
    LocallyConnected3d,
    LocallyConnectedTranspose1d,
    LocallyConnectedTranspose2d,
    LowRankLocallyConnected2d,
)
from striate.nn.convert import from_conv, from_linear, lift, project, to_conv
from striate.nn.layer import LocalLayer
from tests.grids import draw, grids, share_of
from tests.tolerances import CLOSE

EXACT = CLOSE[torch.float64]
TILES = np.arange(6)[:, None] % 2 * 2 + np.arange(6) % 2
QUARTERS = np.arange(6)[:, None] // 3 * 2 + np.arange(6) // 3
LOCAL = {1: LocallyConnected1d, 2: LocallyConnected2d, 3: LocallyConnected3d}


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, **EXACT)


def of_grid(grid: LocalGrid, bias: Any = True, groups: int = 1, share: Any = None) -> LocalLayer:
    return LOCAL[grid.axes](
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
        share=share_of(grid) if share is None else share,
        dtype=torch.float64,
    )


# -- convolutions -----------------------------------------------------------------------------------

CONVOLUTIONS: list[tuple[nn.Module, tuple[int, ...]]] = [
    (nn.Conv1d(2, 4, 3, 2, 1, bias=False, dtype=torch.float64), (9,)),
    (nn.Conv2d(4, 6, (3, 2), padding="same", groups=2, dtype=torch.float64), (7, 8)),
    (nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect", dtype=torch.float64), (7, 8)),
    (nn.Conv3d(1, 2, 2, dilation=2, dtype=torch.float64), (4, 5, 3)),
    (nn.ConvTranspose1d(2, 4, 3, 2, 1, 1, dtype=torch.float64), (5,)),
    (nn.ConvTranspose2d(4, 6, 3, 2, groups=2, dilation=2, bias=False, dtype=torch.float64), (4, 3)),
    (nn.ConvTranspose3d(2, 1, 2, 2, dtype=torch.float64), (2, 3, 2)),
]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize(("conv", "size"), CONVOLUTIONS, ids=lambda value: str(value))
@pytest.mark.parametrize("share", [1, 2, "all"])
@pytest.mark.parametrize("bias", [True, "channel"])
def test_a_convolution_goes_there_and_back(
    conv: Any, size: tuple[int, ...], share: Any, bias: Any
) -> None:
    layer = from_conv(conv.eval(), size, share, bias=bias)
    x = draw(2, conv.in_channels, *size)
    close(layer(x), conv(x))
    assert not layer.training
    conv.train()
    assert layer.weight.data_ptr() != conv.weight.data_ptr()
    shared = project(layer, share="all")
    again = to_conv(shared)
    assert repr(again) == repr(conv).replace("padding=same", "padding=same")
    for name, parameter in conv.named_parameters():
        close(getattr(again, name), parameter)
    if share == 1:
        with pytest.raises(ValueError, match=r"to_conv: the layer has \d+ kernels: expected one"):
            to_conv(layer)


def test_the_class_method_of_the_contract() -> None:
    conv = nn.Conv2d(3, 8, 3, padding=1)
    layer = LocallyConnected2d.from_conv(conv, input_size=(6, 6), share=QUARTERS)
    assert type(layer) is LocallyConnected2d
    assert layer.weight.shape == (4, 8, 3, 3, 3)
    torch.testing.assert_close(layer(torch.ones(1, 3, 6, 6)), conv(torch.ones(1, 3, 6, 6)))
    assert project(layer, share="all").to_conv().weight.shape == conv.weight.shape
    with pytest.raises(TypeError, match=r"conv=Conv2d: that is a LocallyConnected2d"):
        LocallyConnectedTranspose2d.from_conv(conv, input_size=(6, 6))


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (
            lambda: from_conv(nn.Linear(2, 2), 8),
            TypeError,
            "from_conv: conv=Linear: expected a Conv1d",
        ),
        (
            lambda: from_conv(nn.LazyConv2d(2, 2), 8),
            ValueError,
            "conv is lazy and has no weights yet",
        ),
        (
            lambda: from_conv(nn.Conv2d(1, 1, 3), 8, bias=False),
            ValueError,
            "bias=False: expected True or",
        ),
        (lambda: from_conv(nn.Conv2d(1, 1, 3), 2), ValueError, "does not fit input_size=(2, 2)"),
        (lambda: from_conv(nn.Conv2d(1, 1, 3), 8, "most"), ValueError, "share='most': expected"),
        (lambda: to_conv(nn.Linear(2, 2)), TypeError, "to_conv: layer=Linear: expected"),  # type: ignore[arg-type]
        (lambda: to_conv(LowRankLocallyConnected2d(1, 1, 3, 5, 1)), ValueError, "lift(layer)"),
        (
            lambda: to_conv(
                LocallyConnected2d(
                    1, 1, 3, 5, 1, 1, share="all", padding_mode=("zeros", "circular")
                )
            ),
            ValueError,
            "padding_mode=('zeros', 'circular'): a convolution has one for all axes",
        ),
    ],
)
def test_what_is_no_convolution(call: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert said in str(caught.value)


# -- dense layers -----------------------------------------------------------------------------------


def dense(layer: LocalLayer) -> nn.Linear:
    """The Linear that computes what the layer does: its outputs for each unit of the input."""
    inputs = layer.in_channels * int(np.prod(layer.input_size))
    outputs = layer.out_channels * int(np.prod(layer.output_size))
    linear = nn.Linear(inputs, outputs, bias=layer.bias is not None, dtype=torch.float64)
    units = torch.eye(inputs, dtype=torch.float64).view(
        inputs, layer.in_channels, *layer.input_size
    )
    with torch.no_grad():
        nothing = layer(torch.zeros_like(units[:1])).flatten(1)
        linear.weight.copy_((layer(units).flatten(1) - nothing).T)
        if layer.bias is not None:
            linear.bias.copy_(nothing[0])
    return linear


def arguments(layer: Any) -> dict[str, Any]:
    names = ("in_channels", "out_channels", "kernel_size", "input_size", "stride", "padding")
    more = ("dilation", "groups", "padding_mode", "share")
    return {name: getattr(layer, name) for name in names + more}


@settings(max_examples=40)
@given(grids(modes=("zeros",)), st.integers(1, 2), st.sampled_from([True, False, "channel"]))
def test_a_dense_layer_that_fits_the_windows_is_taken_over(
    grid: LocalGrid, groups: int, bias: Any
) -> None:
    layer = of_grid(grid, bias, groups)
    taken = from_linear(dense(layer), **arguments(layer), bias=bias or True)
    x = draw(3, layer.in_channels, *grid.input_size)
    close(taken(x), layer(x))
    # Taps that no position has inside the input say nothing; the others are the layer's.
    seen = np.zeros((grid.kernels, int(np.prod(grid.kernel_size))), bool)
    np.logical_or.at(seen, kernel_of_position(grid), input_of_tap(grid) >= 0)
    shape = (grid.kernels, layer.out_channels, 2, -1)
    mask = torch.from_numpy(seen)[:, None, None]
    close(taken.weight.view(shape), layer.weight.view(shape) * mask)


def test_a_dense_layer_that_does_not_fit_says_how_far_and_where() -> None:
    layer = LocallyConnected2d(2, 4, 3, (5, 4), groups=2, share=(1, "all"), dtype=torch.float64)
    linear = dense(layer)

    def said(change: Any, **options: Any) -> str:
        other = dense(layer)
        with torch.no_grad():
            change(other)
        with pytest.raises(ValueError, match="from_linear: the ") as caught:
            from_linear(other, **arguments(layer) | options)
        return str(caught.value)

    def unit(channel: int, row: int, column: int, size: tuple[int, int]) -> int:
        return int(np.ravel_multi_index((channel, row, column), (9, *size)))

    out, into = unit(1, 2, 1, (3, 2)), unit(0, 0, 3, (5, 4))
    text = said(lambda m: m.weight[out, into].fill_(7.5))
    assert (
        "from input (channel 0, position (0, 3)) to output (channel 1, position (2, 1)) is 7.5"
        in text
    )
    assert "outside the window there, so the layer has 0; of all squared weights" in text
    assert "% do not fit; use a larger kernel_size or a smaller share" in text
    crossing = unit(1, 2, 1, (5, 4))
    text = said(lambda m: m.weight[unit(0, 2, 1, (3, 2)), crossing].fill_(7.5))
    assert "between two of the 2 groups" in text
    own = unit(0, 2, 1, (5, 4))
    text = said(lambda m: m.weight[out, own].add_(1))
    assert "but the kernel that is shared there has" in text
    text = said(lambda m: m.bias[out].add_(1))
    assert "the bias of output (channel 1, position (2, " in text
    with torch.no_grad():
        linear.weight[out, into] = 1e-9
    from_linear(linear, **arguments(layer))
    with pytest.raises(ValueError, match="from_linear: the weight from"):
        from_linear(linear, **arguments(layer), tolerance=0)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"linear": nn.Conv2d(1, 1, 1)}, TypeError, "linear=Conv2d: expected a torch.nn.Linear"),
        ({"input_size": 4}, ValueError, "input_size=4: expected a tuple of one to three sizes"),
        (
            {"in_channels": 2},
            ValueError,
            "linear.in_features=16: expected 32, 2 channels of (4, 4)",
        ),
        (
            {"out_channels": 2},
            ValueError,
            "linear.out_features=4: expected 8, 2 channels of (2, 2)",
        ),
        ({"bias": False}, ValueError, "bias=False: expected True or 'channel'"),
        ({"kernel_size": 9}, ValueError, "from_linear: kernel_size=(9, 9) does not fit"),
        (
            {"padding": 1, "stride": 2, "padding_mode": "replicate", "kernel_size": 4},
            ValueError,
            "lets the window at output position (0, 0) read an input twice",
        ),
    ],
    ids=str,
)
def test_wrong_dense_layers(change: Any, error: type[Exception], said: str) -> None:
    right = {
        "linear": nn.Linear(16, 4),
        "in_channels": 1,
        "out_channels": 1,
        "kernel_size": 3,
        "input_size": (4, 4),
    }
    with pytest.raises(error) as caught:
        from_linear(**right | change)
    assert said in str(caught.value)


# -- to a richer sharing ----------------------------------------------------------------------------


def refinements(grid: LocalGrid) -> st.SearchStrategy[Any]:
    """Sharings that part the grid's blocks: no sharing, or each kernel's positions in two."""
    numbers = kernel_of_position(grid) * 2 + np.arange(int(np.prod(grid.output_size))) % 2
    halves = np.unique(numbers, return_inverse=True)[1].reshape(grid.output_size)
    return st.sampled_from([1, halves, share_of(grid)])


@settings(max_examples=50)
@given(grids(), st.integers(1, 2), st.sampled_from([True, False, "channel"]), st.data())
def test_lifting_changes_nothing(
    grid: LocalGrid, groups: int, bias: Any, data: st.DataObject
) -> None:
    layer = of_grid(grid, bias, groups)
    lifted = lift(layer, share=data.draw(refinements(grid)))
    x = draw(2, layer.in_channels, *grid.input_size)
    close(lifted(x), layer(x))
    back = project(lifted, share=share_of(grid))
    for name, parameter in layer.named_parameters():
        close(getattr(back, name), parameter)


@pytest.mark.parametrize("bias", [True, "channel", False])
def test_lifting_transposed_layers(bias: Any) -> None:
    layer = LocallyConnectedTranspose2d(
        2, 4, 3, (6, 5), 2, 1, 1, 2, bias, share=(4, "all"), dtype=torch.float64
    )
    lifted = lift(layer, share=2)
    assert lifted.blocks == (3, 3)
    close(lifted(draw(2, 2, 6, 5)), layer(draw(2, 2, 6, 5)))
    back = project(lifted, share=(4, "all"))
    for name, parameter in layer.named_parameters():
        close(getattr(back, name), parameter)


@pytest.mark.parametrize("mixing", ["free", "row+column"])
@pytest.mark.parametrize("bias", [True, "channel", False])
def test_a_low_rank_layer_lifts_to_a_local_one(mixing: str, bias: Any) -> None:
    layer = LowRankLocallyConnected2d(
        2, 4, 3, 8, 3, bias=bias, groups=2, share=2, mixing=mixing, dtype=torch.float64
    )
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(draw(*parameter.shape, seed=parameter.numel()))
    for new in (lift(layer), *([] if bias is True else [lift(layer, share=2)])):
        assert isinstance(new, LocallyConnected2d)
        close(new(draw(2, 2, 8, 8)), layer(draw(2, 2, 8, 8)))


def test_lifting_needs_a_richer_sharing() -> None:
    layer = LocallyConnected2d(1, 1, 3, 8, share=2)
    with pytest.raises(ValueError, match="lift: share=3 gives positions") as caught:
        lift(layer, share=3)
    assert "positions (0, 0) and (0, 2) one kernel, which have two in the layer" in str(
        caught.value
    )
    assert "project(layer, share=3)" in str(caught.value)
    with pytest.raises(ValueError, match="lift: share=0"):
        lift(layer, share=0)
    with pytest.raises(TypeError, match="lift: layer=Linear"):
        lift(nn.Linear(2, 2))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="lift: the layer is lazy"):
        lift(LazyLocallyConnected2d(1, 3))


# -- to a poorer one --------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [2, (3, "all"), "all", TILES, QUARTERS], ids=str)
def test_without_inputs_a_kernel_is_the_mean_of_those_at_its_positions(share: Any) -> None:
    layer = LocallyConnected2d(2, 3, 3, 8, share=(1, 2), dtype=torch.float64)
    new = project(layer, share=share)
    numbers, old = kernel_of_position(new.grid), kernel_of_position(layer.grid)
    for name in ("weight", "bias"):
        before = getattr(layer, name).detach().flatten(0, 1)
        after = getattr(new, name).detach().flatten(0, len(new.blocks) - 1)
        for kernel in range(new.grid.kernels):
            close(after[kernel], before[old[numbers == kernel]].mean(0))


@settings(max_examples=30, deadline=None)
@given(grids(), st.sampled_from([True, False, "channel"]), st.integers(1, 2), st.data())
def test_with_inputs_the_error_is_the_least_there_is(
    grid: LocalGrid, bias: Any, groups: int, data: st.DataObject
) -> None:
    """Against one least squares problem over all parameters, solved at once."""
    layer = of_grid(grid, bias, groups, share=1)
    inputs = draw(data.draw(st.sampled_from([1, 6])), layer.in_channels, *grid.input_size, seed=4)
    new = project(layer, share_of(grid), inputs)
    error = float((new(inputs) - layer(inputs)).detach().square().sum())
    parameters = {name: p.detach() for name, p in new.named_parameters()}

    def run(flat: Tensor) -> Tensor:
        sizes = [p.numel() for p in parameters.values()]
        parts = zip(parameters.items(), flat.split(sizes), strict=True)
        shaped = {name: part.view(old.shape) for (name, old), part in parts}
        out: Tensor = torch.func.functional_call(new, shaped, (inputs,))
        return out.flatten()

    count = sum(p.numel() for p in parameters.values())
    assume(count < 400)
    design = torch.func.jacrev(run)(torch.zeros(count, dtype=torch.float64))
    wanted = layer(inputs).detach().flatten()
    best = torch.linalg.lstsq(design, wanted[:, None], driver="gelsd").solution
    least = float((design @ best - wanted[:, None]).square().sum())
    assert error == pytest.approx(least, rel=1e-7, abs=1e-16 + 1e-18 * float(wanted.square().sum()))
    mean = project(layer, share_of(grid))
    assert (
        error <= float((mean(inputs) - layer(inputs)).detach().square().sum()) * (1 + 1e-9) + 1e-16
    )


@pytest.mark.parametrize("bias", [True, False, "channel"])
def test_of_several_best_ones_it_is_the_nearest_to_the_means(bias: Any) -> None:
    layer = LocallyConnected1d(2, 2, 3, 9, bias=bias, dtype=torch.float64)
    nothing = project(layer, 2, torch.zeros(4, 2, 9, dtype=torch.float64))
    mean = project(layer, 2)
    close(nothing.weight, mean.weight)
    assert nothing.weight.isfinite().all()


def test_many_rows_are_reduced_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = LocallyConnected2d(2, 3, 3, 8, bias="channel", dtype=torch.float64)
    inputs = draw(20, 2, 8, 8)
    whole = project(layer, "all", inputs)
    monkeypatch.setattr("striate.nn.convert.sharing._ROWS", 50)
    parts = project(layer, "all", inputs)
    close(parts.weight, whole.weight)
    assert parts.bias is not None
    assert whole.bias is not None
    close(parts.bias, whole.bias)


@pytest.mark.parametrize("bias", [True, False, "channel"])
@pytest.mark.parametrize("share", ["all", 2, (1, "all")], ids=str)
def test_a_transposed_layer_is_fitted_too(bias: Any, share: Any) -> None:
    layer = LocallyConnectedTranspose1d(2, 2, 4, 6, 2, 1, bias=bias, dtype=torch.float64)
    share = share[1] if isinstance(share, tuple) else share
    inputs = draw(30, 2, 6)
    new, mean = project(layer, share, inputs), project(layer, share)
    missing = (new(inputs) - layer(inputs)).square().sum()
    assert missing < (mean(inputs) - layer(inputs)).square().sum()
    # At the least error, no parameter has a slope.
    scale = float(layer(inputs).detach().square().sum())
    for slope in torch.autograd.grad(missing, list(new.parameters())):
        assert float(slope.abs().max()) < 1e-8 * scale


def test_the_type_and_the_mode_are_kept_and_the_layer_is_left_alone() -> None:
    layer = LocallyConnected2d(1, 2, 3, 6).eval()
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    state = torch.get_rng_state()
    for new in (project(layer, 2), project(layer, 2, torch.rand(8, 1, 6, 6)), lift(layer)):
        assert new.weight.dtype is torch.float32
        assert not new.training
        assert new.weight.requires_grad
        assert new.weight.is_contiguous()
        new.weight.data.zero_()
    for name, tensor in layer.state_dict().items():
        assert torch.equal(tensor, before[name])
    torch.set_rng_state(state)
    expected = torch.rand(8, 1, 6, 6)
    torch.set_rng_state(state)
    project(layer, 2)
    assert torch.equal(torch.rand(8, 1, 6, 6), expected)


def test_wrong_inputs_to_fit_on() -> None:
    layer = LocallyConnected2d(1, 2, 3, 6)
    with pytest.raises(
        ValueError, match=r"project: LocallyConnected2d: input of shape \(8, 1, 5, 5\)"
    ):
        project(layer, 2, torch.rand(8, 1, 5, 5))
    with pytest.raises(TypeError, match="project: inputs=list: expected a Tensor"):
        project(layer, 2, [1.0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="project: share=-1"):
        project(layer, -1)


def test_maps_travel_with_the_weights() -> None:
    layer = project(LocallyConnected2d(1, 2, 3, 8), TILES)
    assert layer.sharing_map is not None
    assert layer.sharing_map.tolist() == TILES.tolist()
    assert not layer.sharing_map.is_meta
    assert all(
        lift(layer).weight[i, j].equal(layer.weight[TILES[i, j]])
        for i, j in product(range(6), repeat=2)
    )
