"""Exported programs from files that nobody vouches for: what is harmful is refused, and nothing of it runs."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from striate.errors import RequestError
from striate.reduce.export import _plain, _program
from striate.reduce.program import load_program, vet

MODEL = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"
INPUTS = "data/sample_inputs/model.pt"


class Marker:
    """Unpickling one leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


@pytest.fixture(scope="module")
def good() -> bytes:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.GELU(), nn.Flatten(), nn.Linear(32, 3))
    return _program(_plain(model), torch.zeros(2, 1, 6, 6))


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(contents: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def changed(data: bytes, member: str, change: Callable[[dict[str, Any]], object]) -> bytes:
    contents = members(data)
    root = next(iter(contents)).split("/")[0]
    document = json.loads(contents[f"{root}/{member}"])
    change(document)
    contents[f"{root}/{member}"] = json.dumps(document).encode()
    return packed(contents)


def graph(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["graph_module"]["graph"]
    return found


def test_a_good_program_passes_and_is_the_same(good: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    path.write_bytes(good)
    inputs = torch.randn(3, 1, 6, 6)
    wanted = torch.export.load(io.BytesIO(good)).module()(inputs)
    torch.testing.assert_close(load_program(path)(inputs), wanted)
    assert vet(vet(good)) == vet(good)


@pytest.mark.parametrize(
    "target",
    [
        "torch.os.system",
        "torch.ops.aten.save.default",
        "torch.ops.aten.from_file.default",
        "torch.ops.prim.Print.default",
        "torch.ops.higher_order.cond",
        "torch.ops.aten.linear.__class__",
        "torch.ops.aten.__class__.mro",
        "torch.ops.aten._unsafe_view.default",
        "torch.ops.aten.set_.source_Storage",
        "torch.ops.load_library",
        "_operator.attrgetter",
        "_operator.methodcaller",
        "math.os",
        "#anything:at_all",
        "builtins.exec",
        "",
        None,
        7,
    ],
)
def test_no_operator_but_those_on_tensors(good: bytes, target: object) -> None:
    def change(document: dict[str, Any]) -> None:
        graph(document)["nodes"][0]["target"] = target

    with pytest.raises(RequestError, match=r"not one of torch's operators|which no network needs"):
        vet(changed(good, MODEL, change))


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "Symbol('s0').__class__",
        "exec('1')",
        "Symbol('__import__')",
        "Symbol('s0', commutative=[])",
        "lambda: 0",
        "[s0 for s0 in ()]",
        "s0 if s1 else s2",
        "s0; s1",
        "\N{MATHEMATICAL BOLD SCRIPT SMALL E}xec(1)",
        "Symbol(*[1])",
        "f'{s0}'",
        "x" * 3000,
        "(" * 500,
    ],
)
def test_no_size_but_arithmetic(good: bytes, text: str) -> None:
    def change(document: dict[str, Any]) -> None:
        graph(document)["tensor_values"]["linear"]["sizes"][0]["as_expr"]["expr_str"] = text

    with pytest.raises(RequestError, match="is not the size of anything"):
        vet(changed(good, MODEL, change))


@given(st.text(max_size=40))
def test_no_text_becomes_a_name(good: bytes, text: str) -> None:
    def change(document: dict[str, Any]) -> None:
        graph(document)["inputs"][-1]["as_tensor"]["name"] = text

    try:
        vet(changed(good, MODEL, change))
    except RequestError:
        return
    assert text.isidentifier()
    assert text.isascii()


def set_in(*path: str | int, value: object) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        place: Any = document
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


NODE = ("graph_module", "graph", "nodes", 3)


@pytest.mark.parametrize(
    ("member", "change", "text"),
    [
        (MODEL, set_in("guards_code", value=["__import__('os')"]), "guards_code"),
        (MODEL, set_in("graph_module", value=None), "graph_module"),
        (MODEL, set_in("graph_module", "graph", "nodes", value={}), "nodes"),
        (MODEL, set_in(*NODE, "inputs", 1, "arg", value={"as_string": "/etc/passwd"}), "the text"),
        (MODEL, set_in(*NODE, "inputs", 1, "arg", value={"as_graph": {}}), "as_graph"),
        (MODEL, set_in(*NODE, "inputs", 1, "arg", value={"as_operator": "x"}), "as_operator"),
        (MODEL, set_in(*NODE, "inputs", 1, "arg", value={"as_custom_obj": {}}), "as_custom_obj"),
        (MODEL, set_in(*NODE, "inputs", 0, "name", value="self=print()"), "a name"),
        (
            MODEL,
            set_in("graph_module", "graph", "custom_obj_values", value={"x": {}}),
            "objects other than tensors",
        ),
        (
            MODEL,
            set_in("graph_module", "signature", "input_specs", 0, value={"custom_obj": {}}),
            "custom_obj",
        ),
        (
            MODEL,
            set_in(
                "graph_module",
                "module_call_graph",
                0,
                "signature",
                "in_spec",
                value='[1, {"a": 1}]',
            ),
            "in_spec",
        ),
        (
            MODEL,
            set_in(
                "graph_module",
                "module_call_graph",
                0,
                "signature",
                "forward_arg_names",
                value=["x=print()"],
            ),
            "a name",
        ),
        (MODEL, set_in("torch_version", value="'); print("), "torch_version"),
        (WEIGHTS, set_in("config", "0.weight", "use_pickle", value=True), "pickle"),
        (WEIGHTS, set_in("config", "0.weight", "use_pickle", value=0), "pickle"),
        (WEIGHTS, set_in("config", "0.weight", "path_name", value="../../x"), "the member of"),
        (WEIGHTS, set_in("config", "0.weight", "path_name", value="weight_99"), "is missing"),
        (WEIGHTS, set_in("config", "0.weight", "tensor_meta", value=None), "which tensor"),
        (
            WEIGHTS,
            set_in("config", "0.weight", "tensor_meta", "device", "type", value="cuda"),
            "exported on the CPU",
        ),
        (WEIGHTS, set_in("config", "0.__class__", value={}), "the name of a tensor"),
        (
            CONSTANTS,
            set_in("config", "x", value={"path_name": "custom_obj_0", "use_pickle": False}),
            "the member of x",
        ),
        (
            CONSTANTS,
            set_in("config", "x", value={"path_name": "opaque_obj_0", "use_pickle": True}),
            "pickle",
        ),
    ],
)
def test_what_an_archive_asks_for_is_refused(
    good: bytes, member: str, change: Callable[[dict[str, Any]], None], text: str
) -> None:
    with pytest.raises(RequestError, match=text):
        vet(changed(good, member, change))


@pytest.mark.parametrize(
    "name",
    [
        "archive/data/weights/model.pt",
        "archive/data/constants/model.pt",
        "archive/models/other.json",
        "archive/data/aotinductor/model/x.so",
        "archive/extra/x",
        "archive/data/constants/custom_obj_0",
        "version",
        "serialized_state_dict.pt",
        "other/models/model.json",
        "archive/",
    ],
)
def test_no_member_but_the_known_ones(good: bytes, name: str) -> None:
    with pytest.raises(RequestError):
        vet(packed({**members(good), name: b"x"}))


def test_nothing_is_unpickled(good: bytes, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    buffer = io.BytesIO()
    torch.save(((torch.zeros(2), Marker(mark)), {}), buffer)
    path = tmp_path / "model.pt2"
    for content in (buffer.getvalue(), pickle.dumps(Marker(mark), protocol=2), b"", b"PK"):
        contents = members(good)
        contents[f"archive/{INPUTS}"] = content
        path.write_bytes(packed(contents))
        with pytest.raises(RequestError, match=r"model\.pt2.*more than tensors"):
            load_program(path)
    assert not mark.exists()


def test_a_member_may_be_there_only_once(good: bytes) -> None:
    buffer = io.BytesIO(good)
    with (
        zipfile.ZipFile(buffer, "a") as archive,
        pytest.warns(UserWarning, match="Duplicate name"),
    ):
        archive.writestr(f"archive/{MODEL}", b"{}")
    with pytest.raises(RequestError, match="a name twice"):
        vet(buffer.getvalue())


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"no archive at all"])
def test_what_is_no_archive_is_said(data: bytes) -> None:
    with pytest.raises(RequestError, match="not an exported program"):
        vet(data)


def test_a_compressed_or_cut_archive_is_refused(good: bytes) -> None:
    with pytest.raises(RequestError, match="compressed"):
        vet(packed(members(good), zipfile.ZIP_DEFLATED))
    for part in (0.2, 0.6, 0.99):
        with pytest.raises(RequestError):
            vet(good[: int(len(good) * part)])


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="there is no such file"):
        load_program(tmp_path / "model.pt2")


def test_a_program_of_another_schema_is_said(good: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    path.write_bytes(changed(good, MODEL, set_in("schema_version", "major", value=99)))
    with pytest.raises(RequestError, match=r"cannot read this program.*source="):
        load_program(path)


@pytest.mark.parametrize("kept", [0, 1, 4, -4])
def test_a_cut_weight_is_refused(good: bytes, kept: int) -> None:
    contents = members(good)
    name = next(name for name in contents if name.endswith("weight_0"))
    contents[name] = contents[name][:kept]
    with pytest.raises(RequestError, match=r"weight_0: holds .* bytes; its tensor needs 72"):
        vet(packed(contents))
