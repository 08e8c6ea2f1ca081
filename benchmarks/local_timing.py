"""Ours and the peers on one shape: first the same results, then in turns against the clock."""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from local_machine import Gauge, Machine
from local_peers import KERNELS, OURS, PEERS, Peer, Ready
from local_process import Died, in_a_process
from local_shapes import Problem, Shape
from torch import Tensor

from striate.ops import backend

#: The largest error that may show, against float64 and in units of the largest result.
TOLERANCE = 1e-4
#: A peer that is so many times slower than the fastest runs only in the first turns.
FAR = 3.0
#: A turn of a peer: runs one after the other for `WARM` seconds, which do not count, then as many as fit into `BURST`
#: seconds, within these numbers, of which the median counts; but a single one if it takes `LONG` seconds. The first run
#: after a pause wakes the cores, reads the code and is given memory that the system has to fetch (in a virtual machine
#: from its host, at 1 GB/s), and the shared cache takes 100 MB to forget what ran before; the bound, which is the best
#: of several, knows nothing of that, nor does who runs a layer over and over.
WARM, BURST, FEWEST_RUNS, MOST_RUNS, LONG = 0.02, 0.02, 3, 9, 2.0
#: As many turns as an interval of 95 % needs, of the median and without assumptions.
FEWEST = 6

Say = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """How a shape is timed: `rounds` turns at most, and none new after `seconds`, but `FEWEST` in any case.

    `rotate` are the bytes of weights of each layout that the runs go around in; `most_bytes` and `longest` (seconds)
    are what a peer may need beside inputs, weights and outputs, and for a run.
    """

    rounds: int
    seconds: float
    rotate: int
    most_bytes: int
    longest: float


@dataclass
class Ring:
    """Copies of a weight, each used as seldom as there are copies."""

    copies: Sequence[Any]
    turn: int = -1

    def next(self) -> Any:
        self.turn += 1
        return self.copies[self.turn % len(self.copies)]


