"""Numbers that a graph computes from shapes, such as a reshape's sizes, worked out where all are known.

Only small arrays: what is not a size, an axis or an index is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

#: Larger arrays are no shapes.
MOST = 1024


def constant(tensor: TensorProto) -> Array | None:
    """The values of a small tensor, where they are there."""
    size = 1
    for dimension in tensor.dims:
        size *= dimension
    held = tensor.raw_data or tensor.int64_data or tensor.int32_data or tensor.float_data
    if size > MOST or (size and not (held or tensor.double_data or tensor.uint64_data)):
        return None
    if tensor.data_location == TensorProto.EXTERNAL or tensor.data_type == TensorProto.STRING:
        return None
    return numpy_helper.to_array(tensor)


def attributes(node: NodeProto) -> dict[str, Any]:
    """A node's attributes by name, as Python values."""
    return {one.name: helper.get_attribute_value(one) for one in node.attribute}


def of_constant(node: NodeProto) -> TensorProto | None:
    """The tensor that a `Constant` node stands for."""
    for name, value in attributes(node).items():
        if name == "value" and isinstance(value, TensorProto):
            return value
        if name in ("value_int", "value_ints"):
            return numpy_helper.from_array(np.array(value, np.int64))
        if name in ("value_float", "value_floats"):
            return numpy_helper.from_array(np.array(value, np.float32))
    return None


def evaluate(
    node: NodeProto, known: Mapping[str, Array], shapes: Mapping[str, Shape]
) -> Array | None:
    """What a node gives, where it only computes small numbers from known ones."""
    given = attributes(node)
    if node.op_type in ("Shape", "Size"):
        shape = shapes.get(node.input[0]) if node.input else None
        if shape is None:
            return None
        if node.op_type == "Size":
            return np.array(int(np.prod(shape, dtype=object)), np.int64)
        return np.array(shape[given.get("start", 0) : given.get("end", len(shape))], np.int64)
    compute = _COMPUTE.get(node.op_type)
    if compute is None or any(name and name not in known for name in node.input):
        return None
    inputs = [known[name] if name else None for name in node.input]
    try:
        result = compute(inputs, given)
    # A node that is wrong computes nothing; where its sizes are needed, they are reported as not known.
    except (ValueError, IndexError, TypeError, KeyError, ZeroDivisionError, OverflowError):
        return None
    return None if result is None or result.size > MOST else result


Compute = Callable[[Sequence[Any], Mapping[str, Any]], "Array | None"]


def _axes(inputs: Sequence[Any], given: Mapping[str, Any]) -> tuple[int, ...] | None:
    if len(inputs) > 1 and inputs[1] is not None:
        return tuple(int(axis) for axis in inputs[1].reshape(-1))
    return tuple(given["axes"]) if "axes" in given else None


def _slice(inputs: Sequence[Any], given: Mapping[str, Any]) -> Array:
    data = inputs[0]
    rest: list[Any] = [None if one is None else one.reshape(-1).tolist() for one in inputs[1:]]
    starts, ends = rest[:2] if rest else (given["starts"], given["ends"])
    axes = rest[2] if len(rest) > 2 and rest[2] is not None else given.get("axes")
    steps = rest[3] if len(rest) > 3 and rest[3] is not None else [1] * len(starts)
    index = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes or range(len(starts)), starts, ends, steps, strict=True):
        # "To the front" is written as a number below -size, which Python reads otherwise.
        stop = None if step < 0 and end < -data.shape[axis] else end
        index[axis] = slice(start, stop, step)
    return np.asarray(data[tuple(index)])


def _divide(inputs: Sequence[Any], _: Mapping[str, Any]) -> Array | None:
    one, other = inputs
    if not np.issubdtype(one.dtype, np.integer):
        return np.asarray(one / other)
    return None if (other == 0).any() else np.asarray(np.trunc(one / other).astype(one.dtype))


def _filled(inputs: Sequence[Any], given: Mapping[str, Any]) -> Array | None:
    sizes = tuple(int(size) for size in inputs[0].reshape(-1))
    value = constant(given["value"]) if "value" in given else np.zeros(1, np.float32)
    if value is None or np.prod(sizes, dtype=object) > MOST or min(sizes, default=0) < 0:
        return None
    return np.full(sizes, value.reshape(-1)[0])


def _range(inputs: Sequence[Any], _: Mapping[str, Any]) -> Array | None:
    start, limit, step = (one.reshape(-1)[0] for one in inputs)
    return None if abs((limit - start) / step) > MOST else np.arange(start, limit, step)


def _cast(inputs: Sequence[Any], given: Mapping[str, Any]) -> Array:
    return np.asarray(inputs[0].astype(helper.tensor_dtype_to_np_dtype(given["to"])))


def _expand(inputs: Sequence[Any], _: Mapping[str, Any]) -> Array | None:
    shape = np.broadcast_shapes(inputs[0].shape, tuple(int(size) for size in inputs[1]))
    return None if np.prod(shape, dtype=object) > MOST else np.broadcast_to(inputs[0], shape)


def _unsqueeze(inputs: Sequence[Any], given: Mapping[str, Any]) -> Array:
    return np.expand_dims(inputs[0], _axes(inputs, given) or ())


def _reduced(function: Callable[..., Any]) -> Compute:
    def compute(inputs: Sequence[Any], given: Mapping[str, Any]) -> Array:
        keep = bool(given.get("keepdims", 1))
        return np.asarray(function(inputs[0], axis=_axes(inputs, given), keepdims=keep))

    return compute


def _each(function: Callable[..., Any]) -> Compute:
    return lambda inputs, _: np.asarray(function(*inputs))


_COMPUTE: Mapping[str, Compute] = {
    "Identity": _each(lambda x: x),
    "Add": _each(np.add),
    "Sub": _each(np.subtract),
    "Mul": _each(np.multiply),
    "Div": _divide,
    "Mod": _each(np.mod),
    "Neg": _each(np.negative),
    "Abs": _each(np.abs),
    "Floor": _each(np.floor),
    "Ceil": _each(np.ceil),
    "Sqrt": _each(np.sqrt),
    "Min": _each(lambda *xs: np.minimum.reduce(np.broadcast_arrays(*xs))),
    "Max": _each(lambda *xs: np.maximum.reduce(np.broadcast_arrays(*xs))),
    "Equal": _each(np.equal),
    "Less": _each(np.less),
    "LessOrEqual": _each(np.less_equal),
    "Greater": _each(np.greater),
    "GreaterOrEqual": _each(np.greater_equal),
    "Not": _each(np.logical_not),
    "And": _each(np.logical_and),
    "Or": _each(np.logical_or),
    "Where": _each(np.where),
    "Cast": _cast,
    "Concat": lambda inputs, given: np.concatenate(inputs, given["axis"]),
    "Gather": lambda inputs, given: np.asarray(
        inputs[0].take(inputs[1], axis=given.get("axis", 0))
    ),
    "Reshape": lambda inputs, _: np.asarray(inputs[0].reshape([int(size) for size in inputs[1]])),
    "Squeeze": lambda inputs, given: np.squeeze(inputs[0], _axes(inputs, given)),
    "Unsqueeze": _unsqueeze,
    "Slice": _slice,
    "Transpose": lambda inputs, given: np.transpose(inputs[0], given.get("perm")),
    "ReduceProd": _reduced(np.prod),
    "ReduceSum": _reduced(np.sum),
    "ReduceMax": _reduced(np.max),
    "ReduceMin": _reduced(np.min),
    "ConstantOfShape": _filled,
    "Range": _range,
    "Expand": _expand,
}
