"""ONNX files: operators, weights by use, rows, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from striate.errors import MissingExtra, RequestError
from striate.jobs.count import CountRequest, count_named
from striate.ledger import Ledger, count
from striate.ledger.account import account
from striate.ledger.effects import Contraction
from striate.ledger.onnx import read_onnx
from striate.ledger.onnx_rules import CREATES, ELEMENTWISE, KEEPS_SHAPE, PLAIN, RULES
from striate.ledger.provenance import read
from striate.sources.models import resolve

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402 - only where the extra is there

FLOAT = TensorProto.FLOAT
NOT_COUNTED = {
    # Their work is not worked out; each is `partial` by its name.
    "CausalConvWithState",
    "LinearAttention",
}


def value(name: str, *sizes: int | str | None, kind: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, sizes)


def stored(name: str, *sizes: int, kind: int = FLOAT) -> TensorProto:
    """A tensor of zeros."""
    tensor = TensorProto(name=name, data_type=kind, dims=sizes)
    bits = helper.tensor_dtype_to_np_dtype(kind).itemsize
    tensor.raw_data = bytes(int(torch.Size(sizes).numel()) * bits)
    return tensor


def numbers(name: str, *values: int) -> TensorProto:
    return helper.make_tensor(name, TensorProto.INT64, [len(values)], values)


def write(
    path: Path,
    nodes: list[onnx.NodeProto],
    weights: list[TensorProto],
    *,
    inputs: list[onnx.ValueInfoProto],
    outputs: tuple[str, ...] = ("y",),
    opset: int = 21,
    functions: tuple[onnx.FunctionProto, ...] = (),
) -> Path:
    graph = helper.make_graph(nodes, "net", inputs, [value(n) for n in outputs], weights)
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    domains = [helper.make_opsetid("", opset)]
    domains += [helper.make_opsetid(name, 1) for name in {f.domain for f in functions}]
    model = helper.make_model(graph, opset_imports=domains, functions=functions)
    path.write_bytes(model.SerializeToString())
    return path


def ledger(path: Path, *sizes: tuple[int, ...], **named: tuple[int, ...]) -> Ledger:
    return account(read_onnx(path, sizes, named), path.name)


def one(
    folder: Path, node: onnx.NodeProto, weights: list[TensorProto], *sizes: int, **options: object
) -> Ledger:
    """The ledger of a single node on an input `x`."""
    path = write(folder / "one.onnx", [node], weights, inputs=[value("x", *sizes)], **options)  # type: ignore[arg-type]
    return ledger(path)


# -- the same network, written by torch ----------------------------------------------------------


class Attention(nn.Module):
    """A block written out: queries, keys and values from one layer, a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(8, 24)
        self.out = nn.Linear(8, 8, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4).unbind(0)
        scores = (q @ k.transpose(-1, -2)).softmax(-1)
        return x + self.out((scores @ v).transpose(1, 2).flatten(2))


