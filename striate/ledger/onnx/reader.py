"""From a model and its shapes to operators, rows and parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count

import onnx.helper
import onnx.inliner
from onnx import GraphProto, ModelProto, NodeProto, TensorProto

from striate.errors import RequestError
from striate.ledger.graph import Argument, Call, Graph, Module, Operator, Parameter, Tensor
from striate.ledger.onnx.file import item_bytes, subgraphs
from striate.ledger.onnx.names import own_name, owner, place, printable
from striate.ledger.onnx.parameters import BIAS, BUFFER, CONSTANT, Roles, signed
from striate.ledger.onnx.recurrent import GATES, steps
from striate.ledger.onnx.shapes import Known, infer, input_sizes
from striate.ledger.onnx.values import Shape, attributes
from striate.ledger.onnx_rules import CREATES, ELEMENTWISE, NOT_READ, VIEWS, effect, is_work

#: Operators that run graphs of their own.
CONTROL = frozenset(("If", "Loop", "Scan", "SequenceMap"))


def read(
    model: ModelProto,
    positional: Sequence[Shape],
    named: Mapping[str, Shape],
    *,
    batched: bool,
    notes: tuple[str, ...] = (),
) -> Graph:
    """The graph of `model`, which is used up. Raises `RequestError`, see `read_onnx`."""
    if model.functions:
        try:
            model = onnx.inliner.inline_local_functions(model)
        # What it raises on functions that are not well-formed has no class of its own.
        except (RuntimeError, ValueError, TypeError) as error:
            text = " ".join(str(error).split())
            raise RequestError(f"its functions cannot be put in place: {text:.300}") from error
    said = signed(model)
    imported = {one.domain for one in model.opset_import}
    for domain in {node.domain for node in model.graph.node} - imported - {"ai.onnx"}:
        model.opset_import.append(onnx.helper.make_opsetid(domain, 1))
    sizes, bound, assumed = input_sizes(model, positional, named, batched)
    if batched and sizes and not next(iter(sizes.values())):
        raise RequestError("its first input is a single number; use --batch-dim none")
    known = infer(model, sizes, bound)
    return _Reader(known, said).graph(batched, (*notes, *assumed))


def _consumed(node: NodeProto) -> Iterator[str]:
    """What a node reads, also in graphs of its own."""
    yield from (name for name in node.input if name)
    for graph in subgraphs(node):
        made = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
        for inner in graph.node:
            yield from (name for name in _consumed(inner) if name not in made)
            made.update(inner.output)
        yield from (value.name for value in graph.output if value.name not in made)


def _kind(node: NodeProto) -> str:
    """The operator's name, with its domain where that is not ONNX's own."""
    domain = "" if node.domain in ("", "ai.onnx") else f"{node.domain}."
    return printable(f"{domain}{node.op_type}")


def _inner_work(graph: GraphProto) -> Counter[str]:
    found: Counter[str] = Counter()
    for node in graph.node:
        if node.op_type not in CONTROL and is_work(_kind(node)):
            found[_kind(node)] += 1
        for inner in subgraphs(node):
            found += _inner_work(inner)
    return found


class _Reader:
    def __init__(self, known: Known, said: Mapping[str, str]) -> None:
        self.known = known
        self.ids = count(1)
        self.nodes = known.nodes
        self._stored_inside()
        self.active = self._active()
        made = {name for node in self.nodes for name in node.output}
        # What branches and loops compute is taken to depend on the input.
        inside = (name for node in self._all_nodes() for name in node.output if name not in made)
        self.roles = Roles(self._all_nodes(), frozenset((*self.active, *inside)), said)
        self.tensors: dict[str, Tensor] = {}
        self.operators: list[Operator] = []

    def graph(self, batched: bool, notes: tuple[str, ...]) -> Graph:
        inputs = tuple(self._tensor(name) for name in self.known.inputs)
        self._name_rows()
        self.calls = [Call(index, 0, None) for index in range(len(self.modules))]
        if inputs:
            self.calls[0].input_shape = inputs[0].shape
        parameters, buffers = self._parameters()
        started: set[int] = set()
        for index in self._order():
            node, row = self.nodes[index], self.rows[index]
            call = self.calls[row]
            if row not in started and self._is_active(node):
                started.add(row)
                call.start = len(self.operators)
                first = next((n for n in node.input if n in self.active), None)
                if row and first is not None:
                    call.input_shape = self.known.shapes.get(first)
            self._emit(node, row)
            if row and node.output and node.output[0] in self.active:
                call.output_shape = self.known.shapes.get(node.output[0])
        outputs = tuple(self._tensor(name) for name in self.known.outputs if name in self.tensors)
        if outputs:
            self.calls[0].output_shape = outputs[0].shape
        kept = {t.storage for t in (*inputs, *outputs)}
        return Graph(
            modules=tuple(self.modules),
            # Rows of tensors that nothing reads have not run.
            calls=tuple(self.calls),
            operators=_with_lifetimes(self.operators, kept),
            parameters=parameters,
            buffers=buffers,
            inputs=inputs,
            outputs=outputs,
            batch=inputs[0].shape[0] if batched and inputs else None,
            batch_dim=0 if batched else None,
            notes=notes,
            folded=self._folded(),
        )

    # -- what depends on the input ---------------------------------------------------------------

    def _active(self) -> set[str]:
        active = set(self.known.inputs)
        made = {*active, *self.known.stored}
        for node in self.nodes:
            for name in _consumed(node):
                if name not in made:
                    raise RequestError(
                        f"{_said(node)} reads {name!r}, which nothing before it makes"
                    )
            made.update(node.output)
            if _kind(node) not in CREATES and any(name in active for name in _consumed(node)):
                active.update(name for name in node.output if name)
        return active

    def _folded(self) -> frozenset[int]:
        """The storages of what follows from stored tensors alone, which runtimes compute when they load the file."""
        fixed = set(self.known.stored)
        for node in self.nodes:
            read_ = set(_consumed(node))
            if read_ and read_ <= fixed:  # what reads nothing may be drawn anew each time
                fixed.update(name for name in node.output if name)
        fixed.difference_update(self.known.stored)
        return frozenset(self.tensors[name].storage for name in fixed if name in self.tensors)

    def _is_active(self, node: NodeProto) -> bool:
        return any(name in self.active for name in node.output)

    def _order(self) -> list[int]:
        """The nodes as they run; the making of a weight just before the layer that uses it."""
        makers = {name: i for i, node in enumerate(self.nodes) for name in node.output}
        order: dict[int, None] = {}
        for index, node in enumerate(self.nodes):
            if not self._is_active(node):
                continue
            waiting = [index]
            while waiting:
                needed = {
                    makers[name] for name in _consumed(self.nodes[waiting[-1]]) if name in makers
                }
                left = sorted(needed - order.keys(), reverse=True)
                if left:
                    waiting.extend(left)
                else:
                    order[waiting.pop()] = None
        return list(order)

    def _all_nodes(self) -> Iterator[NodeProto]:
        waiting = list(self.nodes)
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(inner for graph in subgraphs(node) for inner in graph.node)

    def _stored_inside(self) -> None:
        """Weights that are stored in branches and in bodies of loops are the model's, too."""
        for node in self._all_nodes():
            for graph in subgraphs(node):
                for tensor in graph.initializer:
                    self.known.stored.setdefault(tensor.name, tensor)
                    self.known.initialisers.add(tensor.name)

    # -- rows ------------------------------------------------------------------------------------

    def _name_rows(self) -> None:
        """A row for each module that nodes come from, and for each node that comes from none."""
        places = [
            place(node, (n for n in node.input if n in self.known.initialisers))
            for node in self.nodes
        ]
        places = _calls_joined(places, self.nodes, self.known.initialisers)
        paths = {path for path in places if path}
        taken = {"", *paths}
        self.modules = [Module("", "ONNX", False)]
        self.index = {"": 0}
        self.rows = [0] * len(self.nodes)
        users: dict[str, int] = {}
        kinds: dict[int, str] = {}
        for index, node in enumerate(self.nodes):
            if not self._is_active(node):
                continue
            name = places[index]
            if not name:
                name = _unique(own_name(node), taken)
            if name not in self.index:
                self.index[name] = len(self.modules)
                self.modules.append(Module(name, _kind(node), True))
            row = self.rows[index] = self.index[name]
            if is_work(_kind(node)):
                kinds.setdefault(row, _kind(node))
            for read_ in _consumed(node):
                users.setdefault(read_, row)
        for index in reversed(range(len(self.nodes))):
            node = self.nodes[index]
            if self._is_active(node):
                continue
            # The making of a weight belongs to the layer that uses it.
            row = next((users[name] for name in node.output if name in users), 0)
            self.rows[index] = row
            for read_ in _consumed(node):
                users.setdefault(read_, row)
        self.users = users
        for row, kind in kinds.items():
            self.modules[row] = replace(self.modules[row], type=kind)
        parents = {
            parent
            for module in self.modules
            for parent in _parents(module.name)
            if parent in self.index
        }
        for parent in parents:
            row = self.index[parent]
            self.modules[row] = replace(self.modules[row], leaf=False)

    # -- parameters ------------------------------------------------------------------------------

    def _parameters(self) -> tuple[tuple[Parameter, ...], tuple[Parameter, ...]]:
        parameters, buffers = [], []
        for name, stored in self.known.stored.items():
            role = self.roles.of(stored, initialiser=name in self.known.initialisers)
            if role == CONSTANT:
                continue
            self.known.types.setdefault(name, stored.data_type)
            self.known.shapes.setdefault(name, tuple(stored.dims))
            tensor = self._tensor(name)
            row = self.users.get(name)
            if row is None:
                row = self._unused(name)
            if role == BUFFER:
                buffers.append(Parameter(printable(name), row, tensor, False))
            else:
                bias = True if role == BIAS else None
                parameters.append(Parameter(printable(name), row, tensor, True, bias=bias))
        return tuple(parameters), tuple(buffers)

    def _unused(self, name: str) -> int:
        """The row of a tensor that nothing reads."""
        row = printable(name.rpartition(".")[0] or name)
        if row not in self.index:
            self.index[row] = len(self.modules)
            self.modules.append(Module(row, "unused", True))
        return self.index[row]

    # -- operators -------------------------------------------------------------------------------

    def _tensor(self, name: str, storage: int | None = None) -> Tensor:
        if name not in self.tensors:
            number = next(self.ids)
            shape = self.known.shapes.get(name, (0,))
            size = item_bytes(self.known.types.get(name, TensorProto.FLOAT))
            place_ = number if storage is None else storage
            self.tensors[name] = Tensor(number, place_, shape, size)
        return self.tensors[name]

    def _emit(self, node: NodeProto, row: int) -> None:
        kind = _kind(node)
        arguments: list[Argument] = [self._argument(node, slot) for slot in range(len(node.input))]
        if node.op_type in CONTROL:
            inside = [name for name in _consumed(node) if name not in node.input]
            arguments += [self._tensor(name) for name in dict.fromkeys(inside)]
        named: list[tuple[str, Argument]] = []
        for key, value in attributes(node).items():
            plain = _plain(value)
            if plain is not None:
                named.append((key, plain))
        problem = self._problem(node)
        first = next((one for one in arguments if isinstance(one, Tensor)), None)
        shares = first.storage if kind in VIEWS and first is not None else None
        names = [name for name in node.output if name]
        outputs = tuple(
            self._tensor(name, shares if place_ == 0 else None) for place_, name in enumerate(names)
        )
        if problem is not None:
            named.append((NOT_READ, problem))
        operator = Operator(
            f"onnx.{kind}",
            row,
            tuple(arguments),
            tuple(named),
            outputs,
            pointwise=kind in ELEMENTWISE,
        )
        if not outputs:
            return
        try:
            if kind in GATES and problem is None:
                given = attributes(node)
                directions = 2 if given.get("direction") == b"bidirectional" else 1
                batch_first = bool(given.get("layout", 0))
                self.operators.extend(
                    steps(operator, self.ids, batch_first=batch_first, directions=directions)
                )
                return
            effect(operator)
        except (ValueError, IndexError, ZeroDivisionError) as error:
            raise RequestError(f"{_said(node)}: {' '.join(str(error).split())}") from error
        self.operators.append(operator)

    def _argument(self, node: NodeProto, slot: int) -> Argument:
        name = node.input[slot]
        if not name:
            return None
        numbers = self.known.numbers.get(name)
        # What says how to pad or over which axes to reduce is read as numbers.
        if slot and numbers is not None and node.op_type in ("Pad", "ReduceMean", "ReduceMax"):
            if numbers.dtype.kind in "iu":
                return tuple(int(number) for number in numbers.reshape(-1))
            if not numbers.any():
                return None
        return self._tensor(name)

    def _problem(self, node: NodeProto) -> str | None:
        """Why a node cannot be counted, if so."""
        inside: Counter[str] = Counter()
        for graph in subgraphs(node):
            inside += _inner_work(graph)
        if inside:
            held = ", ".join(inside)
            return f"what runs inside of it is not counted ({held}), as how often is not known"
        names = [name for name in (*node.input, *node.output) if name]
        missing = [name for name in names if name not in self.known.shapes]
        if missing and self._is_active(node):
            return f"the shape of {printable(missing[0])!r} is not known"
        return None


