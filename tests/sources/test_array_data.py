"""Data from digits, npz and idx files: what is read, how it is divided, and what is refused."""

from __future__ import annotations

import errno
import gc
import gzip
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from striate.errors import RequestError
from striate.sources.data import Data, resolve
from striate.sources.preprocess import PreprocessOptions

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (90, 6, 5), dtype=np.uint8)
Y = np.arange(90) % 3


def saved(folder: Path, **arrays: Any) -> str:
    np.savez(folder / "data.npz", **arrays)
    return f"npz:{folder / 'data.npz'}"


def pair(x: np.ndarray = X, y: np.ndarray = Y) -> dict[str, np.ndarray]:
    return {"x_train": x, "y_train": y, "x_test": x[:30], "y_test": y[:30]}


def rows(data: Data) -> set[tuple[str, bytes]]:
    """Every training and validation example."""
    found = set()
    for part in (data.train, data.validation):
        inputs, _ = part.batch(np.arange(len(part)))
        found |= {row.numpy().tobytes() for row in inputs}
    return found


def test_digits_are_divided_by_class_and_by_seed() -> None:
    one, other = resolve("digits", seed=0), resolve("digits", seed=1)
    assert (len(one.train), len(one.validation), len(one.test)) == (1057, 200, 540)
    assert one.classes == tuple("0123456789")
    assert not one.validation_is_given
    assert "1,057 images calibrate and train" in one.notes[0]
    assert "200 validate, held out" in one.notes[0]
    labels = one.validation.batch(np.arange(200))[1]
    assert labels is not None
    assert torch.bincount(labels).min() >= 19
    everything = np.arange(540)
    raw = PreprocessOptions(mean=(0.0,), std=(1.0,))
    one, other = (
        resolve("digits", seed=0, preprocess=raw),
        resolve("digits", seed=1, preprocess=raw),
    )
    assert torch.equal(one.test.batch(everything)[0], other.test.batch(everything)[0])
    assert not torch.equal(
        one.validation.batch(np.arange(200))[0], other.validation.batch(np.arange(200))[0]
    )
    assert rows(one) == rows(other)
    assert float(one.train.batch(np.arange(1057))[0].max()) == 1.0


@pytest.mark.parametrize(
    ("x", "shape"),
    [
        (X, (1, 6, 5)),
        (X[..., None], (1, 6, 5)),
        (np.repeat(X[..., None], 3, axis=3), (3, 6, 5)),
        (np.repeat(X[:, None], 3, axis=1), (3, 6, 5)),
        (X.reshape(90, 30), (30,)),
        (X.astype(np.int64), (1, 6, 5)),
    ],
)
def test_arrays_of_bytes_in_any_order_of_axes(
    tmp_path: Path, x: np.ndarray, shape: tuple[int, ...]
) -> None:
    raw = PreprocessOptions(mean=(0.0,), std=(1.0,))
    data = resolve(saved(tmp_path, **pair(x)), preprocess=raw)
    assert data.shape == shape
    assert len(data.train) + len(data.validation) == 90
    assert data.test is not None
    inputs, labels = data.test.batch(np.arange(30))
    expected = torch.from_numpy(X[:30].reshape(30, 1, 6, 5) / 255).float()
    assert torch.allclose(inputs.reshape(30, shape[0] if len(shape) == 3 else 1, 6, 5), expected)
    assert labels is not None
    assert labels.tolist() == Y[:30].tolist()


def test_floats_are_taken_as_they_are_and_standardised(tmp_path: Path) -> None:
    x = RNG.normal(5, 3, (90, 2, 4, 4)).astype(np.float64)
    data = resolve(saved(tmp_path, **pair(x)))
    assert data.preprocess.scale == 1.0
    inputs, _ = data.train.batch(np.arange(len(data.train)))
    assert inputs.dtype == torch.float32
    assert torch.allclose(inputs.mean((0, 2, 3)), torch.zeros(2), atol=1e-4)
    given = PreprocessOptions(mean=(1.0, 2.0), std=(2.0,))
    inputs, _ = resolve(saved(tmp_path, **pair(x)), preprocess=given).test.batch(np.arange(30))
    middle = torch.tensor([1.0, 2.0]).view(2, 1, 1)
    assert torch.allclose(inputs, (torch.from_numpy(x[:30]).float() - middle) / 2, atol=1e-5)