class Twice(nn.Module):
    """A layer called twice, and poolings and activations as functions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.conv(x)), 2).mean((2, 3))
        return self.fc(F.relu(self.fc(x)))


def _zoo(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    source = resolve(f"zoo:{name}")
    assert source.input_shape is not None
    return source.build(), (1, *source.input_shape)


NETWORKS = {
    "keras-cnn": lambda: _zoo("keras-cnn"),
    "lenet5": lambda: _zoo("lenet5"),
    "mlp": lambda: _zoo("mlp"),
    "attention": lambda: (Attention(), (2, 5, 8)),
    "twice": lambda: (Twice(), (2, 1, 8, 8)),
    "lstm": lambda: (nn.LSTM(5, 7, 2, batch_first=True, bidirectional=True), (2, 3, 5)),
    "gru": lambda: (nn.GRU(5, 7, batch_first=True), (2, 3, 5)),
    "transposed": lambda: (
        nn.Sequential(
            nn.Conv2d(1, 4, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1, output_padding=1, groups=2),
        ),
        (2, 1, 8, 8),
    ),
    "one-dimension": lambda: (
        nn.Sequential(
            nn.Conv1d(2, 4, 5, dilation=2, groups=2), nn.AvgPool1d(2), nn.Conv1d(4, 2, 3)
        ),
        (1, 2, 40),
    ),
    "three-dimensions": lambda: (
        nn.Sequential(nn.Conv3d(1, 2, 3, padding=1), nn.MaxPool3d(2), nn.PReLU(2)),
        (1, 1, 4, 6, 8),
    ),
}


# torch's newer exporter takes seconds a network.
EXPORTS = [(name, False) for name in NETWORKS]
EXPORTS += [(name, True) for name in ("keras-cnn", "attention", "twice", "lstm", "transposed")]


def export(module: nn.Module, shape: tuple[int, ...], path: Path, *, dynamo: bool) -> Path:
    """`module` as a file, its parameters drawn: equal tensors would be stored once, zeros not at all."""
    pytest.importorskip("onnxscript")
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    options = {"verbose": False, "external_data": False} if dynamo else {}
    torch.onnx.export(module.eval(), (torch.zeros(shape),), path, dynamo=dynamo, **options)
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "dynamo"), EXPORTS)
def test_a_module_and_its_file_have_one_account(name: str, dynamo: bool, tmp_path: Path) -> None:
    module, shape = NETWORKS[name]()
    mine = count(module, shape)
    theirs = ledger(export(module, shape, tmp_path / "net.onnx", dynamo=dynamo))
    assert theirs.status == "complete"
    for metric in (
        *("params", "weight_bytes", "buffers", "macs", "macs_per_example"),
        *("connections", "connections_inside", "dense_params"),
    ):
        assert getattr(theirs.totals, metric) == getattr(mine.totals, metric), metric
    assert theirs.ideas == mine.ideas
    # torch's own pooling of one dimension hides it.
    assert mine.receptive_field in (theirs.receptive_field, None)
    if name not in ("lstm", "gru"):  # torch splits one layer's directions, ONNX does not
        weighted = {layer.name: layer.params for layer in mine.layers if layer.params}
        assert weighted == {layer.name: layer.params for layer in theirs.layers if layer.params}


@pytest.mark.filterwarnings("ignore")
def test_a_folded_normalisation_belongs_to_its_convolution(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4))
    found = ledger(export(module, (2, 1, 6, 6), tmp_path / "net.onnx", dynamo=True))
    # 36 weights and the bias that stands for the normalisation's eight numbers.
    assert [(layer.name, layer.type, layer.params) for layer in found.layers] == [("0", "Conv", 40)]
    assert found.totals.macs == count(module, (2, 1, 6, 6)).totals.macs


class ByTransposed(nn.Module):
    """A head that uses its table the other way around, as a product and as layers do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 64, 3)
        self.table = nn.Parameter(torch.zeros(1000, 64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.conv(x)).mean((2, 3)) @ self.table.t()


@pytest.mark.filterwarnings("ignore")
def test_a_file_of_transposed_weights_is_no_larger_than_its_program(tmp_path: Path) -> None:
    """Where the exporter leaves the transposition in the file."""
    pytest.importorskip("onnxscript")
    module, example = ByTransposed().eval(), torch.zeros(2, 1, 16, 16)
    with torch.no_grad():
        module.table.normal_()
    program = torch.export.export(module, (example,))
    torch.export.save(program, tmp_path / "net.pt2")
    path, options = tmp_path / "net.onnx", {"verbose": False, "external_data": False}
    torch.onnx.export(module, (example,), path, dynamo=True, optimize=False, **options)
    assert "Transpose" in [node.op_type for node in onnx.load(path).graph.node]
    asked = CountRequest(str(path), against=str(tmp_path / "net.pt2"), max_growth="0%")
    counted = count_named(asked)
    assert counted.growth
    assert [gate for gate in counted.growth if gate.met is not True] == []
    assert counted.difference is not None
    before, after = counted.difference.totals["peak_activation_bytes"]
    assert (
        before == after == 2 * (16 * 16 + 2 * 64 * 14 * 14) * 4
    )  # the input, before and after ReLU


@pytest.mark.parametrize("drawn", [False, True])
def test_only_what_weights_alone_decide_is_computed_ahead(tmp_path: Path, drawn: bool) -> None:
    """Noise is made again each time, and so is what is made of it."""
    made = helper.make_node("RandomNormal", [], ["v"], shape=[4, 8])
    node = made if drawn else helper.make_node("Neg", ["w"], ["v"])
    nodes = [
        node,
        helper.make_node("Transpose", ["v"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "t"], ["y"]),
    ]
    path = write(tmp_path / "d.onnx", nodes, [stored("w", 4, 8)], inputs=[value("x", 2, 8)])
    # Alive at once: the input and the result, or the input, the noise and its transposition.
    assert ledger(path).totals.peak_activation_bytes == 4 * (16 + (64 if drawn else 8))


# -- single operators ----------------------------------------------------------------------------


def test_a_convolution_pads_as_its_auto_pad_says(tmp_path: Path) -> None:
    for auto, low in (("SAME_UPPER", 0), ("SAME_LOWER", 1)):
        node = helper.make_node("Conv", ["x", "w"], ["y"], auto_pad=auto, strides=[2])
        found = one(tmp_path, node, [stored("w", 1, 1, 3)], 1, 1, 6).totals
        # Windows of 3 at steps of 2 on 6: one tap of nine is on the padding, at the end or at the front.
        assert (found.connections, found.connections_inside) == (9, 8)
        (reading,) = read(read_onnx(tmp_path / "one.onnx"))
        assert isinstance(reading.effect, Contraction)
        assert reading.effect.windows[0].padding == (low, 1 - low)
    valid = helper.make_node("Conv", ["x", "w"], ["y"], auto_pad="VALID", dilations=[2])
    assert one(tmp_path, valid, [stored("w", 1, 1, 3)], 1, 1, 6).totals.connections == 6


@pytest.mark.parametrize(("a", "b"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_a_general_product_may_be_transposed(tmp_path: Path, a: int, b: int) -> None:
    node = helper.make_node("Gemm", ["x", "w", "c"], ["y"], transA=a, transB=b)
    weight = stored("w", *((5, 7)[::-1] if b else (5, 7)))
    found = one(tmp_path, node, [weight, stored("c", 7)], *((5, 3) if a else (3, 5)), opset=13)
    assert found.totals.macs == 3 * 5 * 7
    assert (found.layers[0].weights, found.layers[0].bias) == (35, 7)


@pytest.mark.parametrize(
    ("equation", "left", "right", "products"),
    [
        ("bij,jk->bik", (2, 3, 4), (4, 5), 2 * 3 * 4 * 5),
        ("...ij, kj -> ...ik", (2, 6, 3, 4), (5, 4), 2 * 6 * 3 * 4 * 5),
        ("bij,ij->b", (2, 3, 4), (3, 4), 2 * 3 * 4),
        ("ab,cd->abcd", (2, 3), (4, 5), 120),
    ],
)
def test_an_einsum_has_a_product_a_place(
    tmp_path: Path, equation: str, left: tuple, right: tuple, products: int
) -> None:
    node = helper.make_node("Einsum", ["x", "w"], ["y"], equation=equation)
    path = write(tmp_path / "e.onnx", [node], [stored("w", *right)], inputs=[value("x", *left)])
    assert ledger(path).totals.macs == products
    assert ledger(path).totals.params == torch.Size(right).numel()


def test_quantised_layers_count_as_what_they_stand_for(tmp_path: Path) -> None:
    kind = TensorProto.INT8
    scales = [stored(n) for n in ("s", "t", "u")]
    zeros = [stored("z", kind=kind)]
    conv = helper.make_node(
        "QLinearConv", ["q", "s", "z", "w", "t", "z", "u", "z", "b"], ["c"], pads=[1, 1, 1, 1]
    )
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        conv,
        helper.make_node("DequantizeLinear", ["c", "u", "z"], ["y"]),
    ]
    weights = [stored("w", 4, 1, 3, 3, kind=kind), stored("b", 4, kind=TensorProto.INT32)]
    path = write(
        tmp_path / "q.onnx", nodes, [*weights, *scales, *zeros], inputs=[value("x", 1, 1, 6, 6)]
    )
    found = ledger(path)
    assert found.totals.macs == 36 * 9 * 4
    assert (found.totals.params, found.totals.weight_bytes) == (40, 36 + 16 + 3 * 4 + 1)
    assert [layer.bias for layer in found.layers if layer.params] == [4]


def test_weights_behind_a_dequantisation_are_the_layers(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["v"], name="dq", axis=0),
        helper.make_node("MatMul", ["x", "v"], ["y"], name="fc"),
    ]
    kind = TensorProto.INT8
    weights = [stored("w", 8, 4, kind=kind), stored("s", 8), stored("z", 8, kind=kind)]
    path = write(tmp_path / "dq.onnx", nodes, weights, inputs=[value("x", 2, 8)])
    found = ledger(path)
    assert [(layer.name, layer.params, layer.sharing_factor) for layer in found.layers] == [
        ("fc", 32, 1)
    ]
    assert (found.totals.buffers, found.totals.weight_bytes) == (16, 32 + 32 + 8)


@pytest.mark.parametrize("cell", ["LSTM", "GRU", "RNN"])
def test_a_recurrent_layer_multiplies_at_each_step_in_each_direction(
    tmp_path: Path, cell: str
) -> None:
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[cell]
    node = helper.make_node(
        cell, ["x", "w", "r", "b"], ["y"], hidden_size=7, direction="bidirectional"
    )
    weights = [
        stored("w", 2, gates * 7, 5),
        stored("r", 2, gates * 7, 7),
        stored("b", 2, gates * 14),
    ]
    path = write(tmp_path / "r.onnx", [node], weights, inputs=[value("x", 3, 4, 5)])
    found = account(read_onnx(path, batched=False), cell)
    assert found.totals.macs == 2 * 3 * 4 * gates * 7 * (5 + 7)
    assert found.totals.params == 2 * gates * 7 * (5 + 7 + 2)
    # The node's steps are its private workspace.
    assert found.totals.activation_bytes == 4 * 3 * 2 * 4 * 7


def test_attention_is_work_without_weights(tmp_path: Path) -> None:
    if onnx.defs.onnx_opset_version() < 23:
        pytest.skip("the onnx package does not know the operator")
    node = helper.make_node("Attention", ["x", "k", "v"], ["y"], q_num_heads=4, kv_num_heads=2)
    inputs = [value("x", 2, 6, 16), value("k", 2, 9, 8), value("v", 2, 9, 10)]
    path = write(tmp_path / "a.onnx", [node], [], inputs=inputs, opset=23)
    assert ledger(path).totals.macs == 2 * 4 * 6 * 9 * (4 + 5)


@pytest.mark.parametrize(
    ("node", "after"),
    [
        (helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2]), (4, 3)),
        (helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[3, 3]), (6, 4)),
        (
            helper.make_node("LpPool", ["x"], ["y"], kernel_shape=[2, 3], auto_pad="SAME_UPPER"),
            (8, 6),
        ),
        (helper.make_node("GlobalAveragePool", ["x"], ["y"]), (1, 1)),
        (helper.make_node("GlobalMaxPool", ["x"], ["y"]), (1, 1)),
        (helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=1), (1, 1)),
    ],
    ids=lambda node: getattr(node, "op_type", ""),
)
def test_poolings_summarise_units(tmp_path: Path, node: onnx.NodeProto, after: tuple) -> None:
    found = one(tmp_path, node, [numbers("axes", -1, -2)], 1, 2, 8, 6)
    (layer,) = found.layers
    assert layer.output_shape == (1, 2, *after)
    assert layer.pooling_factor == pytest.approx(48 / (after[0] * after[1]))
    assert found.totals.params == 0


