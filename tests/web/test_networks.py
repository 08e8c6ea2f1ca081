"""The networks that the page ships are those that `web/train.py` trains, and are what their entries say."""

from __future__ import annotations

import argparse
import doctest
import importlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import digit_networks.data
import numpy as np
import pytest
import torch
import train
from digit_networks import stored
from digit_networks.data import digits, inputs, moved, moved_around, normalisation
from digit_networks.fitting import Recipe, Trained, logits, right
from digit_networks.fitting import train as trained
from digit_networks.networks import SHARING, VARIANTS, Network
from torch import nn

import striate
from striate.reduce.statistics import wilson
from striate.sources.data import resolve

FILE = Path(__file__).parents[2] / "web" / "src" / "data" / "networks.json"
DOCUMENT = json.loads(FILE.read_text(encoding="utf-8"))
ENTRIES = [
    pytest.param(part, entry, id=f"{part}-{entry['name']}")
    for part in ("variants", "sharing")
    for entry in DOCUMENT[part]
]


@pytest.fixture(scope="module")
def data() -> digit_networks.data.Digits:
    return digits()


def recipe(part: str) -> Recipe:
    said = DOCUMENT["recipe"][part]
    return Recipe(**{name: said[name] for name in Recipe.__dataclass_fields__})


def test_the_file_is_small_and_says_where_it_comes_from() -> None:
    assert len(FILE.read_bytes()) < 250_000
    assert DOCUMENT["schema"] == "striate.explainer-networks/1"
    assert DOCUMENT["command"] == "python web/train.py"
    assert len(DOCUMENT["seeds"]) >= 5
    assert not set(DOCUMENT["seeds"]) & set(DOCUMENT["recipe"]["variants"]["choosing_seeds"])
    assert [stored.wiring(entry) for entry in DOCUMENT["variants"]] == list(VARIANTS)
    assert [stored.wiring(entry) for entry in DOCUMENT["sharing"]] == list(SHARING)


def test_the_parts_are_those_of_the_commands_digits(data: digit_networks.data.Digits) -> None:
    named = resolve("digits")
    spread = named.preprocess
    assert named.test is not None
    for ours, theirs in (
        (data.train, named.train),
        (data.validation, named.validation),
        (data.test, named.test),
    ):
        pixels, labels = theirs.batch(np.arange(len(theirs)))
        assert torch.equal(ours.labels, labels)
        torch.testing.assert_close((ours.pixels - spread.mean[0]) / spread.std[0], pixels)
    assert {name: DOCUMENT["data"][name] for name in ("train", "validation", "test")} == {
        "train": 1057,
        "validation": 200,
        "test": 540,
    }


