"""`striate.lift` and `striate.project`: a layer as another rung, and what that loses."""

from __future__ import annotations

import re
from math import prod

import numpy as np
import torch
from torch import Tensor

from striate.geometry import kernel_of_position
from striate.nn.convert.low_rank import to_low_rank
from striate.nn.convert.sharing import lift as _lift
from striate.nn.convert.sharing import project as _project
from striate.nn.functional import Share
from striate.nn.layer import LocalLayer
from striate.nn.low_rank import LowRankLocallyConnected2d

_RANK = re.compile(r"rank (\d+)")


def lift(layer: LocalLayer, to: Share = 1) -> LocalLayer:
    """The same function on a richer rung: `striate.nn.convert.lift`.

    Args:
        layer: it is left as it is.
        to: the sharing of the new layer, as `share` of the layer takes it.

    >>> from striate.nn import LocallyConnected2d
    >>> lift(LocallyConnected2d(1, 2, 3, input_size=8, share="all"), to=3).blocks
    (2, 2)
    """
    return _lift(layer, to)


def project(layer: LocalLayer, to: Share, inputs: Tensor | None = None) -> tuple[LocalLayer, float]:
    """The nearest layer on a poorer rung, and its residual.

    Args:
        layer: it is left as it is.
        to: a sharing, as `share` of the layer takes it (`striate.nn.convert.project`), or "rank R" for
            a low-rank layer with a bank of R kernels (`striate.nn.convert.to_low_rank`).
        inputs: (N, C, *sizes) to fit on: the squared error of the outputs is made least. Without them
            the weights are those that `striate.apply` without calibration calls *replaced*.

    Returns:
        the layer, and the part that is lost, 0 for nothing: with inputs the squared error of the outputs
        on them over the outputs' squares; without, the same of the kernels at all positions.

    Raises ValueError, TypeError that name the argument.

    >>> from striate.nn import LocallyConnected2d
    >>> layer, x = LocallyConnected2d(1, 2, 3, input_size=8), torch.rand(50, 1, 8, 8)
    >>> (blocked, lost), (low, less) = project(layer, to=2, inputs=x), project(layer, to="rank 18")
    >>> blocked.blocks, 0 < lost < 1, low.rank, less < 1e-9
    ((3, 3), True, 18, True)
    """
    rank = _RANK.fullmatch(to) if isinstance(to, str) else None
    new: LocalLayer = (
        _project(layer, to, inputs) if rank is None else to_low_rank(layer, int(rank[1]), inputs)  # type: ignore[arg-type]  # it looks itself
    )
    with torch.no_grad():
        if inputs is not None:
            exact = inputs.detach().to(layer.weight)
            wanted, found = layer(exact).double(), new(exact).double()
        else:
            wanted, found = _everywhere(layer), _everywhere(new)
        whole = float(wanted.square().sum())
        lost = float((found - wanted).square().sum())
    return new, lost / whole if whole else lost


def _everywhere(layer: LocalLayer) -> Tensor:
    """The kernels at all positions, float64: (positions, weights of one)."""
    kernels = layer.weight.detach().double()
    if isinstance(layer, LowRankLocallyConnected2d):
        kernels = torch.tensordot(layer.mixed().detach().double(), kernels, 1)
    numbers = torch.from_numpy(np.asarray(kernel_of_position(layer.grid))).to(kernels.device)
    return kernels.reshape(prod(layer.blocks), -1).index_select(0, numbers)