def test_every_operator_of_onnx_is_known_or_said_to_be_unknown() -> None:
    names = {s.name for s in onnx.defs.get_all_schemas() if s.domain == ""}
    known = {*RULES, *ELEMENTWISE, *KEEPS_SHAPE, *CREATES, *PLAIN}
    assert names - known <= NOT_COUNTED
    assert not NOT_COUNTED & known
    groups = [set(RULES), ELEMENTWISE, KEEPS_SHAPE, CREATES, PLAIN]
    assert sum(map(len, groups)) == len(known), "an operator is in two groups"


def test_an_operator_of_another_domain_is_named(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Magic", ["x"], ["m"], domain="com.example"),
        helper.make_node("MatMul", ["m", "w"], ["y"]),
    ]
    path = write(tmp_path / "m.onnx", nodes, [stored("w", 4, 4)], inputs=[value("x", 1, 4)])
    found = ledger(path)
    assert found.status == "partial"
    assert [entry.operator for entry in found.unsupported] == [
        "onnx.com.example.Magic",
        "onnx.MatMul",
    ]
    assert "the shape of 'm' is not known" in found.unsupported[1].effect
    assert {"macs", "connections", "activation_bytes"} <= found.uncertain
    assert found.totals.params == 16


# -- weights and rows ----------------------------------------------------------------------------


