"""Second moments of a layer's inputs and targets: all that a closed-form fit needs, at a size that does not grow.

Everything is accumulated and solved in float64. Moments are centred: with x the features (d of them) and y the
targets (o of them), `xx = E[(x - Ex)(x - Ex)^T]`, `xy = E[(x - Ex)(y - Ey)^T]`, `yy = E[(y - Ey)^2]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor

# Multiples of the mean diagonal of xx. The middle ones are right for thousands of rows, the last for very few.
RIDGES: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
_JITTER = 1e-10
# Beyond this many targets their covariance is not formed where that can be helped.
MOST_TARGETS = 2048
# A squared error that is none.
_CLOSE = 1e-12
# Variances below this are rounding.
_NOTHING = 1e-30


@dataclass(frozen=True)
class Moments:
    """Centred second moments over `count` rows: `xx` (d, d), `xy` (d, o), `yy` (o,), means (d,) and (o,)."""

    count: int
    mean_x: Tensor
    mean_y: Tensor
    xx: Tensor
    xy: Tensor
    yy: Tensor

    @classmethod
    def white(cls, weight: Tensor, bias: Tensor | None) -> Moments:
        """The moments of `y = weight x + bias` under white inputs (zero mean, identity covariance).

        A least-squares fit to these is the plain way to carry weights over: truncated SVD for low rank, masking
        for local, the mean of the aligned weights for shared, column sums for average pooling.
        """
        weight = weight.detach().double().cpu()
        outputs, inputs = weight.shape
        offset = weight.new_zeros(outputs) if bias is None else bias.detach().double().cpu()
        return cls(
            count=1,
            mean_x=weight.new_zeros(inputs),
            mean_y=offset,
            xx=torch.eye(inputs, dtype=torch.float64),
            xy=weight.T.contiguous(),
            yy=weight.square().sum(1),
        )

    def through(self, matrix: Tensor) -> Moments:
        """The moments of `matrix @ x` (k, d) against the same targets."""
        return Moments(
            count=self.count,
            mean_x=matrix @ self.mean_x,
            mean_y=self.mean_y,
            xx=matrix @ self.xx @ matrix.T,
            xy=matrix @ self.xy,
            yy=self.yy,
        )

    def reordered(self, order: Tensor) -> Moments:
        """The moments of the features in another order: `x[order]`."""
        return replace(
            self, mean_x=self.mean_x[order], xx=self.xx[order][:, order], xy=self.xy[order]
        )

    def uncentred(self) -> Moments:
        """The moments about zero: a fit to them is one without a bias."""
        return Moments(
            count=self.count,
            mean_x=torch.zeros_like(self.mean_x),
            mean_y=torch.zeros_like(self.mean_y),
            xx=self.xx + torch.outer(self.mean_x, self.mean_x),
            xy=self.xy + torch.outer(self.mean_x, self.mean_y),
            yy=self.yy + self.mean_y.square(),
        )

    def error(self, weight: Tensor, bias: Tensor) -> Tensor:
        """Mean squared error of `weight x + bias` for each target, (o,)."""
        mean = self.mean_y - weight @ self.mean_x - bias
        cross = (weight * self.xy.T).sum(1)
        square = ((weight @ self.xx) * weight).sum(1)
        return (self.yy - 2 * cross + square).clamp_min(0) + mean.square()


class Accumulator:
    """Collects rows into `Moments`; its size depends on the numbers of features and targets only."""

    def __init__(self, inputs: int, outputs: int) -> None:
        self._count = 0
        # Sums are taken about the first batch's mean: it keeps the subtraction in `moments` harmless.
        self._shift_x: Tensor | None = None
        self._shift_y: Tensor | None = None
        self._x = torch.zeros(inputs, dtype=torch.float64)
        self._y = torch.zeros(outputs, dtype=torch.float64)
        self._xx = torch.zeros(inputs, inputs, dtype=torch.float64)
        self._xy = torch.zeros(inputs, outputs, dtype=torch.float64)
        self._yy = torch.zeros(outputs, dtype=torch.float64)

    def add(self, x: Tensor, y: Tensor) -> None:
        """Take in rows of features (n, d) and targets (n, o)."""
        if len(x) == 0:
            return
        x, y = x.detach().double(), y.detach().double()
        if self._shift_x is None or self._shift_y is None:
            self._shift_x, self._shift_y = x.mean(0), y.mean(0)
        x, y = x - self._shift_x, y - self._shift_y
        self._count += len(x)
        self._x += x.sum(0)
        self._y += y.sum(0)
        self._xx.addmm_(x.T, x)
        self._xy.addmm_(x.T, y)
        self._yy += y.square().sum(0)

    def moments(self) -> Moments:
        if self._shift_x is None or self._shift_y is None:
            raise ValueError("moments of no rows: give at least one calibration example")
        n = self._count
        x, y = self._x / n, self._y / n
        return Moments(
            count=n,
            mean_x=x + self._shift_x,
            mean_y=y + self._shift_y,
            xx=self._xx / n - torch.outer(x, x),
            xy=self._xy / n - torch.outer(x, y),
            yy=(self._yy / n - y.square()).clamp_min(0),
        )


@dataclass(frozen=True)
class Metric:
    """What errors in a layer's outputs cost the network: `|root @ error|^2`. Both (o, o), symmetric, of full rank.

    A fit that cannot match all outputs gives up those directions that the network's answers depend on least.
    """

    root: Tensor
    inverse: Tensor

    @classmethod
    def of(cls, curvature: Tensor, floor: float) -> Metric:
        """From a positive semi-definite matrix; `floor`, in parts of its mean diagonal, is added to every direction.

        >>> metric = Metric.of(torch.tensor([[3.0, 0.0], [0.0, 1.0]]).double(), floor=0.5)
        >>> [round(value, 6) for value in (metric.root @ metric.root).diagonal().tolist()]
        [2.0, 1.0]
        """
        mean = float(curvature.diagonal().mean())
        values, vectors = _eigh(curvature / mean if mean > _NOTHING else curvature)
        scale = (values.clamp_min(0) + floor).sqrt()
        return cls((vectors * scale) @ vectors.T, (vectors / scale) @ vectors.T)


@dataclass(frozen=True)
class Evidence:
    """Moments to fit on, and moments of held-out rows to choose the ridge by.

    Without held-out rows (white inputs) nothing is chosen: the fit is the plain least-squares one. `variance`: of all
    targets together, on the rows that judge, where it is not what the moments say. `start` (o, d): weights that are
    known to be good, the original layer's; a regression departs from them only as far as the rows call for. `metric`:
    what errors cost, where it is known; without it all outputs count alike.
    """

    fit: Moments
    held: Moments | None = None
    variance: float | None = None
    start: Tensor | None = None
    metric: Metric | None = None
    # What was computed from this evidence and serves several fits.
    memo: dict[object, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def ridges(self) -> Sequence[float]:
        return (0.0,) if self.held is None else RIDGES

    def through(self, matrix: Tensor) -> Evidence:
        held = None if self.held is None else self.held.through(matrix)
        start = self.start
        if start is not None:
            # The weights on the new features that differ least from the old ones.
            start = solve(matrix @ matrix.T, matrix @ start.T, 0.0).T
        return Evidence(self.fit.through(matrix), held, self.variance, start, self.metric)

    def anchored(self, start: Tensor, metric: Metric | None = None) -> Evidence:
        """The same evidence, with weights to start from and what errors cost."""
        return Evidence(self.fit, self.held, self.variance, start.detach().double().cpu(), metric)

    def reordered(self, order: Tensor) -> Evidence:
        """The evidence on the features in another order: `x[order]`."""
        held = None if self.held is None else self.held.reordered(order)
        start = None if self.start is None else self.start[:, order]
        return Evidence(self.fit.reordered(order), held, self.variance, start, self.metric)

    @cached_property
    def uncentred(self) -> Evidence:
        """The evidence for a layer that has no bias."""
        held = None if self.held is None else self.held.uncentred()
        return Evidence(self.fit.uncentred(), held, self.total, self.start, self.metric)

    @property
    def total(self) -> float:
        """|centred target|^2, summed over the targets: what a residual is a part of."""
        return float((self.held or self.fit).yy.sum()) if self.variance is None else self.variance

    @cached_property
    def regression(self) -> Affine:
        """Ridge regression of the targets on the features; the ridge with the least held-out error wins."""
        return fit_affine(self, self.start)

    @property
    def felt(self) -> Tensor:
        """The regression's weights (o, d), their outputs taken in the metric."""
        weight = self.regression.weight
        return weight if self.metric is None else self.metric.root @ weight

    @cached_property
    def directions(self) -> Tensor:
        """Directions of the targets (o, at least min(d, o)), columns, from least to most explained variance.

        With a metric they are directions in it: `metric.root @ y`.
        """
        weight = self.regression.weight
        if self.metric is not None:
            return _eigh(self.metric.root @ (self.fit.xy.T @ weight.T) @ self.metric.root)[1]
        if len(weight) > max(weight.shape[1], MOST_TARGETS):
            # The same by way of the features, of which there are fewer.
            values, axes = _eigh(self.fit.xx)
            spread = (axes * values.clamp_min(0).sqrt()).T @ weight.T
            wide: Tensor = spread.T @ _eigh(spread @ spread.T)[1]
            unit: Tensor = wide / wide.norm(dim=0).clamp_min(_CLOSE)
            return unit
        return _eigh(self.fit.xy.T @ weight.T)[1]

    def judge(self, weight: Tensor, bias: Tensor) -> Tensor:
        """Mean squared error of each target on held-out rows (on the fitted ones where there are none)."""
        return (self.held or self.fit).error(weight, bias)

    def residual(self, weight: Tensor, bias: Tensor) -> float:
        """|error|^2 / |centred target|^2, summed over the targets."""
        return self.part(float(self.judge(weight, bias).sum()))

    def part(self, error: float) -> float:
        """An error, summed over the targets, as a part of their variance; of constant targets all or nothing."""
        if self.total < _NOTHING:
            return float(error > _CLOSE)
        return error / self.total


