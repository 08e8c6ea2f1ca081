"""The shape of every value in a model: from the inputs' sizes, by the onnx package's inference."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

import onnx
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    TypeProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)

from striate.errors import RequestError
from striate.ledger.onnx.file import MOST
from striate.ledger.onnx.names import printable
from striate.ledger.onnx.values import Array, Shape, attributes, constant, evaluate, of_constant


@dataclass
class Known:
    """What is known of a model's values: types (by TensorProto.DataType), shapes, small numbers."""

    nodes: list[NodeProto]
    inputs: list[str]
    outputs: list[str]
    #: Stored tensors by name: initialisers and constants.
    stored: dict[str, TensorProto]
    #: Those of `stored` that are the graph's initialisers.
    initialisers: set[str]
    types: dict[str, int] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    numbers: dict[str, Array] = field(default_factory=dict)


def infer(model: ModelProto, sizes: Mapping[str, Shape], bound: Mapping[str, int]) -> Known:
    """Every shape that follows from the inputs' `sizes`; `bound` are symbolic dimensions' values.

    Branches whose condition is known are put in the place of their `If`. `model` is used up.
    """
    graph = model.graph
    known = Known(
        nodes=[],
        inputs=list(sizes),
        outputs=[output.name for output in graph.output],
        stored={tensor.name: tensor for tensor in graph.initializer},
        initialisers={tensor.name for tensor in graph.initializer},
    )
    for sparse in graph.sparse_initializer:
        whole = TensorProto(name=sparse.values.name, data_type=sparse.values.data_type)
        whole.dims.extend(sparse.dims)
        known.stored[whole.name] = whole
        known.initialisers.add(whole.name)
    declared = _declared(graph, bound)
    _set_inputs(graph, sizes)
    del graph.value_info[:]
    for output in graph.output:
        if output.type.HasField("tensor_type"):
            output.type.tensor_type.ClearField("shape")
    known.nodes.extend(_copy(node) for node in graph.node)
    offered = set[str]()
    while True:
        _take_constants(known)
        _choose_branches(known)
        # Nodes whose result is known are left out: it is given as a stored tensor.
        del graph.node[:]
        graph.node.extend(node for node in known.nodes if not _is_known(node, known))
        _give_stored(graph, known)
        _collect(_inferred(model), known)
        changed = _fold(known)
        if not changed:
            # What the file itself says, where nothing follows from the rest.
            missing = [
                value
                for name, value in declared.items()
                if name not in known.shapes and name not in offered
            ]
            offered.update(value.name for value in missing)
            graph.value_info.extend(missing)
            changed = bool(missing)
        if not changed:
            return known


def _inferred(model: ModelProto) -> ModelProto:
    try:
        # Not with data_prop: on a hostile file it takes all the memory there is. `_fold` stands in for it.
        return onnx.shape_inference.infer_shapes(model, strict_mode=False)
    # The library raises RuntimeError and ValueError, too, on graphs that are not well-formed.
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError, TypeError) as error:
        text = " ".join(str(error).split())
        raise RequestError(f"the onnx package cannot follow its shapes: {text:.300}") from error


def _collect(model: ModelProto, known: Known) -> None:
    graph = model.graph
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.type.HasField("tensor_type"):
            known.types.setdefault(value.name, value.type.tensor_type.elem_type)
            shape = static(value.type)
            if shape is not None:
                known.shapes.setdefault(value.name, shape)
    for tensor in known.stored.values():
        known.types[tensor.name] = tensor.data_type
        known.shapes[tensor.name] = tuple(tensor.dims)


def static(kind: TypeProto) -> Shape | None:
    """A tensor type's shape, where every size is known."""
    if not kind.tensor_type.HasField("shape"):
        return None
    sizes = []
    for dimension in kind.tensor_type.shape.dim:
        if not dimension.HasField("dim_value") or dimension.dim_value < 0:
            return None
        sizes.append(dimension.dim_value)
    return tuple(sizes)


