"""Sensitivity: the metric of a layer's outputs is what small errors there do to the network's answers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.reduce.examples import TensorExamples
from striate.reduce.sensitivity import FLOOR, sensitivity


def mlp(inplace: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 8), nn.ReLU(inplace=inplace), nn.Linear(8, 5), nn.Tanh(), nn.Linear(5, 3)
    )


def curvature(model: nn.Module, name: str, x: Tensor) -> Tensor:
    """The mean Fisher information of the answers with respect to a layer's outputs, class by class in float64."""
    layer = model.get_submodule(name)
    seen: list[Tensor] = []

    def keep(module: nn.Module, args: object, output: Tensor) -> Tensor:
        seen.append(output)
        return output.clone()

    handle = layer.register_forward_hook(keep)
    scores = model(x).log_softmax(1)
    handle.remove()
    total = torch.zeros(())
    for k in range(scores.shape[1]):
        (slope,) = torch.autograd.grad(scores[:, k].sum(), seen[0], retain_graph=True)
        rows = slope.movedim(1, -1)
        weight = scores[:, k].exp().detach().reshape(-1, *[1] * (rows.dim() - 1))
        rows, weighted = rows.flatten(0, -2), (rows * weight).flatten(0, -2)
        total = total + weighted.T @ rows
    return total


@pytest.mark.parametrize("name", ["0", "2", "4"])
@pytest.mark.parametrize("inplace", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
def test_it_is_the_fisher_information(name: str, inplace: bool, frozen: bool) -> None:
    model = mlp(inplace).double().requires_grad_(not frozen)
    x = torch.randn(3, 6, generator=torch.Generator().manual_seed(1)).double()
    expected = curvature(mlp(inplace).double(), name, x)
    expected = expected / expected.diagonal().mean()
    # The same three rows again and again: only the signs are drawn.
    found = sensitivity(model, ["0", "2", "4"], TensorExamples(x.repeat(10_000, 1)), seed=0)
    metric = found.metrics[name]
    ours = metric.root @ metric.root - FLOOR * torch.eye(len(expected), dtype=torch.float64)
    torch.testing.assert_close(ours, expected, rtol=0, atol=0.06)
    identity = torch.eye(len(expected), dtype=torch.float64)
    torch.testing.assert_close(metric.root @ metric.inverse, identity)
    assert all(p.grad is None for p in model.parameters())


def test_of_a_convolution_all_positions_count() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3)
    ).double()
    x = torch.randn(3, 2, 6, 6, generator=torch.Generator().manual_seed(1)).double()
    expected = curvature(model, "0", x)
    expected = expected / expected.diagonal().mean()
    found = sensitivity(model, ["0"], TensorExamples(x.repeat(5000, 1, 1, 1)), seed=0)
    metric = found.metrics["0"]
    ours = metric.root @ metric.root - FLOOR * torch.eye(4, dtype=torch.float64)
    torch.testing.assert_close(ours, expected, rtol=0, atol=0.06)


def test_small_errors_change_the_answers_as_it_says() -> None:
    """KL(p, p + dp) = e' G e / 2 to second order, in the mean over examples."""
    model = mlp().double()
    x = torch.randn(4000, 6, generator=torch.Generator().manual_seed(2)).double()
    information = curvature(model, "2", x) / len(x)
    for seed in range(3):
        step = 1e-3 * torch.randn(5, generator=torch.Generator().manual_seed(seed)).double()
        moved = mlp().double()
        with torch.no_grad():
            moved[2].bias += step
            before, after = (F.log_softmax(net(x), 1) for net in (model, moved))
        divergence = (before.exp() * (before - after)).sum(1).mean()
        assert float(divergence) == pytest.approx(float(step @ information @ step / 2), rel=0.02)


class NoGradient(nn.Module):
    def __init__(self, how: type) -> None:
        super().__init__()
        self.body, self.how = mlp(), how

    def forward(self, x: Tensor) -> Tensor:
        with self.how():
            scores: Tensor = self.body(x)
            return scores


class Rounded(nn.Module):
    """Nothing flows back through the first layer's outputs, and the last reads them all the same."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.last(self.first(x).detach().round())
        return scores


class _Stuck(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.clone()


class Stuck(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.last(_Stuck.apply(self.first(x)))
        return scores


def test_networks_without_gradients_say_so() -> None:
    examples = TensorExamples(torch.randn(30, 6))
    for how in (torch.no_grad, torch.inference_mode):
        found = sensitivity(NoGradient(how), ["body.0"], examples, seed=0)
        assert found.metrics == {}
        assert found.reason == "its forward turns gradients off"
    found = sensitivity(Rounded(), ["first", "last"], examples, seed=0)
    assert list(found.metrics) == ["last"]
    assert found.reason is None
    found = sensitivity(Stuck(), ["first", "last"], examples, seed=0)
    assert found.metrics == {}
    assert found.reason is not None
    assert "backward" in found.reason


def test_the_network_is_left_as_it_was() -> None:
    model = mlp().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.random.get_rng_state()
    sensitivity(model, ["0"], TensorExamples(torch.randn(30, 6, generator=torch.Generator())), 0)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert model.training
    assert not model[0]._forward_hooks
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
