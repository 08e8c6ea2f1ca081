"""The receptive fields of a ledger, checked on a real run: which inputs have a gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from striate.ledger.probed import Probe

if TYPE_CHECKING:
    from torch import nn


def probe(
    model: nn.Module,
    *inputs: Any,
    batch_dim: int | None = 0,
    keywords: Mapping[str, Any] | None = None,
) -> Probe:
    """Check the receptive fields that `count` gives, on a copy of `model` with random weights in float64.

    Arguments are those of `count`; the first input is replaced by random values. The copy runs on the CPU,
    forward and backward, a few times, until a row agrees: a path can be dead where an activation is zero or
    another input is the maximum. `model` is left as it was.

    Raises `ValueError` (`RequestError`) if the run would take more memory than is free, or if the forward
    raises.

    >>> from torch import nn
    >>> probe(nn.Sequential(nn.Conv2d(1, 6, 5), nn.MaxPool2d(2)), (1, 1, 28, 28)).output
    Probed(name='', type='output', claimed=((12, 18), (12, 18)), seen=((12, 18), (12, 18)))
    """
    from striate.ledger.capture.probe import run

    return run(model, inputs, keywords=keywords, batch_dim=batch_dim)
