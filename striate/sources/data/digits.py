"""`digits`: 1,797 grey 8x8 images of handwritten digits, embedded in scikit-learn (Alpaydin and Kaynak 1998)."""

from __future__ import annotations

import numpy as np

from striate.errors import MissingExtra
from striate.sources.data.arrays import load_arrays
from striate.sources.data.parts import Loaded, Reading
from striate.sources.split import draw

TEST_IMAGES = 540


def read(reading: Reading) -> Loaded:
    """1,257 training and 540 test images; which is which never changes. Pixels are whole numbers from 0 to 16."""
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise MissingExtra("--data digits", "shrink") from error
    bunch = load_digits()
    images = bunch.images.astype(np.uint8)
    labels = bunch.target.astype(np.int64)
    train, test = draw(labels, np.arange(len(labels)), TEST_IMAGES, seed=0)
    return load_arrays(
        reading,
        {"train": ("digits", images[train]), "test": ("digits", images[test])},
        {"train": ("digits", labels[train]), "test": ("digits", labels[test])},
        scale=1 / 16,
    )