def test_a_weight_of_two_nodes_counts_once(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="first"),
        helper.make_node("Transpose", ["w"], ["t"], name="turn"),
        helper.make_node("MatMul", ["h", "t"], ["y"], name="second"),
    ]
    path = write(tmp_path / "t.onnx", nodes, [stored("w", 4, 6)], inputs=[value("x", 1, 4)])
    found = ledger(path)
    assert (found.totals.params, found.totals.macs) == (24, 48)
    assert [(row.name, row.params, row.shared_with) for row in found.layers] == [
        ("first", 24, ("second",)),
        ("second", 0, ("first",)),
    ]


def test_sizes_axes_and_numbers_are_no_parameters(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Constant", [], ["half"], value_float=0.5),
        helper.make_node("Mul", ["x", "half"], ["a"]),
        helper.make_node("Reshape", ["a", "sizes"], ["b"]),
        helper.make_node("Clip", ["b", "low"], ["c"]),
        helper.make_node("Mul", ["c", "scale"], ["d"]),
        helper.make_node("BatchNormalization", ["d", "g", "o", "m", "v"], ["y"]),
    ]
    weights = [numbers("sizes", 1, 4, -1), stored("low"), stored("scale", 4, 1), stored("spare", 3)]
    weights += [stored(name, 4) for name in "gomv"]
    path = write(tmp_path / "p.onnx", nodes, weights, inputs=[value("x", 1, 8)])
    graph = read_onnx(path)
    assert [p.name for p in graph.parameters] == ["scale", "spare", "g", "o"]
    assert [b.name for b in graph.buffers] == ["m", "v"]
    assert [row.name for row in account(graph, "p").layers if not row.calls] == ["spare"]


