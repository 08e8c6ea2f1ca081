"""Operators by name: those that PyTorch does not tag, in place and out of place, and grouped products."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.ledger import count


class After(nn.Module):
    """A layer with weights, then a function of what it gives."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.layer(x))


def classes(x: Tensor) -> Tensor:
    return torch.zeros(len(x), *x.shape[2:], dtype=torch.int64, device=x.device)


WITHOUT_CONTRACTION: dict[str, Callable[[Tensor], Tensor]] = {
    "abs_": Tensor.abs_,
    "le_": lambda x: x.le_(0.0),
    "hardswish": F.hardswish,
    "hardswish_": lambda x: F.hardswish(x, inplace=True),
    "mish_": lambda x: F.mish(x, inplace=True),
    "threshold_": lambda x: F.threshold(x, 0.0, 1.0, inplace=True),
    "floor_divide": lambda x: x // 2,
    "complex": lambda x: torch.complex(x, x).abs(),
    "polar": lambda x: torch.polar(x, x).abs(),
    "transpose_": lambda x: x.transpose_(1, 2),
    "squeeze_": lambda x: x.squeeze_(),
    "short-time Fourier": lambda x: torch.stft(
        x.flatten(1), 16, window=torch.ones(16, device=x.device), return_complex=True
    ).abs(),
    "quantile": lambda x: x.quantile(0.5),
    "rot90": lambda x: x.rot90(1, [2, 3]),
    "mean squared error": lambda x: F.mse_loss(x, x),
    "cross entropy": lambda x: F.cross_entropy(x, classes(x)),
    "binary cross entropy": lambda x: F.binary_cross_entropy_with_logits(x, x),
}


@pytest.mark.parametrize("name", WITHOUT_CONTRACTION)
def test_work_without_a_contraction_is_known(name: str) -> None:
    ledger = count(After(WITHOUT_CONTRACTION[name]), (2, 3, 8, 8))
    assert not {"macs", "connections"} & ledger.uncertain
    assert ledger.totals.macs == 2 * 9 * 64


@pytest.mark.parametrize("name", ["inverse", "distances"])
def test_work_that_is_not_known_is_said(name: str) -> None:
    functions = {"inverse": torch.linalg.inv, "distances": lambda x: torch.cdist(x, x)}
    ledger = count(After(functions[name]), (2, 3, 8, 8))
    assert "macs" in ledger.uncertain


class Experts(nn.Module):
    """Rows sorted by expert, `counts` of them each."""

    def __init__(self, experts: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(experts, outputs, inputs))

    def forward(self, x: Tensor) -> Tensor:
        rows, experts = len(x), len(self.weight)
        ends = torch.tensor([rows * (e + 1) // experts for e in range(experts)], dtype=torch.int32)
        result: Tensor = torch._grouped_mm(x, self.weight.transpose(-2, -1), offs=ends)
        return result


def test_a_mixture_of_experts_is_counted_by_the_row() -> None:
    ledger = count(Experts(4, 16, 8), torch.randn(12, 16))
    assert ledger.status == "complete"
    assert ledger.totals.params == 4 * 16 * 8
    assert ledger.totals.macs == 12 * 16 * 8
    (layer,) = [layer for layer in ledger.layers if layer.params]
    assert layer.connections == 16 * 8


class Grouped(nn.Module):
    def __init__(self, *shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.shapes = shapes

    def forward(self, x: Tensor) -> Tensor:
        left, right = (
            x.flatten()[: torch.Size(shape).numel()].view(shape) for shape in self.shapes
        )
        flat = len(left.shape) == 2 or len(right.shape) == 2
        ends = torch.tensor([16, 32], dtype=torch.int32) if flat else None
        result: Tensor = torch._grouped_mm(left, right, offs=ends)
        return result


@pytest.mark.parametrize(
    ("left", "right", "macs"),
    [
        ((32, 16), (2, 16, 8), 32 * 16 * 8),
        ((2, 32, 16), (2, 16, 8), 2 * 32 * 16 * 8),
        ((2, 8, 16), (16, 32), 8 * 16 * 32),
        ((8, 32), (32, 16), 8 * 32 * 16),
    ],
)
def test_each_row_meets_the_matrix_of_its_group(
    left: tuple[int, ...], right: tuple[int, ...], macs: int
) -> None:
    """The groups share out the rows, nothing, the columns, and the inner axis."""
    assert count(Grouped(left, right), torch.randn(1, 4096)).totals.macs == macs


class AddedUp(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.addbmm(x[0, 0], x[0], x[0].transpose(1, 2))


def test_products_that_are_added_up_are_counted_and_seen_through() -> None:
    ledger = count(AddedUp(), (1, 3, 8, 8), batch_dim=None)
    assert ledger.totals.macs == 3 * 8 * 8 * 8


class Recurrent(nn.Module):
    """A forward that needs values where `looks` is true."""

    def __init__(self, kind: type[nn.RNNBase], looks: bool) -> None:
        super().__init__()
        self.layer = kind(6, 5, 2, batch_first=True, bidirectional=True)
        self.looks = looks

    def forward(self, x: Tensor) -> Tensor:
        if self.looks and x.sum() > 1e9:
            x = x + 1
        result: Tensor = self.layer(x)[0]
        return result


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_recurrent_layers_are_counted_on_real_tensors_as_without(kind: type[nn.RNNBase]) -> None:
    enabled = torch._C._get_mkldnn_enabled()
    without, real = (count(Recurrent(kind, looks), (2, 7, 6)) for looks in (False, True))
    assert real.notes
    assert not without.notes
    assert real.status == without.status == "complete"
    assert real.totals.macs == without.totals.macs
    assert real.totals.connections == without.totals.connections
    assert torch._C._get_mkldnn_enabled() == enabled