def _declared(graph: GraphProto, bound: Mapping[str, int]) -> dict[str, ValueInfoProto]:
    """The shapes that the file says its values have, where they are numbers for these inputs."""
    result = {}
    for value in graph.value_info:
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param in bound:
                dimension.dim_value = bound[dimension.dim_param]
        if value.type.HasField("tensor_type") and static(value.type) is not None:
            result[value.name] = ValueInfoProto.FromString(value.SerializeToString())
    return result


def _set_inputs(graph: GraphProto, sizes: Mapping[str, Shape]) -> None:
    for value in graph.input:
        if value.name in sizes:
            kind = value.type.tensor_type.elem_type
            value.CopyFrom(helper.make_tensor_value_info(value.name, kind, sizes[value.name]))


def _copy(node: NodeProto) -> NodeProto:
    copied: NodeProto = NodeProto.FromString(node.SerializeToString())
    return copied


def _take_constants(known: Known) -> None:
    """Constants are stored tensors like initialisers, and small ones are known numbers."""
    left = []
    for node in known.nodes:
        tensor = of_constant(node) if node.op_type == "Constant" and not node.domain else None
        if tensor is None or len(node.output) != 1:
            left.append(node)
            continue
        stored = TensorProto.FromString(tensor.SerializeToString())
        stored.name = node.output[0]
        known.stored[stored.name] = stored
    known.nodes[:] = left
    for name, tensor in known.stored.items():
        if name not in known.numbers:
            values = constant(tensor)
            if values is not None:
                known.numbers[name] = values


def _is_known(node: NodeProto, known: Known) -> bool:
    return len(node.output) == 1 and node.output[0] in known.numbers


def _give_stored(graph: GraphProto, known: Known) -> None:
    """The inference is told of every stored tensor and every known number."""
    there = {tensor.name for tensor in graph.initializer}
    graph.initializer.extend(tensor for name, tensor in known.stored.items() if name not in there)
    graph.initializer.extend(
        numpy_helper.from_array(values.copy(order="C"), name)
        for name, values in known.numbers.items()
        if name not in there and name not in known.stored
    )


def _fold(known: Known) -> bool:
    """Work out the small numbers that follow from known ones and known shapes; whether there were any."""
    changed = False
    for node in known.nodes:
        if node.domain or _is_known(node, known) or len(node.output) != 1:
            continue
        values = evaluate(node, known.numbers, known.shapes)
        if values is not None:
            changed = True
            known.numbers[node.output[0]] = values
            known.shapes[node.output[0]] = values.shape
    return changed


def _choose_branches(known: Known) -> None:
    """Put the branch of an `If` whose condition is known in its place."""
    nodes: list[NodeProto] = []
    for node in known.nodes:
        condition = known.numbers.get(node.input[0]) if node.input else None
        if node.op_type != "If" or node.domain or condition is None or condition.size != 1:
            nodes.append(node)
            continue
        branch = attributes(node).get("then_branch" if condition.any() else "else_branch")
        if not isinstance(branch, GraphProto) or len(branch.output) != len(node.output):
            raise RequestError(f"{node.name or 'If'}: its branches do not give what it should")
        known.stored.update((tensor.name, tensor) for tensor in branch.initializer)
        known.initialisers.update(tensor.name for tensor in branch.initializer)
        nodes += [_copy(inner) for inner in branch.node]
        nodes += [
            helper.make_node("Identity", [given.name], [taken])
            for given, taken in zip(branch.output, node.output, strict=True)
        ]
    if len(nodes) != len(known.nodes) or any(
        one is not other for one, other in zip(nodes, known.nodes, strict=True)
    ):
        known.nodes[:] = nodes
        _take_constants(known)


# -- the inputs --------------------------------------------------------------------------------


