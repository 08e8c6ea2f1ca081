"""An `.onnx` file as a model without its weights' values: names, types and sizes are enough to count.

The values of large tensors are skipped in the file, so that it takes no more memory than its graph does;
external data is never opened. Nothing that the file says about sizes is taken on trust.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path, PurePosixPath, PureWindowsPath

from google.protobuf.message import DecodeError, Message
from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
)

from striate.errors import RequestError

#: Messages of at most so many bytes are kept whole.
SMALL = 4096
#: More elements than this no tensor has.
MOST = 2**62

# The parts of the format that can hold large tensors, by their numbers in onnx.proto.
_INSIDE = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse"},
}
_FLOATS, _DOUBLES, _RAW = 4, 10, 9
_VALUES = {_FLOATS, 5, 7, _RAW, _DOUBLES, 11}

# Bits of an element, by TensorProto.DataType; texts have none.
_BITS: Mapping[int, int] = {
    **dict.fromkeys((TensorProto.INT4, TensorProto.UINT4, TensorProto.FLOAT4E2M1), 4),
    **dict.fromkeys((TensorProto.INT8, TensorProto.UINT8, TensorProto.BOOL), 8),
    **dict.fromkeys(
        (
            TensorProto.FLOAT8E4M3FN,
            TensorProto.FLOAT8E4M3FNUZ,
            TensorProto.FLOAT8E5M2,
            TensorProto.FLOAT8E5M2FNUZ,
            TensorProto.FLOAT8E8M0,
        ),
        8,
    ),
    **dict.fromkeys(
        (TensorProto.INT16, TensorProto.UINT16, TensorProto.FLOAT16, TensorProto.BFLOAT16), 16
    ),
    **dict.fromkeys((TensorProto.INT32, TensorProto.UINT32, TensorProto.FLOAT), 32),
    **dict.fromkeys(
        (TensorProto.INT64, TensorProto.UINT64, TensorProto.DOUBLE, TensorProto.COMPLEX64), 64
    ),
    TensorProto.COMPLEX128: 128,
}


def item_bytes(data_type: int) -> int:
    """Bytes of one element; those of less than a byte and texts are taken as one.

    >>> item_bytes(TensorProto.FLOAT), item_bytes(TensorProto.INT4)
    (4, 1)
    """
    return max(1, _BITS.get(data_type, 8) // 8)


def read_model(path: Path) -> tuple[ModelProto, tuple[str, ...]]:
    """The model in the file at `path`, with only small tensors' values, and notes for the user.

    Raises `RequestError`, in one line, where it is missing, empty, damaged or no ONNX model, where a
    tensor's sizes do not go with its bytes, and where external data lies outside the file's folder.
    """
    if os.path.isdir(path):
        raise RequestError(f"{path}: a directory; give the .onnx file in it")
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe, say, that may never end
        raise RequestError(f"{path}: no regular file; expected an ONNX model")
    try:
        with path.open("rb") as file:
            if not path.stat().st_size:
                raise RequestError(f"{path}: the file is empty; expected an ONNX model")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                thin, thinned = _thinned(mapped)
    except FileNotFoundError as error:
        raise RequestError(f"{path}: there is no such file; expected an ONNX model") from error
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror or error})") from error
    except _Damaged as error:
        raise RequestError(
            f"{path}: no whole ONNX model: {error}; copy or export it again"
        ) from error
    try:
        model = ModelProto.FromString(thin)
    except (DecodeError, ValueError) as error:
        raise RequestError(
            f"{path}: no whole ONNX model: {' '.join(str(error).split())}; copy or export it again"
        ) from error
    if not model.ir_version or not model.opset_import or not model.HasField("graph"):
        raise RequestError(
            f"{path}: no whole ONNX model: it has no graph, or names no operator set"
        )
    try:
        _check_texts(model)
        missing = [
            location
            for tensor in tensors(model)
            if (location := _check(tensor, thinned, path.parent)) is not None
        ]
    except _Damaged as error:
        raise RequestError(f"{path}: {error}") from error
    if not missing:
        return model, ()
    return model, (
        f"{missing[0]!r}, which holds weights, is not there; their sizes are as the model says",
    )


class _Damaged(Exception):
    """What is wrong with the file, in words."""


# -- the values are left out -------------------------------------------------------------------


def _thinned(mapped: mmap.mmap) -> tuple[bytes, set[str]]:
    thinned: set[str] = set()
    return _without_values(mapped, 0, len(mapped), "model", thinned, 0), thinned


def _without_values(
    data: mmap.mmap, position: int, end: int, kind: str, thinned: set[str], depth: int
) -> bytes:
    """The message from `position` to `end` without long values; adds the names of tensors that lose some."""
    if depth > 64:
        raise _Damaged("it is nested more than 64 levels deep")
    inside = _INSIDE.get(kind, {})
    kept: list[bytes] = []
    lengths: dict[int, int] = {}
    while position < end:
        start = position
        key, position = _varint(data, position, end)
        number, form = key >> 3, key & 7
        if not number:
            raise _Damaged(f"a field without a number at byte {start:,} of a {kind}")
        if form == 2:
            length, body = _varint(data, position, end)
            position = body + length
        elif form == 0:
            length, (_, position) = 0, _varint(data, position, end)
        elif form in (1, 5):
            length, position = 0, position + (8 if form == 1 else 4)
        else:
            raise _Damaged(f"a field of an unknown form at byte {start:,} of a {kind}")
        if position > end:
            raise _Damaged(f"it ends within a {kind}")
        if length <= SMALL:
            kept.append(data[start:position])
        elif kind == "tensor" and number in _VALUES:
            lengths[number] = lengths.get(number, 0) + length
        elif number in inside:
            part = _without_values(data, body, position, inside[number], thinned, depth + 1)
            kept += [_as_varint(key), _as_varint(len(part)), part]
        else:
            kept.append(data[start:position])
    joined = b"".join(kept)
    if lengths:
        try:
            tensor = TensorProto.FromString(joined)
        except (DecodeError, ValueError) as error:
            raise _Damaged(f"a tensor cannot be read: {error}") from error
        for number, length in lengths.items():
            _check_length(tensor, number, length)
        thinned.add(tensor.name)
    return joined


def _varint(data: mmap.mmap, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while position < end and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
    raise _Damaged("it ends within a number" if shift < 70 else "a number is too long")


def _as_varint(value: int) -> bytes:
    result = bytearray()
    while value > 127:
        result.append(value & 127 | 128)
        value >>= 7
    result.append(value)
    return bytes(result)


# -- what is said of tensors -------------------------------------------------------------------


def tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Every tensor stored in the model, also in its functions and in branches and loops."""
    yield from _of_graph(model.graph)
    for function in model.functions:
        yield from _of_nodes(function)


