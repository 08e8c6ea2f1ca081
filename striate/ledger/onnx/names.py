"""The row that a node belongs to: the module that an exporter says it comes from, or the node itself."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from onnx import NodeProto

_SCOPES = "pkg.torch.onnx.name_scopes"
_REWRITTEN = "pkg.onnxscript.rewriter.rule_name"
_OF_A_MODULE = re.compile(r"(weight|bias|running_|weight_|bias_|in_proj_)\w*")


def place(node: NodeProto, parameters: Iterable[str]) -> str | None:
    """The module that `node` was exported from, "" for the outermost; None where nothing tells.

    `parameters` are the names of the weights that the node reads. PyTorch's exporters write the module
    into the node's metadata, or a path into its name, in which a list repeats its own name.

    >>> place(NodeProto(name="/layer1/layer1.0/conv1/Conv"), ())
    'layer1.0.conv1'
    >>> place(NodeProto(name="conv"), ["features.0.weight"])
    'features.0'
    """
    metadata = {entry.key: entry.value for entry in node.metadata_props}
    module = next((found for name in parameters if (found := owner(name)) is not None), None)
    if "FuseBatchNorm" in metadata.get(_REWRITTEN, "") and module is not None:
        return printable(module)
    if _SCOPES in metadata:
        scopes = _listed(metadata[_SCOPES])
        if scopes is not None:
            return printable(scopes[-2] if len(scopes) > 1 else "")
    if node.name.startswith("/"):
        return printable(_from_path(node.name))
    return None if module is None else printable(module)


def own_name(node: NodeProto) -> str:
    """What to call a node that is a row by itself: its name, without the module's; else its operator.

    >>> own_name(NodeProto(name="/MaxPool_1", op_type="MaxPool")), own_name(NodeProto(op_type="Relu"))
    ('MaxPool_1', 'Relu')
    """
    metadata = {entry.key: entry.value for entry in node.metadata_props}
    scopes = _listed(metadata.get(_SCOPES, ""))
    if scopes:
        return printable(scopes[-1]) or node.op_type
    name = node.name.rpartition("/")[2] if node.name.startswith("/") else node.name
    return printable(name) or node.op_type


def printable(name: str) -> str:
    r"""The name in one line, without control characters.

    >>> printable("a\nb")
    'a\\nb'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def owner(parameter: str) -> str | None:
    """The module that a parameter is named after, as PyTorch and its exporters do.

    >>> owner("layer1.0.conv1.weight"), owner("onnx::Conv_47")
    ('layer1.0.conv1', None)
    """
    module, dot, last = parameter.rpartition(".")
    return module if dot and module and _OF_A_MODULE.fullmatch(last) else None


def _listed(text: str) -> list[str] | None:
    try:
        found = ast.literal_eval(text) if len(text) < 10_000 else None
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None  # another exporter's use of the key: the node's name has to do
    return found if isinstance(found, list) and all(isinstance(x, str) for x in found) else None


def _from_path(name: str) -> str:
    parts: list[str] = []
    for part in name.strip("/").split("/")[:-1]:
        if parts and part.startswith(f"{parts[-1]}."):
            parts[-1] = part
        else:
            parts.append(part)
    return ".".join(parts)
