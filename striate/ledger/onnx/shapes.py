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
        return onnx.shape_inference.infer_shapes(model, strict_mode=False, data_prop=True)
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
    taken = [value for value in model.graph.input if value.name not in stored]
    given = _assigned([value.name for value in taken], positional, named)
    sizes: dict[str, Shape] = {}
    bound: dict[str, int] = {}
    notes: list[str] = []
    for value in taken:
        name = value.name
        kind = value.type.tensor_type
        if not value.type.HasField("tensor_type"):
            raise RequestError(
                f"its input {name!r} is no tensor but a {value.type.WhichOneof('value')}; "
                "striate counts models of tensors"
            )
        wanted = [_size(d, name) for d in kind.shape.dim] if kind.HasField("shape") else None
        here = given.get(name)
        if here is not None:
            if wanted is None:
                wanted = list(here)
            fits = len(wanted) == len(here) and all(
                not isinstance(w, int) or w == h for w, h in zip(wanted, here, strict=True)
            )
            if not fits:
                raise RequestError(
                    f"--input {_words(here)}: its input {name!r} is {_words(wanted)}"
                )
            for symbol, size in zip(wanted, here, strict=True):
                if isinstance(symbol, str) and symbol and bound.setdefault(symbol, size) != size:
                    raise RequestError(
                        f"--input {_words(here)}: {symbol!r} of its input {name!r} is {bound[symbol]} already"
                    )
            sizes[name] = tuple(here)
    for value in taken:
        name = value.name
        if name in sizes:
            continue
        kind = value.type.tensor_type
        if not kind.HasField("shape"):
            raise RequestError(f"--input is missing: its input {name!r} has no sizes in the file")
        wanted = [_size(d, name) for d in kind.shape.dim]
        result: list[int] = []
        for axis, size in enumerate(wanted):
            if isinstance(size, int):
                result.append(size)
            elif size in bound:
                result.append(bound[size])
            elif axis == 0 and batched:
                result.append(1)
                if size:
                    bound[size] = 1
                notes.append(
                    f"the batch, {size or '?'} of the input {name!r}, is 1; --input gives another"
                )
            else:
                raise RequestError(
                    f"--input is missing: its input {name!r} is {_words(wanted)}, where {size or '?'} can be "
                    f"any size; give all of them, for example --input {_example(taken, value, batched)}"
                )
        sizes[name] = tuple(result)
    for name, shape in sizes.items():
        if prod(shape) > MOST:
            raise RequestError(f"its input {name!r} is {_words(shape)}, which no tensor can be")
    return {value.name: sizes[value.name] for value in taken}, bound, tuple(notes)


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
    return "x".join(str(size) or "?" for size in sizes) or "a single number"


def _example(taken: Sequence[ValueInfoProto], value: ValueInfoProto, batched: bool) -> str:
    sizes = [_size(d, value.name) for d in value.type.tensor_type.shape.dim]
    numbers = [
        size if isinstance(size, int) else (1 if axis == 0 and batched else 32)
        for axis, size in enumerate(sizes)
    ]
    prefix = f"{value.name}=" if len(taken) > 1 and re.fullmatch(r"\w+", value.name) else ""
    return prefix + _words(numbers)
