"""A row for each layer: where the weights, connections, work and memory of a network are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

from striate.ledger import receptive
from striate.ledger.effects import Contraction, ElementWise, Plain, Pooling, Product, Unknown
from striate.ledger.graph import Graph, Operator
from striate.ledger.ideas import ratio, without_pooling
from striate.ledger.provenance import Reading


@dataclass(frozen=True, slots=True)
class Layer:
    """One row. Connections and units leave the batch out; macs, flops and activations are of the
    input given. None where a figure means nothing for the layer."""

    name: str
    type: str
    input_shape: tuple[int, ...] | None
    output_shape: tuple[int, ...] | None
    params: int
    weights: int
    bias: int
    connections: int | None
    connections_inside: int | None
    connections_with_bias: int | None
    dense_params: int | None
    locality_factor: int | float | None
    sharing_factor: int | float | None
    pooling_factor: int | float | None
    macs: int
    flops: int
    activation_bytes: int
    receptive_field: dict[str, list[float]] | None
    shared_with: tuple[str, ...]
    calls: int
    #: Elements read or written, whichever are more, by operators that compute and are no contraction.
    elementwise: int = 0
    #: What the backward pass needs of it, in bytes; None where that was not asked for.
    saved_bytes: int | None = None

    @property
    def matters(self) -> bool:
        """Whether it has weights, contractions or pooling."""
        return bool(self.params or self.macs) or self.pooling_factor is not None

    def to_dict(self) -> dict[str, object]:
        return {
            name: list(value) if isinstance(value := getattr(self, name), tuple) else value
            for name in self.__dataclass_fields__
        }


@dataclass(frozen=True, slots=True)
class Unsupported:
    """What could not be counted: the operator, where it was called, what is missing, in which
    metrics."""

    operator: str
    where: str
    effect: str
    metrics: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        return {
            "operator": self.operator,
            "where": self.where,
            "effect": self.effect,
            "metrics": list(self.metrics),
        }


@dataclass(frozen=True, slots=True)
class Elementwise:
    """The work of one operator that is no contraction: how often it ran, on how many elements in all."""

    operator: str
    calls: int
    elements: int

    def to_dict(self) -> dict[str, object]:
        return {"operator": self.operator, "calls": self.calls, "elements": self.elements}


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows and what only the whole of them can say."""

    layers: tuple[Layer, ...]
    unsupported: tuple[Unsupported, ...]
    #: The most elements first.
    elementwise: tuple[Elementwise, ...]
    receptive_field: dict[str, list[float]] | None
    #: dense_params with the poolings taken out; None where that could not be followed.
    unpooled_params: int | None
    macs_per_example: int
    activation_bytes_per_example: int


@dataclass(slots=True)
class _Draft:
    """A row while it is being added up."""

    name: str
    type: str
    #: How many operators had run before it first did.
    start: float = inf
    input_shape: tuple[int, ...] | None = None
    output_shape: tuple[int, ...] | None = None
    last: Operator | None = None
    parameters: list[int] = field(default_factory=list)
    sources: list[int] = field(default_factory=list)
    first_uses: list[int] = field(default_factory=list)
    fused_bias: bool = False
    connections: int | None = None
    inside: int = 0
    dense: int = 0
    output_units: int = 0
    pooled: tuple[int, int] | None = None
    macs: int = 0
    activation: int = 0
    elementwise: int = 0
    saved: int | None = None
    calls: set[int] = field(default_factory=set)


def rows(graph: Graph, readings: Sequence[Reading]) -> Rows:
    """Add the operators up, layer by layer, in the order in which the layers first ran."""
    return _Ledger(graph, readings).rows()


