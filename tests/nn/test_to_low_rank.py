"""From local layers to low-rank ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate.nn import (
    LazyLocallyConnected2d,
    LocallyConnected1d,
    LocallyConnected2d,
    LowRankLocallyConnected2d,
)
from striate.nn.convert import lift, project, to_low_rank
from tests.tolerances import CLOSE

MAP = np.array([[0, 1, 2, 0], [2, 1, 3, 3], [4, 4, 4, 0], [0, 0, 1, 3]])


def layers(share: Any, bias: Any = True, groups: int = 1) -> LocallyConnected2d:
    torch.manual_seed(0)
    return LocallyConnected2d(
        2 * groups,
        3 * groups,
        3,
        (6, 6),
        groups=groups,
        bias=bias,
        share=share,
        dtype=torch.float64,
    )


def error(new: nn.Module, layer: nn.Module, x: Tensor) -> float:
    return float((new(x) - layer(x)).detach().square().sum())


@pytest.mark.parametrize("share", [1, 2, (1, "all"), (3, 2), MAP], ids=str)
@pytest.mark.parametrize("bias", [True, "channel", False])
@pytest.mark.parametrize("groups", [1, 2])
def test_with_inputs_the_error_is_less_and_with_every_kernel_nothing(
    share: Any, bias: Any, groups: int
) -> None:
    layer = layers(share, bias, groups)
    x = torch.randn(30, 2 * groups, 6, 6, dtype=torch.float64) * torch.rand(6, 1)
    plain, fitted = to_low_rank(layer, 2), to_low_rank(layer, 2, x)
    assert fitted.rank == 2
    assert error(fitted, layer, x) < error(plain, layer, x)
    whole = to_low_rank(layer, min(layer.grid.kernels, 2 * 3 * groups * 9))
    torch.testing.assert_close(whole(x), layer(x), **CLOSE[torch.float64])


def test_without_inputs_it_is_the_decomposition_of_the_kernels_at_all_positions() -> None:
    layer = layers((3, 2))
    everywhere = lift(layer).weight.detach().flatten(2).flatten(0, 1)
    for rank in (1, 2, 3):
        found = lift(to_low_rank(layer, rank)).weight.detach().flatten(2).flatten(0, 1)
        rest = torch.linalg.svdvals(everywhere)[rank:].square().sum()
        torch.testing.assert_close((found - everywhere).square().sum(), rest)


def test_a_layer_of_that_rank_is_found_again() -> None:
    torch.manual_seed(1)
    low = LowRankLocallyConnected2d(2, 3, 3, (6, 6), rank=2, dtype=torch.float64)
    nn.init.normal_(low.mixing)
    x = torch.randn(20, 2, 6, 6, dtype=torch.float64)
    local = lift(low)
    assert isinstance(local, LocallyConnected2d)
    for inputs in (None, x):
        torch.testing.assert_close(to_low_rank(local, 2, inputs)(x), low(x), **CLOSE[torch.float64])


def test_the_end_is_a_place_where_no_small_step_helps() -> None:
    layer, x = layers(1), torch.randn(200, 2, 6, 6, dtype=torch.float64)
    fitted = to_low_rank(layer, 3, x)
    loss = (fitted(x) - layer(x).detach()).square().sum()
    of_bank, of_mixing = torch.autograd.grad(loss, (fitted.weight, fitted.mixing))
    scale = float(loss.detach())
    assert float(of_bank.norm()) < 0.05 * scale
    assert float(of_mixing.norm()) < 0.05 * scale


def test_the_layer_stays_as_it_is_and_the_new_one_has_its_type_and_mode() -> None:
    layer = layers(2).float().eval()
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    new = to_low_rank(layer, 2, torch.rand(5, 2, 6, 6))
    assert new.weight.dtype is torch.float32
    assert not new.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in layer.state_dict().items())
    assert isinstance(project(new, 2), LocallyConnected2d)


@pytest.mark.parametrize(
    ("wrong", "kind", "says"),
    [
        (lambda: to_low_rank(nn.Linear(2, 2), 1), TypeError, "layer=Linear: expected a Local"),  # type: ignore[arg-type]
        (lambda: to_low_rank(LocallyConnected1d(1, 1, 3, 5), 1), TypeError, "LocallyConnected1d"),  # type: ignore[arg-type]
        (lambda: to_low_rank(LazyLocallyConnected2d(1, 3), 1), TypeError, "layer=Lazy"),
        (lambda: to_low_rank(layers(2), 0), ValueError, "rank"),
        (lambda: to_low_rank(layers(2), 5), ValueError, "rank=5: expected at most 4"),
        (lambda: to_low_rank(layers(2), 1, [1.0]), TypeError, "inputs=list"),  # type: ignore[arg-type]
        (lambda: to_low_rank(layers(2), 1, torch.rand(2, 2, 5, 5)), ValueError, "input of shape"),
    ],
)
def test_wrong_arguments(wrong: Any, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=f"to_low_rank: .*{says}"):
        wrong()
