"""Data from factories, and data as Python callers hold them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from striate.errors import RequestError, UserCodeError
from striate.reduce.examples import TensorExamples
from striate.sources import as_examples
from striate.sources.data import resolve

FACTORIES = """
import numpy as np, torch
from PIL import Image
from torch.utils.data import Dataset, TensorDataset

def tensors(count=60, shift=0.0):
    generator = torch.Generator().manual_seed(count)
    x = torch.rand(count, 1, 4, 4, generator=generator) + shift
    return TensorDataset(x, torch.arange(count) % 3)

class Pictures(Dataset):
    classes = ["ant", "bee", "cat"]
    def __init__(self, count): self.count = count
    def __len__(self): return self.count
    def __getitem__(self, place):
        pixels = np.full((4, 5, 3), place, dtype=np.uint8)
        return Image.fromarray(pixels), place % 3

class Failing(Pictures):
    def __getitem__(self, place):
        if place == 7:
            raise OSError("disk on fire")
        return super().__getitem__(place)

class Uneven(Pictures):
    def __getitem__(self, place):
        return torch.zeros(1, 4, 4 + (place == 9)), 0

class Random(Pictures):
    def __getitem__(self, place):
        return torch.rand(1, 4, 4), place % 3

class Unlabelled(Pictures):
    def __getitem__(self, place):
        return torch.zeros(1, 4, 4)

class Words(Pictures):
    def __getitem__(self, place):
        return torch.zeros(1, 4, 4), "ant"

def both(): return tensors(), tensors(30)
def mapping(): return {"train": tensors(), "test": tensors(30), "validation": tensors(15)}
def single(): return tensors()
def pictures(): return Pictures(60), Pictures(30)
def blank(count): return np.zeros((count, 1, 4, 4), np.uint8), np.arange(count) % 3
def arrays(): return blank(60), blank(9)
def fails(): raise RuntimeError("no data today")
def failing(): return Failing(60), Pictures(30)
def uneven(): return Uneven(60), Pictures(30)
def random(): return Random(60), Random(30)
def unlabelled(): return Unlabelled(60), Unlabelled(30)
def words(): return Words(60), Words(30)
def three(): return tensors(), tensors(), tensors()
def number(): return 3
def nothing(): return None
def empty(): return Pictures(0), Pictures(3)
def odd(): return {"training": tensors(), "test": tensors()}
def nan(): return tensors(60, float("nan")), tensors(30)
"""


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    file = tmp_path / "factories.py"
    file.write_text(FACTORIES)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return str(file)


@pytest.mark.parametrize(
    ("name", "counts", "given"),
    [
        ("both", (40, 20, 30), False),
        ("mapping", (60, 15, 30), True),
        ("single", (48, 6, 6), False),
        ("pictures", (40, 20, 30), False),
        ("arrays", (40, 20, 9), False),
    ],
)
def test_what_a_factory_may_return(
    factories: str, name: str, counts: tuple[int, int, int], given: bool
) -> None:
    data = resolve(f"{factories}:{name}")
    assert (len(data.train), len(data.validation), len(data.test)) == counts
    assert data.validation_is_given == given
    assert data.labelled


def test_floats_of_a_factory_are_left_alone_and_pictures_normalised(factories: str) -> None:
    data = resolve(f"{factories}:both")
    assert (data.preprocess.mean, data.preprocess.std) == ((0.0,), (1.0,))
    assert data.shape == (1, 4, 4)
    data = resolve(f"{factories}:pictures")
    assert data.shape == (3, 4, 5)
    assert data.classes == ("ant", "bee", "cat")
    assert len(data.preprocess.mean) == 3
    assert "varies its examples" in " ".join(resolve(f"{factories}:random").notes)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fails", r"the factory raised RuntimeError: no data today \(.*factories.py:"),
        ("failing", r"the train dataset\[7\] raised OSError: disk on fire \(.*factories.py:"),
        ("uneven", r"the train dataset\[9\] is float32 of 1x4x5"),
        ("unlabelled", "the train dataset gives no labels"),
        ("words", r"the train dataset\[0\]: the label is .*'ant'"),
        ("three", "the factory returned 3 things"),
        ("number", "the factory returned a int"),
        ("nothing", "the factory returned a NoneType"),
        ("empty", "the train dataset is empty"),
        ("odd", "the factory returned training, test; expected"),
        ("nan", "the train dataset.* is nan"),
        ("missing", "has no 'missing'"),
    ],
)
def test_factories_that_cannot_be_used(factories: str, name: str, expected: str) -> None:
    with pytest.raises(RequestError, match=expected) as caught:
        resolve(f"{factories}:{name}")
    assert isinstance(caught.value, UserCodeError) == (name in ("fails", "failing"))
    assert str(caught.value).startswith("--data")
    assert "\n" not in str(caught.value)


INPUTS = torch.rand(6, 1, 4, 4)
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


class Pairs(Dataset[object]):
    def __len__(self) -> int:
        return 6

    def __getitem__(self, place: int) -> object:
        if place >= 6:
            raise IndexError(place)
        return INPUTS[place].numpy(), int(LABELS[place])


@pytest.mark.parametrize(
    "data",
    [
        (INPUTS, LABELS),
        [INPUTS, LABELS.tolist()],
        (INPUTS.numpy(), LABELS.numpy().astype(np.uint8)),
        (INPUTS.double(), LABELS),
        TensorDataset(INPUTS, LABELS),
        Pairs(),
        TensorExamples(INPUTS, LABELS),
    ],
)
def test_what_python_callers_hold(data: object) -> None:
    examples = as_examples(data)
    inputs, labels = examples.batch(np.array([5, 0]))
    assert len(examples) == 6
    assert torch.equal(inputs, INPUTS[[5, 0]])
    assert inputs.dtype == torch.float32
    assert labels is not None
    assert labels.tolist() == [2, 0]
    assert labels.dtype == torch.int64


@pytest.mark.parametrize("data", [INPUTS, INPUTS.numpy(), TensorDataset(INPUTS)])
def test_inputs_without_labels(data: object) -> None:
    assert as_examples(data).batch(np.arange(6))[1] is None


class Endless(IterableDataset[object]):
    def __iter__(self) -> Iterator[object]:
        return iter([])


@pytest.mark.parametrize(
    ("data", "kind", "expected"),
    [
        ((INPUTS, LABELS, LABELS), TypeError, "train: a tuple of 3"),
        (DataLoader(TensorDataset(INPUTS)), TypeError, "a DataLoader; give the Dataset it reads"),
        (Endless(), TypeError, "IterableDataset"),
        (None, TypeError, "train: a NoneType"),
        ("digits", TypeError, "train: a str"),
        ((INPUTS * 255).byte(), ValueError, "inputs are torch.uint8"),
        ((INPUTS, LABELS[:4]), ValueError, "6 inputs and 4 labels"),
        ((INPUTS, LABELS.float()), ValueError, "labels are torch.float32"),
        ((INPUTS, LABELS - 1), ValueError, "a label of -1"),
        (INPUTS / 0, ValueError, "NaN or Inf"),
        (INPUTS[:0], ValueError, "at least one"),
        (torch.rand(6), ValueError, "inputs have shape 6"),
    ],
)
def test_what_python_callers_should_not_hold(
    data: object, kind: type[Exception], expected: str
) -> None:
    with pytest.raises(kind, match=expected):
        as_examples(data, "train")
