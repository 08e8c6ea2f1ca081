"""Counts of published networks, as their papers and the field's texts give them."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from striate.ledger import Ledger, count
from striate.ledger.rows import Layer
from striate.ledger.view import View, lines
from striate.sources.models import resolve

NETWORKS = Path(__file__).parents[2] / "benchmarks" / "networks"


def of(name: str) -> Ledger:
    source = resolve(name, {})
    assert source.input_shape is not None
    return count(source.build(), (1, *source.input_shape), name=name)


def modules(found: Ledger) -> dict[str, Layer]:
    return {line.layer.name: line.layer for line in lines(found, View(depth=1, folded=False))}


@pytest.mark.parametrize(
    ("layer", "params", "connections"),
    [
        ("c1", 156, 122_304),
        ("s2", 12, 5_880),
        ("c3", 1_516, 151_600),
        ("s4", 32, 2_000),
        ("c5", 48_120, 48_120),
        ("f6", 10_164, 10_164),
    ],
)
def test_lenet5_of_1998(layer: str, params: int, connections: int) -> None:
    """LeCun et al. 1998, section II.B: trainable parameters and connections, biases among both."""
    row = modules(of("zoo:lenet5-1998"))[layer]
    assert (row.params, row.connections_with_bias) == (params, connections)


def test_lenet5_of_1998_has_60000_parameters_and_is_counted_whole() -> None:
    found = of("zoo:lenet5-1998")
    assert (found.totals.params, found.totals.buffers, found.status) == (60_000, 840, "complete")


def test_the_modern_lenet5() -> None:
    assert of("zoo:lenet5").totals.params == 61_706


def test_the_article() -> None:
    found = of("zoo:article")
    assert found.totals.dense_params == 10**12
    assert found.totals.connections == 10**8
    assert found.totals.params == 100
    assert (found.ideas.locality.factor, found.ideas.sharing.factor) == (10**4, 10**6)


@pytest.mark.parametrize(
    ("module", "name", "convolutions", "dense"),
    [
        # torchvision's AlexNet (Krizhevsky 2014) and VGG-16 (Simonyan and Zisserman 2015, D).
        ("alexnet", "alexnet", 2_469_696, 58_631_144),
        ("vgg", "vgg16", 14_714_688, 123_642_856),
    ],
)
def test_how_the_weights_divide_between_convolutions_and_dense_layers(
    module: str, name: str, convolutions: int, dense: int
) -> None:
    model: nn.Module = resolve(f"{NETWORKS / module}.py:{name}", {}).build()
    rows = count(model, (1, 3, 224, 224)).layers
    by_kind = {
        kind: sum(row.params for row in rows if row.type == kind) for kind in ("Conv2d", "Linear")
    }
    assert by_kind == {"Conv2d": convolutions, "Linear": dense}
