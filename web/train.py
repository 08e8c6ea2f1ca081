"""Train the small networks of the explainer, and write what its page shows of them.

    python web/train.py [--seeds 0-9] [--out web/src/data/networks.json]

Part 6 of the page runs `variants`: the same units, 8 maps of 8x8, wired densely, locally, in blocks, with one kernel,
and with pooling behind it. Part 3 shows `sharing`: two maps whose places have 64, 16, 4 kernels or one, where place
matters. All are striate's layers on scikit-learn's digits, 1,057 images to train, 200 to validate, 540 to test.

- **Choices** (learning rate, weight decay, epochs, shift) are made on the validation images with seeds that are not
  reported, one recipe for all variants and one for all of `sharing`; `recipe` lists all that was tried. `variants` are
  chosen by the mean of the accuracy on the validation images as they are and moved by half a pixel (two of the 32
  rows or columns of the bitmaps that the set was made from), since a drawing is never placed as well as the set's
  images; `sharing`, which nobody draws on, by the images as they are. That `sharing` has two maps, windows of 3x3 and a
  head that is told only each quarter's average was chosen on validation, too, to show what a kernel for each place is
  worth; with eight maps and a head that sees every unit, `variants` shows how little it is worth elsewhere.
- **What is shipped** is the seed with the median validation score (of an even number the lower, ties to the lower
  seed), not the best. Parameters are rounded to float16 first: every accuracy is that of the rounded network.
- **Accuracies** are on the 540 test images, which choose nothing. `interval` is Wilson's at 95 % for the mean over the
  seeds, of 540 images and not of 540 x seeds: all seeds answer the same images, and more seeds make them no more
  images. `differences` compares wirings seed by seed.
- **The same file twice**: seeds set, one thread, deterministic operators. Another machine rounds differently, and its
  trainings drift by up to a point or so.

A stored parameter is base64 of little-endian float16 in C order. `hidden.weight` is (units, pixels) of the dense layer,
units in the order map, row, column; else (rows of kernels, columns of kernels, maps, 1, 3, 3), its bias (rows, columns,
maps): the kernel at (i, j) is that of the places with row // share == i, column // share == j. `head.weight` is
(10, maps x rows x columns after pooling). A network computes head(pool(relu(hidden(image / 16)))), with padding "same".

How the images were made, and so how a drawing must be reduced: `digit_networks/data.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from digit_networks.data import Digits, digits, normalisation
from digit_networks.fitting import Recipe, Trained, mean, right, search, train
from digit_networks.networks import SHARING, VARIANTS, Wiring
from digit_networks.stored import packed

from striate.reduce.statistics import wilson
from striate.version import __version__

OUT = Path(__file__).parent / "src" / "data" / "networks.json"
CHOOSING_SEEDS = (100, 101, 102)
EXAMPLES_A_CLASS = 3
_START = Recipe(learning_rate=3e-3, weight_decay=1e-2, epochs=40, shift=0.0)
_VARIANT_AXES = {
    "shift": (0.0, 0.5, 1.0),
    "learning_rate": (1e-3, 3e-3, 1e-2),
    "epochs": (40, 80),
    "weight_decay": (1e-2, 1e-1),
}
_SHARING_AXES = {
    "learning_rate": (3e-3, 1e-2, 3e-2),
    "epochs": (40, 80),
    "weight_decay": (1e-2, 1e-1),
}


def document(seeds: Sequence[int]) -> dict[str, Any]:
    """All that is written; README of the keys is this module's docstring."""
    data = digits()
    variant_recipe, variants_tried = search(
        VARIANTS, _START, _VARIANT_AXES, data, CHOOSING_SEEDS, lambda run: run.score
    )
    sharing_recipe, sharing_tried = search(
        SHARING, _START, _SHARING_AXES, data, CHOOSING_SEEDS, lambda run: run.validation
    )
    variants = [_entry(wiring, variant_recipe, data, seeds) for wiring in VARIANTS]
    sharing = [_entry(wiring, sharing_recipe, data, seeds) for wiring in SHARING]
    return {
        "schema": "striate.explainer-networks/1",
        "command": "python web/train.py",
        "striate": __version__,
        "torch": torch.__version__.partition("+")[0],
        "data": {
            "name": "digits",
            "train": len(data.train),
            "validation": len(data.validation),
            "test": len(data.test),
            "normalisation": normalisation(),
        },
        "recipe": {
            "variants": _recipe(variant_recipe, variants_tried),
            "sharing": _recipe(sharing_recipe, sharing_tried),
        },
        "seeds": list(seeds),
        "variants": variants,
        "sharing": sharing,
        "differences": [
            *(_difference(entry, variants[0], "variants") for entry in variants[1:]),
            *(_difference(entry, sharing[0], "sharing") for entry in sharing[1:]),
        ],
        "examples": _examples(data),
    }


