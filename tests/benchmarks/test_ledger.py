"""The benchmark of the ledger: published counts, formulas by hand, tables of what was measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import ledger
import ledger_measure
import ledger_table
import pytest
import torch
from ledger_formulas import ACCOUNTS, EXACT, HALVES, TERMS, terms, total
from ledger_peers import OURS, PEERS, Counted, Peer, restore, silence
from ledger_published import FOLDER, NETWORKS, Network
from local import Journal
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import striate

ROOT = Path(__file__).parents[2]
SMALL = Network("small", "", "", 0, None, size=8)


@pytest.fixture(scope="module")
def built() -> dict[str, nn.Module]:
    """Every network without memory: shapes are enough for counts."""
    with torch.device("meta"):
        return {network.name: network.build() for network in NETWORKS}


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_networks_are_the_published_ones(network: Network, built: dict[str, nn.Module]) -> None:
    totals = striate.count(built[network.name], network.shape).totals
    assert totals.params == network.params
    if network.giga is not None:
        assert round(totals.macs / 1e9, 2) == network.giga


def test_a_network_is_counted_on_the_command_line() -> None:
    command = [sys.executable, "-m", "striate", "count", f"{FOLDER / 'mobilenet.py'}:mobilenet_v2"]
    done = subprocess.run(
        [*command, "--input", "1x3x224x224", "--json"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["totals"]["params"] == 3_504_872


@pytest.mark.parametrize("name", ["MobileNetV2", "Swin-T", "ViT-B/16"])
def test_formulas_agree_with_the_operators(name: str, built: dict[str, nn.Module]) -> None:
    network = next(one for one in NETWORKS if one.name == name)
    with torch.device("meta"):
        sizes = terms(built[name], network.shape)
        with FlopCounterMode(display=False) as counter:
            built[name](torch.zeros(network.shape))
    assert 2 * total(EXACT, sizes) == counter.get_total_flops()
    assert all(not module._forward_hooks for module in built[name].modules())


def test_every_peer_has_an_account_in_known_terms() -> None:
    assert set(ACCOUNTS) == {peer.name for peer in PEERS}
    assert all(account.keys() <= {*TERMS, *HALVES} for account in ACCOUNTS.values())


def small() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)
    ).eval()


def crash(network: nn.Module, shape: tuple[int, ...]) -> Counted:
    raise KeyError("no such operator")


def hooked(network: nn.Module, shape: tuple[int, ...]) -> Counted:
    """A peer that leaves a hook behind and prints."""
    network.register_forward_hook(lambda *_: None)
    print("hello")
    return Counted(1, 2, warned=True)


FAILING, LOUD = Peer("failing", "torch", crash), Peer("loud", "torch", hooked)


def test_figures_of_a_small_network(capsys: pytest.CaptureFixture[str]) -> None:
    network = small()
    installed = [peer for peer in PEERS if peer.obstacle() is None]
    row = ledger_measure.figures(SMALL, network, [*installed, FAILING, LOUD])
    assert row["exact"] == 8 * 8 * 4 * 3 * 9
    assert row["said"][OURS] == {"params": 120, "macs": row["exact"], "warned": False}
    assert row["said"]["failing"] == {"failure": "KeyError: 'no such operator'"}
    assert row["said"]["loud"] == {"params": 1, "macs": 2, "warned": True}
    assert "hello" not in capsys.readouterr().out
    assert not network._forward_hooks
    for peer in installed:
        assert row["said"][peer.name]["macs"] == total(ACCOUNTS[peer.name], row["terms"])


def test_times_are_turns_of_each_peer() -> None:
    asked: list[str] = []

    def peer(name: str) -> Peer:
        return Peer(name, "torch", lambda *_: asked.append(name) or Counted(None, 0))

    row = ledger_measure.times(SMALL, small(), [peer("a"), peer("b")], rounds=3, seconds=10)
    assert {name: len(taken) for name, taken in row["seconds"].items()} == {"a": 3, "b": 3}
    assert asked[:2] == ["a", "b"]
    assert sorted(asked[2:]) == ["a"] * 3 + ["b"] * 3


def test_growth_counts_the_operators() -> None:
    row = ledger_measure.growth([2], rounds=1, seconds=1)
    assert [(one["form"], one["operators"]) for one in row["counted"]] == [
        ("chain", 4),
        ("branches", 8),
    ]


def rows(ours: float = 0.01, theirs: float = 0.2, power: float = 1.0) -> list[dict[str, Any]]:
    exact = 15_470_264_320
    return [
        {
            "kind": "surroundings", "processor": "P", "cores": 2, "threads": 2, "torch": "2", "obstacles": {},
            "versions": {"torchinfo": "1.8"},
        },
        {
            "kind": "figures", "network": "VGG-16", "exact": exact, "terms": {"convolutions": exact},
            "said": {
                OURS: {"params": 138_357_544, "macs": exact, "warned": False},
                "torchinfo": {"params": 5, "macs": exact - 10**9, "warned": True},
                "calflops": {"failure": "ImportError: no"},
            },
        },
        {"kind": "times", "network": "VGG-16", "seconds": {OURS: [ours] * 6, "torchinfo": [theirs] * 6}},
        {"kind": "memory", "network": "VGG-16", "peer": OURS, "added": 60_000_000},
        {"kind": "huge", "weights": 10**12, "seconds": {OURS: [0.002] * 6}},
        {
            "kind": "growth",
            "counted": [
                {"form": "chain", "layers": n, "operators": 2 * n, "seconds": [n**power / 1000]}
                for n in (10, 100, 1000)
            ],
        },
    ]  # fmt: skip


def verdicts(found: list[dict[str, Any]]) -> list[bool | None]:
    return [target.met for target in ledger_table.targets(found)]


def test_targets_are_judged_by_what_was_measured() -> None:
    assert verdicts([]) == [None] * 9
    assert verdicts(rows()) == [True, True, True, True, True, False, True, True, True]
    slow = rows(ours=0.5, theirs=0.2, power=1.3)
    assert verdicts(slow) == [True, True, True, False, False, False, True, False, False]


def test_tables_say_who_is_off_and_why() -> None:
    text = ledger_table.tables(rows())
    assert "| VGG-16 | 138,357,544 | 15,470,264,320 | 15.47 | exact | " in text
    assert "−1,000,000,000 (−6.5 %); 5 parameters" in text
    assert "calflops on VGG-16: ImportError: no" in text
    assert "attention products" in text
    assert "| 0 of 1; not VGG-16 | 1 of 1 |" in text
    assert "0.05 (0.05–0.05), torchinfo" in text


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(SystemExit, match="--only: no network VGG: expected some of AlexNet, "):
        ledger.chosen("VGG")


def test_the_tables_are_made_again_from_the_rows_on_disk(tmp_path: Path) -> None:
    journal = Journal.new(tmp_path / "ledger.jsonl")
    for row in rows():
        journal.add(row)
    document = tmp_path / "doc.md"
    document.write_text(f"a\n{ledger.BEGIN}\nold\n{ledger.END}\nb\n")
    out = tmp_path / "ledger.md"
    ledger.main(["--out", str(out), "--table", "--into", str(document)])
    assert out.read_text() in document.read_text()
    assert "old" not in document.read_text()
    assert len(json.loads((tmp_path / "ledger.json").read_text())["rows"]) == len(rows())


def test_silence_ends(capsys: pytest.CaptureFixture[str]) -> None:
    with silence():
        print("unheard")
    print("heard")
    assert capsys.readouterr().out == "heard\n"


def test_hooks_are_taken_away() -> None:
    network = small()
    hooked(network, (1,))
    restore(network)
    assert not network._forward_hooks