@pytest.mark.parametrize(
    ("y", "classes", "first"),
    [
        (Y[:, None], ("0", "1", "2"), [0, 1, 2]),
        (Y.astype(np.float32), ("0", "1", "2"), [0, 1, 2]),
        (np.eye(3)[Y], ("0", "1", "2"), [0, 1, 2]),
        (np.array(["cat", "ant", "bee"])[Y], ("ant", "bee", "cat"), [2, 0, 1]),
    ],
)
def test_labels_in_many_forms(
    tmp_path: Path, y: np.ndarray, classes: tuple[str, ...], first: list[int]
) -> None:
    data = resolve(saved(tmp_path, **pair(X, y)))
    assert data.classes == classes
    assert data.test.batch(np.arange(3))[1].tolist() == first


def test_given_and_undivided_sets(tmp_path: Path) -> None:
    data = resolve(saved(tmp_path, **pair(), x_val=X[:20], y_val=Y[:20]))
    assert (len(data.train), len(data.validation), len(data.test)) == (90, 20, 30)
    assert data.validation_is_given
    data = resolve(saved(tmp_path, x=X, y=Y))
    assert (len(data.train), len(data.validation), len(data.test)) == (72, 9, 9)
    assert "divided 80/10/10" in data.notes[1]
    assert not data.validation_is_given
    data = resolve(saved(tmp_path, x=X, y=Y), split="60/40")
    assert (len(data.train), len(data.validation), len(data.test)) == (36, 18, 36)
    (tmp_path / "more").mkdir()
    more = saved(tmp_path / "more", x=X[:12], y=Y[:12])
    data = resolve(saved(tmp_path, **pair()), validation=more)
    assert (len(data.train), len(data.validation), data.validation_is_given) == (90, 12, True)
    data = resolve(saved(tmp_path, x=X, y=Y), validation=more)
    assert (len(data.train), len(data.validation), len(data.test)) == (81, 12, 9)


@pytest.mark.parametrize("channels", ["rgb", "bgr", "grey"])
def test_channels_and_size(tmp_path: Path, channels: str) -> None:
    colour = RNG.integers(0, 256, (90, 8, 8, 3), dtype=np.uint8)
    raw = PreprocessOptions(mean=(0.0,), std=(1.0,), channels=channels)  # type: ignore[arg-type]
    inputs, _ = resolve(saved(tmp_path, **pair(colour)), preprocess=raw).test.batch(np.arange(30))
    from PIL import Image

    pillow = Image.fromarray(colour[3])
    expected = (
        np.asarray(pillow.convert("L"))[None]
        if channels == "grey"
        else colour[3].transpose(2, 0, 1)
    )
    expected = expected[::-1] if channels == "bgr" else expected
    assert np.array_equal((inputs[3] * 255).round().numpy(), expected)
    sized = PreprocessOptions(size=(4, 5), mean=(0.0,), std=(1.0,))
    inputs, _ = resolve(saved(tmp_path, **pair(colour)), preprocess=sized).test.batch(np.arange(30))
    by_pillow = np.asarray(pillow.resize((5, 4), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert np.abs((inputs[3] * 255).numpy() - by_pillow).max() <= 1.01


def test_a_large_set_lies_in_a_file_without_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from striate.sources.data import parts

    monkeypatch.setattr(parts, "IN_MEMORY_BYTES", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    grey = PreprocessOptions(channels="grey", size=(4, 4))
    colour = np.repeat(X[..., None], 3, axis=3)
    data = resolve(saved(tmp_path, **pair(colour)), preprocess=grey)
    assert data.train.batch(np.arange(3))[0].shape == (3, 1, 4, 4)
    assert list((tmp_path / "temporary").iterdir()) == []

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(RequestError, match=r"No space left on device.*TMPDIR"):
        resolve(saved(tmp_path, **pair(colour)), preprocess=grey)


def test_a_folder_that_may_not_be_listed(idx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(RequestError, match=r"--data idx:.*: cannot be read: .*: Permission denied"):
        resolve(f"idx:{idx}")


def changed(**arrays: Any) -> dict[str, Any]:
    return {**pair(), **arrays}


WITH_NAN = X.astype(np.float32)
WITH_NAN[7, 2, 1] = np.nan


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"images": X, "labels": Y}, "it has the arrays images, labels; expected x_train"),
        ({"x_train": X, "y_train": Y}, "no test examples"),
        ({"x_train": X, "x_test": X, "y_test": Y}, "no array y_train"),
        ({"x_test": X, "y_test": Y, "x_val": X, "y_val": Y}, "no array x_train, y_train"),
        (changed(y_train=Y[:-1]), "x_train has 90 examples and y_train 89"),
        (changed(x_train=WITH_NAN), r"x_train\[7, 0, 2, 1\] is nan"),
        (changed(x_train=X[0]), "x_train has 6 examples"),
        (changed(x_train=np.arange(90)), "x_train has shape 90"),
        (changed(x_test=X[:30, :4]), "examples differ in shape: x_train 1x6x5, x_test 1x4x5"),
        (changed(x_train=X[:0], y_train=Y[:0]), "x_train is empty|y_train is empty"),
        (changed(x_train=X.astype(complex)), "x_train holds complex128"),
        (changed(x_train=np.zeros((90, 2, 2, 2, 2))), "at most 4 axes"),
        (changed(y_train=Y - 1), "y_train holds -1"),
        (changed(y_train=Y + 0.5), "not whole"),
        (changed(y_train=Y * 1000), "a label of 2,000 among 120"),
        (changed(y_train=Y * 0), "one class only|classes without a training example"),
        (changed(y_train=Y * 0, y_test=Y[:30] * 0), r"one class only \('0'\)"),
        (changed(y_test=Y[:30] + 3), "the test examples have classes without a training example"),
        (changed(y_train=np.zeros((90, 2))), "y_train has shape 90x2"),
        ({"x": X[:2], "y": Y[:2]}, "too few examples|one class only"),
    ],
)
def test_arrays_that_cannot_be_used(tmp_path: Path, arrays: dict[str, Any], expected: str) -> None:
    with pytest.raises(RequestError, match=expected) as caught:
        resolve(saved(tmp_path, **arrays))
    assert str(caught.value).startswith("--data npz:")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"mean": (0.1, 0.2)}, "--mean 0.1,0.2: 2 numbers for 1 channels"),
        ({"layout": (1, 6, 5)}, "--layout 1x6x5.*has examples of 1x6x5"),
    ],
)
def test_options_that_do_not_fit_the_data(
    tmp_path: Path, options: dict[str, Any], expected: str
) -> None:
    with pytest.raises(RequestError, match=expected):
        resolve(saved(tmp_path, **pair()), preprocess=PreprocessOptions(**options))