@pytest.mark.parametrize(("part", "entry"), ENTRIES)
def test_counts_are_the_ledgers(part: str, entry: dict[str, Any]) -> None:
    network = stored.network(entry)
    ledger = striate.count(network, torch.zeros(2, 1, 8, 8))
    assert entry["params"] == ledger.totals.params
    assert entry["params"] == sum(entry["weights"].values())
    assert entry["weights"]["hidden"] == network.hidden.weight.numel()
    assert entry["weights"]["head"] == network.head.weight.numel()
    if entry["kernels"] is not None:
        taps = entry["hidden"]["kernel"] ** 2
        assert entry["weights"]["hidden"] == entry["kernels"] * taps * entry["hidden"]["maps"]
        share = entry["share"]
        assert entry["kernels"] == (1 if share == "all" else (8 // share) ** 2)


@pytest.mark.parametrize(("part", "entry"), ENTRIES)
def test_stored_weights_have_the_shipped_accuracy(
    part: str, entry: dict[str, Any], data: digit_networks.data.Digits
) -> None:
    pixels = (data.test.pixels[:, 0] * 16).round().int().numpy()
    answers = stored.outputs(entry, pixels).argmax(1)
    assert round(int((answers == data.test.labels).sum()) / 540, 6) == entry["shipped_accuracy"]
    place = DOCUMENT["seeds"].index(entry["shipped_seed"])
    assert entry["accuracy"]["each"][place] == entry["shipped_accuracy"]


@pytest.mark.parametrize(("part", "entry"), ENTRIES)
def test_what_is_said_of_the_seeds_follows_from_each(part: str, entry: dict[str, Any]) -> None:
    said = entry["accuracy"]
    each = said["each"]
    assert len(each) == len(DOCUMENT["seeds"])
    assert (said["lowest"], said["highest"]) == (min(each), max(each))
    assert said["mean"] == pytest.approx(np.mean(each), abs=1e-6)
    counts = [round(accuracy * 540) for accuracy in each]
    expected = wilson(round(sum(counts) / len(counts)), 540)
    assert said["interval"] == pytest.approx(expected, abs=1e-4)
    scores = np.array(entry["validation"]["each"]) + np.array(entry["validation_moved"]["each"])
    order = np.argsort(scores.round(6), kind="stable")
    assert scores[DOCUMENT["seeds"].index(entry["shipped_seed"])] == pytest.approx(
        scores[order[(len(each) - 1) // 2]], abs=1e-5
    )


def test_differences_are_seed_by_seed() -> None:
    for difference in DOCUMENT["differences"]:
        by_name = {entry["name"]: entry["accuracy"]["each"] for entry in DOCUMENT[difference["in"]]}
        gaps = np.subtract(by_name[difference["of"]], by_name[difference["less"]])
        assert difference["each"] == pytest.approx(gaps, abs=1e-5)
        assert difference["mean"] == pytest.approx(gaps.mean(), abs=1e-5)


def test_where_place_matters_own_kernels_are_better_with_every_seed() -> None:
    gaps = {d["of"]: d for d in DOCUMENT["differences"] if d["in"] == "sharing"}
    assert gaps["all"]["highest"] < 0
    assert gaps["all"]["mean"] < gaps["blocks of 2"]["mean"]


@pytest.mark.parametrize("part", ["variants", "sharing"])
def test_the_recipe_is_the_best_that_was_tried_along_each_axis(part: str) -> None:
    chosen = recipe(part)
    score = {
        Recipe(**{name: row[name] for name in Recipe.__dataclass_fields__}): row["score"]
        for row in DOCUMENT["recipe"][part]["tried"]
    }
    assert score[chosen] == max(score.values())


def test_shared_is_a_convolution(data: digit_networks.data.Digits) -> None:
    entry = next(entry for entry in DOCUMENT["variants"] if entry["name"] == "shared")
    network = stored.network(entry).double()
    convolution = nn.Conv2d(1, 8, 3, padding="same", dtype=torch.float64)
    with torch.no_grad():
        convolution.weight.copy_(network.hidden.weight[0, 0])
        convolution.bias.copy_(network.hidden.bias[0, 0])
        pixels = data.test.pixels[:20].double()
        expected = network.head(convolution(pixels).relu().flatten(1))
    torch.testing.assert_close(logits(network, pixels), expected)


def test_examples_are_the_first_three_of_each_class(data: digit_networks.data.Digits) -> None:
    seen: Counter[int] = Counter()
    first = []
    for place, label in enumerate(data.test.labels.tolist()):
        seen[label] += 1
        if seen[label] <= 3:
            first.append((label, place))
    assert [(e["label"], e["index"]) for e in DOCUMENT["examples"]] == sorted(first)
    for example in DOCUMENT["examples"]:
        image = inputs(np.array(example["pixels"]).reshape(1, 8, 8))
        assert torch.equal(image[0], data.test.pixels[example["index"]])


@pytest.mark.parametrize(
    ("part", "name"),
    [("sharing", "own"), pytest.param("variants", "shared", marks=pytest.mark.slow)],
)
def test_a_seed_trained_again_is_as_accurate(
    part: str, name: str, data: digit_networks.data.Digits
) -> None:
    """Machines round differently, so a training drifts; on one machine it gives the same bits."""
    entry = next(entry for entry in DOCUMENT[part] if entry["name"] == name)
    run = trained(stored.wiring(entry), recipe(part), data, entry["shipped_seed"])
    assert right(run.network, data.test) / 540 == pytest.approx(
        entry["shipped_accuracy"], abs=0.015
    )


def test_training_gives_the_same_bits_twice(data: digit_networks.data.Digits) -> None:
    short = Recipe(learning_rate=1e-2, weight_decay=1e-2, epochs=1, shift=0.5)
    first, second, other = (trained(VARIANTS[2], short, data, seed) for seed in (3, 3, 4))
    assert stored.packed(first.network) == stored.packed(second.network)
    assert stored.packed(first.network) != stored.packed(other.network)


def test_an_unrounded_network_is_not_stored() -> None:
    network = Network(SHARING[0])
    with pytest.raises(ValueError, match=r"hidden\.weight is not rounded to float16"):
        stored.packed(network)


def test_whole_moves_shift_rows_and_columns(data: digit_networks.data.Digits) -> None:
    pixels = data.validation.pixels[:5]
    down = moved(pixels, torch.tensor([[1.0, 0.0]]).expand(5, 2))
    assert torch.equal(down[:, :, 0], torch.zeros(5, 1, 8))
    torch.testing.assert_close(down[:, :, 1:], pixels[:, :, :-1])
    torch.testing.assert_close(moved(pixels, torch.zeros(5, 2)), pixels)
    assert len(moved_around(data.validation, 0.5)) == 8 * 200


def test_the_median_run_is_the_lower_of_an_even_number_and_the_first_of_equals() -> None:
    network = Network(SHARING[0])
    runs = [Trained(network, seed, score, score) for seed, score in enumerate([0.9, 0.7, 0.8, 0.7])]
    assert train.median_run(runs).seed == 3
    assert train.median_run(runs[:3]).seed == 2


@pytest.mark.parametrize("wrong", ["", "a", "3,3", "5-", "-1", "5-3", "0-100"])
def test_seeds_that_cannot_be(wrong: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected seeds"):
        train.parse_seeds(wrong)


def test_what_is_said_of_the_normalisation_is_measured() -> None:
    measured = json.loads(json.dumps(normalisation()))
    assert DOCUMENT["data"]["normalisation"] == measured
    assert measured["ink_in_first_and_last_row"] == measured["images"] == 1797
    assert measured["width"]["median"] == 20


@pytest.mark.parametrize("name", ["train", "digit_networks.data"])
def test_examples_in_docstrings(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
