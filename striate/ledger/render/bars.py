"""What each idea saved as bars on a log scale: of the network, and of each layer."""

from __future__ import annotations

from dataclasses import dataclass

from striate.ledger.account import Ledger
from striate.ledger.render.logarithmic import Scale
from striate.ledger.render.numbers import times
from striate.ledger.render.saved_by import steps, under_weights
from striate.ledger.rows import Layer

#: This many layers have their bars shown at once, those that the ideas saved most in; the others on demand.
MOST_BARS = 12

#: Where on a scale, in percent, which power of ten is.
Ticks = tuple[tuple[float, int], ...]


@dataclass(frozen=True, slots=True)
class Bar:
    """A step of the network. `weights` is None where it is not known, which `why` explains."""

    label: str
    weights: str | None
    factor: str
    width: float
    why: str


@dataclass(frozen=True, slots=True)
class NetworkBars:
    """The steps, their product as text (empty where it is not known), and what they lead from and to."""

    steps: tuple[Bar, ...]
    total: str
    first: str
    last: str
    ticks: Ticks


@dataclass(frozen=True, slots=True)
class LayerBar:
    """A layer's weights fully connected, its connections, and its weights."""

    name: str
    type: str
    counts: tuple[str, ...]
    widths: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class LayerBars:
    """Those in which most was saved, and the others, in the order of the network."""

    leading: tuple[LayerBar, ...]
    others: tuple[LayerBar, ...]
    ticks: Ticks


def of_network(ledger: Ledger) -> NetworkBars | None:
    """None where no layer has connections under weights."""
    found = steps(ledger)
    if not found:
        return None
    scale = Scale.up_to(step.weights or 1 for step in found)
    bars = tuple(
        Bar(
            label=step.label,
            weights=None if step.weights is None else f"{step.weights:,}",
            factor=times(step.factor),
            width=_percent(scale.part(step.weights or 1)),
            why=step.why,
        )
        for step in found
    )
    return NetworkBars(
        steps=bars,
        total=times(ledger.ideas.total.factor),
        first=next(bar.weights for bar in bars if bar.weights is not None),
        last=f"{found[-1].weights:,}",
        ticks=_ticks(scale),
    )


def of_layers(ledger: Ledger) -> LayerBars:
    """All on one scale."""
    layers = under_weights(ledger.layers)
    scale = Scale.up_to(count for layer in layers for count in _counts(layer))
    most = sorted(range(len(layers)), key=lambda i: layers[i].weights - _counts(layers[i])[0])
    leading = set(most[:MOST_BARS])
    bars = [_layer_bar(layer, scale) for layer in layers]
    return LayerBars(
        leading=tuple(bar for i, bar in enumerate(bars) if i in leading),
        others=tuple(bar for i, bar in enumerate(bars) if i not in leading),
        ticks=_ticks(scale),
    )


def _counts(layer: Layer) -> tuple[int, int, int]:
    return (layer.dense_params or 0, layer.connections or 0, layer.weights)


def _layer_bar(layer: Layer, scale: Scale) -> LayerBar:
    counts = _counts(layer)
    return LayerBar(
        name=layer.name or "(model)",
        type=layer.type,
        counts=tuple(f"{count:,}" for count in counts),
        widths=tuple(_percent(scale.part(count)) for count in counts),
    )


def _ticks(scale: Scale) -> Ticks:
    return tuple((_percent(exponent / scale.decades), exponent) for exponent in scale.ticks())


def _percent(part: float) -> float:
    return round(100 * part, 2)