def input_sizes(
    model: ModelProto,
    positional: Sequence[Shape],
    named: Mapping[str, Shape],
    batched: bool,
) -> tuple[dict[str, Shape], dict[str, int], tuple[str, ...]]:
    """Each input's sizes, the values of symbolic dimensions, and what was assumed, in words.

    A size that the model leaves open comes from the sizes given; where none are, the first axis is the
    batch, which is then 1. Raises `RequestError` naming the input for any other open size, and for sizes
    that are not the model's.
    """
    stored = {tensor.name for tensor in model.graph.initializer}
    taken = {value.name: _wanted(value) for value in model.graph.input if value.name not in stored}
    given = _assigned(list(taken), positional, named)
    bound: dict[str, int] = {}
    for name, here in given.items():
        _bind(name, taken[name], here, bound)
    sizes: dict[str, Shape] = {}
    notes: list[str] = []
    for name, wanted in taken.items():
        if name in given:
            sizes[name] = given[name]
            continue
        if wanted is None:
            raise RequestError(f"--input is missing: its input {name!r} has no sizes in the file")
        if wanted and isinstance(wanted[0], str) and wanted[0] not in bound and batched:
            if wanted[0]:
                bound[wanted[0]] = 1
            notes.append(
                f"the batch, the first size of the input {name!r}, is 1; --input gives another"
            )
            wanted = [1, *wanted[1:]]
        closed = [bound.get(size, size) if isinstance(size, str) else size for size in wanted]
        numbers = [size for size in closed if isinstance(size, int)]
        if len(numbers) != len(closed):
            prefix = f"{name}=" if len(taken) > 1 and re.fullmatch(r"\w+", name) else ""
            example = _words([size if isinstance(size, int) else 32 for size in closed])
            raise RequestError(
                f"--input is missing: its input {name!r} is {_words(closed)}, which leaves sizes open; give "
                f"all of them, for example --input {prefix}{example}"
            )
        sizes[name] = tuple(numbers)
    for name, shape in sizes.items():
        if prod(shape) > MOST:
            raise RequestError(f"its input {name!r} is {_words(shape)}, which no tensor can be")
    return sizes, bound, tuple(notes)


def _wanted(value: ValueInfoProto) -> list[int | str] | None:
    """An input's sizes, the open ones by their names, which may be empty; None where there are none."""
    if not value.type.HasField("tensor_type"):
        kind = value.type.WhichOneof("value") or "value without a type"
        raise RequestError(
            f"its input {value.name!r} is no tensor but a {kind}; striate counts models of tensors"
        )
    shape = value.type.tensor_type.shape
    if not value.type.tensor_type.HasField("shape"):
        return None
    return [_size(dimension, value.name) for dimension in shape.dim]


def _bind(
    name: str, wanted: Sequence[int | str] | None, here: Shape, bound: dict[str, int]
) -> None:
    """Check the sizes given for an input, and note what they say of open ones."""
    if wanted is None:
        return
    pairs = list(zip(wanted, here, strict=False))
    if len(wanted) != len(here) or any(isinstance(w, int) and w != size for w, size in pairs):
        raise RequestError(f"--input {_words(here)}: its input {name!r} is {_words(wanted)}")
    for symbol, size in pairs:
        if isinstance(symbol, str) and symbol and bound.setdefault(symbol, size) != size:
            raise RequestError(
                f"--input {_words(here)}: its input {name!r} is {_words(wanted)}, and"
                f" {symbol!r} is {bound[symbol]} in another place"
            )


def _assigned(
    names: Sequence[str], positional: Sequence[Shape], named: Mapping[str, Shape]
) -> dict[str, Shape]:
    for name in named:
        if name not in names:
            raise RequestError(f"--input {name}=: it has no such input; it has {', '.join(names)}")
    left = [name for name in names if name not in named]
    if len(positional) > len(left):
        raise RequestError(
            f"--input {_words(positional[len(left)])}: one too many; its inputs are "
            f"{', '.join(names) or 'none'}"
        )
    return {**named, **dict(zip(left, positional, strict=False))}


def _size(dimension: object, name: str) -> int | str:
    """A size, or the name of one that is open, which may be empty."""
    assert isinstance(dimension, onnx.TensorShapeProto.Dimension)
    if not dimension.HasField("dim_value"):
        return dimension.dim_param
    if dimension.dim_value < 1:  # some exporters write 0 or -1 for an open size
        if dimension.dim_value < -1:
            raise RequestError(f"its input {name!r} has a size of {dimension.dim_value}")
        return ""
    return dimension.dim_value


def _words(sizes: Sequence[int | str]) -> str:
    return "x".join(printable(str(size)) or "?" for size in sizes) or "a single number"
