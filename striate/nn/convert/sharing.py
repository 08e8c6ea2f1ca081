"""From one degree of sharing to another: exactly to a richer one, as near as it goes to a poorer one."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from math import prod
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.geometry import kernel_of_position
from striate.nn import checks
from striate.nn.convert.build import LOCAL, arguments, empty, filled
from striate.nn.functional import Share
from striate.nn.layer import LocalLayer
from striate.nn.local import LocallyConnected
from striate.nn.low_rank import LowRankLocallyConnected2d
from striate.nn.transposed import LocallyConnectedTranspose
from striate.ops.reference import windows

Layer = TypeVar("Layer", LocallyConnected, LocallyConnectedTranspose)

# Rows of the least squares problem that are looked at together.
_ROWS = 1 << 14


def lift(layer: LocalLayer, share: Share = 1) -> LocalLayer:
    """The same function with more kernels: exact, up to nothing at all.

    Args:
        layer: it is left as it is. A low-rank layer becomes a `LocallyConnected2d` (its mixed kernels
            are rounded once).
        share: a sharing that parts each of the layer's blocks or leaves it whole.

    Raises ValueError where positions would share a kernel that do not share one in the layer.

    >>> from striate.nn import LocallyConnected2d
    >>> layer, x = LocallyConnected2d(1, 2, 3, input_size=8, share=4), torch.rand(1, 1, 8, 8)
    >>> lifted = lift(layer, share=2)
    >>> lifted.blocks, torch.allclose(lifted(x), layer(x), atol=1e-6)
    ((3, 3), True)
    """
    if isinstance(layer, LowRankLocallyConnected2d):
        layer = _mixed(layer)
    _known("lift", layer)
    new: LocalLayer = _with_share("lift", layer, share)
    old_numbers, numbers = kernel_of_position(layer.grid), kernel_of_position(new.grid)
    _, first = np.unique(numbers, return_index=True)
    apart = old_numbers != old_numbers[first][numbers]
    if apart.any():
        at = int(apart.argmax())
        one, other = (
            tuple(map(int, np.unravel_index(int(place), layer.grid.output_size)))
            for place in (first[numbers[at]], at)
        )
        raise ValueError(
            f"lift: share={share!r} gives positions {one} and {other} one kernel, which have two in "
            f"the layer; project(layer, share={share!r}) does so with the least error"
        )
    chosen = torch.from_numpy(old_numbers[first]).to(layer.weight.device)
    weight = _rows(layer.weight, layer).index_select(0, chosen).reshape(new.weight.shape)
    bias = layer.bias
    if bias is not None and new.bias is not None and layer.bias_form is True:
        if isinstance(layer, LocallyConnectedTranspose):
            bias = bias.expand(new.bias.shape)  # type: ignore[assignment]
        else:
            flat = bias.reshape(layer.grid.kernels, -1)
            bias = flat.index_select(0, chosen).reshape(new.bias.shape)  # type: ignore[assignment]
    return filled(new, weight=weight, bias=bias).train(layer.training)


def project(layer: LocalLayer, share: Share, inputs: Tensor | None = None) -> LocalLayer:
    """The layer with other, usually fewer, kernels that comes nearest to it.

    Without inputs each kernel is the mean, over the output positions it serves, of the kernels that
    stand there now (what `striate.apply` without calibration calls *replaced*), and so is the bias.
    With inputs weights and bias give the least squared error against the layer's outputs on them; of
    several such the one nearest to the means. Sums are in float64. For a transposed layer, whose
    windows overlap, the solution is iterated (LSMR: Fong and Saunders, 2011).

    Args:
        layer: it is left as it is.
        share: as the layer takes it; of a transposed layer, over input positions.
        inputs: (N, C, *sizes), such as activations of a few hundred examples.

    Raises ValueError, TypeError for what the layer refuses.

    >>> from striate.nn import LocallyConnected2d
    >>> layer, x = LocallyConnected2d(1, 2, 3, input_size=8), torch.rand(50, 1, 8, 8)
    >>> mean, fitted = project(layer, share=2), project(layer, share=2, inputs=x)
    >>> error = [(new(x) - layer(x)).square().sum().item() for new in (mean, fitted)]
    >>> fitted.blocks, error[1] < error[0]
    ((3, 3), True)
    """
    if isinstance(layer, LowRankLocallyConnected2d):
        layer = _mixed(layer)
    _known("project", layer)
    if isinstance(layer, LocallyConnected):
        return _project(layer, share, inputs)
    assert isinstance(layer, LocallyConnectedTranspose)
    return _project(layer, share, inputs)


def _project(layer: Layer, share: Share, inputs: Tensor | None) -> Layer:
    exact = copy.deepcopy(layer).double()
    new = _mean(exact, share)
    if inputs is not None:
        with checks.named("project"):
            if not isinstance(inputs, Tensor):
                raise TypeError(f"inputs={type(inputs).__name__}: expected a Tensor")
            data = inputs.detach().to(exact.weight)
            exact._check_input(data)
        data = data if data.dim() == layer.axes + 2 else data.unsqueeze(0)
        with torch.no_grad():
            if isinstance(new, LocallyConnected):
                _fit(new, data, exact(data) - new(data))
            else:
                _iterate(new, data, exact(data) - new(data))
    return new.to(layer.weight.dtype).train(layer.training)


def _known(who: str, layer: LocalLayer) -> None:
    if not isinstance(layer, LocallyConnected | LocallyConnectedTranspose):
        raise TypeError(f"{who}: layer={type(layer).__name__}: expected a locally connected layer")
    if not layer.in_channels:
        raise ValueError(
            f"{who}: the layer is lazy and has no weights yet; run it once on an input"
        )


def _with_share(who: str, layer: Any, share: Share) -> Any:
    """An empty layer like this one with another sharing."""
    kinds = [kind for kind in type(layer).__mro__ if kind.__module__.startswith("striate.nn")]
    with checks.named(who):
        return empty(kinds[0], **arguments(layer) | {"share": share})


def _rows(weight: Tensor, layer: LocalLayer) -> Tensor:
    """A weight with its kernels along the first axis."""
    return weight.detach().flatten(0, len(layer.blocks) - 1)


def _mixed(layer: LowRankLocallyConnected2d) -> LocallyConnected:
    """The local layer that a low-rank one is."""
    spread = layer.bias_form is True
    # A bias of its own for each position needs a kernel there.
    share = 1 if spread else layer.share
    local: LocallyConnected = empty(LOCAL[2], **arguments(layer) | {"share": share})
    weight = torch.tensordot(layer.mixed().detach(), layer.weight.detach(), 1)
    if spread:
        numbers = torch.from_numpy(kernel_of_position(layer.grid)).to(weight.device)
        weight = weight.flatten(0, len(layer.blocks) - 1).index_select(0, numbers)
    weight = weight.reshape(local.weight.shape)
    return filled(local, weight=weight, bias=layer.bias).train(layer.training)


def _mean(layer: Layer, share: Share) -> Layer:
    """The layer with the means of its kernels."""
    new: Layer = _with_share("project", layer, share)
    old, now = kernel_of_position(layer.grid), kernel_of_position(new.grid)
    # How many positions each pair of an old and a new kernel has.
    pairs, counts = np.unique(now * layer.grid.kernels + old, return_counts=True)
    into, source = (torch.from_numpy(part) for part in divmod(pairs, layer.grid.kernels))
    parts = torch.from_numpy(counts / np.bincount(now)[into.numpy()])

    def mean(values: Tensor) -> Tensor:
        weights = parts.to(values).view(-1, *(1,) * (values.dim() - 1))
        taken = values.index_select(0, source.to(values.device)) * weights
        sums = values.new_zeros(new.grid.kernels, *values.shape[1:])
        return sums.index_add_(0, into.to(values.device), taken)

    bias: Tensor | None = layer.bias
    if bias is not None and new.bias is not None and layer.bias_form is True:
        bias = bias.detach()
        if isinstance(layer, LocallyConnectedTranspose):
            for axis, size in enumerate(new.bias.shape):
                if size == 1 < bias.shape[axis]:
                    bias = bias.mean(axis, keepdim=True)
            bias = bias.expand(new.bias.shape)
        else:
            bias = mean(bias.flatten(0, -2)).reshape(new.bias.shape)
    weight = mean(_rows(layer.weight, layer)).reshape(new.weight.shape)
    return filled(new, weight=weight, bias=bias)


# -- least squares ---------------------------------------------------------------------------------


def _fit(layer: LocallyConnected, data: Tensor, missing: Tensor) -> None:
    """Add to the weights what takes the most of `missing` (N, O, *output sizes) away.

    Every kernel is a problem of its own, but for a bias that all have in common: its column is cleared
    of what each kernel's taps can do for it, and what is left of all of them says how large it is.
    """
    groups, kernels = layer.groups, layer.grid.kernels
    per = layer.out_channels // groups
    weight = _rows(layer.weight, layer).view(kernels, groups, per, -1)
    common = layer.bias_form == "channel"
    own = None
    if layer.bias is not None and not common:
        own = layer.bias.detach().view(kernels, groups, per)
    top, bottom = data.new_zeros(groups, per), data.new_zeros(groups, 1)
    solved = {}
    for kernel, group, rows in _reduced(layer, data, missing):
        taps, one, rest = rows.split((weight.shape[3], 1, per), 1)
        if own is not None:
            found = _solve(torch.cat((taps, one), 1), rest)
            weight[kernel, group] += found[:-1].T
            own[kernel, group] += found[-1]
        elif not common:
            weight[kernel, group] += _solve(taps, rest).T
        else:
            found = _solve(taps, torch.cat((one, rest), 1))
            left = one - taps @ found[:, :1]
            top[group] += (left.T @ rest)[0]
            bottom[group] += left.square().sum()
            solved[kernel, group] = found
    if common:
        assert layer.bias is not None
        # Where the taps can make any constant, the bias stays as it is.
        free = bottom > 1e-12 * prod(missing.shape)
        step = torch.where(free, top / bottom.clamp(min=1e-300), 0)
        for (kernel, group), found in solved.items():
            weight[kernel, group] += (found[:, 1:] - found[:, :1] * step[group]).T
        layer.bias.add_(step.flatten())


def _solve(left: Tensor, right: Tensor) -> Tensor:
    """The shortest of the least squares solutions."""
    found: Tensor = torch.linalg.lstsq(left.cpu(), right.cpu(), driver="gelsd").solution
    return found.to(left.device)


def _reduced(
    layer: LocallyConnected, data: Tensor, missing: Tensor
) -> Iterator[tuple[int, int, Tensor]]:
    """Per kernel and group the rows [taps, 1, missing outputs], reduced to as many as columns.

    The triangle of a QR decomposition has the same sums of squares as the rows, so it is carried on
    from one part of the rows to the next in their place.
    """
    grid, groups = layer.grid, layer.groups
    seen = windows(data, grid)
    numbers = kernel_of_position(grid)
    order = np.argsort(numbers, kind="stable")
    ends = np.cumsum(np.bincount(numbers))
    channels, per = layer.in_channels // groups, layer.out_channels // groups
    few = max(1, _ROWS // max(1, len(data)))
    for kernel, places in enumerate(np.split(order, ends[:-1])):
        triangles: list[Tensor | None] = [None] * groups
        for start in range(0, len(places), few):
            at = _indices(places[start : start + few], grid.output_size, data.device)
            every: tuple[slice | Tensor, ...] = (slice(None), slice(None))
            taps, rest = seen[every + at], missing[every + at]  # (N, C, places, *kernel)
            for group in range(groups):
                some = taps[:, group * channels : (group + 1) * channels].transpose(1, 2)
                some = some.reshape(-1, channels * prod(grid.kernel_size))
                outputs = rest[:, group * per : (group + 1) * per].transpose(1, 2).reshape(-1, per)
                rows = torch.cat((some, some.new_ones(len(some), 1), outputs), 1)
                triangle = triangles[group]
                rows = rows if triangle is None else torch.cat((triangle, rows))
                triangles[group] = torch.linalg.qr(rows, mode="r").R
        for group, triangle in enumerate(triangles):
            assert triangle is not None
            yield kernel, group, triangle


def _indices(
    places: NDArray[np.int64], sizes: tuple[int, ...], device: torch.device
) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(axis).to(device) for axis in np.unravel_index(places, sizes))


def _iterate(layer: LocallyConnectedTranspose, data: Tensor, missing: Tensor) -> None:
    """`_fit` for windows that overlap: the layer is linear in its parameters, and so is its adjoint."""
    from scipy.sparse.linalg import LinearOperator, lsmr  # slow to import, and seldom needed

    parameters = dict(layer.named_parameters())
    sizes = [parameter.numel() for parameter in parameters.values()]

    def run(flat: Tensor) -> Tensor:
        parts = zip(parameters, flat.split(sizes), strict=True)
        shaped = {name: part.view(parameters[name].shape) for name, part in parts}
        out: Tensor = torch.func.functional_call(layer, shaped, (data,))
        return out.flatten()

    def tensor(array: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array).reshape(-1)).to(data.device)

    def forward(array: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(run(tensor(array)).cpu())

    def backward(array: NDArray[np.float64]) -> NDArray[np.float64]:
        with torch.enable_grad():
            flat = torch.zeros(sum(sizes), dtype=data.dtype, device=data.device, requires_grad=True)
            (gradient,) = torch.autograd.grad(run(flat), flat, tensor(array))
        return np.asarray(gradient.cpu())

    problem = LinearOperator(
        (missing.numel(), sum(sizes)), matvec=forward, rmatvec=backward, dtype=np.float64
    )
    step = lsmr(
        problem, np.asarray(missing.flatten().cpu()), atol=1e-12, btol=1e-12, conlim=0, maxiter=2000
    )[0]
    nn.utils.vector_to_parameters(
        nn.utils.parameters_to_vector(parameters.values()) + tensor(step), parameters.values()
    )