def _recipe(recipe: Recipe, tried: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "optimizer": "AdamW",
        "schedule": "one cycle: a tenth of the steps up, then a cosine to 0",
        "loss": "cross-entropy",
        "learning_rate": recipe.learning_rate,
        "weight_decay": recipe.weight_decay,
        "epochs": recipe.epochs,
        "batch": recipe.batch,
        "shift": recipe.shift,
        "choosing_seeds": list(CHOOSING_SEEDS),
        "tried": tried,
    }


def _entry(wiring: Wiring, recipe: Recipe, data: Digits, seeds: Sequence[int]) -> dict[str, Any]:
    print(f"{wiring.name}: {len(seeds)} seeds", file=sys.stderr)
    runs = [train(wiring, recipe, data, seed) for seed in seeds]
    answers = [right(run.network, data.test) for run in runs]
    shipped = median_run(runs)
    images = len(data.test)
    parameters = dict(shipped.network.named_parameters())
    weight = parameters["hidden.weight"]
    return {
        "name": wiring.name,
        "share": wiring.share,
        "hidden": {
            "kind": wiring.kind,
            "share": None if wiring.share == "dense" else wiring.share,
            "kernel": wiring.kernel,
            "maps": wiring.maps,
        },
        "pool": wiring.pool,
        "pool_kind": wiring.pool_kind if wiring.pool else None,
        "kernels": None if wiring.share == "dense" else weight.shape[0] * weight.shape[1],
        "weights": {
            "hidden": weight.numel(),
            "head": parameters["head.weight"].numel(),
            "biases": sum(p.numel() for name, p in parameters.items() if name.endswith("bias")),
        },
        "params": sum(parameter.numel() for parameter in parameters.values()),
        "accuracy": {
            **_summary([count / images for count in answers]),
            "interval": [round(bound, 4) for bound in wilson(round(mean(answers)), images)],
            "images": images,
        },
        "validation": _summary([run.validation for run in runs]),
        "validation_moved": _summary([run.validation_moved for run in runs]),
        "shipped_seed": shipped.seed,
        "shipped_accuracy": round(answers[runs.index(shipped)] / images, 6),
        "tensors": packed(shipped.network),
    }


def median_run(runs: Sequence[Trained]) -> Trained:
    """The run with the median validation score: of an even number the lower one, of equal ones the first."""
    return sorted(runs, key=lambda run: run.score)[(len(runs) - 1) // 2]


def _summary(values: Sequence[float]) -> dict[str, Any]:
    return {
        "mean": round(mean(values), 6),
        "lowest": round(min(values), 6),
        "highest": round(max(values), 6),
        "each": [round(value, 6) for value in values],
    }


def _difference(entry: dict[str, Any], other: dict[str, Any], where: str) -> dict[str, Any]:
    """Accuracy of `entry` less that of `other`, seed by seed: the same seeds, the same images."""
    pairs = zip(entry["accuracy"]["each"], other["accuracy"]["each"], strict=True)
    return {
        "in": where,
        "of": entry["name"],
        "less": other["name"],
        **_summary([ours - theirs for ours, theirs in pairs]),
    }


def _examples(data: Digits) -> list[dict[str, Any]]:
    """The first three of each class in the test set, in its order."""
    pixels = (data.test.pixels * 16).round().int().flatten(1).tolist()
    labels = data.test.labels.tolist()
    chosen = [
        place
        for label in range(10)
        for place in [place for place, named in enumerate(labels) if named == label][
            :EXAMPLES_A_CLASS
        ]
    ]
    return [{"index": place, "label": labels[place], "pixels": pixels[place]} for place in chosen]


def text(document: dict[str, Any]) -> str:
    """JSON with a line for each key, and for each item of a list of objects, so that a change can be read."""
    parts = []
    for key, value in document.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            items = ",\n".join(json.dumps(item, separators=(",", ":")) for item in value)
            parts.append(f"{json.dumps(key)}:[\n{items}\n]")
        else:
            parts.append(f"{json.dumps(key)}:{json.dumps(value, separators=(',', ':'))}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def parse_seeds(text: str) -> list[int]:
    """`0-9`, `0,3,7` or both: `0-4,9`.

    >>> parse_seeds("0-2,7")
    [0, 1, 2, 7]
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, separator, last = part.partition("-")
        if not first.isdecimal() or (separator and not last.isdecimal()):
            raise argparse.ArgumentTypeError(f"{text}: expected seeds such as 0-9 or 0,3,7")
        seeds.extend(range(int(first), int(last or first) + 1))
    if not seeds or len(set(seeds)) < len(seeds) or set(seeds) & set(CHOOSING_SEEDS):
        taken = ", ".join(map(str, CHOOSING_SEEDS))
        raise argparse.ArgumentTypeError(
            f"{text}: expected seeds, each once, without {taken} (they choose the recipe)"
        )
    return seeds


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the explainer's networks.")
    parser.add_argument(
        "--seeds", type=parse_seeds, default=parse_seeds("0-9"), help="such as 0-9 or 0,3,7"
    )
    parser.add_argument("--out", type=Path, default=OUT, help="the file to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    written = text(document(options.seeds))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(written, encoding="utf-8")
    print(f"{options.out}: {len(written):,} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
