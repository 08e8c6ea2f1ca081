"""Receptive fields along a captured forward pass, where they are known.

Branches that meet have the union; attention, a dense layer over positions or a global pooling see from
the first to the last input that any of their inputs sees. What cannot be followed has no field: none is
claimed that is larger or smaller than the true one. Constants, and weights, are taken to be nowhere
zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from striate.ledger.effects import Contraction, Padding, Plain, Pooling
from striate.ledger.graph import Graph, Operator, Tensor
from striate.ledger.provenance import Reading
from striate.ledger.receptive.rules import Seen, masks, through
from striate.ledger.receptive.sight import Sight, image

__all__ = ["Sight", "Sights", "as_document", "receptive_fields"]


@dataclass(frozen=True, slots=True)
class Sights:
    """What is known of the tensors of a forward pass. A tensor that is written in place sees more than it did when it
    was made, so both can be asked for."""

    last: Mapping[int, Sight]
    made: Mapping[int, Sight]

    def of(self, tensor: Tensor) -> Sight | None:
        """Of a tensor as it was last."""
        return self.last.get(tensor.id)

    def made_by(self, operator: Operator) -> Sight | None:
        """Of an operator's first output, as the operator left it."""
        return self.made.get(id(operator))


def receptive_fields(graph: Graph, readings: Sequence[Reading]) -> Sights:
    """What the units of each tensor see of the network's first input.

    The input is laid out (batch, channels, *axes), or without the batch where it has none.
    """
    if graph.batch_dim not in (0, None) or not graph.inputs:
        return Sights({}, {})
    first = graph.inputs[0]
    before = 1 if graph.batch_dim is None else 2
    if len(first.shape) <= before or not first.units or not _is_map(first, before, readings):
        return Sights({}, {})
    return _Walk(graph, first, image(first.shape, before)).through(readings)


def as_document(sight: Sight | None) -> dict[str, list[float]] | None:
    """`{size, stride, centre}`, one number per axis; a stride of 0 where every unit sees the same."""
    fields = None if sight is None else sight.fields()
    if fields is None:
        return None
    return {
        "size": [field.size for field in fields],
        "stride": [field.stride for field in fields],
        "centre": [field.centre for field in fields],
    }


def _is_map(first: Tensor, before: int, readings: Sequence[Reading]) -> bool:
    """Whether the last axes are positions. A sequence has positions where others have channels: with one
    axis only, windows must slide along something for it to be a map."""
    if len(first.shape) > before + 1:
        return True
    return any(
        isinstance(reading.effect, Pooling)
        or (isinstance(reading.effect, Contraction) and reading.effect.windows)
        for reading in readings
    )


class _Walk:
    """The sights of tensors while the operators are gone through, and which memory depends on the input."""

    def __init__(self, graph: Graph, first: Tensor, sight: Sight) -> None:
        self.seen = {first.id: sight}
        #: Of the first output of each operator, by the operator's identity.
        self.made: dict[int, Sight] = {}
        #: Memory that depends on the first input.
        self.touched = {first.storage}
        #: Memory with nothing but parameters in it: constants may be masks.
        self.trained = {parameter.tensor.storage for parameter in graph.parameters}
        #: The tensors with a sight in one memory.
        self.views: dict[int, set[int]] = {first.storage: {first.id}}
        #: Tensors that a mask may have taken elements out of, until they are summed up.
        self.masked: set[int] = set()
        self.paddings: dict[int, tuple[Sight, tuple[tuple[int, int], ...]]] = {}

    def through(self, readings: Sequence[Reading]) -> Sights:
        for reading in readings:
            operator = reading.operator
            data = [t for t in reading.active if t.storage in self.touched]
            if not data or (isinstance(reading.effect, Plain) and reading.effect.creates):
                self._apart(reading)
                continue
            found: Sequence[Sight | None] = ()
            sights = {t.id: self.seen[t.id] for t in data if t.id in self.seen}
            if len(sights) == len({t.id for t in data}) or operator.name == "aten.copy_":
                seen = Seen(reading, sights, self.paddings, self.masked, self._may_mask)
                found = through(seen)
                hidden = not self.masked.isdisjoint(sights) or masks(seen)
                if hidden and not isinstance(reading.effect, Contraction):
                    self.masked.update(output.id for output in operator.outputs)
            self._note(operator, data, found)
            padding = reading.effect
            if isinstance(padding, Padding) and not padding.copies and padding.data.id in sights:
                self.paddings[padding.output.id] = (sights[padding.data.id], padding.amounts)
        return Sights(self.seen, self.made)

    def _may_mask(self, tensor: Tensor) -> bool:
        return tensor.storage not in self.trained

    def _apart(self, reading: Reading) -> None:
        """An operator that does not touch what depends on the input."""
        inputs = reading.operator.inputs
        leading = inputs if reading.operator.pointwise else inputs[:1]
        trained = bool(leading) and all(t.storage in self.trained or t.units == 1 for t in leading)
        for output in reading.operator.outputs:
            if trained:
                self.trained.add(output.storage)
            else:
                self.trained.discard(output.storage)

    def _note(
        self, operator: Operator, data: Sequence[Tensor], found: Sequence[Sight | None]
    ) -> None:
        given = {t.id for t in data}
        for index, output in enumerate(operator.outputs):
            sight = found[index] if index < len(found) else None
            if sight is not None and (sight.shape != output.shape or not _sees(sight)):
                sight = None
            self.touched.add(output.storage)
            self.paddings.pop(output.id, None)
            views = self.views.setdefault(output.storage, set())
            if output.id in given and self.seen.get(output.id) != sight:
                # Written in place: what other views of this memory see is no longer known.
                for view in views:
                    self.seen.pop(view, None)
                views.clear()
            if sight is None:
                self.seen.pop(output.id, None)
            else:
                self.seen[output.id] = sight
                views.add(output.id)
                if index == 0:
                    self.made[id(operator)] = sight


def _sees(sight: Sight) -> bool:
    """Whether its units see anything at all."""
    return all(
        term.reach[0] < term.reach[1] and (term.size is None or term.size > 0)
        for term in sight.terms
    )
