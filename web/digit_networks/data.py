"""The 8x8 digits, divided as `striate shrink --data digits` divides them, and moved a little.

How the set was made decides how a drawing must be reduced to look like it. Optdigits (Alpaydin and Kaynak 1998) took
handwritten digits from forms scanned at 300 dots an inch, normalised each with the programs of NIST (Garris et al.,
NISTIR 5469, 1994) to a black and white bitmap of 32x32, and counted the black pixels in each 4x4 block: 8x8 integers
from 0 to 16. scikit-learn holds the 1,797 images of the 13 writers of its test set. What that normalisation does can
be measured; `normalisation` measures what the 8x8 images still show, in networks.json under `data`:

- Height: a digit fills all 32 rows. Each of the 1,797 images has ink in the first and in the last row of blocks.
- Width: about 20 of the 32 columns (17 to 23 in nine of ten images), nearly alike in all classes, a 1 included (18):
  height and width are scaled apart, to a box of 20x32, so that narrow digits come out wide and with thick strokes.
- Place: the box is centred, columns 6 to 25, so the outermost blocks are mostly empty: 1 % of the images have ink in
  the first column of blocks, 12 % in the last.
- Ink: about 313 of the 1,024 pixels (261 to 368 in nine of ten images), alike in all classes: strokes are thickened or
  thinned until it is in that range. A stroke is then about 5 pixels wide, more than one block, and 7 in a 1.
- Slant: mostly straightened. Rows are shifted sideways so that the first and the last begin at about the same column.

Stroke, slant and what comes of a 1 were measured in 1,934 of the original 32x32 bitmaps (optdigits-orig.tra, of
the set's 30 other writers; not in scikit-learn, not used here). They agree in the rest: in nine of ten, height 31 to
32, width 17 to 24, ink 262 to 378. The first row begins 1 column right of the last (median; -1 to 2 in half).
So a drawing pad takes the box of what was drawn, scales it to 20x32 (a 1 of one stroke to about 10 to 15x32: the
narrowest in the set have that), thickens or thins the strokes until about 313 pixels are black, puts it in columns 6
to 25 of 32x32, and counts blocks of 4x4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional

from striate.sources.data.digits import TEST_IMAGES
from striate.sources.split import draw, validation_count

SIZE = 8
DEEPEST = 16
# The neighbours of a place, to move an image to.
DIRECTIONS = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]


@dataclass(frozen=True)
class Images:
    """Images of one part: `pixels` (N, 1, 8, 8) from 0 to 1 in float32, `labels` (N,)."""

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Digits:
    """The three parts: train 1,057, validation 200, test 540; which image is where never changes."""

    train: Images
    validation: Images
    test: Images


def digits() -> Digits:
    """The digits in the division of `striate.sources.data.digits`, with 200 training rows held out by class."""
    bunch = load_digits()
    train, test = draw(bunch.target, np.arange(len(bunch.target)), TEST_IMAGES, seed=0)
    train, validation = draw(bunch.target, train, validation_count(len(train)), seed=0)

    def part(rows: NDArray[np.int64]) -> Images:
        return Images(inputs(bunch.images[rows]), torch.tensor(bunch.target[rows]))

    return Digits(part(train), part(validation), part(test))


def inputs(images: NDArray[np.floating] | NDArray[np.integer]) -> Tensor:
    """What a network sees of images (N, 8, 8) of integers from 0 to 16: (N, 1, 8, 8), divided by 16, in float32."""
    return torch.tensor(np.asarray(images) / DEEPEST, dtype=torch.float32)[:, None]


def moved(pixels: Tensor, by: Tensor) -> Tensor:
    """Each image (N, 1, 8, 8) moved by its own (down, right) of `by` (N, 2), in pixels, fractions too (bilinear);
    what comes in from outside is empty.

    >>> dot = torch.zeros(1, 1, 8, 8)
    >>> dot[0, 0, 3, 3] = 1
    >>> moved(dot, torch.tensor([[1.0, -0.5]]))[0, 0, 4, 1:5].tolist()
    [0.0, 0.5, 0.5, 0.0]
    """
    places = torch.arange(SIZE, dtype=pixels.dtype)
    down, right = (by[:, axis, None, None].to(pixels.dtype) for axis in (0, 1))
    # grid_sample names an axis of 8 pixels from -1 to 1, edge to edge, columns first.
    rows = ((places[None, :, None] - down + 0.5) * 2 / SIZE - 1).expand(-1, SIZE, SIZE)
    columns = ((places[None, None, :] - right + 0.5) * 2 / SIZE - 1).expand(-1, SIZE, SIZE)
    grid = torch.stack([columns, rows], dim=-1)
    return functional.grid_sample(pixels, grid, mode="bilinear", align_corners=False)


def moved_around(images: Images, distance: float) -> Images:
    """Every image moved by `distance` pixels in each of the eight directions."""
    pixels = [
        moved(images.pixels, torch.tensor([[y, x]]).expand(len(images), 2) * distance)
        for y, x in DIRECTIONS
    ]
    return Images(torch.cat(pixels), images.labels.repeat(len(DIRECTIONS)))


def normalisation() -> dict[str, object]:
    """What the normalisation of the set leaves to be seen in all 1,797 images; lengths in pixels of the 32x32 bitmap.

    A block of the 8x8 image with n black pixels has ink in at least ceil(n / 4) of its 4 columns: the most that this
    shows in any row is taken as where the ink begins and ends.
    """
    images = load_digits().images.astype(np.int64)
    inked = images > 0
    reach = -(-images // 4)
    offsets = 4 * np.arange(SIZE)
    first = np.where(inked, offsets + 4 - reach, 32).min(axis=(1, 2))
    last = np.where(inked, offsets + reach, 0).max(axis=(1, 2))
    ink = images.sum(axis=(1, 2))
    centre = (images * (offsets + 2)).sum(axis=(1, 2)) / ink
    return {
        "images": len(images),
        "ink_in_first_and_last_row": int((inked[:, 0].any(1) & inked[:, -1].any(1)).sum()),
        "ink_in_column": [round(float(share), 4) for share in inked.any(1).mean(axis=0)],
        "width": _spread(last - first),
        "box_centre_column": _spread((first + last) / 2),
        "ink_centre_column": _spread(centre),
        "ink": _spread(ink),
    }


def _spread(values: NDArray[np.floating] | NDArray[np.integer]) -> dict[str, float]:
    low, middle, high = np.percentile(values, [5, 50, 95])
    return {
        "median": round(float(middle), 2),
        "from": round(float(low), 2),
        "to": round(float(high), 2),
    }
