"""Python arguments of a wrong kind are named as Python has them, with the value and what is expected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import striate


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 2)).eval()


IMAGES = torch.randn(300, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"epochs": "3"}, TypeError, r"epochs='3': expected a whole number from 0 on"),
        ({"epochs": 1.5}, TypeError, r"epochs=1\.5: expected a whole number"),
        ({"epochs": True}, TypeError, r"epochs=True: expected a whole number"),
        ({"pretrain": None}, TypeError, r"pretrain=None: expected a whole number"),
        ({"batch_size": "x"}, TypeError, r"batch_size='x': expected a whole number from 2 on"),
        ({"batch_size": 0}, ValueError, r"batch_size=0: expected a whole number from 2 on"),
        ({"seed": "a"}, TypeError, r"seed='a': expected a whole number"),
        ({"seed": -4}, ValueError, r"seed=-4: expected a whole number"),
        ({"layout": (1, 2)}, ValueError, r"layout=\(1, 2\): expected \(channels, rows, columns\)"),
        ({"layout": 5}, TypeError, r"layout=5: expected"),
        ({"layout": "1x8"}, ValueError, r"layout='1x8': expected"),
        ({"layout": (1, 8, 8.0)}, TypeError, r"layout=8\.0: expected"),
        ({"out": 3}, TypeError, r"out=3: expected a path"),
        ({"out": ""}, ValueError, r"out='': expected a path"),
        ({"export": 5}, TypeError, r"export=5: expected names"),
        ({"export": "onnx"}, ValueError, r"export needs out"),
        ({"progress": 5}, TypeError, r"progress=5: expected"),
        ({"budget": None}, TypeError, r"budget=None: expected text"),
        ({"budget": np.float32(5)}, TypeError, r"budget=np\.float32\(5\.0\): expected text"),
    ],
)
def test_shrink(arguments: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        striate.shrink(network(), IMAGES, **{"budget": "50%", "epochs": 0, **arguments})


def test_integers_of_any_type_and_layouts_as_text() -> None:
    given: dict[str, Any] = {
        "budget": np.int64(1600),
        "epochs": np.int64(0),
        "seed": np.int32(1),
        "layout": "1x8x8",
    }
    found = striate.shrink(network(), IMAGES, **given)
    assert found.result["shrunk"]["params"] <= 1600


@pytest.mark.parametrize("wrong", [None, {}])
def test_apply(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"plan is a .*; expected a striate\.Plan"):
        striate.apply(network(), wrong)


@pytest.mark.parametrize("wrong", [None, 5])
def test_load(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"run_directory=(None|5): expected a path"):
        striate.load(wrong)
