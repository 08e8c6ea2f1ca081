"""The account of the locally connected layers: against their grids, and what a layer of ones adds up to."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from striate.geometry import LocalGrid
from striate.ledger import count
from striate.ledger.rows import Layer
from striate.nn import (
    LocallyConnected1d,
    LocallyConnected2d,
    LocallyConnected3d,
    LocallyConnectedTranspose1d,
    LocallyConnectedTranspose2d,
    LocallyConnectedTranspose3d,
    LowRankLocallyConnected2d,
)
from striate.nn.layer import LocalLayer
from tests.grids import grids, share_of, transposed_grids

LOCAL = {1: LocallyConnected1d, 2: LocallyConnected2d, 3: LocallyConnected3d}
TRANSPOSED = {
    1: LocallyConnectedTranspose1d,
    2: LocallyConnectedTranspose2d,
    3: LocallyConnectedTranspose3d,
}


def row(layer: LocalLayer, batch: int = 2) -> Layer:
    ledger = count(layer, (batch, layer.in_channels, *layer.input_size))
    assert ledger.status == "complete"
    (found,) = ledger.layers
    assert found.params == sum(p.numel() for p in layer.parameters())
    bias = 0 if layer.bias is None else layer.bias.numel()
    assert (found.weights, found.bias) == (found.params - bias, bias)
    units = (
        prod(layer.input_size) * layer.in_channels * prod(layer.output_size) * layer.out_channels
    )
    assert found.dense_params == units
    assert found.sharing_factor == pytest.approx(found.connections / found.weights)
    return found


def ones(layer: LocalLayer) -> int:
    """All ones: the outputs add up to the connections whose tap falls on the input."""
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.fill_(0.0 if name == "bias" else 1.0)
        x = torch.ones(1, layer.in_channels, *layer.input_size, dtype=torch.double)
        return round(float(layer.double()(x).sum()))


def options(grid: LocalGrid, groups: int, bias: Any) -> dict[str, Any]:
    same = any(low != high for low, high in grid.padding)
    return {
        "kernel_size": grid.kernel_size,
        "stride": grid.stride,
        "padding": "same" if same else tuple(low for low, _ in grid.padding),
        "dilation": grid.dilation,
        "groups": groups,
        "bias": bias,
        "share": share_of(grid),
    }


@settings(max_examples=60)
@given(grids(), st.integers(1, 2), st.sampled_from([True, False, "channel"]))
def test_local_layers(grid: LocalGrid, groups: int, bias: Any) -> None:
    layer = LOCAL[grid.axes](
        2 * groups,
        3 * groups,
        input_size=grid.input_size,
        padding_mode=grid.padding_mode,
        **options(grid, groups, bias),
    )
    found = row(layer)
    assert found.connections == prod(grid.output_size) * 3 * groups * 2 * prod(grid.kernel_size)
    assert found.macs == 2 * found.connections  # of two examples
    assert found.connections_inside == grid.taps_inside * 3 * groups * 2
    assert found.weights == grid.kernels * 3 * groups * 2 * prod(grid.kernel_size)
    if all(mode == "zeros" for mode in grid.padding_mode):
        assert found.connections_inside == ones(layer)
    else:
        assert ones(layer) >= found.connections_inside  # the padding holds inputs again


@settings(max_examples=60)
@given(transposed_grids(), st.integers(1, 2), st.sampled_from([True, False, "channel"]))
def test_transposed_layers(grid: LocalGrid, groups: int, bias: Any) -> None:
    from striate.ops import reference

    layer = TRANSPOSED[grid.axes](
        2 * groups,
        3 * groups,
        input_size=grid.output_size,
        output_padding=reference._extra(grid),
        **options(grid, groups, bias),
    )
    assert layer.grid == grid
    found = row(layer)
    assert found.connections == prod(grid.output_size) * 2 * groups * 3 * prod(grid.kernel_size)
    assert found.macs == 2 * found.connections
    assert found.connections_inside == ones(layer)
    assert found.weights == grid.kernels * 2 * groups * 3 * prod(grid.kernel_size)


@settings(max_examples=40)
@given(
    grids(st.just(2)),
    st.integers(1, 2),
    st.integers(1, 3),
    st.sampled_from([True, False, "channel"]),
    st.sampled_from(["free", "row+column"]),
)
def test_low_rank_layers(grid: LocalGrid, groups: int, rank: int, bias: Any, mixing: str) -> None:
    if grid.sharing is not None:
        mixing = "free"
    layer = LowRankLocallyConnected2d(
        2 * groups,
        3 * groups,
        input_size=grid.input_size,
        padding_mode=grid.padding_mode,
        rank=rank,
        mixing=mixing,
        **options(grid, groups, bias),
    )
    found = row(layer)
    units = prod(grid.output_size) * 3 * groups
    assert found.connections == units * 2 * prod(grid.kernel_size)
    assert found.connections_inside == grid.taps_inside * 3 * groups * 2
    # The bank is convolved, each kernel of it at every position; then its maps are mixed.
    assert found.macs == 2 * rank * (found.connections + units)
    mixed = prod(grid.blocks) if mixing == "free" else sum(grid.blocks)
    assert found.weights == rank * (3 * groups * 2 * prod(grid.kernel_size) + mixed)


def test_a_fully_shared_layer_has_the_row_of_the_convolution() -> None:
    window = {"kernel_size": 3, "stride": 2, "padding": 1, "groups": 2}
    pairs: list[tuple[LocalLayer, nn.Module, tuple[int, ...]]] = [
        (
            LocallyConnected1d(4, 6, input_size=9, share="all", **window),
            nn.Conv1d(4, 6, **window),
            (9,),
        ),
        (
            LocallyConnected3d(4, 6, input_size=5, share="all", **window),
            nn.Conv3d(4, 6, **window),
            (5, 5, 5),
        ),
        (
            LocallyConnected2d(4, 6, input_size=7, share="all", padding_mode="circular", **window),
            nn.Conv2d(4, 6, padding_mode="circular", **window),
            (7, 7),
        ),
        (
            LocallyConnectedTranspose2d(
                4, 6, input_size=7, share="all", output_padding=1, **window
            ),
            nn.ConvTranspose2d(4, 6, output_padding=1, **window),
            (7, 7),
        ),
    ]
    for local, conv, size in pairs:
        (ours,), (theirs,) = (count(m, (2, 4, *size)).layers for m in (local, conv))
        for name in Layer.__dataclass_fields__:
            # The convolution makes a padded copy of its input; a transposed layer adds its bias.
            if name not in ("type", "activation_bytes"):
                assert getattr(ours, name) == getattr(theirs, name), (local, name)


def test_pooling_is_followed_through_the_family() -> None:
    """The recount without poolings makes the layers' inputs larger and their windows more."""
    model = nn.Sequential(
        LocallyConnected2d(1, 2, 3, 16, padding=1, share=2),
        nn.MaxPool2d(2),
        LowRankLocallyConnected2d(2, 2, 3, 8, 2),
        LocallyConnectedTranspose2d(2, 1, 3, 6),
        nn.Flatten(),
        nn.Linear(64, 3),
    )
    ledger = count(model, (1, 1, 16, 16))
    assert ledger.status == "complete"
    assert ledger.ideas.pooling.saved is not None
    dense = [16 * 16 * 2 * 16 * 16, 2 * 16 * 16 * 2 * 14 * 14, 2 * 14 * 14 * 16 * 16, 16 * 16 * 3]
    assert ledger.totals.dense_params + ledger.ideas.pooling.saved == sum(dense)


def test_receptive_fields_end_where_padding_holds_inputs() -> None:
    for mode, known in (("zeros", True), ("circular", False)):
        layer = LocallyConnected2d(
            1, 1, 3, 8, padding=1, padding_mode=mode, share=np.zeros((8, 8), int)
        )
        ledger = count(layer, (1, 1, 8, 8), limits=())
        assert (ledger.receptive_field is not None) == known


def test_an_operator_in_a_function_counts_as_the_layer() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernels = nn.Parameter(torch.zeros(6, 4, 2, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            from striate.nn.functional import locally_connected1d

            return locally_connected1d(x, weight=self.kernels)

    (ours,) = count(Own(), (2, 2, 8)).layers
    (layer,) = count(LocallyConnected1d(2, 4, 3, 8, bias=False), (2, 2, 8)).layers
    for name in ("params", "weights", "connections", "connections_inside", "macs", "dense_params"):
        assert getattr(ours, name) == getattr(layer, name)