def test_flat_data(tmp_path: Path) -> None:
    flat = saved(tmp_path, **pair(X.reshape(90, 30)))
    layout = PreprocessOptions(layout=(1, 6, 5))
    assert resolve(flat, preprocess=layout).preprocess.layout == (1, 6, 5)
    for options, expected in [
        (PreprocessOptions(layout=(1, 6, 6)), "--layout 1x6x6.*36 features"),
        (PreprocessOptions(size=(6, 6)), "--size 6x6 needs images"),
        (PreprocessOptions(channels="grey"), "--channels grey needs images"),
    ]:
        with pytest.raises(RequestError, match=expected):
            resolve(flat, preprocess=options)
    with pytest.raises(RequestError, match="flip-crop: needs images"):
        resolve(flat, augment="flip-crop")


@pytest.mark.parametrize(
    "damage", ["missing", "empty", "half", "text", "npy", "pickled", "flipped"]
)
def test_npz_files_that_cannot_be_read(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "data.npz"
    np.savez_compressed(file, **pair())
    whole = file.read_bytes()
    if damage == "missing":
        file.unlink()
    elif damage == "npy":
        with file.open("wb") as handle:
            np.save(handle, X)
    elif damage == "pickled":
        np.savez(file, **changed(x_train=np.array([{}, {}], dtype=object)))
    else:
        middle = len(whole) // 4
        file.write_bytes(
            {
                "empty": b"",
                "half": whole[: len(whole) // 2],
                "text": b"not an archive",
                "flipped": whole[:middle]
                + bytes(255 - b for b in whole[middle : middle + 64])
                + whole[middle + 64 :],
            }[damage]
        )
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", ResourceWarning)
        with pytest.raises(RequestError, match="--data npz:") as caught:
            resolve(f"npz:{file}")
        assert "\n" not in str(caught.value)
        del caught
        gc.collect()
    assert not [one for one in warned if one.category is ResourceWarning], "it stays open"


def idx_bytes(array: np.ndarray, kind: int = 8) -> bytes:
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, kind, array.ndim, *array.shape)
    return head + array.tobytes()


@pytest.fixture
def idx(tmp_path: Path) -> Path:
    folder = tmp_path / "idx"
    folder.mkdir()
    for word, x, y in (("train", X, Y), ("t10k", X[:30], Y[:30])):
        (folder / f"{word}-images-idx3-ubyte").write_bytes(idx_bytes(x))
        (folder / f"{word}-labels-idx1-ubyte.gz").write_bytes(
            gzip.compress(idx_bytes(y.astype(np.uint8)))
        )
    return folder


def test_idx_files_plain_and_packed(idx: Path) -> None:
    raw = PreprocessOptions(mean=(0.0,), std=(1.0,))
    data = resolve(f"idx:{idx}", preprocess=raw)
    inputs, labels = data.test.batch(np.arange(30))
    assert np.array_equal((inputs[:, 0] * 255).round().numpy(), X[:30])
    assert labels.tolist() == Y[:30].tolist()
    (idx / "train-images-idx3-ubyte").write_bytes(idx_bytes(X.astype(">f4"), 0x0D))
    (idx / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(X[:30].astype(">f4"), 0x0D))
    assert (
        resolve(f"idx:{idx}", preprocess=raw).test.batch(np.arange(30))[0][2, 0, 1, 1] == X[2, 1, 1]
    )


def test_idx_files_that_cannot_be_read(idx: Path) -> None:
    images, labels = idx / "train-images-idx3-ubyte", idx / "train-labels-idx1-ubyte.gz"
    whole, packed = images.read_bytes(), labels.read_bytes()
    huge = struct.pack(">BBBB3I", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**20)
    cases = [
        (images, whole[:-1], "train-images-idx3-ubyte is truncated"),
        (images, whole + b"x", "has bytes left over"),
        (images, whole[:9], "truncated: it ends within its header"),
        (images, b"", "is not an IDX file"),
        (images, b"P5 28 28 255", "is not an IDX file: it starts with 50 35 20 32"),
        (images, huge, "is truncated: its header says"),
        (images, gzip.compress(huge), "is truncated: its header says"),
        (labels, packed[:-12], "train-labels-idx1-ubyte.gz is truncated or damaged"),
        (
            labels,
            packed[:20] + b"\xff\xff\xff" + packed[23:],
            "truncated or damaged|has bytes left|is trunc",
        ),
        (labels, idx_bytes(Y.astype(np.uint8)[:-2]), "90 examples and .* 88 labels"),
    ]
    for file, content, expected in cases:
        images.write_bytes(whole)
        labels.write_bytes(packed)
        file.write_bytes(content)
        with pytest.raises(RequestError, match=expected) as caught:
            resolve(f"idx:{idx}")
        assert "\n" not in str(caught.value)
    labels.unlink()
    with pytest.raises(RequestError, match="no train labels files"):
        resolve(f"idx:{idx}")
    with pytest.raises(RequestError, match="no folder"):
        resolve("idx:nowhere")
    with pytest.raises(RequestError, match="no IDX files"):
        resolve(f"idx:{idx.parent}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("digit", "did you mean digits?"),
        ("mnist", "no such data.*Expected digits, npz:FILE, idx:DIR"),
        ("digits:8", "did you mean digits"),
        ("idx", "did you mean idx:DIR"),
        ("idx:", "names nothing; expected idx:DIR"),
        ("flder:x", "did you mean folder:DIR"),
        ("no_such_module_x:data", "no module named 'no_such_module_x'"),
        ("", "no such data"),
    ],
)
def test_unknown_data(text: str, expected: str) -> None:
    with pytest.raises(RequestError, match=expected) as caught:
        resolve(text)
    assert "\n" not in str(caught.value)