def _said(node: NodeProto) -> str:
    return f"{_kind(node)} node {printable(node.name or next(iter(node.output), '?'))!r}"


def _parents(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _calls_joined(
    places: Sequence[str | None], nodes: Sequence[NodeProto], initialisers: Collection[str]
) -> list[str | None]:
    """The places, with `fc_1` made `fc` where that is the second call of `fc`: it uses its weights."""
    first: dict[str, str] = {}
    for found, node in zip(places, nodes, strict=True):
        called, number = (found or "").rpartition("_")[::2]
        known = any(name in initialisers and owner(name) == called for name in node.input)
        if called and number.isdecimal() and known:
            first[found or ""] = called
    return [first.get(found, found) if found else found for found in places]


def _unique(name: str, taken: set[str]) -> str:
    result = name
    for number in count(2):
        if result not in taken:
            break
        result = f"{name}.{number}"
    taken.add(result)
    return result


def _plain(value: object) -> Argument:
    """An attribute as an argument; tensors and graphs are none."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, int | float | str):
        return value
    if isinstance(value, list | tuple) and all(isinstance(one, int | float) for one in value):
        return tuple(value)
    return None


def _with_lifetimes(operators: Sequence[Operator], kept: set[int]) -> tuple[Operator, ...]:
    """The operators, each with the storages that nothing reads any more when it runs."""
    last: dict[int, int] = {}
    for index, operator in enumerate(operators):
        for tensor in (*operator.inputs, *operator.outputs):
            last[tensor.storage] = index
    freed: dict[int, list[int]] = {}
    for storage, index in last.items():
        if storage not in kept:
            freed.setdefault(index + 1, []).append(storage)
    return tuple(
        replace(operator, freed=tuple(freed.get(index, ())))
        for index, operator in enumerate(operators)
    )
