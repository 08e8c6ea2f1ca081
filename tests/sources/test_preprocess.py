"""Preprocessing: from stored pixels to a network's input."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from striate.errors import RequestError
from striate.sources.data import resolve
from striate.sources.preprocess import (
    Preprocess,
    PreprocessOptions,
    flip_crop,
    options_from_dict,
)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"size": "32"}, "--size 32: expected HxW"),
        ({"size": "0x3"}, "--size 0x3"),
        ({"size": "3x-3"}, "--size 3x-3"),
        ({"layout": "28x28"}, "--layout 28x28: expected CxHxW"),
        ({"mean": "a"}, "--mean a"),
        ({"mean": "0.5,nan"}, "--mean 0.5,nan.*finite"),
        ({"std": "0.5,0"}, "--std 0.5,0.*above zero"),
        ({"channels": "gray"}, "--channels gray: expected one of grey"),
    ],
)
def test_options_that_cannot_be_read(options: dict[str, str], expected: str) -> None:
    with pytest.raises(RequestError, match=expected):
        PreprocessOptions.parse(**options)


def test_a_stored_preprocessing_gives_the_same_again() -> None:
    data = resolve("digits", preprocess=PreprocessOptions.parse(size="10x12", channels="rgb"))
    stored = data.preprocess.to_dict()
    again = resolve("digits", preprocess=options_from_dict(stored))
    assert again.preprocess.to_dict() == stored
    index = np.arange(20)
    assert data.shape == (3, 10, 12)
    assert torch.equal(data.test.batch(index)[0], again.test.batch(index)[0])


def test_mean_and_standard_deviation_are_those_of_the_training_rows() -> None:
    data = resolve("digits", seed=4)
    inputs, _ = data.train.batch(np.arange(len(data.train)))
    assert abs(float(inputs.mean())) < 1e-4
    assert abs(float(inputs.std(correction=0)) - 1) < 1e-4
    inputs, _ = data.validation.batch(np.arange(len(data.validation)))
    assert abs(float(inputs.mean())) > 1e-4


def test_flat_means_follow_the_layout() -> None:
    prepared = Preprocess(1.0, mean=(1.0, 2.0), std=(1.0, 4.0), layout=(2, 1, 2))
    assert prepared(torch.full((1, 4), 2.0)).tolist() == [[1.0, 1.0, 0.0, 0.0]]


@given(st.integers(0, 1000), st.integers(1, 3), st.integers(1, 12), st.integers(1, 12))
def test_flip_crop_shifts_and_mirrors(seed: int, channels: int, rows: int, columns: int) -> None:
    images = torch.arange(1, 1 + 3 * channels * rows * columns).view(3, channels, rows, columns)
    varied = flip_crop(images, np.random.default_rng(seed))
    assert varied.shape == images.shape
    for before, after in zip(images, varied, strict=True):
        padded = torch.nn.functional.pad(before, (4,) * 4)
        possible = [
            crop
            for top in range(9)
            for left in range(9)
            for crop in [padded[:, top : top + rows, left : left + columns]]
        ]
        assert any(
            torch.equal(after, crop) or torch.equal(after, crop.flip(-1)) for crop in possible
        )


def test_only_training_rows_are_varied_and_only_on_request() -> None:
    data = resolve("digits", augment="flip-crop")
    index = np.arange(50)
    generator = np.random.default_rng
    plain = data.train.batch(index)[0]
    assert torch.equal(plain, data.train.batch(index)[0])
    varied = data.train.batch(index, generator(1))[0]
    assert not torch.equal(plain, varied)
    assert torch.equal(varied, data.train.batch(index, generator(1))[0])
    kept = data.validation.batch(index)[0]
    assert torch.equal(kept, data.validation.batch(index, generator(1))[0])


FUNCTIONS = """
import torch
def half(x): return x[:, :, ::2]
def flat(x): return x.flatten(1)
def noisy(x): return x + torch.rand_like(x)
def by_batch(x): return x - x.mean()
def loses(x): return x[1:]
def nothing(x): return None
def nan(x): return x / 0 * 0
def fails(x): raise KeyError("colour")
def brighter(x, generator): return x + generator.random()
def wider(x, generator): return x.repeat(1, 1, 1, 2)
"""


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    file = tmp_path / "functions.py"
    file.write_text(FUNCTIONS)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return str(file)


def test_a_transform_shapes_the_inputs(functions: str) -> None:
    halved = resolve("digits", preprocess=PreprocessOptions(transform=f"{functions}:half"))
    assert halved.shape == (1, 4, 8)
    flat = resolve(
        "digits", preprocess=PreprocessOptions(transform=f"{functions}:flat", layout=(1, 8, 8))
    )
    assert flat.shape == (64,)
    assert flat.preprocess.layout == (1, 8, 8)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("noisy", "different values from call to call"),
        ("by_batch", "in another batch"),
        ("loses", "made 1x1x8x8 of 2x1x8x8"),
        ("nothing", "returned a NoneType"),
        ("nan", "NaN or Inf"),
        ("fails", r"KeyError: 'colour' \(.*functions.py:10\)"),
        ("missing", "has no 'missing'"),
    ],
)
def test_transforms_that_cannot_be_used(functions: str, name: str, expected: str) -> None:
    with pytest.raises(RequestError, match=expected) as caught:
        resolve("digits", preprocess=PreprocessOptions(transform=f"{functions}:{name}"))
    assert "--transform" in str(caught.value)


def test_a_users_augmentation(functions: str) -> None:
    data = resolve("digits", augment=f"{functions}:brighter")
    index, generator = np.arange(5), np.random.default_rng
    varied = data.train.batch(index, generator(3))[0]
    plain = data.train.batch(index)[0]
    step = generator(3).random() / data.preprocess.std[0]
    assert torch.allclose(varied - plain, torch.tensor(step, dtype=torch.float32), atol=1e-5)
    with pytest.raises(RequestError, match=r"--augment .*wider: made 5x1x8x16 of 5x1x8x8"):
        resolve("digits", augment=f"{functions}:wider").train.batch(index, generator(0))
    with pytest.raises(RequestError, match="--augment flipcrop: expected flip-crop"):
        resolve("digits", augment="flipcrop")