def test_nodes_without_a_name_and_with_the_same_are_rows_of_their_own(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"], name="same"),
        helper.make_node("Relu", ["c"], ["y"], name="same\n::error::x"),
    ]
    path = write(tmp_path / "n.onnx", nodes, [], inputs=[value("x", 1, 8)])
    assert [row.name for row in ledger(path).layers] == [
        "Relu",
        "Relu.2",
        "same",
        r"same\n::error::x",
    ]


def test_local_functions_are_put_in_place(tmp_path: Path) -> None:
    function = helper.make_function(
        "mine",
        "Dense",
        ["a", "b"],
        ["c"],
        [helper.make_node("MatMul", ["a", "b"], ["m"]), helper.make_node("Relu", ["m"], ["c"])],
        [helper.make_opsetid("", 21)],
    )
    nodes = [helper.make_node("Dense", ["x", "w"], ["y"], domain="mine")]
    path = write(
        tmp_path / "f.onnx",
        nodes,
        [stored("w", 4, 6)],
        inputs=[value("x", 1, 4)],
        functions=(function,),
    )
    assert (ledger(path).status, ledger(path).totals.macs) == ("complete", 24)


def branch(name: str, node: onnx.NodeProto) -> onnx.GraphProto:
    return helper.make_graph([node], name, [], [value(node.output[0], 1, 4)])


def test_a_branch_that_is_known_is_counted(tmp_path: Path) -> None:
    then = branch("then", helper.make_node("MatMul", ["x", "w"], ["t"]))
    other = branch("else", helper.make_node("Relu", ["x"], ["e"]))
    choice = helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other)
    for known in (True, False):
        condition = helper.make_tensor("c", TensorProto.BOOL, [], [known])
        path = write(
            tmp_path / "if.onnx",
            [choice],
            [condition, stored("w", 4, 4)],
            inputs=[value("x", 1, 4)],
        )
        found = ledger(path)
        assert (found.status, found.totals.macs) == ("complete", 16 * known)
        assert found.totals.params == 16


