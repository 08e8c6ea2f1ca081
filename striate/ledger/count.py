"""Count a network: one call from a module and an input to its ledger."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from striate.ledger.account import Ledger, account
from striate.ledger.gates import Limit

if TYPE_CHECKING:
    from torch import nn


def count(
    model: nn.Module,
    *inputs: Any,
    batch_dim: int | None = 0,
    training: bool = False,
    name: str | None = None,
    keywords: Mapping[str, Any] | None = None,
    limits: Iterable[Limit] = (),
) -> Ledger:
    """The ledger of `model` on `inputs`: where its weights, work and memory are.

    `inputs` are what the forward takes, batch included: example tensors (meta ones too), or shapes
    such as (1, 3, 32, 32) for tensors of the parameters' type; `keywords` likewise by name.
    `batch_dim` is where the first input has its batch; None if it has none. The model runs once, in
    evaluation mode, as a copy without memory: it is left as it was. With `training` it runs once
    more in training mode, for what the backward pass needs (`Totals.saved_bytes`). `limits` are
    judged into `Ledger.gates`.

    Raises `ValueError` (`RequestError`) naming the layer if the forward raises.

    >>> from torch import nn
    >>> ledger = count(nn.Sequential(nn.Conv2d(1, 6, 5), nn.MaxPool2d(2)), (1, 1, 28, 28))
    >>> ledger.totals.params, ledger.totals.connections, ledger.layers[0].sharing_factor
    (156, 86400, 576)
    """
    from striate.ledger.capture import capture

    with _without_collecting():
        graph = capture(model, inputs, keywords=keywords, batch_dim=batch_dim, training=training)
        return account(graph, name or type(model).__name__).with_gates(limits)


@contextmanager
def _without_collecting() -> Iterator[None]:
    """The records of a large network are many and all of them stay: looking for garbage among them, again and
    again, takes a third of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
