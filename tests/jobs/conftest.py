"""A shrink that takes a second or two: a small network of its own file, on a few hundred digits."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

NET = """
from torch import nn


def make(hidden=24):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Dropout(0.1), nn.Linear(hidden, 10)
    )
"""


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `net.py` (a factory `make`) and `digits.npz` (600 training, 200 test images)."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "net.py").write_text(NET)
    digits = load_digits()
    images = (digits.images[:, None] / 16).astype(np.float32)
    np.savez(
        folder / "digits.npz",
        x_train=images[:600],
        y_train=digits.target[:600],
        x_test=images[600:800],
        y_test=digits.target[600:800],
    )
    return folder


@pytest.fixture
def here(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, empty but for copies of the files of `small`."""
    for name in ("net.py", "digits.npz"):
        shutil.copy(small / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path
