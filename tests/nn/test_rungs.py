"""`striate.lift` and `striate.project`."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import striate
from striate.nn import LocallyConnected2d, LowRankLocallyConnected2d
from striate.nn.convert import project as by_share
from striate.nn.convert import to_low_rank


@pytest.fixture
def layer() -> LocallyConnected2d:
    torch.manual_seed(0)
    return LocallyConnected2d(2, 3, 3, (6, 6), dtype=torch.float64)


@pytest.mark.parametrize("to", [2, (1, "all"), "all", "rank 3"])
def test_the_residual_is_the_part_of_the_outputs_that_is_lost(
    layer: LocallyConnected2d, to: Any
) -> None:
    x = torch.randn(40, 2, 6, 6, dtype=torch.float64)
    new, residual = striate.project(layer, to=to, inputs=x)
    other = to_low_rank(layer, 3, x) if to == "rank 3" else by_share(layer, to, x)
    assert torch.equal(new(x), other(x))
    out = layer(x)
    assert residual == pytest.approx(float(((new(x) - out) ** 2).sum() / (out**2).sum()))
    plain, _ = striate.project(layer, to=to)
    worse = float(((plain(x) - out) ** 2).sum() / (out**2).sum())
    assert 0 < residual < worse


def test_without_inputs_it_is_the_part_of_the_kernels(layer: LocallyConnected2d) -> None:
    shared, residual = striate.project(layer, to="all")
    kernels = layer.weight.detach()
    lost = (kernels - kernels.mean((0, 1))).square().sum() / kernels.square().sum()
    assert residual == pytest.approx(float(lost))
    low, less = striate.project(layer, to="rank 2")
    assert isinstance(low, LowRankLocallyConnected2d)
    values = torch.linalg.svdvals(kernels.flatten(2).flatten(0, 1)).square()
    assert less == pytest.approx(float(values[2:].sum() / values.sum()))
    again, nothing = striate.project(striate.lift(shared), to="all")
    assert nothing == pytest.approx(0, abs=1e-20)
    assert torch.allclose(again.weight, shared.weight)


def test_lifting_changes_nothing(layer: LocallyConnected2d) -> None:
    x = torch.randn(3, 2, 6, 6, dtype=torch.float64)
    blocked, _ = striate.project(layer, to=2)
    assert torch.allclose(striate.lift(blocked, to=1)(x), blocked(x))


@pytest.mark.parametrize(
    ("to", "kind", "says"),
    [
        ("rank 0", ValueError, "rank"),
        ("rank 99", ValueError, "rank=99: expected at most 16"),
        ("rank", ValueError, "share='rank'"),
        (0, ValueError, "share=0"),
    ],
)
def test_wrong_arguments(
    layer: LocallyConnected2d, to: Any, kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind, match=says):
        striate.project(layer, to=to)
