"""Folders of pictures: decoding, classes, division, and what is refused."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.errors import RequestError
from striate.sources.data import resolve
from striate.sources.preprocess import PreprocessOptions

RNG = np.random.default_rng(0)
RAW = PreprocessOptions(mean=(0.0,), std=(1.0,))


def picture(seed: int = 0, size: tuple[int, int] = (6, 5), mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def fill(
    folder: Path, count: int = 12, classes: tuple[str, ...] = ("ant", "bee"), start: int = 0
) -> Path:
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for place in range(count):
            picture(start + 1000 * number + place).save(folder / name / f"{place:03}.png")
    return folder


def only(folder: Path, options: PreprocessOptions = RAW) -> np.ndarray:
    """All pixels of an `images:` folder whose pictures are copies of one, as bytes (C, H, W)."""
    data = resolve(f"images:{folder}", preprocess=options)
    inputs, labels = data.train.batch(np.zeros(1, dtype=np.int64))
    assert labels is None
    return (inputs[0] * 255).round().numpy().astype(np.uint8)


def copies(folder: Path, save: Callable[[Path], None]) -> Path:
    folder.mkdir()
    for number in range(5):
        save(folder / str(number))
    return folder


def test_divided_folders(tmp_path: Path) -> None:
    fill(tmp_path / "train")
    fill(tmp_path / "test", 4, start=100)
    data = resolve(f"folder:{tmp_path}", preprocess=RAW)
    assert (len(data.train), len(data.validation), len(data.test)) == (16, 8, 8)
    assert data.classes == ("ant", "bee")
    inputs, labels = data.test.batch(np.arange(8))
    assert labels.tolist() == [0] * 4 + [1] * 4
    expected = np.asarray(picture(1102)).transpose(2, 0, 1)
    assert np.array_equal((inputs[6] * 255).round().numpy(), expected)


@pytest.mark.parametrize("name", ["val", "valid"])
def test_a_validation_folder_beside_a_test_folder_validates(tmp_path: Path, name: str) -> None:
    fill(tmp_path / "train")
    fill(tmp_path / name, 3)
    alone = resolve(f"folder:{tmp_path}")
    assert (len(alone.validation), len(alone.test), alone.validation_is_given) == (8, 6, False)
    assert f"{name} is the test set" in " ".join(alone.notes)
    fill(tmp_path / "test", 4, ("bee", "ant"))
    both = resolve(f"folder:{tmp_path}")
    assert (len(both.train), len(both.validation), len(both.test)) == (24, 6, 8)
    assert both.validation_is_given
    assert "6 validate, given" in both.notes[0]


def test_one_level_of_classes_is_divided(tmp_path: Path) -> None:
    fill(tmp_path, 20)
    data = resolve(f"folder:{tmp_path}")
    assert (len(data.train), len(data.validation), len(data.test)) == (32, 4, 4)
    data = resolve(f"folder:{tmp_path}", split="50/25/25", seed=7)
    assert (len(data.train), len(data.validation), len(data.test)) == (20, 10, 10)
    other = fill(tmp_path.with_name("validation"), 5, ("bee",))
    data = resolve(f"folder:{tmp_path}", validation=f"folder:{other}")
    assert (len(data.train), len(data.validation), len(data.test)) == (36, 5, 4)
    assert data.validation.batch(np.arange(5))[1].tolist() == [1] * 5


def test_unlabelled_pictures(tmp_path: Path) -> None:
    fill(tmp_path, 10)
    data = resolve(f"images:{tmp_path}")
    assert (len(data.train), len(data.validation), data.test) == (16, 4, None)
    assert (data.classes, data.labelled, data.validation_is_given) == (None, False, False)
    assert len(resolve(f"images:{tmp_path}", split="50/50").validation) == 10
    other = fill(tmp_path.with_name("others"), 2)
    given = resolve(f"images:{tmp_path}", validation=f"images:{other}")
    assert (len(given.train), len(given.validation), given.validation_is_given) == (20, 4, True)
    with pytest.raises(RequestError, match=r"--val .*labels must be there in both"):
        resolve(f"images:{tmp_path}", validation=f"folder:{other}")
    with pytest.raises(RequestError, match="--split 80/10/10: without labels"):
        resolve(f"images:{tmp_path}", split="80/10/10")


def test_progress_is_reported(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    steps: list[tuple[int, int]] = []
    resolve(f"images:{tmp_path}", advance=lambda done, total: steps.append((done, total)))
    assert steps == [(done, 6) for done in range(1, 7)]


def test_litter_and_other_files_are_passed_over(tmp_path: Path) -> None:
    fill(tmp_path, 20)
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "ant" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "ant" / "._001.png").write_bytes(b"x")
    (tmp_path / "ant" / "notes.txt").write_text("ants")
    (tmp_path / "ant" / "deeper").mkdir()
    picture(99).save(tmp_path / "ant" / "deeper" / "UP.PNG")
    data = resolve(f"folder:{tmp_path}")
    assert len(data.train) + len(data.validation) + len(data.test) == 41
    assert "1 files that are not pictures passed over: notes.txt" in data.notes


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(tmp_path: Path, orientation: int) -> None:
    def save(path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        picture().save(path.with_suffix(".png"), exif=exif)

    stored = np.asarray(picture())
    turned = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: np.rot90(stored, -1),
        7: np.rot90(stored, 2).transpose(1, 0, 2),
        8: np.rot90(stored),
    }[orientation]
    found = only(copies(tmp_path / "pictures", save))
    assert np.array_equal(found, turned.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("mode", "suffix", "channels"),
    [("RGB", ".png", 3), ("L", ".png", 1), ("1", ".png", 1), ("P", ".png", 3), ("P", ".gif", 3),
     ("RGBA", ".png", 3), ("LA", ".png", 1), ("CMYK", ".jpg", 3), ("L", ".jpg", 1), ("RGB", ".bmp", 3)],
)  # fmt: skip
def test_modes_of_pictures(tmp_path: Path, mode: str, suffix: str, channels: int) -> None:
    folder = copies(
        tmp_path / "pictures", lambda path: picture(3, mode=mode).save(path.with_suffix(suffix))
    )
    with Image.open(next(folder.iterdir())) as image:
        expected = np.asarray(image.convert("RGB" if channels == 3 else "L"))
    found = only(folder)
    assert np.array_equal(found, expected[None] if channels == 1 else expected.transpose(2, 0, 1))
    assert only(folder, PreprocessOptions(mean=(0.0,), std=(1.0,), channels="grey")).shape[0] == 1
    colours = only(folder, PreprocessOptions(mean=(0.0,), std=(1.0,), channels="rgb"))
    mirrored = only(folder, PreprocessOptions(mean=(0.0,), std=(1.0,), channels="bgr"))
    assert np.array_equal(colours[::-1], mirrored)


def test_sixteen_bit_grey_keeps_its_upper_byte(tmp_path: Path) -> None:
    deep = RNG.integers(0, 65536, (6, 5), dtype=np.uint16)
    folder = copies(
        tmp_path / "pictures", lambda path: Image.fromarray(deep).save(path.with_suffix(".png"))
    )
    assert np.array_equal(only(folder)[0], deep >> 8)


def test_transparency_is_dropped_and_said(tmp_path: Path) -> None:
    folder = copies(
        tmp_path / "p", lambda path: picture(mode="RGBA").save(path.with_suffix(".png"))
    )
    assert "transparency dropped from 5 pictures" in resolve(f"images:{folder}").notes


def test_pictures_are_resized_as_pillow_does(tmp_path: Path) -> None:
    big = picture(size=(40, 30))
    folder = copies(tmp_path / "pictures", lambda path: big.save(path.with_suffix(".png")))
    picture(size=(12, 9)).save(folder / "other.png")
    found = only(folder, PreprocessOptions(mean=(0.0,), std=(1.0,), size=(8, 10)))
    expected = np.asarray(big.resize((10, 8), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert np.array_equal(found, expected)
    with pytest.raises(
        RequestError, match=r"differ in size: .*is 40x30, .*other.png is 12x9; give --size"
    ):
        resolve(f"images:{folder}")


def replace_one(folder: Path, content: bytes, suffix: str = ".png") -> Path:
    target = folder / "ant" / f"007{suffix}"
    target.write_bytes(content)
    return target


def chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return len(content).to_bytes(4, "big") + kind + content + check.to_bytes(4, "big")


def bomb(side: int) -> bytes:
    head = side.to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_broken_pictures_are_named(tmp_path: Path) -> None:
    fill(tmp_path)
    good = (tmp_path / "ant" / "007.png").read_bytes()
    broken = {
        "empty": b"",
        "text": b"not a picture",
        "half": good[: len(good) // 2],
        "header only": good[:33],
        "checksum": good[:40] + bytes([good[40] ^ 255]) + good[41:],
        "10^10 pixels": bomb(100_000),
        "10^8 pixels": bomb(10_000),
    }
    for content in broken.values():
        target = replace_one(tmp_path, content)
        with pytest.raises(RequestError, match=r"ant/007.png") as caught:
            resolve(f"folder:{tmp_path}")
        assert "\n" not in str(caught.value)
        assert str(target) in str(caught.value)
    (tmp_path / "ant" / "007.png").unlink()
    picture(size=(6, 5)).save(tmp_path / "ant" / "007.jpg")
    jpeg = (tmp_path / "ant" / "007.jpg").read_bytes()
    (tmp_path / "ant" / "007.jpg").write_bytes(jpeg[:-40])
    with pytest.raises(RequestError, match=r"007.jpg: cannot be decoded"):
        resolve(f"folder:{tmp_path}")


@pytest.mark.slow
def test_random_damage_is_an_error_or_a_picture(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    for number in range(4):
        picture(number).save(tmp_path / "p" / f"{number}.png")
    generator = np.random.default_rng(1)
    for suffix in (".png", ".jpg", ".gif", ".bmp", ".tif", ".webp", ".ppm"):
        file = tmp_path / "p" / f"damaged{suffix}"
        picture(9).save(file)
        whole = np.frombuffer(file.read_bytes(), dtype=np.uint8)
        for _ in range(150):
            damaged = whole.copy()
            places = generator.integers(0, len(whole), generator.integers(1, 6))
            damaged[places] = generator.integers(0, 256, len(places))
            file.write_bytes(damaged.tobytes())
            with suppress(RequestError):  # anything else is a fault of ours
                resolve(f"images:{tmp_path / 'p'}", preprocess=PreprocessOptions(size=(6, 5)))
        file.unlink()


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    def expect(expected: str, source: str) -> None:
        with pytest.raises(RequestError, match=expected) as caught:
            resolve(source)
        assert "\n" not in str(caught.value)

    expect("no folder", f"folder:{tmp_path / 'none'}")
    expect("no folder", f"images:{tmp_path / 'none'}")
    expect("has no folders", f"folder:{tmp_path}")
    expect("no pictures", f"images:{tmp_path}")
    fill(tmp_path / "one", classes=("ant",))
    expect("one class only \\('ant'\\)", f"folder:{tmp_path / 'one'}")
    fill(tmp_path / "half" / "train")
    expect("train, and neither test nor val", f"folder:{tmp_path / 'half'}")
    (tmp_path / "half" / "test").mkdir()
    expect("has no class folders", f"folder:{tmp_path / 'half'}")
    (tmp_path / "half" / "test" / "ant").mkdir()
    expect("class folder .*ant has no pictures", f"folder:{tmp_path / 'half'}")
    fill(tmp_path / "odd" / "train")
    fill(tmp_path / "odd" / "test", classes=("ants",))
    expect("has a class 'ants' that .*nearest: ant", f"folder:{tmp_path / 'odd'}")
    fill(tmp_path / "two" / "train")
    fill(tmp_path / "two" / "val")
    fill(tmp_path / "two" / "valid")
    expect("both val and valid", f"folder:{tmp_path / 'two'}")
    fill(tmp_path / "few", 1)
    expect("too few examples|classes without|one class", f"folder:{tmp_path / 'few'}")


@pytest.mark.slow
def test_cifar(cifar: Path) -> None:
    data = resolve(f"folder:{cifar}")
    assert data.shape == (3, 32, 32)
    assert (len(data.train), len(data.validation), len(data.test)) == (18_000, 2_000, 5_000)
    assert len(data.classes) == 10
    assert data.preprocess.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=0.003)
