"""What each idea saved, step by step: of the network, and of each layer under weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from striate.ledger.account import Ledger
from striate.ledger.rows import Layer


@dataclass(frozen=True, slots=True)
class Step:
    """Weights (biases left out) once an idea is in; None where that is not known, which `why` explains."""

    label: str
    weights: int | None
    factor: int | float | None
    why: str = ""


def steps(ledger: Ledger) -> list[Step]:
    """From fully connected without pooling to the network as it is; empty where no layer has connections.

    >>> from torch import nn
    >>> from striate.ledger import count
    >>> [step.weights for step in steps(count(nn.Conv2d(1, 1, 3), (1, 1, 5, 5)))]
    [225, 225, 81, 9]
    """
    ideas, totals = ledger.ideas, ledger.totals
    if ideas.locality.factor is None or ideas.sharing.saved is None:
        return []
    unpooled = None if ideas.pooling.saved is None else totals.dense_params + ideas.pooling.saved
    return [
        Step(
            "fully connected, without pooling",
            unpooled,
            None,
            "" if unpooled is not None else _why_not(ledger),
        ),
        Step("fully connected, with pooling", totals.dense_params, ideas.pooling.factor),
        Step("local windows", totals.connections, ideas.locality.factor),
        Step("shared kernels", totals.connections - ideas.sharing.saved, ideas.sharing.factor),
    ]


def _why_not(ledger: Ledger) -> str:
    reasons = [
        f"{entry.operator} in {entry.where or 'the model'}: {entry.effect}"
        for entry in ledger.unsupported
        if "pooling" in entry.metrics
    ]
    return "; ".join(reasons) or "the ledger does not say why"


def under_weights(layers: Sequence[Layer]) -> list[Layer]:
    """The layers that connect units under weights: those that ideas can save something in."""
    return [layer for layer in layers if layer.connections and layer.dense_params]


def kind(layer: Layer) -> str:
    """Which ideas a layer uses: "dense", "local", "shared", "local-shared", "pooling" or "other"."""
    if layer.pooling_factor is not None:
        return "pooling"
    if layer.connections is None:
        return "other"
    local = (layer.locality_factor or 1) > 1
    shared = (layer.sharing_factor or 1) > 1
    return (
        "local-shared"
        if local and shared
        else "local"
        if local
        else "shared"
        if shared
        else "dense"
    )


#: The kinds in words.
KINDS = {
    "dense": "fully connected",
    "local": "local windows",
    "shared": "shared weights",
    "local-shared": "local windows, shared kernels",
    "pooling": "pooling",
    "other": "no connections under weights",
}
