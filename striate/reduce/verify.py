"""Whether a network is what its plan says."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn


def counts(model: nn.Module) -> dict[str, int]:
    """What a network stores, counted on its tensors: a tied tensor once, buffers in the bytes only.

    >>> counts(nn.BatchNorm1d(3))  # two times 3 floats, two times 3 in buffers, one int64
    {'params': 6, 'weight_bytes': 56}
    """
    parameters = list(model.parameters())
    stored = [*parameters, *model.buffers()]
    return {
        "params": sum(tensor.numel() for tensor in parameters),
        "weight_bytes": sum(tensor.numel() * tensor.element_size() for tensor in stored),
    }


def check_counts(model: nn.Module, planned: Mapping[str, int]) -> dict[str, int]:
    """`counts(model)`, if they are what was planned; `planned` may hold further metrics.

    A difference is a fault of striate, not of the request, and raises `RuntimeError`.

    >>> check_counts(nn.Linear(3, 2), {"params": 8, "macs": 6})["params"]
    8
    """
    found = counts(model)
    wrong = [
        f"{metric} {value:,} where the plan says {planned[metric]:,}"
        for metric, value in found.items()
        if metric in planned and planned[metric] != value
    ]
    if wrong:
        raise RuntimeError(f"the built network is not the planned one: it has {'; '.join(wrong)}")
    return found