def test_validation_and_split_that_do_not_fit(tmp_path: Path) -> None:
    data = saved(tmp_path, **pair())
    with pytest.raises(
        RequestError, match=r"--split 80/10/10: .* divided already into train, test"
    ):
        resolve(data, split="80/10/10")
    with pytest.raises(
        RequestError, match=r"--val npz:.*: holds train, test; a validation set is one"
    ):
        resolve(data, validation=data)
    with pytest.raises(RequestError, match="--val nope: no such data"):
        resolve(data, validation="nope")
    (tmp_path / "other").mkdir()
    other = saved(tmp_path / "other", x=X[:, :4], y=Y)
    with pytest.raises(RequestError, match="examples of 1x4x5, the training data's are 1x6x5"):
        resolve(data, validation=other)
    strange = saved(tmp_path / "other", x=X, y=Y + 1)
    with pytest.raises(RequestError, match="a label of 3, and the training data have 3 classes"):
        resolve(data, validation=strange)
    with pytest.raises(RequestError, match="--split 80/10/10: --val gives the validation set"):
        resolve(saved(tmp_path / "other", x=X, y=Y), validation=other, split="80/10/10")


def test_mnist(mnist: Path) -> None:
    data = resolve(f"idx:{mnist}")
    assert data.shape == (1, 28, 28)
    assert (len(data.train), len(data.validation), len(data.test)) == (55_000, 5_000, 10_000)
    assert data.preprocess.mean[0] == pytest.approx(0.1307, abs=2e-4)
    assert data.preprocess.std[0] == pytest.approx(0.3081, abs=5e-4)
    assert data.test.batch(np.arange(5))[1].tolist() == [7, 2, 1, 0, 4]
