"""The face network: what it says of itself, and that the rewritten one learns what the first one does."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from striate.nn import LocallyConnected2d

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "examples" / "face_net.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("face_net", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("way", ["product", "einsum"])
def test_outputs_and_gradients_survive_the_rewriting(example: ModuleType, way: str) -> None:
    torch.manual_seed(0)
    before = example.face_net(48, way).double()
    after = example.rewritten(before)
    assert sum(isinstance(layer, LocallyConnected2d) for layer in after) == 3
    assert not any(isinstance(layer, example.Unfolded) for layer in after)
    pictures = [torch.rand(2, 3, 48, 48, dtype=torch.float64).requires_grad_() for _ in range(2)]
    pictures[1].data.copy_(pictures[0])
    outputs = [network(x) for network, x in zip((before, after), pictures, strict=True)]
    torch.testing.assert_close(outputs[1], outputs[0])
    for output in outputs:
        output.square().sum().backward()
    torch.testing.assert_close(pictures[1].grad, pictures[0].grad)
    for old, new in zip(before, after, strict=True):
        if isinstance(new, LocallyConnected2d):
            gradient = old.weight.grad[0].permute(2, 3, 0, 1, 4).reshape(new.weight.shape)
            torch.testing.assert_close(new.weight.grad, gradient)


def test_made_anew_it_has_the_same_layers(example: ModuleType) -> None:
    counts = [
        sum(p.numel() for p in example.face_net(48, way).parameters()) for way in example.WAYS
    ]
    assert len(set(counts)) == 1


def test_what_it_prints() -> None:
    done = subprocess.run(
        [sys.executable, str(FILE), "--small"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "same outputs from the same weights: yes" in done.stdout
    lines = re.findall(r"^batch .*$", done.stdout, re.MULTILINE)
    assert len(lines) == 4
    for line in lines[2:]:  # at batch 32, a copy for each output channel against none
        product, _, striate = map(float, line.split()[-3:])
        assert striate < product / 2, line
