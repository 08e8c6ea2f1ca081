"""Where each operand comes from: the network's input, its parameters, or neither.

Tells a weight from an activation in a matrix product, through views, transposes and weights that are
computed in the forward (weight norm, a low-rank product), and follows units through paddings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from striate.ledger.effects import (
    Contraction,
    Effect,
    Moved,
    Padding,
    Plain,
)
from striate.ledger.graph import Graph, Operator, Tensor
from striate.ledger.operators import effect


@dataclass(frozen=True, slots=True)
class Reading:
    """An operator call understood."""

    operator: Operator
    effect: Effect
    #: The inputs that depend on the network's input.
    active: tuple[Tensor, ...]
    #: Indices of the parameters that the weight of a contraction is made of.
    sources: frozenset[int] = frozenset()
    #: Of a contraction: whether weights meet activations, not two activations (attention) or
    #: weights in the making.
    is_layer: bool = False
    #: Whether the work grows with the batch.
    per_example: bool = True
    #: Units that the data of a contraction stand for: paddings and copies are not units.
    units: int = 0
    #: The padding that made the data of a contraction, if one did.
    padding: Padding | None = None


def read(graph: Graph) -> tuple[Reading, ...]:
    """Understand every operator of a captured forward pass, in order."""
    # Per storage: None where values depend on the input, else the parameters they are made of.
    origins: dict[int, frozenset[int] | None] = {t.storage: None for t in graph.inputs}
    for index, parameter in enumerate(graph.parameters):
        origins[parameter.tensor.storage] = frozenset({index})
    for buffer in graph.buffers:
        origins[buffer.tensor.storage] = frozenset()
    stands: dict[int, int] = {}
    paddings: dict[int, Padding] = {}
    readings: list[Reading] = []
    weightlike = _Weightlike()
    for operator in graph.operators:
        found = effect(operator)
        inputs = operator.inputs
        active = tuple(t for t in inputs if origins.get(t.storage, frozenset()) is None)
        reading = Reading(operator, found, active)
        if isinstance(found, Contraction):
            reading = _contraction(reading, found, origins, stands, paddings, graph.batch)
        elif isinstance(found, Padding):
            paddings[found.output.id] = found
            stands[found.output.id] = stands.get(found.data.id, found.data.units)
        elif isinstance(found, Moved):
            _follow(found, stands)
        readings.append(reading)
        weightlike.note(len(readings) - 1, reading)
        if active and not (isinstance(found, Plain) and found.creates):
            made: frozenset[int] | None = None
        elif isinstance(found, Plain) and found.creates:
            made = frozenset()
        else:
            made = frozenset().union(*(origins.get(t.storage) or () for t in inputs))
        for output in operator.outputs:
            # Writing into part of a tensor does not take the rest of it away.
            before = origins.get(output.storage, frozenset())
            origins[output.storage] = None if made is None or before is None else made | before
    weightlike.met.update(*(weightlike.pending.get(t.storage, ()) for t in graph.outputs))
    for index in weightlike.computed - weightlike.met:
        readings[index] = replace(
            readings[index], is_layer=False, sources=frozenset(), per_example=False
        )
    return tuple(readings)


class _Weightlike:
    """Contractions of weights with what is no activation: layers, or the making of another weight?

    A first state of zeros under a recurrent weight is a layer's data: the result meets activations.
    The power iteration of a spectral norm makes a weight: its result only ever is the weight of
    another contraction.
    """

    def __init__(self) -> None:
        self.computed: set[int] = set()
        #: Those whose result has met an activation.
        self.met: set[int] = set()
        #: Per storage: the contractions its values come from.
        self.pending: dict[int, frozenset[int]] = {}

    def note(self, index: int, reading: Reading) -> None:
        found, operator = reading.effect, reading.operator
        as_weight: tuple[int, ...] = ()
        if isinstance(found, Contraction) and reading.is_layer:
            parts = (found.weight, *found.mixing, *([found.bias] if found.bias else []))
            as_weight = tuple(part.storage for part in parts)
        behind: frozenset[int] = frozenset()
        for tensor in operator.inputs:
            known = self.pending.get(tensor.storage, frozenset())
            if not reading.active:
                behind |= known
            elif tensor.storage not in as_weight:
                self.met |= known
        if reading.is_layer and not reading.active:
            self.computed.add(index)
            behind |= {index}
        for output in operator.outputs:
            if behind:
                self.pending[output.storage] = behind
            else:
                self.pending.pop(output.storage, None)


def _follow(moved: Moved, stands: dict[int, int]) -> None:
    """Copies of a unit made by an unfolding or an expansion stand for the same unit."""
    units = stands.get(moved.data.id)
    if units is None and moved.how in ("unfold", "expand"):
        units = moved.data.units
    if units is not None and moved.output.units >= units:
        stands[moved.output.id] = units


def _contraction(
    reading: Reading,
    found: Contraction,
    origins: Mapping[int, frozenset[int] | None],
    stands: Mapping[int, int],
    paddings: Mapping[int, Padding],
    batch: int | None,
) -> Reading:
    data, weight = (origins.get(t.storage, frozenset()) for t in (found.data, found.weight))
    for tensor in found.mixing:
        other = origins.get(tensor.storage, frozenset())
        weight = None if weight is None or other is None else weight | other
    if found.form in ("matmul", "einsum") and data and not weight:
        found = replace(found, data=found.weight, weight=found.data, swapped=True)
        data, weight = weight, data
    per_example = data is None or weight is None
    if data or not weight:
        return replace(reading, effect=found, per_example=per_example)
    # What is made in the forward (a first state of zeros, positions) is as wide as the batch or not.
    per_example = per_example or found.data.shape[:1] == (batch,)
    return replace(
        reading,
        effect=found,
        is_layer=True,
        sources=weight,
        per_example=per_example,
        units=stands.get(found.data.id, found.data.units),
        padding=paddings.get(found.data.id),
    )
