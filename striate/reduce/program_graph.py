"""The graph of an exported program, as the JSON document in its archive: is there anything in it to run but torch?"""

from __future__ import annotations

import ast
import json
import keyword
import re
from collections.abc import Iterator
from typing import Any

import torch
from torch._ops import OpOverload, OpOverloadPacket

from striate.errors import RequestError

MODEL = "models/model.json"
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PATH = re.compile(r"[A-Za-z0-9_.]*")
_WORDS = re.compile(r"[A-Za-z0-9_.+\-]*")

# Arithmetic on sizes, by Python's own operators.
_ARITHMETIC = re.compile(
    r"_operator\.(add|sub|mul|floordiv|mod|neg|truediv|pow|getitem|[gl][et]|eq|ne)"
)
# Operators that take text, and the text they may be given.
_TEXT = {
    "gelu": re.compile(r"none|tanh"),
    "conv1d": re.compile(r"same|valid"),
    "conv2d": re.compile(r"same|valid"),
    "conv3d": re.compile(r"same|valid"),
    "pad": re.compile(r"constant|reflect|replicate|circular"),
    "einsum": re.compile(r"[A-Za-z.,> \-]*"),
    "div": re.compile(r"floor|trunc"),
    "meshgrid": re.compile(r"ij|xy"),
}
# Operators with a leading underscore are internal, and some trust their arguments; these do not.
_NAME = re.compile(
    r"[a-z][a-z0-9_]*|_to_copy|_(log_)?softmax|_assert_tensor_metadata|_adaptive_avg_pool2d"
)
# The types that their arguments and results may have.
_KINDS = re.compile(r"Tensor|int|SymInt|float|number|bool|Device")
# What an argument, a size or a result may be.
_FORMS = re.compile(
    r"as_(none|(optional_)?tensors?|ints?|floats?|bools?|string|sym_(int|float|bool)s?|name|expr|"
    r"scalar_type|memory_format|layout|device)"
)
_SPECS = {
    "input_specs": {"user_input", "parameter", "buffer", "tensor_constant"},
    "output_specs": {"user_output"},
}
_SYMBOL = re.compile(r"[suz]\d+")
_DUNDER = re.compile(r"(^|\.)__")
_SYMPY = re.compile(
    r"Symbol|Integer|Add|Mul|Pow|Mod|PythonMod|FloorDiv|CleanDiv|Max|Min|Eq|Ne|Ge|Gt|Le|Lt"
)
_ASSUMPTIONS = re.compile(r"integer|positive|nonnegative|nonzero|real")


def check_graph(document: dict[str, Any]) -> None:
    """The graph: torch's own operators on tensors and sizes, names that are names, nothing to evaluate."""
    if document.get("guards_code") not in ([], None):
        raise RequestError(f"{MODEL}: it brings code of its own (guards_code)")
    module = _object(document.get("graph_module"), "graph_module")
    graph = _object(module.get("graph"), "graph")
    if graph.get("custom_obj_values") or module.get("treespec_namedtuple_fields"):
        raise RequestError(f"{MODEL}: it holds objects other than tensors")
    for node in _list(graph.get("nodes"), "nodes"):
        _object(node, "nodes")["metadata"] = {}
        _check_operator(node)
    signature = _object(module.get("signature"), "signature")
    for key, kinds in _SPECS.items():
        for spec in _list(signature.get(key), key):
            strange = _object(spec, key).keys() - kinds
            if strange:
                raise RequestError(
                    f"{MODEL}: {key} has {sorted(strange)[0]!r}; expected {sorted(kinds)}"
                )
    check_fields(document)


def _check_operator(node: dict[str, Any]) -> None:
    """An operator of torch that takes and gives tensors and numbers; text only where it is known what for."""
    target = node.get("target")
    if isinstance(target, str) and _ARITHMETIC.fullmatch(target):
        return
    parts = target.split(".") if isinstance(target, str) else []
    packet: object = None
    if len(parts) == 5 and parts[:3] == ["torch", "ops", "aten"]:
        _, _, _, name, overload = parts
        if _NAME.fullmatch(name):
            packet = getattr(torch.ops.aten, name, None)
    operator = getattr(packet, overload, None) if isinstance(packet, OpOverloadPacket) else None
    if not isinstance(operator, OpOverload):
        raise RequestError(f"{MODEL}: {target!r} is not one of torch's operators on tensors")
    schema = operator._schema
    for value in (*schema.arguments, *schema.returns):
        kind = re.sub(r"Optional|List|[\[\]]", "", str(value.type))
        if not _KINDS.fullmatch(kind) and not (kind == "str" and name in _TEXT):
            raise RequestError(f"{MODEL}: {target} takes or gives a {kind}, which no network needs")
    for text in _texts(node.get("inputs")):
        if name not in _TEXT or not isinstance(text, str) or not _TEXT[name].fullmatch(text):
            raise RequestError(
                f"{MODEL}: {target} is given the text {text!r}, which no network needs"
            )


