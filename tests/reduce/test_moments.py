"""Moments against the rows they came from, and closed-form fits against direct ones."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from striate.reduce.moments import RIDGES, Accumulator, Evidence, Metric, Moments, fit_affine, solve

seeds = st.integers(0, 2**31 - 1)


def rows(
    seed: int, count: int, inputs: int, outputs: int, offset: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Correlated features, and targets that are a map of them with noise."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, inputs, generator=generator, dtype=torch.float64)
    x = x @ torch.randn(inputs, inputs, generator=generator, dtype=torch.float64) + offset
    weight = torch.randn(outputs, inputs, generator=generator, dtype=torch.float64)
    noise = torch.randn(count, outputs, generator=generator, dtype=torch.float64)
    return x, x @ weight.T + 0.3 * noise - offset


def accumulated(x: Tensor, y: Tensor, cuts: list[int] | None = None) -> Moments:
    accumulator = Accumulator(x.shape[1], y.shape[1])
    ends = sorted({0, *(cuts or []), len(x)})
    for start, stop in pairwise(ends):
        accumulator.add(x[start:stop], y[start:stop])
    return accumulator.moments()


def direct(x: Tensor, y: Tensor) -> Moments:
    """Moments in two passes, nothing streamed."""
    x, y = x.double(), y.double()
    mean_x, mean_y = x.mean(0), y.mean(0)
    a, b = x - mean_x, y - mean_y
    return Moments(len(x), mean_x, mean_y, a.T @ a / len(x), a.T @ b / len(x), b.square().mean(0))


def assert_same(one: Moments, other: Moments, rtol: float = 1e-9) -> None:
    assert one.count == other.count
    for name in ("mean_x", "mean_y", "xx", "xy", "yy"):
        left, right = getattr(one, name), getattr(other, name)
        assert left.dtype == torch.float64
        scale = float(right.abs().max())
        torch.testing.assert_close(left, right, rtol=rtol, atol=rtol * max(scale, 1e-12))


def actual_error(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return (y - x @ weight.T - bias).square().mean(0)


@given(
    seed=seeds,
    count=st.integers(1, 60),
    inputs=st.integers(1, 6),
    outputs=st.integers(1, 4),
    cuts=st.lists(st.integers(1, 59), max_size=6),
)
@settings(max_examples=60)
def test_streamed_moments_are_those_of_all_rows(
    seed: int, count: int, inputs: int, outputs: int, cuts: list[int]
) -> None:
    x, y = rows(seed, count, inputs, outputs)
    cuts = [cut for cut in cuts if cut < count]
    assert_same(accumulated(x, y, cuts), direct(x, y), rtol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_rows_of_any_type_are_summed_in_float64(dtype: torch.dtype) -> None:
    x, y = (part.to(dtype) for part in rows(1, 500, 5, 3))
    assert_same(accumulated(x, y, [100, 350]), direct(x, y))


def test_a_large_offset_costs_no_digits() -> None:
    x, y = rows(2, 400, 4, 2, offset=1e6)
    assert_same(accumulated(x, y, [50, 300]), direct(x, y), rtol=1e-8)


def test_empty_batches_count_nothing() -> None:
    x, y = rows(3, 20, 3, 2)
    accumulator = Accumulator(3, 2)
    accumulator.add(x[:0], y[:0])
    accumulator.add(x, y)
    accumulator.add(x[:0], y[:0])
    assert_same(accumulator.moments(), direct(x, y))


def test_moments_of_nothing_are_an_error() -> None:
    with pytest.raises(ValueError, match="at least one calibration example"):
        Accumulator(3, 2).moments()


def test_rows_are_not_changed_and_no_graph_is_kept() -> None:
    x, y = rows(4, 30, 3, 2)
    x.requires_grad_()
    before = x.detach().clone()
    moments = accumulated(x, y)
    assert torch.equal(x.detach(), before)
    assert not moments.xx.requires_grad


@given(seed=seeds, inputs=st.integers(1, 6), after=st.integers(1, 8))
@settings(max_examples=40)
def test_moments_through_a_matrix_are_those_of_mapped_rows(
    seed: int, inputs: int, after: int
) -> None:
    x, y = rows(seed, 40, inputs, 3)
    matrix = torch.randn(
        after, inputs, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64
    )
    assert_same(direct(x, y).through(matrix), direct(x @ matrix.T, y), rtol=1e-8)


@given(seed=seeds, inputs=st.integers(1, 6), outputs=st.integers(1, 4))
@settings(max_examples=40)
def test_the_error_is_the_mean_squared_one(seed: int, inputs: int, outputs: int) -> None:
    x, y = rows(seed, 50, inputs, outputs)
    generator = torch.Generator().manual_seed(seed + 1)
    weight = torch.randn(outputs, inputs, generator=generator, dtype=torch.float64)
    bias = torch.randn(outputs, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(
        direct(x, y).error(weight, bias), actual_error(x, y, weight, bias), rtol=1e-8, atol=1e-8
    )


def test_the_error_of_an_exact_map_is_zero_not_negative() -> None:
    x, _ = rows(5, 50, 4, 2)
    weight, bias = torch.randn(3, 4, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    error = direct(x, x @ weight.T + bias).error(weight, bias)
    assert (error >= 0).all()
    assert float(error.max()) < 1e-10


def test_white_moments_say_what_a_layer_does_to_white_inputs() -> None:
    weight, bias = torch.randn(3, 5), torch.randn(3)
    white = Moments.white(weight, bias)
    # A symmetric design of 2 d rows has zero mean and a covariance of one, exactly.
    x = torch.cat([torch.eye(5), -torch.eye(5)]).double() * 5**0.5
    sampled = direct(x, x @ weight.double().T + bias.double())
    for name in ("mean_x", "mean_y", "xx", "xy", "yy"):
        torch.testing.assert_close(getattr(white, name), getattr(sampled, name))
    assert torch.equal(Moments.white(weight, None).mean_y, torch.zeros(3, dtype=torch.float64))


@given(seed=seeds, inputs=st.integers(1, 8), outputs=st.integers(1, 4))
@settings(max_examples=30)
def test_without_a_ridge_the_regression_is_least_squares(
    seed: int, inputs: int, outputs: int
) -> None:
    x, y = rows(seed, 60, inputs, outputs)
    found = fit_affine(Evidence(direct(x, y)))
    design = np.concatenate([x.numpy(), np.ones((len(x), 1))], axis=1)
    best, *_ = np.linalg.lstsq(design, y.numpy(), rcond=None)
    assert found.ridge == 0
    least = actual_error(x, y, torch.from_numpy(best[:-1].T), torch.from_numpy(best[-1]))
    ours = actual_error(x, y, found.weight, found.bias)
    assert float(ours.sum()) <= float(least.sum()) * (1 + 1e-6) + 1e-12


def test_the_ridge_that_serves_held_out_rows_best_is_taken() -> None:
    x, y = rows(6, 24, 20, 3)
    held_x, held_y = rows(6, 400, 20, 3)
    fit, held = direct(x, y), direct(held_x[24:], held_y[24:])
    found = fit_affine(Evidence(fit, held))
    errors = {}
    for ridge in RIDGES:
        weight = solve(fit.xx, fit.xy, ridge).T
        errors[ridge] = float(held.error(weight, fit.mean_y - weight @ fit.mean_x).sum())
    assert found.ridge == min(errors, key=lambda ridge: errors[ridge])
    assert len(set(errors.values())) == len(RIDGES)


def test_a_ridge_regression_has_zero_gradient() -> None:
    x, y = rows(7, 50, 6, 2)
    moments = direct(x, y)
    ridge = 0.05 * moments.xx.diagonal().mean()
    weight = solve(moments.xx, moments.xy, 0.05).T
    gradient = weight @ moments.xx - moments.xy.T + ridge * weight
    assert float(gradient.abs().max()) < 1e-8


def test_weights_that_rows_say_nothing_about_stay_at_the_start() -> None:
    x, y = rows(8, 200, 6, 2)
    x[:, 4:] = 3.0  # these two features never vary
    start = torch.randn(2, 6, dtype=torch.float64)
    found = fit_affine(Evidence(direct(x[:150], y[:150]), direct(x[150:], y[150:])), start)
    torch.testing.assert_close(found.weight[:, 4:], start[:, 4:], rtol=0, atol=1e-6)
    assert float((found.weight[:, :4] - start[:, :4]).abs().max()) > 1e-2
    # and the bias makes up for them: on average the answer is right
    assert float((x[:150] @ found.weight.T + found.bias - y[:150]).mean(0).abs().max()) < 1e-8


def test_fewer_rows_than_features_still_give_a_finite_fit_that_interpolates() -> None:
    x, y = rows(9, 10, 30, 2)
    found = fit_affine(Evidence(direct(x, y)))
    assert bool(torch.isfinite(found.weight).all())
    assert float(actual_error(x, y, found.weight, found.bias).sum()) < 1e-4 * float(y.var(0).sum())


def test_constant_features_and_targets_give_the_mean() -> None:
    x, y = torch.full((30, 4), 2.0), torch.full((30, 3), -1.0)
    found = fit_affine(Evidence(direct(x, y), direct(x, y)))
    torch.testing.assert_close(x.double() @ found.weight.T + found.bias, y.double())


def test_the_residual_is_relative_to_the_held_out_variance() -> None:
    x, y = rows(10, 90, 4, 3)
    fit, held = direct(x[:60], y[:60]), direct(x[60:], y[60:])
    evidence = Evidence(fit, held)
    found = fit_affine(evidence)
    kept = y[60:]
    total = (kept - kept.mean(0)).square().mean(0).sum()
    expected = actual_error(x[60:], kept, found.weight, found.bias).sum() / total
    assert evidence.residual(found.weight, found.bias) == pytest.approx(float(expected), rel=1e-8)
    # Without held-out rows, the fitted ones judge.
    assert Evidence(fit).residual(found.weight, found.bias) == pytest.approx(
        float(fit.error(found.weight, found.bias).sum() / fit.yy.sum())
    )


def test_evidence_goes_through_a_matrix_with_its_held_out_rows() -> None:
    x, y = rows(11, 80, 5, 2)
    matrix = torch.randn(3, 5, dtype=torch.float64)
    both = Evidence(direct(x[:50], y[:50]), direct(x[50:], y[50:])).through(matrix)
    assert both.held is not None
    assert_same(both.fit, direct(x[:50] @ matrix.T, y[:50]))
    assert_same(both.held, direct(x[50:] @ matrix.T, y[50:]))
    assert Evidence(direct(x, y)).through(matrix).held is None


def test_directions_are_orthonormal_and_explain_more_and_more() -> None:
    x, y = rows(12, 200, 6, 4)
    evidence = Evidence(direct(x, y))
    vectors = evidence.directions
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(4, dtype=torch.float64))
    fitted = x @ evidence.regression.weight.T
    explained = (fitted - fitted.mean(0)).matmul(vectors).square().mean(0)
    assert (explained.diff() >= -1e-9).all()


def test_features_that_never_change_explain_nothing() -> None:
    x, y = torch.ones(40, 6, dtype=torch.float64), torch.randn(40, 3, dtype=torch.float64)
    found = fit_affine(Evidence(direct(x, y), direct(x, y)))
    assert found.weight.abs().max() == 0
    torch.testing.assert_close(found.bias, y.mean(0))


def test_constant_targets_have_a_residual_that_is_a_number() -> None:
    x, y = torch.randn(40, 6, dtype=torch.float64), torch.full((40, 3), 2.0, dtype=torch.float64)
    evidence = Evidence(direct(x, y), direct(x, y))
    found = evidence.regression
    assert evidence.residual(found.weight, found.bias) == 0.0
    assert evidence.residual(found.weight, found.bias + 1) == 1.0


def test_directions_by_way_of_the_features_are_those_of_the_targets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = torch.randn(80, 5, dtype=torch.float64)
    y = x @ torch.randn(5, 11, dtype=torch.float64)
    plain = Evidence(direct(x, y)).directions[:, -5:]
    monkeypatch.setattr("striate.reduce.moments.MOST_TARGETS", 4)
    other = Evidence(direct(x, y)).directions[:, -5:]
    torch.testing.assert_close((plain * other).sum(0).abs(), torch.ones(5, dtype=torch.float64))


def test_a_metric_goes_with_the_evidence() -> None:
    x, y = rows(13, 80, 5, 2)
    metric = Metric.of(torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64), 0.1)
    start = torch.zeros(2, 5)
    evidence = Evidence(direct(x[:50], y[:50]), direct(x[50:], y[50:])).anchored(start, metric)
    for other in (
        evidence.through(torch.randn(3, 5, dtype=torch.float64)),
        evidence.reordered(torch.randperm(5)),
        evidence.uncentred,
    ):
        assert other.metric is metric
        # What all outputs are fitted to does not change, only which directions are given up first.
        torch.testing.assert_close(other.felt, metric.root @ other.regression.weight)


def test_a_metric_of_nothing_counts_all_outputs_alike() -> None:
    metric = Metric.of(torch.zeros(3, 3, dtype=torch.float64), 0.1)
    torch.testing.assert_close(metric.root, metric.root[0, 0] * torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(metric.root @ metric.inverse, torch.eye(3, dtype=torch.float64))


@pytest.mark.parametrize("noise", [0.0, 0.3, 3.0, 30.0])
@pytest.mark.parametrize("anchored", [True, False])
def test_going_down_finds_the_best_of_all_ridges(noise: float, anchored: bool) -> None:
    x, y = rows(14, 60, 20, 3)
    y = y + noise * torch.randn(y.shape, dtype=torch.float64)
    evidence = Evidence(direct(x[:40], y[:40]), direct(x[40:], y[40:]))
    start = torch.randn(3, 20, dtype=torch.float64) if anchored else None
    found = fit_affine(evidence, start)

    def error(ridge: float) -> float:
        fit = evidence.fit
        base = torch.zeros(3, 20, dtype=torch.float64) if start is None else start
        weight = solve(fit.xx, fit.xy - fit.xx @ base.T, ridge).T + base
        return float(evidence.judge(weight, fit.mean_y - weight @ fit.mean_x).sum())

    errors = {ridge: error(ridge) for ridge in RIDGES}
    assert float(evidence.judge(found.weight, found.bias).sum()) == pytest.approx(
        min(errors.values())
    )