@dataclass(frozen=True)
class Affine:
    """`y = weight x + bias`: weight (o, d), bias (o,), and the ridge it was fitted with."""

    weight: Tensor
    bias: Tensor
    ridge: float


def _eigh(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, upwards, and eigenvectors of the symmetric part of a matrix."""
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    return values, vectors


def solve(gram: Tensor, right: Tensor, ridge: float) -> Tensor:
    """Solve `(gram + ridge * mean(diag gram) * I) z = right` for symmetric positive semi-definite `gram`."""
    scale = float(gram.diagonal().mean())
    if scale < _NOTHING:
        # The features never change (dead units, a constant image): they explain nothing.
        return torch.zeros_like(right)
    size = len(gram)
    for jitter in (_JITTER, 1e-7, 1e-4):
        regular = gram + torch.eye(size, dtype=gram.dtype) * (scale * max(ridge, jitter))
        factor, info = torch.linalg.cholesky_ex(regular)
        if int(info) == 0:
            solution: Tensor = torch.cholesky_solve(right, factor)
            return solution
    # So far from definite only where rounding is all there is: the solution of least norm then.
    values, vectors = _eigh(regular)
    kept = values > values[-1] * _JITTER
    return (vectors[:, kept] / values[kept]) @ (vectors[:, kept].T @ right)


def fit_affine(evidence: Evidence, start: Tensor | None = None) -> Affine:
    """Ridge regression of the targets on the features; the ridge with the least held-out error wins.

    With `start` (o, d) the penalty is on the distance from it: weights that the rows say nothing about stay.
    """
    fit = evidence.fit
    base = fit.xy.new_zeros(fit.xy.T.shape) if start is None else start.detach().double().cpu()
    target = fit.xy if start is None else fit.xy - fit.xx @ base.T

    @cache
    def tried(number: int) -> tuple[float, Affine]:
        weight = solve(fit.xx, target, evidence.ridges[number]).T + base
        bias = fit.mean_y - weight @ fit.mean_x
        error = float(evidence.judge(weight, bias).sum())
        return error, Affine(weight, bias, evidence.ridges[number])

    # The held-out error falls and rises again along the ridges: it is followed downwards from the middle.
    last = len(evidence.ridges) - 1
    at = last // 2
    while True:
        beside = [number for number in (at - 1, at + 1) if 0 <= number <= last]
        better = min([at, *beside], key=lambda number: tried(number)[0])
        if better == at:
            return tried(at)[1]
        at = better
