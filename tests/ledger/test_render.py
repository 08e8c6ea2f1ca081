"""The table and the document."""

from __future__ import annotations

import json

import pytest
import torch
from ledger_networks import NETWORKS
from torch import Tensor, nn

from striate.ledger import Ledger, Limit, count
from striate.ledger.render import document
from striate.ledger.render.numbers import short
from striate.ledger.render.table import More, text


def ledger(name: str) -> Ledger:
    make, inputs = NETWORKS[name]
    return count(make(), *inputs, name=name)


@pytest.mark.parametrize("name", list(NETWORKS))
@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_table_fits_and_has_the_totals(name: str, width: int) -> None:
    found = ledger(name)
    table = text(found, width)
    assert max(map(len, table.splitlines())) <= width
    assert f"{found.totals.params:,}" in table
    assert f"{found.totals.connections:,}" in table
    assert "FLOPs are 2 × MACs" in table
    assert ("This ledger is partial" in table) == (found.status == "partial")


@pytest.mark.parametrize("width", [80, 100, 120, 200])
@pytest.mark.parametrize("more", [More(), More(elementwise=True, ideas=True)])
@pytest.mark.parametrize("training", [False, True])
def test_no_column_and_no_figure_is_cut_off(width: int, more: More, training: bool) -> None:
    blocks = [nn.Sequential(nn.Linear(2048, 2048), nn.LayerNorm(2048)) for _ in range(12)]
    found = count(nn.Sequential(*blocks), (2, 197, 2048), name="deep", training=training)
    table = text(found, width, more=more)
    assert max(map(len, table.splitlines())) <= width
    head, rows = table.splitlines()[1], table.split("×N:")[0]
    assert head.split()[0] == "layer"
    assert {"kind", "params", "MACs", "local", "shared"} <= {*head.split()}
    assert "pooled" not in head  # there is none
    assert width < 200 or {"input", "output", "sees"} <= {*head.split()}
    for layer in found.layers:
        exact, brief = f"{layer.params:,}", short(layer.params)
        assert (exact if width > 80 else brief) in rows or exact in rows
    # The first block keeps less: the input is there anyway.
    assert ("×11" if training else "×12") in rows
    assert "…" not in table
    assert ("kept" in head.split()) == training


def test_bars_are_longest_where_the_weights_are() -> None:
    rows = text(ledger("lenet"), 120).splitlines()
    bars = {line.split()[0]: line.count("█") for line in rows if "Linear" in line}
    assert bars["7"] == max(bars.values())
    assert bars["7"] > bars["9"] > bars["11"]


def test_layers_that_are_left_out_are_counted() -> None:
    words = "5 layers without weights, contractions or pooling are not shown"
    assert words in " ".join(text(ledger("lenet")).split())


def test_gates_are_shown_with_their_verdict() -> None:
    found = ledger("distances").with_gates(
        [Limit("params", 10, "10"), Limit("params", 99, "99"), Limit("macs", 10**6, "macs=1M")]
    )
    table = text(found)
    for words in ("NOT MET", "held", "CANNOT BE JUDGED"):
        assert words in table


def test_names_from_outside_are_not_markup() -> None:
    class Hostile(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add_module("[red]x[", nn.Linear(2, 2))

        def forward(self, x: Tensor) -> Tensor:
            return self.get_submodule("[red]x[")(x)

    table = text(count(Hostile(), (1, 2), name="[bold]n[/bold]"))
    assert "[red]x[" in table
    assert "[bold]n[/bold]" in table


FIELDS = {
    "schema", "striate", "status", "unsupported", "batch", "totals", "ideas", "receptive_field",
    "layers", "gates", "elementwise", "containers",
}  # fmt: skip
LAYER = {
    "name", "type", "input_shape", "output_shape", "params", "weights", "bias", "connections",
    "connections_inside", "connections_with_bias", "dense_params", "locality_factor",
    "sharing_factor", "pooling_factor", "macs", "flops", "activation_bytes", "receptive_field",
    "shared_with", "calls", "elementwise", "saved_bytes",
}  # fmt: skip
TOTALS = {
    "params", "trainable", "buffers", "weight_bytes", "connections", "connections_inside",
    "dense_params", "macs", "flops", "activation_bytes", "peak_activation_bytes",
    "macs_per_example", "flops_per_example", "activation_bytes_per_example", "elementwise",
    "saved_bytes",
}  # fmt: skip


@pytest.mark.parametrize("name", list(NETWORKS))
def test_the_document_has_every_field_and_survives_json(name: str) -> None:
    found = ledger(name).with_gates([Limit("params", 10, "10")])
    plain = found.to_dict()
    assert json.loads(document.render(found)) == plain
    assert set(plain) >= FIELDS
    assert plain["schema"] == "striate.ledger/1"
    assert set(plain["totals"]) == TOTALS
    assert set(plain["ideas"]) == {"locality", "sharing", "pooling", "total"}
    assert all(set(layer) == LAYER for layer in plain["layers"])
    assert set(plain["gates"][0]) == {"metric", "limit", "value", "met"}


def test_a_receptive_field_gate() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, (3, 5)))
    found = count(model, (1, 1, 16, 16), limits=[Limit("receptive_field", 5, "")])
    assert found.receptive_field == {"size": [5, 7], "stride": [1, 1], "centre": [2.0, 3.0]}
    assert found.gates[0].value == 5
    assert found.gates[0].met is True
    unknown = count(nn.LSTM(3, 2), torch.zeros(2, 4, 3), limits=[Limit("receptive_field", 5, "")])
    assert unknown.gates[0].met is None