def _texts(value: object) -> Iterator[object]:
    """Every text among a node's arguments."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ("as_string", "as_strings"):
                yield item
            else:
                yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def check_fields(value: object, key: str = "") -> None:
    """Every text in the document, by the field it stands in."""
    if isinstance(value, dict):
        for name, item in value.items():
            check_text(name, PATH, "a field")
            if name.startswith("as_") and not _FORMS.fullmatch(name):
                raise RequestError(f"{MODEL}: {name} is not a tensor, a number or a size")
            check_fields(item, name)
    elif isinstance(value, list):
        for item in value:
            check_fields(item, key)
    elif isinstance(value, str):
        if key == "expr_str":
            _check_expression(value)
        elif key in ("in_spec", "out_spec"):
            _check_structure(value, key)
        elif key == "type" and value != "cpu":
            raise RequestError(
                f"{MODEL}: it is for the device {value!r}; expected one exported on the CPU"
            )
        elif key in ("name", "forward_arg_names"):
            check_text(value, _IDENTIFIER, f"{MODEL}: a name")
        elif key in ("target", "as_string"):
            pass  # looked at with the operator
        else:
            check_text(value, _WORDS, f"{MODEL}: {key}")


def _check_expression(text: str) -> None:
    """A size, as sympy writes it: it will be evaluated, so it may hold nothing but arithmetic on symbols."""
    try:
        tree = ast.parse(text, mode="eval") if text.isascii() and len(text) < 2000 else None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        tree = None
    if tree is None or not all(_is_arithmetic(part) for part in ast.walk(tree)):
        raise RequestError(f"{MODEL}: {text[:80]!r} is not the size of anything")


def _is_arithmetic(part: ast.AST) -> bool:
    match part:
        case (
            ast.Expression()
            | ast.BinOp()
            | ast.UnaryOp()
            | ast.operator()
            | ast.unaryop()
            | ast.Load()
        ):
            return True
        case ast.Constant(value=bool() | int()):
            return True
        case ast.Constant(value=str() as text):
            return _SYMBOL.fullmatch(text) is not None
        case ast.Name(id=name):
            return (_SYMPY.fullmatch(name) or _SYMBOL.fullmatch(name)) is not None
        case ast.Call(func=ast.Name(id=name)):
            return _SYMPY.fullmatch(name) is not None
        case ast.keyword(arg=name):
            return name is not None and _ASSUMPTIONS.fullmatch(name) is not None
    return False


def _check_structure(text: str, key: str) -> None:
    """How inputs and outputs are nested: tuples, lists, and dictionaries whose keys are names."""
    try:
        version, spec = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        version, spec = None, None
    if not (isinstance(version, int) and _is_nested(spec)):
        raise RequestError(
            f"{MODEL}: {key} has more than tensors in tuples, lists and dictionaries"
        )


def _is_leaf(spec: object) -> bool:
    return isinstance(spec, dict) and spec == {"type": None, "context": None, "children_spec": []}


def _is_nested(spec: object) -> bool:
    if _is_leaf(spec):
        return True
    return (
        isinstance(spec, dict)
        and spec.keys() == {"type", "context", "children_spec"}
        and _is_container(spec["type"], spec["context"])
        and isinstance(spec["children_spec"], list)
        and all(_is_nested(child) for child in spec["children_spec"])
    )


def _is_container(kind: object, context: object) -> bool:
    """A tuple or a list; or a dictionary, whose keys torch writes into source, so they are plain names."""
    if kind in ("builtins.tuple", "builtins.list"):
        return context == "null"
    if kind != "builtins.dict" or not isinstance(context, str):
        return False
    try:
        keys = json.loads(context)
    except (ValueError, RecursionError):
        return False
    return isinstance(keys, list) and all(
        isinstance(key, str) and _IDENTIFIER.fullmatch(key) and not keyword.iskeyword(key)
        for key in keys
    )


def check_text(value: object, form: re.Pattern[str], what: str) -> None:
    if not isinstance(value, str) or not form.fullmatch(value) or _DUNDER.search(value):
        raise RequestError(
            f"{what} is {str(value)[:80]!r}, which is not of the form {form.pattern}"
        )


def _object(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RequestError(f"{MODEL}: {name} is not as expected of an exported program")
    return value


def _list(value: object, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise RequestError(f"{MODEL}: {name} is not as expected of an exported program")
    return value