def _of_graph(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield sparse.values
        yield sparse.indices
    yield from _of_nodes(graph)


def _of_nodes(holder: GraphProto | FunctionProto) -> Iterator[TensorProto]:
    for node in holder.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t
            yield from attribute.tensors
            for graph in subgraphs(attribute):
                yield from _of_graph(graph)


def subgraphs(holder: AttributeProto | NodeProto) -> Iterator[GraphProto]:
    """The graphs that an attribute, or all of a node's, hold: branches and bodies of loops."""
    attributes = holder.attribute if isinstance(holder, NodeProto) else [holder]
    for attribute in attributes:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def _check(tensor: TensorProto, thinned: set[str], folder: Path) -> str | None:
    """Raise where sizes and bytes do not go together; the name of an external file that is not there."""
    name = repr(tensor.name) if tensor.name else "a tensor without a name"
    sizes = list(tensor.dims)
    _check_sizes(tensor)
    if tensor.data_location == TensorProto.EXTERNAL:
        return _check_external(tensor, name, folder)
    if tensor.HasField("raw_data"):
        _check_length(tensor, _RAW, len(tensor.raw_data))
        return None
    for field, values in ((_FLOATS, tensor.float_data), (_DOUBLES, tensor.double_data)):
        if values:
            _check_length(tensor, field, len(values) * (4 if field == _FLOATS else 8))
            return None
    others = len(tensor.int32_data) + len(tensor.int64_data) + len(tensor.uint64_data)
    if prod(sizes) and not (others or tensor.string_data or tensor.name in thinned):
        raise _Damaged(f"{name} has the sizes {sizes} and no values")
    return None


def _check_texts(message: Message) -> None:
    """Raise where a name is no text: protobuf then gives bytes in its place."""
    waiting: list[Message] = [message]
    while waiting:
        for field, value in waiting.pop().ListFields():
            values = [value] if isinstance(value, str | bytes | Message) else value
            if field.message_type is not None:
                waiting.extend(values)
            elif field.type == field.TYPE_STRING and not all(isinstance(x, str) for x in values):
                raise _Damaged(f"a {field.name} is no text (UTF-8)")


def _check_sizes(tensor: TensorProto) -> None:
    if any(size < 0 for size in tensor.dims) or prod(tensor.dims) > MOST:
        sizes = list(tensor.dims)
        raise _Damaged(f"{tensor.name!r} has the sizes {sizes}, which no tensor can have")


def _check_length(tensor: TensorProto, field: int, length: int) -> None:
    elements = prod(tensor.dims)
    _check_sizes(tensor)
    complex_ = tensor.data_type in (TensorProto.COMPLEX64, TensorProto.COMPLEX128)
    if field == _RAW:
        least = most = (elements * _BITS.get(tensor.data_type, 8) + 7) // 8
    elif field in (_FLOATS, _DOUBLES):
        least = most = elements * (4 if field == _FLOATS else 8) * (2 if complex_ else 1)
    else:  # numbers of one to ten bytes; of less than a byte, two are in one
        least, most = (elements + 1) // 2, 10 * elements
    if not least <= length <= most:
        raise _Damaged(
            f"{tensor.name!r} has the sizes {list(tensor.dims)} but holds {length:,} bytes of values"
        )


def _check_external(tensor: TensorProto, name: str, folder: Path) -> str | None:
    entries: dict[str, str] = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    inside = PurePosixPath(location)
    outside = (
        not location
        or inside.is_absolute()
        or PureWindowsPath(location).is_absolute()
        or bool(PureWindowsPath(location).drive)
        or ".." in inside.parts
        or ".." in PureWindowsPath(location).parts
        or not location.isprintable()
    )
    file = folder / location if not outside else folder
    if outside or not file.resolve().is_relative_to(folder.resolve()):
        raise _Damaged(
            f"the values of {name} are said to be in {location!r}, which is not a file inside the model's"
            " folder; striate reads nothing outside of it"
        )
    if not file.is_file():
        return location
    needed = (prod(tensor.dims) * _BITS.get(tensor.data_type, 8) + 7) // 8
    try:
        offset = int(entries.get("offset") or 0)
        length = int(entries.get("length") or needed)
    except ValueError as error:
        raise _Damaged(f"{name} does not say where in {location!r} it is: {error}") from error
    if length != needed or offset < 0 or offset + length > file.stat().st_size:
        raise _Damaged(
            f"{name} needs {needed:,} bytes, and {location!r} does not hold {length:,} from byte {offset:,}"
        )
    return None
