"""`--probe`: the fields that the ledger claims against gradients of a real run."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.errors import RequestError
from striate.ledger import Probe, probe
from striate.ledger.capture import probe as running
from striate.ledger.probed import Probed
from striate.ledger.receptive.unit import Unit
from striate.ledger.render.probed import render
from tests.ledger import receptive_networks as parts


class Small(nn.Module):
    """A convolution that is added to in place, dead weights, and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.wide = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 5, padding=2)
        self.pool, self.dense = nn.MaxPool2d(2), nn.Linear(4, 3)
        nn.init.zeros_(self.wide.weight)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        y += self.wide(y.clone())
        return self.dense(self.pool(F.relu_(y)).mean((2, 3)))


def test_a_row_for_each_layer_and_the_model_left_as_it_was() -> None:
    model = Small().train()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    found = probe(model, torch.zeros(2, 2, 16, 16))
    assert [(row.name, row.claimed, row.outcome) for row in found.rows] == [
        ("conv", ((7, 10), (7, 10)), "agrees"),
        ("wide", ((5, 12), (5, 12)), "agrees"),
        ("pool", ((5, 13), (5, 13)), "agrees"),
        ("dense", ((0, 16), (0, 16)), "agrees"),
    ]
    assert found.output == Probed("", "output", ((0, 16), (0, 16)), ((0, 16), (0, 16)))
    assert not found.faults
    assert model.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Conv2d(4, 4, 4, 4), parts.ClassToken(4, 16)),
        nn.Sequential(nn.Conv2d(4, 4, 4, 4), parts.ChannelsLast(4), parts.Gate(4)),
        nn.Sequential(
            nn.Conv2d(4, 4, 7, 2, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        ),
    ],
)
def test_networks_agree(model: nn.Module) -> None:
    found = probe(model, (1, 4, 16, 16))
    assert {row.outcome for row in found.rows} <= {"agrees", "not claimed"}
    assert found.output.outcome == "agrees"


def test_what_is_not_claimed_is_not_run() -> None:
    class Never(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert x.is_meta
            return torch.roll(x, 1, 2)

    found = probe(Never(), (1, 1, 4, 4))
    assert found == Probe((), Probed("", "output", None, None))
    assert found.output.outcome == "not claimed"
    tokens = probe(nn.Embedding(5, 3), torch.zeros(2, 5, dtype=torch.long))
    assert tokens.output.claimed is None


def test_a_claim_that_is_wrong_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by the rows' own say: against a field that is made smaller, and one made larger."""
    model = nn.Conv2d(1, 1, 3, padding=1)
    claimed = running.unit
    for more, outcome in ((1, "smaller"), (-1, "differs")):

        def other(*arguments: Any, more: int = more) -> Unit | None:
            found = claimed(*arguments)
            box = tuple((start - more, stop + more) for start, stop in found.box) if found else ()
            return found and Unit(found.places, box)

        with monkeypatch.context() as patched:
            patched.setattr(running, "unit", other)
            found = probe(model, (1, 1, 9, 9))
        assert found.output.outcome == outcome
        assert [row.name for row in found.faults] == ([""] if outcome == "differs" else [])


def test_a_dead_path_is_smaller_and_no_gradient_is_nothing_seen() -> None:
    cut = parts.Do(lambda x: F.conv2d(x, torch.tensor([0.0, 1, 0]).to(x).view(1, 1, 1, 3)))
    assert probe(cut, (1, 1, 4, 8)).output.outcome == "smaller"
    assert probe(parts.Do(lambda x: x.detach() * 2), (1, 1, 4, 8)).output.outcome == "nothing seen"


def test_a_forward_that_makes_single_precision_runs_in_it() -> None:
    layer = nn.Conv2d(1, 1, 3)
    model = nn.Sequential(parts.Do(lambda x: x.float()), layer)
    assert probe(model, (1, 1, 8, 8)).output.outcome == "agrees"


def test_meta_weights_several_inputs_and_keywords() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)

        def forward(self, x: Tensor, *, scale: Tensor, table: dict[str, Tensor]) -> Tensor:
            return self.conv(x) * scale + table["shift"]

    with torch.device("meta"):
        model = Two()
    found = probe(model, (1, 1, 8, 8), keywords={"scale": (1,), "table": {"shift": (1,)}})
    assert found.output.outcome == "agrees"
    alone = probe(nn.Conv2d(1, 2, 3), (1, 8, 8), batch_dim=None)
    assert alone.output == Probed("", "output", ((3, 6), (3, 6)), ((3, 6), (3, 6)))


def test_bad_input_is_one_line() -> None:
    deep = nn.Sequential(nn.Conv2d(3, 64, 3), nn.Conv2d(64, 64, 3))
    with pytest.raises(
        RequestError, match=r"^probe: the real run takes about .* GB, of .* free mem"
    ):
        probe(deep, (4096, 3, 4096, 4096))
    with pytest.raises(RequestError, match="raised RuntimeError"):
        probe(deep, (1, 4, 32, 32))


def test_the_table_fits(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    found = probe(Small(), (1, 2, 16, 16))
    Console(width=80).print(render(found))
    printed = capsys.readouterr().out
    assert "5 of 5 claimed fields agree" in printed
    assert "5-11 x 5-11" in printed
    assert max(map(len, printed.splitlines())) <= 80
