"""Figures, times and memory of each peer on each network, and how our time grows."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import resident
import torch
from ledger_formulas import EXACT, terms, total
from ledger_peers import PEERS, Peer, restore, silence
from ledger_published import NETWORKS, Network
from local_process import Died, in_a_process
from torch import Tensor, nn

import striate

Row = dict[str, Any]

#: Turns at least, as many as an interval of 95 % needs.
FEWEST = 6
#: Layers of the networks by which growth is measured.
LENGTHS = (10, 30, 100, 300, 1000, 3000)
#: Units on either side of the one dense layer: 10^12 weights.
HUGE = 10**6


def figures(network: Network, built: nn.Module, peers: Sequence[Peer]) -> Row:
    """What each peer says, beside the figure of the formulas; a failure is its text."""
    sizes = terms(built, network.shape)
    said: dict[str, Any] = {}
    for peer in peers:
        try:
            with silence():
                counted = peer.count(built, network.shape)
            said[peer.name] = {
                "params": counted.params,
                "macs": counted.macs,
                "warned": counted.warned,
            }
        except Exception as error:  # whatever a peer raises is its answer
            said[peer.name] = {"failure": f"{type(error).__name__}: {error}"}
        restore(built)
    return {
        "kind": "figures",
        "network": network.name,
        "exact": total(EXACT, sizes),
        "terms": dict(sizes),
        "said": said,
    }


def times(
    network: Network, built: nn.Module, peers: Sequence[Peer], rounds: int, seconds: float
) -> Row:
    """Seconds of each peer on the same built network, in turns, in another order each turn."""
    return {
        "kind": "times",
        "network": network.name,
        "seconds": _in_turns(
            {peer.name: _asking(peer, built, network) for peer in peers},
            rounds,
            seconds,
            lambda: restore(built),
        ),
    }


def _asking(peer: Peer, built: nn.Module, network: Network) -> Callable[[], object]:
    return lambda: peer.count(built, network.shape)


def _in_turns(
    runs: Mapping[str, Callable[[], object]],
    rounds: int,
    seconds: float,
    after: Callable[[], None] = lambda: None,
) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {name: [] for name in runs}
    order, shuffle = list(runs), random.Random(0).shuffle
    with silence():
        for run in runs.values():  # what is loaded at the first call is no time of a count
            run()
            after()
        start = time.perf_counter()
        for turn in range(rounds):
            if turn >= FEWEST and time.perf_counter() - start > seconds:
                break
            shuffle(order)
            for name in order:
                taken[name].append(_seconds(runs[name]))
                after()
    return taken


def _seconds(run: Callable[[], object]) -> float:
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start
    finally:
        gc.enable()


def memory(network: Network, peer: Peer, threads: int) -> Row:
    """Bytes that one count adds to a fresh process in which the network is built and the peer loaded."""
    row = {"kind": "memory", "network": network.name, "peer": peer.name}
    try:
        return row | {"added": in_a_process(threads, _added, network.name, peer.name)}
    except Died as death:
        return row | {"failure": str(death)}


def _added(network_name: str, peer_name: str) -> int:
    resident.give_back_at_once()
    network = next(one for one in NETWORKS if one.name == network_name)
    peer = next(one for one in PEERS if one.name == peer_name)
    with silence():
        peer.count(nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU()).eval(), (1, 3, 8, 8))
        built = network.build()
        resident.settle()
        before = resident.kilobytes("VmRSS")
        return 1024 * max(0, resident.peak_of(lambda: peer.count(built, network.shape)) - before)


def huge(rounds: int, seconds: float) -> Row:
    """A dense layer of 10^12 weights, which has none in memory."""
    layer = nn.Linear(HUGE, HUGE, device="meta")
    assert striate.count(layer, (1, HUGE)).totals.macs == HUGE**2
    runs = {"striate": lambda: striate.count(layer, (1, HUGE))}
    return {"kind": "huge", "weights": HUGE**2, "seconds": _in_turns(runs, rounds, seconds)}


class Residual(nn.Module):
    """A convolution, BatchNorm and ReLU beside the identity: branches at every layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()
        )

    def forward(self, x: Tensor) -> Tensor:
        joined: Tensor = x + self.body(x)
        return joined


def growth(lengths: Sequence[int], rounds: int, seconds: float) -> Row:
    """Seconds by number of layers: convolutions in a chain, and the same with branches."""
    counted = []
    for length in lengths:
        networks = {
            "chain": nn.Sequential(
                *(
                    layer
                    for _ in range(length)
                    for layer in (nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())
                )
            ),
            "branches": nn.Sequential(*(Residual(4) for _ in range(length))),
        }
        runs = {name: _counting(network.to("meta")) for name, network in networks.items()}
        for name, taken in _in_turns(runs, rounds, seconds).items():
            operators = (2 if name == "chain" else 4) * length
            counted.append(
                {"form": name, "layers": length, "operators": operators, "seconds": taken}
            )
    return {"kind": "growth", "counted": counted}


def _counting(network: nn.Module) -> Callable[[], object]:
    return lambda: striate.count(network, (1, 4, 16, 16))


def surroundings(threads: int, peers: Sequence[Peer]) -> Row:
    return {
        "kind": "surroundings",
        "torch": torch.__version__,
        "threads": threads,
        "versions": {peer.name: peer.version() for peer in peers},
        "obstacles": {peer.name: why for peer in peers if (why := peer.obstacle()) is not None},
    }
