"""Which stored tensors are parameters, which are buffers, and which are constants of the program.

An ONNX file does not say, so it is told by use: what a layer multiplies or adds is a parameter; statistics,
scales and zero points of quantisation, and masks are buffers; sizes, axes, indices and single numbers are
constants, which count as nothing. Where PyTorch's exporter has left its signature, that is what holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import prod

from onnx import ModelProto, NodeProto, TensorProto

from striate.ledger.onnx_rules import ELEMENTWISE

PARAMETER, BIAS, BUFFER, CONSTANT = "parameter", "bias", "buffer", "constant"
_ORDER = (PARAMETER, BIAS, BUFFER, CONSTANT)

_RECURRENT = {1: PARAMETER, 2: PARAMETER, 3: BIAS, 7: PARAMETER}
_NORM = {1: PARAMETER, 2: BIAS}
#: By operator: what its inputs are if they are stored; those not listed are constants.
_SLOTS: Mapping[str, Mapping[int, str]] = {
    "Conv": {1: PARAMETER, 2: BIAS},
    "ConvTranspose": {1: PARAMETER, 2: BIAS},
    "DeformConv": {1: PARAMETER, 3: BIAS},
    "ConvInteger": {1: PARAMETER, 2: BUFFER, 3: BUFFER},
    "QLinearConv": {3: PARAMETER, 8: BIAS, **dict.fromkeys((1, 2, 4, 5, 6, 7), BUFFER)},
    "Gemm": {0: PARAMETER, 1: PARAMETER, 2: BIAS},
    "MatMul": {0: PARAMETER, 1: PARAMETER},
    "MatMulInteger": {0: PARAMETER, 1: PARAMETER, 2: BUFFER, 3: BUFFER},
    "QLinearMatMul": {0: PARAMETER, 3: PARAMETER, **dict.fromkeys((1, 2, 4, 5, 6, 7), BUFFER)},
    # The first states of a recurrent layer are most often zeros that the exporter wrote down.
    "LSTM": _RECURRENT,
    "GRU": _RECURRENT,
    "RNN": _RECURRENT,
    "BatchNormalization": {1: PARAMETER, 2: BIAS, 3: BUFFER, 4: BUFFER},
    "InstanceNormalization": _NORM,
    "LayerNormalization": _NORM,
    "GroupNormalization": _NORM,
    "RMSNormalization": {1: PARAMETER},
    "PRelu": {1: PARAMETER},
    "Gather": {0: PARAMETER},
    "DequantizeLinear": {0: PARAMETER, 1: BUFFER, 2: BUFFER},
    "QuantizeLinear": {0: PARAMETER, 1: BUFFER, 2: BUFFER},
}
#: What only moves or converts its first input: the use of the result decides.
_PASSES = frozenset(
    """Cast DequantizeLinear Expand Flatten Identity QuantizeLinear Reshape Slice Squeeze Transpose
    Unsqueeze""".split()  # noqa: SIM905 - a list of names reads better so
)
_FLOATS = frozenset(
    (
        TensorProto.FLOAT,
        TensorProto.DOUBLE,
        TensorProto.FLOAT16,
        TensorProto.BFLOAT16,
        TensorProto.COMPLEX64,
        TensorProto.COMPLEX128,
    )
)
# Names that exporters make up for numbers in a program: `val_7`, `/Constant_2_output_0`, `onnx::Mul_31`.
_GENERATED = re.compile(r"^val_\d+$|^\d*$|::|/|const", re.IGNORECASE)
# The exporter's words, in the metadata of the graph.
_SIGNATURE = "pkg.torch.export.ExportedProgram.graph_signature"
_SIGNED = re.compile(r": (PARAMETER|BUFFER) target='([^']*)'")


def signed(model: ModelProto) -> dict[str, str]:
    """What PyTorch's exporter says that stored tensors are, by name."""
    for entry in model.graph.metadata_props:
        if entry.key == _SIGNATURE:
            kinds = {"PARAMETER": PARAMETER, "BUFFER": BUFFER}
            return {name: kinds[kind] for kind, name in _SIGNED.findall(entry.value)}
    return {}


class Roles:
    """Tells what each stored tensor is. `active` are the values that depend on the model's input."""

    def __init__(
        self, nodes: Iterable[NodeProto], active: frozenset[str], said: Mapping[str, str]
    ) -> None:
        self._active, self._said = active, said
        self._uses: dict[str, list[tuple[NodeProto, int]]] = {}
        for node in nodes:
            for slot, name in enumerate(node.input):
                self._uses.setdefault(name, []).append((node, slot))

    def of(self, tensor: TensorProto, *, initialiser: bool) -> str:
        """The role of a stored tensor; of a node's constant where it is no `initialiser`."""
        if tensor.name in self._said:
            said = self._said[tensor.name]
            used = self._use(tensor.name, tensor, set())
            return BIAS if said == PARAMETER and used == BIAS else said
        if tensor.data_type == TensorProto.STRING:
            return CONSTANT
        if tensor.name not in self._uses:
            weights = initialiser and tensor.data_type in _FLOATS and tensor.dims
            return PARAMETER if weights else CONSTANT
        role = self._use(tensor.name, tensor, set())
        if not initialiser and role == BIAS and self._only_elementwise(tensor.name):
            return BUFFER
        return role

    def _use(self, name: str, tensor: TensorProto, seen: set[str]) -> str:
        """The first in order of what the value is to those that read it."""
        found = {CONSTANT}
        seen.add(name)
        for node, slot in self._uses.get(name, ()):
            here = self._in_slot(node, slot, tensor)
            result = node.output[0] if node.output else ""
            if result in self._active:
                found.add(here)
            elif result not in seen:
                # Part of a weight in the making, or of a number such as a size.
                role = self._use(result, tensor, seen)
                if slot == 0 and node.op_type in _PASSES:
                    found.add(role)
                elif role != CONSTANT and (tensor.data_type in _FLOATS or node.op_type in _SLOTS):
                    found.add(here)
        return min(found, key=_ORDER.index)

    def _in_slot(self, node: NodeProto, slot: int, tensor: TensorProto) -> str:
        if node.domain not in ("", "ai.onnx"):
            return PARAMETER if tensor.data_type in _FLOATS and tensor.dims else CONSTANT
        slots = _SLOTS.get(node.op_type)
        numeric = tensor.data_type in _FLOATS
        if slots is not None:
            role = slots.get(slot, CONSTANT)
            # A table of whole numbers that is looked up, such as one of positions.
            return BUFFER if node.op_type == "Gather" and not numeric and slot == 0 else role
        if not tensor.dims or (prod(tensor.dims) == 1 and _GENERATED.search(tensor.name)):
            return CONSTANT
        if node.op_type == "Einsum":
            return PARAMETER
        if node.op_type in ("Clip", "Pow") and slot:
            return CONSTANT
        if node.op_type in ELEMENTWISE or node.op_type == "Concat" or slot == 0:
            if not numeric:
                return BUFFER if node.op_type in ELEMENTWISE else CONSTANT
            return BIAS if node.op_type == "Add" and _along_one_axis(tensor) else PARAMETER
        return CONSTANT

    def _only_elementwise(self, name: str) -> bool:
        return all(node.op_type in ELEMENTWISE for node, _ in self._uses.get(name, ()))


def _along_one_axis(tensor: TensorProto) -> bool:
    return len([size for size in tensor.dims if size > 1]) <= 1