@dataclass
class Rings:
    """The rotating weights of a shape, one ring a layout, made when it is first asked for."""

    count: int
    made: dict[str, Ring] = field(default_factory=dict)

    @staticmethod
    def of(shape: Shape, rotate: int) -> Rings:
        return Rings(rotate // shape.weight_bytes + 1)

    def of_layout(self, ready: Ready) -> Ring:
        if ready.layout not in self.made:
            self.made[ready.layout] = Ring(ready.copies(self.count))
        return self.made[ready.layout]


class Disagreement(Exception):
    """A peer that computes something else: nothing is timed."""


def time_shape(
    shape: Shape,
    directions: Sequence[str],
    peers: Sequence[Peer],
    gauge: Gauge,
    settings: Settings,
    say: Say,
) -> Iterator[dict[str, Any]]:
    """A row for each direction, when it is done; raise `Disagreement`."""
    problem = Problem.of(shape)
    expected = problem.expected(directions[-1])
    rings = Rings.of(shape, settings.rotate)
    for direction in directions:
        part = expected[:1] if direction == "forward" else expected
        yield time_direction(problem, direction, peers, part, rings, gauge, settings, say)


def time_direction(
    problem: Problem,
    direction: str,
    peers: Sequence[Peer],
    expected: tuple[Tensor, ...],
    rings: Rings,
    gauge: Gauge,
    settings: Settings,
    say: Say,
) -> dict[str, Any]:
    shape = problem.shape
    runners: dict[str, Callable[[], Any]] = {}
    skipped: dict[str, str] = {}
    errors: dict[str, float] = {}
    for peer in peers:
        reason = _too_much(peer, shape, direction, settings)
        if reason is None and peer.generated:
            reason = _death(peer.name, shape, direction)
        if reason is None:
            ready = peer.prepare(problem, direction)
            run = _on_ring(ready, rings.of_layout(ready))
            errors[peer.name] = _error(peer.name, shape, direction, ready.read(run()), expected)
            seconds = _seconds(run)
            if seconds > settings.longest:
                reason = f"takes {seconds:.0f} s a run"
        if reason is None:
            runners[peer.name] = run
        else:
            skipped[peer.name] = reason
            say(f"  {peer.name} is left out: {reason}")
    times, machines = race(runners, gauge, settings.rounds, settings.seconds)
    moved, flops = shape.moved_bytes(direction), shape.flops(direction)
    bandwidth, peak = (
        statistics.median(getattr(one, name) for one in machines) for name in ("bandwidth", "peak")
    )
    chosen = backend.choose(problem.x, problem.weight, grid=shape.grid)
    return {
        "kind": "time",
        "shape": shape.name,
        "text": shape.text,
        "direction": direction,
        "backend": str(chosen),
        "bound": {
            "limit": Machine(bandwidth, peak).bound(moved, flops)[1],
            "bytes": moved,
            "flops": flops,
            "bandwidth": bandwidth,
            "peak": peak,
            "seconds": [one.bound(moved, flops)[0] for one in machines],
        },
        "errors": errors,
        "skipped": skipped,
        "times": times,
    }


def _too_much(peer: Peer, shape: Shape, direction: str, settings: Settings) -> str | None:
    obstacle = peer.obstacle(shape)
    if obstacle is not None:
        return obstacle
    needed = peer.scratch(shape, direction)
    return f"needs {needed / 1e9:.1f} GB" if needed > settings.most_bytes else None


def _death(name: str, shape: Shape, direction: str) -> str | None:
    """How a peer kills its process, or None where it survives some runs."""
    try:
        in_a_process(torch.get_num_threads(), _try, name, shape, direction)
    except Died as death:
        return f"is broken here: {death}"
    return None


def _try(name: str, shape: Shape, direction: str) -> bool:
    problem = Problem.of(shape)
    ready = next(peer for peer in PEERS if peer.name == name).prepare(problem, direction)
    for weight in ready.copies(3):
        ready.run(weight)
        gc.collect()
    return True


def _on_ring(ready: Ready, ring: Ring) -> Callable[[], Any]:
    return lambda: ready.run(ring.next())


def _error(
    name: str,
    shape: Shape,
    direction: str,
    found: tuple[Tensor, ...],
    expected: tuple[Tensor, ...],
) -> float:
    error = 0.0
    for result, right in zip(found, expected, strict=True):
        if result.shape != right.shape:
            raise Disagreement(
                f"{name}, {shape.name}, {direction}: {tuple(result.shape)}, not {tuple(right.shape)}"
            )
        part = float((result - right).abs().max() / right.abs().max())
        if not part <= TOLERANCE:  # also where it is no number, which max() would pass over
            raise Disagreement(
                f"{name}, {shape.name}, {direction}: off by {part:.1e} of the largest result"
            )
        error = max(error, part)
    return error


def race(
    runners: Mapping[str, Callable[[], Any]], gauge: Gauge, rounds: int, seconds: float
) -> tuple[dict[str, list[float | None]], list[Machine]]:
    """The seconds of each runner in each turn, None where it did not run, and what the machine could do in the turn.

    The order is another one every turn.
    """
    times: dict[str, list[float | None]] = {name: [] for name in runners}
    machines: list[Machine] = []
    running = set(runners)
    order = list(runners)
    shuffle = random.Random(0).shuffle
    start = time.perf_counter()
    with _no_collector():
        for turn in range(rounds):
            if turn >= FEWEST and time.perf_counter() - start > seconds:
                break
            if turn == FEWEST:
                running = _near(times)
            _settle()
            machines.append(gauge.measure())
            shuffle(order)
            for name in order:
                times[name].append(_burst(runners[name]) if name in running else None)
    return times, machines


def _near(times: Mapping[str, list[float | None]]) -> set[str]:
    medians = {
        name: statistics.median([one for one in each if one is not None])
        for name, each in times.items()
    }
    fastest = min(medians.values())
    return {
        name for name, median in medians.items()
        if name in (OURS, KERNELS) or median <= FAR * fastest
    }  # fmt: skip


def _burst(run: Callable[[], Any]) -> float:
    _settle()
    first = warming = _seconds(run)
    if first >= LONG:
        return first
    while warming < WARM:
        warming += _seconds(run)
    taken: list[float] = []
    while len(taken) < MOST_RUNS and (len(taken) < FEWEST_RUNS or sum(taken) < BURST):
        taken.append(_seconds(run))
    return statistics.median(taken)


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    result = run()
    taken = time.perf_counter() - start
    del result  # after the clock has stopped: what is freed is the results, which all have
    return taken


def _settle() -> None:
    """Wait until no thread of the run before still spins for more work, which would slow the next one."""
    for _ in range(100):
        start, used = time.perf_counter(), time.process_time()
        time.sleep(0.001)
        if time.process_time() - used < 0.3 * (time.perf_counter() - start):
            return


@contextmanager
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
