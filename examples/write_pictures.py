"""Write scikit-learn's digits as a folder of PNG files, to have pictures to try things on:

    python examples/write_pictures.py pictures

makes `pictures/train/CLASS/*.png` and `pictures/test/CLASS/*.png`, 16×16 grey.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits


def write(root: Path, every: int = 3) -> None:
    """One picture in `every` goes to the test folder, the others to the training folder."""
    digits = load_digits()
    for number, (values, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        folder = root / ("test" if number % every == 0 else "train") / str(digit)
        folder.mkdir(parents=True, exist_ok=True)
        grey = np.clip(values * 16, 0, 255).astype(np.uint8)
        Image.fromarray(grey).resize((16, 16), Image.Resampling.BICUBIC).save(
            folder / f"{number:04}.png"
        )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python examples/write_pictures.py FOLDER")
    write(Path(sys.argv[1]))