class _Ledger:
    def __init__(self, graph: Graph, readings: Sequence[Reading]) -> None:
        self.graph, self.readings = graph, readings
        self.batch = graph.batch or 1
        self.drafts: dict[str, _Draft] = {}
        self.unsupported: dict[tuple[str, str], Unsupported] = {}
        self.macs_per_example = 0
        self.activation_per_example = 0
        self.aliases = {module.name: module.aliases for module in graph.modules}
        self.pool_counts: dict[tuple[int, str], int] = {}
        self.elementwise: dict[str, Elementwise] = {}

    def rows(self) -> Rows:
        graph = self.graph
        counts, stopped = without_pooling(graph, self.readings)
        own_pools = self._modules_that_only_pool()
        for call_index, call in enumerate(graph.calls):
            module = graph.modules[call.module]
            if module.leaf:
                draft = self._draft(call.module)
                draft.calls.add(call_index)
                draft.start = min(draft.start, call.start)
        unpooled: int | None = 0 if stopped is None else None
        known_storages = {t.storage for t in graph.inputs}
        for index, reading in enumerate(self.readings):
            draft = self._row_of(reading, own_pools)
            draft.start = min(draft.start, index)
            dense = self._add(draft, reading)
            if dense is not None and unpooled is not None:
                before, after = counts.get(index, (0, 0))
                if index in counts:
                    dense = (before // self.batch) * (after // self.batch)
                unpooled += dense
            self._add_memory(draft, reading, known_storages)
            self._add_elementwise(draft, reading)
        if stopped is not None:
            self._cannot(
                self.readings[stopped.index],
                f"the count without pooling layers stops here: {stopped.reason}",
                ("pooling",),
            )
        self._assign_parameters()
        self._add_saved()
        for index in graph.packed:
            record = graph.modules[index]
            where = record.name or f"the model ({record.type})"
            entry = Unsupported(
                "packed weights",
                where,
                "how many there are is not known",
                ("params", "weight_bytes"),
            )
            self.unsupported.setdefault((entry.operator, where), entry)
        seen = receptive.receptive_fields(graph, self.readings)
        holders = self._holders()
        layers = tuple(self._finish(draft, seen, holders) for draft in self._ordered())
        return Rows(
            layers,
            tuple(self.unsupported.values()),
            tuple(sorted(self.elementwise.values(), key=lambda work: -work.elements)),
            receptive.as_document(seen.of(graph.outputs[0])) if graph.outputs else None,
            unpooled,
            self.macs_per_example,
            self.activation_per_example,
        )

    # -- which row -----------------------------------------------------------------------------

    def _draft(self, module: int) -> _Draft:
        record = self.graph.modules[module]
        return self.drafts.setdefault(record.name, _Draft(record.name, record.type))

    def _modules_that_only_pool(self) -> set[int]:
        """Leaf modules whose pooling is their own row: at most one a call and no contraction."""
        pools: dict[int, int] = {}
        others: set[int] = set()
        for reading in self.readings:
            call = reading.operator.call
            if isinstance(reading.effect, Pooling):
                pools[call] = pools.get(call, 0) + 1
            elif isinstance(reading.effect, Contraction | Product):
                others.add(call)
        calls = self.graph.calls
        excluded = {calls[c].module for c in others} | {
            calls[c].module for c, n in pools.items() if n > 1
        }
        return {
            calls[c].module for c in pools if self.graph.modules[calls[c].module].leaf
        } - excluded

    def _row_of(self, reading: Reading, own_pools: set[int]) -> _Draft:
        call = reading.operator.call
        module = self.graph.calls[call].module
        draft = self._draft(module)
        if not isinstance(reading.effect, Pooling) or module in own_pools:
            draft.calls.add(call)
            return draft
        # A pooling called as a function has a row of its own, named after where it is called.
        kind = reading.operator.name.rpartition(".")[2].removesuffix("_with_indices").strip("_")
        count = self.pool_counts.get((call, kind), 0) + 1
        self.pool_counts[call, kind] = count
        name = f"{draft.name}:{kind}" + (f".{count}" if count > 1 else "")
        pooled = self.drafts.setdefault(name, _Draft(name, kind))
        pooled.calls.add(call)
        if pooled.input_shape is None:
            pooled.input_shape = reading.effect.data.shape
            pooled.output_shape = reading.effect.output.shape
        return pooled

    def _ordered(self) -> list[_Draft]:
        """Rows in the order in which they first ran; what never ran comes last."""
        leaves = {module.name for module in self.graph.modules if module.leaf}
        worth = [
            draft
            for draft in self.drafts.values()
            if draft.name in leaves
            or draft.parameters
            or draft.macs
            or draft.activation
            or draft.elementwise
            or draft.saved
            or draft.pooled
        ]
        return sorted(worth, key=lambda draft: draft.start)

    # -- adding up -----------------------------------------------------------------------------

    def _add(self, draft: _Draft, reading: Reading) -> int | None:
        """Add an operator's work to its row; the dense parameters of a contraction, if it is one."""
        found = reading.effect
        if reading.operator.outputs:
            draft.last = reading.operator
        if isinstance(found, Unknown):
            self._cannot(reading, found.effect, found.metrics)
        elif isinstance(found, Product):
            self._work(draft, reading, found.macs)
        elif isinstance(found, Pooling):
            before, after = draft.pooled or (0, 0)
            draft.pooled = (before + found.data.units, after + found.output.units)
        elif isinstance(found, Contraction):
            self._work(draft, reading, found.macs)
            return self._connect(draft, reading, found) if reading.is_layer else None
        return None

    def _work(self, draft: _Draft, reading: Reading, macs: int) -> None:
        draft.macs += macs
        per_example = reading.per_example
        if per_example and macs % self.batch:
            self._cannot(
                reading,
                f"its work does not divide by the batch of {self.batch}",
                ("macs", "flops", "connections", "dense_params", "pooling"),
            )
        self.macs_per_example += macs // self.batch if per_example else macs

    def _connect(self, draft: _Draft, reading: Reading, found: Contraction) -> int | None:
        for source in sorted(reading.sources):
            if source not in draft.sources:
                draft.sources.append(source)
        draft.fused_bias = draft.fused_bias or found.bias is not None
        totals = (found.connections, found.inside(reading.padding))
        units = (reading.units, found.output.units)
        batch = self.batch if reading.per_example else 1
        if any(number % batch for number in (*totals, *units)):
            self._cannot(
                reading,
                f"its sizes do not divide by the batch of {self.batch}",
                ("connections", "dense_params", "pooling"),
            )
            return None
        nominal, inside = (number // batch for number in totals)
        units_in, units_out = (number // batch for number in units)
        draft.connections = (draft.connections or 0) + nominal
        draft.inside += inside
        draft.dense += units_in * units_out
        draft.output_units += units_out
        return units_in * units_out

    def _add_memory(self, draft: _Draft, reading: Reading, known: set[int]) -> None:
        outputs = reading.operator.outputs
        if isinstance(reading.effect, ElementWise | Pooling):
            outputs = outputs[:1]  # indices and statistics are not activations
        fresh = {t.storage: t.nbytes for t in outputs if t.storage not in known}
        known.update(t.storage for t in reading.operator.outputs)
        if reading.active:
            made = sum(fresh.values())
            draft.activation += made
            exact = made % self.batch == 0
            self.activation_per_example += made // self.batch if exact else made

    def _add_elementwise(self, draft: _Draft, reading: Reading) -> None:
        found, operator = reading.effect, reading.operator
        if isinstance(found, Product):
            elements = found.scores
        elif isinstance(found, Pooling) or (isinstance(found, ElementWise | Plain) and found.works):
            read = max((tensor.units for tensor in reading.active), default=0)
            elements = max(read, operator.outputs[0].units if operator.outputs else 0)
        else:
            return
        draft.elementwise += elements
        before = self.elementwise.get(operator.name, Elementwise(operator.name, 0, 0))
        self.elementwise[operator.name] = Elementwise(
            operator.name, before.calls + 1, before.elements + elements
        )

    def _add_saved(self) -> None:
        if self.graph.saved is None:
            return
        for draft in self.drafts.values():
            draft.saved = 0
        for module, bytes_ in self.graph.saved:
            draft = self._draft(module)
            draft.saved = (draft.saved or 0) + bytes_

    def _cannot(self, reading: Reading, effect: str, metrics: tuple[str, ...]) -> None:
        call = reading.operator.call
        module = self.graph.modules[self.graph.calls[call].module]
        where = module.name or f"the model ({module.type})"
        key = (reading.operator.name, where)
        self.unsupported.setdefault(key, Unsupported(*key, effect, metrics))

    # -- parameters ----------------------------------------------------------------------------

    def _assign_parameters(self) -> None:
        """Each parameter to the row of the module it sits on, if that one ran; else to its user."""
        used_by: dict[int, _Draft] = {}
        for draft in self.drafts.values():
            for source in draft.sources:
                if source not in used_by:
                    used_by[source] = draft
                    draft.first_uses.append(source)
        siblings: dict[int, list[int]] = {}
        for index, parameter in enumerate(self.graph.parameters):
            siblings.setdefault(parameter.module, []).append(index)
        ran = {self.graph.calls[r.operator.call].module for r in self.readings}
        ran |= {call.module for call in self.graph.calls}
        for index, parameter in enumerate(self.graph.parameters):
            owner = next(
                (m for m in (parameter.module, *(m for m, _ in parameter.also)) if m in ran), None
            )
            if owner is not None:
                self._draft(owner).parameters.append(index)
            else:
                # A layer whose tensors another one uses, as attention does its output layer's.
                users = (used_by[i] for i in siblings[parameter.module] if i in used_by)
                home = next(users, None) or self._draft(parameter.module)
                home.parameters.append(index)

    def _finish(
        self,
        draft: _Draft,
        seen: receptive.Sights,
        holders: dict[int, list[_Draft]],
    ) -> Layer:
        graph = self.graph
        own = [graph.parameters[index] for index in draft.parameters]
        bias = sum(p.tensor.units for p in own if p.is_bias)
        params = sum(p.tensor.units for p in own)
        uses = [graph.parameters[index].tensor.units for index in draft.first_uses]
        weights = sum(uses) if draft.connections is not None else params - bias
        connections = draft.connections
        has_bias = draft.fused_bias or bias > 0
        with_bias = None
        if connections is not None:
            with_bias = connections + (draft.output_units if has_bias else 0)
        calls = sorted(draft.calls)
        if calls and draft.input_shape is None:
            draft.input_shape = graph.calls[calls[0]].input_shape
            draft.output_shape = graph.calls[calls[0]].output_shape
        return Layer(
            name=draft.name,
            type=draft.type,
            input_shape=draft.input_shape,
            output_shape=draft.output_shape,
            params=params,
            weights=weights,
            bias=bias,
            connections=connections,
            connections_inside=None if connections is None else draft.inside,
            connections_with_bias=with_bias,
            dense_params=None if connections is None else draft.dense,
            locality_factor=None if connections is None else ratio(draft.dense, connections),
            sharing_factor=None if connections is None else ratio(connections, weights),
            pooling_factor=None if draft.pooled is None else ratio(*draft.pooled),
            macs=draft.macs,
            flops=2 * draft.macs,
            activation_bytes=draft.activation,
            receptive_field=None
            if draft.last is None
            else receptive.as_document(seen.made_by(draft.last)),
            shared_with=self._shared_with(draft, holders),
            calls=len(calls),
            elementwise=draft.elementwise,
            saved_bytes=draft.saved,
        )

    def _holders(self) -> dict[int, list[_Draft]]:
        """The rows that hold or use each parameter."""
        holders: dict[int, list[_Draft]] = {}
        for draft in self.drafts.values():
            for index in {*draft.parameters, *draft.sources}:
                holders.setdefault(index, []).append(draft)
        return holders

    def _shared_with(self, draft: _Draft, holders: dict[int, list[_Draft]]) -> tuple[str, ...]:
        """Other rows and registrations that hold or use the same parameters."""
        names: dict[str, None] = {}
        for index in sorted({*draft.parameters, *draft.sources}):
            names.update(dict.fromkeys(other.name for other in holders[index]))
        for index in draft.parameters:
            for module, full in self.graph.parameters[index].also:
                holder = full.rpartition(".")[0]
                if self.graph.modules[module].name != draft.name:
                    names[holder] = None
        names.update(dict.fromkeys(self.aliases.get(draft.name, ())))
        names.pop(draft.name, None)
        return tuple(names)