def test_a_branch_that_is_not_known_is_partial(tmp_path: Path) -> None:
    then = branch("then", helper.make_node("MatMul", ["x", "w"], ["t"]))
    other = branch("else", helper.make_node("Relu", ["x"], ["e"]))
    choice = helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other)
    inputs = [value("x", 1, 4), value("c", 1, kind=TensorProto.BOOL)]
    path = write(tmp_path / "if.onnx", [choice], [stored("w", 4, 4)], inputs=inputs)
    found = ledger(path)
    assert [(u.operator, u.where) for u in found.unsupported] == [("onnx.If", "If")]
    assert "MatMul" in found.unsupported[0].effect
    assert found.totals.params == 16


def test_sizes_that_are_computed_are_followed(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "first"], ["n"]),
        helper.make_node("Gather", ["s", "second"], ["c"]),
        helper.make_node("Div", ["c", "two"], ["half"]),
        helper.make_node("Concat", ["n", "two", "half"], ["sizes"], axis=0),
        helper.make_node("Reshape", ["x", "sizes"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["y"]),
    ]
    weights = [numbers("first", 0), numbers("second", 1), numbers("two", 2), stored("w", 4, 3)]
    path = write(tmp_path / "s.onnx", nodes, weights, inputs=[value("x", "N", "C")])
    found = ledger(path, (5, 8))
    assert (found.status, found.totals.macs, found.batch) == ("complete", 5 * 2 * 4 * 3, 5)


# -- inputs --------------------------------------------------------------------------------------


def picture(path: Path, *sizes: int | str | None) -> Path:
    node = helper.make_node("Conv", ["x", "w"], ["y"], name="conv")
    return write(path / "net.onnx", [node], [stored("w", 4, 3, 3, 3)], inputs=[value("x", *sizes)])


def test_an_open_batch_is_one(tmp_path: Path) -> None:
    found = ledger(picture(tmp_path, "N", 3, 8, 8))
    assert found.batch == 1
    assert found.notes == (
        "the batch, the first size of the input 'x', is 1; --input gives another",
    )
    assert ledger(tmp_path / "net.onnx", (7, 3, 8, 8)).batch == 7
    assert ledger(tmp_path / "net.onnx", x=(7, 3, 8, 8)).notes == ()


@pytest.mark.parametrize(
    ("sizes", "inputs", "words"),
    [
        (
            ("N", 3, "H", 8),
            (),
            "its input 'x' is 1x3xHx8, which leaves sizes open; give all of them",
        ),
        (("N", 3, None, 8), (), "its input 'x' is 1x3x?x8"),
        (("N", 3, 8, 8), ((1, 4, 8, 8),), "--input 1x4x8x8: its input 'x' is Nx3x8x8"),
        (("N", 3, 8, 8), ((3, 8, 8),), "--input 3x8x8: its input 'x' is Nx3x8x8"),
        (("N", 3, "H", "H"), ((1, 3, 8, 9),), "'H' is 8 in another place"),
        (("N", 3, 8, 8), ((1, 3, 8, 8), (1,)), "--input 1: one too many; its inputs are x"),
        (("N", 3, -7, 8), (), "its input 'x' has a size of -7"),
        ((2**40, 3, 2**40, 8), (), "which no tensor can be"),
    ],
)
def test_wrong_sizes_are_named(tmp_path: Path, sizes: tuple, inputs: tuple, words: str) -> None:
    path = picture(tmp_path, *sizes)
    with pytest.raises(RequestError) as caught:
        ledger(path, *inputs)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_input_that_it_has_not_is_named(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="--input z=: it has no such input; it has x"):
        ledger(picture(tmp_path, "N", 3, 8, 8), z=(1,))


# -- files ---------------------------------------------------------------------------------------


