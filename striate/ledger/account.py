"""The ledger: rows, totals, what each idea saved, and the limits it was judged against."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from striate.ledger.gates import Gate, Limit, judge
from striate.ledger.graph import Graph
from striate.ledger.ideas import Ideas, ideas
from striate.ledger.provenance import Reading, read
from striate.ledger.rows import Elementwise, Layer, Unsupported, rows


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the whole network. `params` are distinct, trained and frozen; `buffers` are elements;
    `weight_bytes` are parameters and buffers at their stored type. MACs are of contractions, FLOPs
    2 x MACs; `peak_activation_bytes` is the most that inputs and activations take at once in a
    forward pass without gradients, operators' own workspaces left out; `saved_bytes` what a training
    step keeps from the forward to the backward pass besides inputs and weights (None: not asked for).
    `elementwise` is the work of operators that are no contraction: the elements that each reads or
    writes, whichever are more."""

    params: int
    trainable: int
    buffers: int
    weight_bytes: int
    connections: int
    connections_inside: int
    dense_params: int
    macs: int
    macs_per_example: int
    flops: int
    flops_per_example: int
    activation_bytes: int
    activation_bytes_per_example: int
    peak_activation_bytes: int
    elementwise: int = 0
    saved_bytes: int | None = None

    def to_dict(self) -> dict[str, int | None]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class Container:
    """A module that holds others: its name, as `layers` begin with it, its type, and the shapes of the first tensors
    that it was first given and gave (None where it was not called)."""

    name: str
    type: str
    input_shape: tuple[int, ...] | None = None
    output_shape: tuple[int, ...] | None = None

    def to_dict(self) -> dict[str, object]:
        return {
            "name": self.name,
            "type": self.type,
            "input_shape": None if self.input_shape is None else list(self.input_shape),
            "output_shape": None if self.output_shape is None else list(self.output_shape),
        }


@dataclass(frozen=True)
class Ledger:
    """The account of a network.

    `status` is "partial" where some operator could not be counted (`unsupported` says which, where
    and in what metrics), else "complete".
    """

    name: str
    batch: int | None
    totals: Totals
    ideas: Ideas
    layers: tuple[Layer, ...]
    receptive_field: dict[str, list[float]] | None
    unsupported: tuple[Unsupported, ...] = ()
    gates: tuple[Gate, ...] = ()
    notes: tuple[str, ...] = ()
    containers: tuple[Container, ...] = ()
    elementwise: tuple[Elementwise, ...] = ()

    @property
    def status(self) -> str:
        return "partial" if self.unsupported else "complete"

    @property
    def uncertain(self) -> frozenset[str]:
        """Metrics whose values are lower bounds."""
        return frozenset(metric for entry in self.unsupported for metric in entry.metrics)

    def values(self) -> dict[str, int | None]:
        """What each limit is judged on. The receptive field's is its smaller side. Work and memory
        are per example for MACs and FLOPs, of the input given for the rest."""
        field = self.receptive_field
        return {
            "params": self.totals.params,
            "macs": self.totals.macs_per_example,
            "weight_bytes": self.totals.weight_bytes,
            "flops": self.totals.flops_per_example,
            "activation_bytes": self.totals.activation_bytes,
            "peak_activation_bytes": self.totals.peak_activation_bytes,
            "receptive_field": None if field is None else int(min(field["size"])),
        }

    def with_gates(self, limits: Iterable[Limit]) -> Ledger:
        """The same ledger, judged against `limits`."""
        return replace(self, gates=judge(limits, self.values(), self.uncertain))

    def __str__(self) -> str:
        """The table that `striate count` prints, 100 columns wide."""
        from striate.ledger.render import table

        return table.text(self)

    def to_dict(self) -> dict[str, Any]:
        """The `striate.ledger/1` document."""
        from striate.ledger.render.document import document

        return document(self)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from striate.ledger.render import notebook

        return notebook.ledger(self)


def account(graph: Graph, name: str) -> Ledger:
    """The ledger of a captured forward pass."""
    readings = read(graph)
    found = rows(graph, readings)
    layers = found.layers
    contracting = [layer for layer in layers if layer.connections is not None]
    dense = sum(layer.dense_params or 0 for layer in contracting)
    connections = sum(layer.connections or 0 for layer in contracting)
    macs = sum(layer.macs for layer in layers)
    stored = [*graph.parameters, *graph.buffers]
    totals = Totals(
        params=sum(p.tensor.units for p in graph.parameters),
        trainable=sum(p.tensor.units for p in graph.parameters if p.trainable),
        buffers=sum(b.tensor.units for b in graph.buffers),
        weight_bytes=sum(p.tensor.nbytes for p in stored),
        connections=connections,
        connections_inside=sum(layer.connections_inside or 0 for layer in contracting),
        dense_params=dense,
        macs=macs,
        macs_per_example=found.macs_per_example,
        flops=2 * macs,
        flops_per_example=2 * found.macs_per_example,
        activation_bytes=sum(layer.activation_bytes for layer in layers),
        activation_bytes_per_example=found.activation_bytes_per_example,
        peak_activation_bytes=peak_bytes(graph, readings),
        elementwise=sum(layer.elementwise for layer in layers),
        saved_bytes=None if graph.saved is None else sum(bytes_ for _, bytes_ in graph.saved),
    )
    return Ledger(
        name=name,
        batch=graph.batch,
        totals=totals,
        ideas=ideas(
            dense, connections, sum(layer.weights for layer in contracting), found.unpooled_params
        ),
        layers=layers,
        receptive_field=found.receptive_field,
        unsupported=found.unsupported,
        notes=graph.notes,
        containers=containers(graph),
        elementwise=found.elementwise,
    )


def containers(graph: Graph) -> tuple[Container, ...]:
    """The modules that hold others, each with the shapes of its first call."""
    first = {call.module: call for call in reversed(graph.calls)}
    found = []
    for index, module in enumerate(graph.modules):
        if not module.leaf:
            call = first.get(index)
            shapes = (None, None) if call is None else (call.input_shape, call.output_shape)
            found.append(Container(module.name, module.type, *shapes))
    return tuple(found)


def peak_bytes(graph: Graph, readings: Sequence[Reading]) -> int:
    """The most bytes of inputs and activations alive at once, from when each was made and released."""
    permanent = {p.tensor.storage for p in (*graph.parameters, *graph.buffers)} | graph.folded
    alive = {t.storage: t.nbytes for t in graph.inputs}
    peak = sum(alive.values())
    current = peak
    for reading in readings:
        for storage in reading.operator.freed:
            current -= alive.pop(storage, 0)
        for output in reading.operator.outputs:
            if output.storage not in alive and output.storage not in permanent:
                alive[output.storage] = output.nbytes
                current += output.nbytes
        peak = max(peak, current)
    return peak
