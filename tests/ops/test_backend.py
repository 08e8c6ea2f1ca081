"""The predicate: its choice, its words, and the override."""

from __future__ import annotations

import ctypes.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from striate.geometry import local_grid
from striate.ops import backend, cpu
from striate.ops.backend import choose


@pytest.fixture(autouse=True)
def _no_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(backend.OVERRIDE, raising=False)


def tensors(**changes: Any) -> dict[str, Any]:
    return {"input": torch.zeros(2, 3, 5, 5), "weight": torch.zeros(9, 4, 3, 9)} | changes


GRID = local_grid((5, 5), 3)


class Wrapped(Tensor):
    pass


compiled = pytest.mark.skipif(cpu.library() is None, reason=cpu.missing() or "")


@compiled
def test_the_kernels_take_float32_and_bfloat16_without_gradients() -> None:
    choice = choose(**tensors(), bias=torch.zeros(4), grid=GRID)
    assert choice == backend.Backend("cpu", f"compiled kernels, {cpu.instructions()}")
    assert choose(**{name: t.bfloat16() for name, t in tensors().items()}).name == "cpu"
    assert choose(**tensors(weight=torch.zeros(9, 4, 3, 9, requires_grad=True))).name == "cpu"


@compiled
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"input": torch.zeros(2, 3, 5, 5, device="meta")}, "input is on meta"),
        ({"weight": torch.zeros(9, 9, 3, 4).transpose(1, 3)}, "weight is not contiguous"),
        ({"input": torch.zeros(2, 3, 5, 5).double()}, "tensors of float32, float64"),
        ({"weight": torch.zeros(9, 4, 3, 9).half()}, "tensors of float16, float32"),
        ({"grid": local_grid((5, 5), 3, share="all")}, "a convolution"),
        ({"grid": replace(GRID, input_size=(2**20, 2**20))}, "more than 2,147,483,646 positions"),
        ({"weight": torch.zeros(9, 4, 3, 9).as_subclass(Wrapped)}, "weight is a Wrapped"),
        ({"bias": torch.zeros(4).to_sparse()}, "bias is torch.sparse_coo"),
        (
            {
                "input": torch.zeros(2, 3, 5, 5).bfloat16(),
                "weight": torch.zeros(9, 4, 3, 9, dtype=torch.bfloat16, requires_grad=True),
            },
            "gradients in bfloat16",
        ),
        (
            {name: tensor.bfloat16() for name, tensor in tensors().items()} | {"transposed": True},
            "transposed layer in bfloat16",
        ),
    ],
)
def test_what_stands_in_the_way_is_said(
    changes: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = choose(**tensors(**changes))
    assert choice.name == "reference"
    assert says in choice.reason
    monkeypatch.setenv(backend.OVERRIDE, "cpu")
    with pytest.raises(ValueError, match=f"STRIATE_BACKEND=cpu, but .*{says}"):
        choose(**tensors(**changes))


def test_without_the_library_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "_candidates", lambda: iter(()))
    monkeypatch.setattr(cpu, "_load", cpu._load.__wrapped__)
    choice = choose(**tensors())
    assert choice.name == "reference"
    assert "install a C++ compiler" in choice.reason
    with pytest.raises(RuntimeError, match="not installed"):
        cpu.instructions()


def test_a_library_without_our_functions_is_no_library_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = Path(ctypes.util.find_library("c") or "")
    if not other.name:
        pytest.skip("no other library was found")
    monkeypatch.setattr(cpu, "_candidates", lambda: iter([other]))
    monkeypatch.setattr(Path, "is_file", lambda path: True)
    monkeypatch.setattr(cpu, "_load", cpu._load.__wrapped__)
    assert "no whole library of striate" in choose(**tensors()).reason


def test_the_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(backend.OVERRIDE, "reference")
    assert str(choose(**tensors())) == "reference: STRIATE_BACKEND=reference in the environment"
    monkeypatch.setenv(backend.OVERRIDE, "gpu")
    with pytest.raises(ValueError, match="STRIATE_BACKEND=gpu: expected one of reference, cpu"):
        choose(**tensors())