def refused(path: Path) -> str:
    with pytest.raises(RequestError) as caught:
        read_onnx(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text


def test_files_that_are_no_models_are_refused(tmp_path: Path) -> None:
    whole = picture(tmp_path, 1, 3, 8, 8).read_bytes()
    path = tmp_path / "bad.onnx"
    assert "there is no such file" in refused(path)
    for content, words in [
        (b"", "the file is empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "no whole ONNX model"),
        (b"import torch\n" * 50, "no whole ONNX model"),
        (bytes(5000), ""),
        (whole[: len(whole) // 2], "it ends within"),
        (whole[:-1], ""),
        (b"\x08\x08", "it has no graph"),
    ]:
        path.write_bytes(content)
        assert words in refused(path)
    assert "a directory" in refused(tmp_path)


@settings(max_examples=60, deadline=None)
@given(
    place=st.integers(0, 10**6),
    byte=st.integers(0, 255),
    cut=st.integers(0, 10**6),
    big=st.booleans(),
)
def test_a_damaged_file_is_counted_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: int, cut: int, big: bool
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    node = helper.make_node("Conv", ["x", "w"], ["y"], name="conv")
    channels = 200 if big else 4
    path = write(
        folder / "d.onnx", [node], [stored("w", channels, 3, 3, 3)], inputs=[value("x", 1, 3, 8, 8)]
    )
    data = bytearray(path.read_bytes())
    data[place % len(data)] = byte
    path.write_bytes(bytes(data[: len(data) - cut % 50]))
    said = ""
    try:
        said = account(read_onnx(path), "damaged").status
    except RequestError as error:
        said = str(error)
    assert said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("dims", "words"),
    [((-3, 4), "no tensor can have"), ((2**40, 2**40), "no tensor can have"), ((3, 5), "holds")],
)
def test_sizes_that_do_not_go_with_the_bytes_are_refused(
    tmp_path: Path, dims: tuple[int, int], words: str
) -> None:
    for real in ((3, 4), (300, 400)):  # kept whole, and left out while reading
        weight = stored("w", *real)
        weight.dims[:] = dims
        node = helper.make_node("MatMul", ["x", "w"], ["y"])
        path = write(tmp_path / "d.onnx", [node], [weight], inputs=[value("x", 1, 3)])
        assert words in refused(path)


def external(path: Path, location: str, **entries: str) -> Path:
    weight = TensorProto(name="w", data_type=FLOAT, dims=[4, 4])
    weight.data_location = TensorProto.EXTERNAL
    for key, entry in {"location": location, **entries}.items():
        weight.external_data.add(key=key, value=entry)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    return write(path / "e.onnx", [node], [weight], inputs=[value("x", 1, 4)])


def test_external_data_stays_in_the_models_folder(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(64))
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "out").symlink_to(tmp_path)
    (folder / "w.bin").write_bytes(bytes(64))
    outside = ["../secret", str(tmp_path / "secret"), "link", "out/secret", "a/../../secret"]
    for location in [*outside, "", "..\\secret", "C:\\secret", "a\nb"]:
        assert "not a file inside the model's folder" in refused(external(folder, location))
    assert ledger(external(folder, "w.bin", length="64")).totals.params == 16
    assert "needs 64 bytes" in refused(external(folder, "w.bin", offset="4"))
    assert "needs 64 bytes" in refused(external(folder, "w.bin", length="60"))
    assert "does not say where" in refused(external(folder, "w.bin", offset="here"))
    (note,) = ledger(external(folder, "gone.bin")).notes
    assert (
        note == "'gone.bin', which holds weights, is not there; their sizes are as the model says"
    )


def test_a_node_that_reads_what_is_not_there_is_named(tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["nothing"], ["y"], name="act")
    path = write(tmp_path / "d.onnx", [node], [], inputs=[value("x", 1, 4)])
    assert "Relu node 'act' reads 'nothing', which nothing before it makes" in refused(path)


def test_a_large_file_takes_little_memory(tmp_path: Path) -> None:
    """100 MB: the weights are neither read nor copied."""
    node = helper.make_node("Gemm", ["x", "w"], ["y"], name="fc")
    path = write(
        tmp_path / "b.onnx", [node], [stored("w", 5000, 5000)], inputs=[value("x", 1, 5000)]
    )
    code = (
        "import resource, sys, time, onnx.inliner, striate.ledger.onnx.reader\n"
        "from striate.ledger.onnx import read_onnx\n"
        "before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()\n"
        "graph = read_onnx(sys.argv[1])\n"
        "print(sum(p.tensor.units for p in graph.parameters), time.perf_counter() - start,\n"
        "      resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    params, seconds, kilobytes, torch_too = done.stdout.split()
    assert int(params) == 25_000_000
    assert float(seconds) < 3
    assert int(kilobytes) < 50_000
    assert torch_too == "False"


def test_without_the_package_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("striate.ledger.onnx.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"striate\[onnx\]"):
        read_onnx(picture(tmp_path, 1, 3, 8, 8))
