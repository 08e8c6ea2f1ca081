"""Models as named on a command line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from striate.errors import RequestError, UserCodeError
from striate.sources import zoo
from striate.sources.models import resolve

FILE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.fc = nn.Linear(3, width)

class Config:
    def __init__(self, width):
        self.width = width

class Configured(nn.Module):
    config_class = Config
    def __init__(self, config):
        super().__init__()
        self.fc = nn.Linear(3, config.width)

def broken(): raise RuntimeError("no weights here")
def none(): pass
def returns_class(): return Net
def needs(width, depth=2): return Net(width)
def bad():
    net = Net()
    net.fc.weight.data[0, 0] = float("nan")
    return net
def infinite():
    net = Net()
    net.fc.bias.data[1] = float("inf")
    return net
def lazy(): return nn.LazyLinear(3)
def masked():
    net = Net()
    net.register_buffer("mask", torch.full((2,), -torch.inf))
    return net
instance = Net()
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "net.py"
    path.write_text(FILE)
    return str(path)


@pytest.mark.parametrize(
    ("name", "shape", "params"),
    [
        ("mlp", (1, 28, 28), 814_090),
        ("lenet5", (1, 28, 28), 61_706),
        ("keras-cnn", (3, 32, 32), 1_250_858),
        ("digits", (1, 8, 8), 132_650),
    ],
)
def test_zoo_networks_have_the_weights_they_are_known_for(
    name: str, shape: tuple[int, ...], params: int
) -> None:
    source = resolve(f"zoo:{name}", shape=shape, classes=10)
    model = source.build().eval()
    assert sum(weight.numel() for weight in model.parameters()) == params
    assert source.is_zoo
    assert source.input_shape == shape
    assert model(torch.zeros(2, *shape)).shape == (2, 10)
    assert zoo.input_shape(name, {}) == shape  # also without data


def test_the_article_takes_no_shape_from_data() -> None:
    source = resolve("zoo:article", {"size": 20, "kernel": 3}, shape=(3, 8, 8), classes=10)
    assert source.input_shape == (1, 20, 20)
    assert source.build()(torch.zeros(1, 1, 20, 20)).shape[-2:] == (10, 10)


@pytest.mark.parametrize("name", ["mlp", "lenet5", "keras-cnn", "digits"])
@pytest.mark.parametrize("shape", [(3, 13, 17), (1, 33, 12)])
def test_zoo_networks_fit_the_shape_of_the_data(name: str, shape: tuple[int, int, int]) -> None:
    model = resolve(f"zoo:{name}", shape=shape, classes=7).build().eval()
    assert model(torch.zeros(2, *shape)).shape == (2, 7)


def test_the_dense_layer_of_the_digits_network_dominates() -> None:
    model = zoo.builder("digits")()
    weights = sum(weight.numel() for name, weight in model.named_parameters() if "weight" in name)
    assert model.get_parameter("fc1.weight").numel() >= 0.95 * weights


def test_weights_follow_torchs_seed() -> None:
    source = resolve("zoo:digits")
    torch.manual_seed(3)
    first = source.build().state_dict()
    torch.manual_seed(3)
    second = source.build().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_arguments_go_before_the_datas_shape() -> None:
    model = resolve("zoo:mlp", {"hidden": [8, 4], "classes": 2}, shape=(20,), classes=10).build()
    assert [m.out_features for m in model if isinstance(m, nn.Linear)] == [8, 4, 2]


@pytest.mark.parametrize(
    ("text", "arguments", "expected"),
    [
        ("zoo:lenet", {}, "expected one of zoo:lenet5,"),
        ("zoo:", {}, "name a network"),
        ("mlp", {}, "did you mean zoo:mlp?"),
        ("resnet50", {}, "expected zoo:NAME, package.module:factory"),
        ("no/such/file.py:make", {}, "no file no/such/file.py"),
        ("no_such_module_x:make", {}, "no module named"),
        ("zoo:mlp", {"hiden": 3}, "--model-arg hiden.*it takes hidden"),
        ("zoo:mlp", {"hidden": 0}, "hidden=0"),
        ("zoo:mlp", {"hidden": "many"}, "hidden='many'"),
        ("zoo:mlp", {"hidden": []}, r"hidden=\[\]"),
        ("zoo:mlp", {"dropout": 1}, "dropout=1"),
        ("zoo:keras-cnn", {"shape": [3, 8, 8]}, "at least 10x10"),
        ("zoo:lenet5", {"shape": [784]}, "shape=784"),
    ],
)
def test_wrong_names_and_arguments(text: str, arguments: dict[str, object], expected: str) -> None:
    with pytest.raises(RequestError, match=expected) as caught:
        resolve(text, arguments).build()
    assert "\n" not in str(caught.value)


def test_factories_of_a_file(file: str) -> None:
    assert resolve(f"{file}:Net").build().fc.out_features == 4
    source = resolve(f"{file}:Net", {"width": 9}, shape=(1, 8, 8), classes=10)
    assert source.build().fc.out_features == 9
    assert source.build() is not source.build()
    assert source.arguments == {"width": 9}
    assert not source.is_zoo
    assert resolve(f"{file}:Configured", {"config": {"width": 6}}).build().fc.out_features == 6
    assert resolve(f"{file}:masked").build().mask.tolist() == [-torch.inf] * 2


@pytest.mark.parametrize(
    ("name", "arguments", "expected", "theirs"),
    [
        ("broken", {}, r"RuntimeError: no weights here \(.*net.py:20\)", True),
        ("none", {}, "returned a NoneType, expected a torch.nn.Module", False),
        ("returns_class", {}, "returned a type.*name the function", False),
        ("needs", {}, "missing a required argument: 'width'", False),
        ("Net", {"widht": 3}, "--model-arg widht.*takes width", False),
        ("bad", {}, "fc.weight holds NaN or Inf in 1 of 12", False),
        ("infinite", {}, "fc.bias holds NaN or Inf", False),
        ("lazy", {}, "weight, bias have no shape yet", False),
        ("instance", {}, "is a module already", False),
        ("Configured", {"config": {"depth": 1}}, "TypeError", True),
    ],
)
def test_factories_that_cannot_be_used(
    file: str, name: str, arguments: dict[str, object], expected: str, theirs: bool
) -> None:
    with pytest.raises(RequestError, match=expected) as caught:
        resolve(f"{file}:{name}", arguments).build()
    assert isinstance(caught.value, UserCodeError) == theirs
    assert "\n" not in str(caught.value)
