"""The benchmark of local layers: peers that agree, intervals that are right, tables of what was measured."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import local
import local_memory
import local_peers
import local_table
import local_timing
import pytest
import resident
import torch
from hypothesis import given
from hypothesis import strategies as st
from local_machine import Gauge
from local_peers import KERNELS, OURS, PEERS, PLAIN, UNFOLD, Peer, Ready
from local_process import Died, in_a_process
from local_shapes import DIRECTIONS, SHAPES, TARGETS, Problem, Shape
from local_statistics import Spread, paired, sign_interval
from local_timing import Disagreement, Settings
from scipy.stats import binom

SMALL = (
    Shape("plain", 2, 4, (7, 6), 5, 3, "same"),
    Shape("stride", 2, 3, (9, 8), 4, 3, padding=1, stride=2),
    Shape("groups", 3, 4, (6, 5), 6, (1, 3), groups=2),
    Shape("shared", 2, 4, (8, 8), 6, 3, "same", groups=2, share=4),
    Shape("dilation", 2, 3, (9, 7), 4, 3, padding=2, dilation=2),
    Shape("line", 2, 2, (20,), 3, 5, "same"),
    Shape("cube", 2, 2, (4, 5, 4), 3, 3, "same", share=1),
)
SETTINGS = Settings(rounds=6, seconds=1, rotate=10_000, most_bytes=10**8, longest=10)
#: Compiling takes seconds for each shape.
QUICK = tuple(peer for peer in PEERS if peer.name != local_peers.COMPILED)


@pytest.fixture(scope="module")
def gauge() -> Gauge:
    """A machine that is measured in no time."""
    return Gauge(megabytes=2, side=64, rounds=1000)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("shape", SMALL, ids=lambda shape: shape.name)
@pytest.mark.parametrize("peer", QUICK, ids=lambda peer: peer.name)
def test_peers_agree(peer: Peer, shape: Shape, direction: str) -> None:
    obstacle = peer.obstacle(shape)
    if obstacle is not None:
        pytest.skip(f"{peer.name} {obstacle}")
    problem = Problem.of(shape)
    ready = peer.prepare(problem, direction)
    for weight in ready.copies(2):
        found = ready.read(ready.run(weight))
        expected = problem.expected(direction)
        assert len(found) == len(expected) == (1 if direction == "forward" else 3)
        for result, right in zip(found, expected, strict=True):
            torch.testing.assert_close(result, right, rtol=1e-4, atol=1e-4)


def test_what_the_plain_path_gives_in_float64_is_the_definition() -> None:
    """The peers are compared with it; here it is compared with a loop."""
    shape = SMALL[3]
    problem = Problem.of(shape)
    [found] = problem.expected("forward")
    x = torch.nn.functional.pad(problem.x, (1, 1, 1, 1))
    for row, column in ((0, 0), (3, 4), (7, 7)):
        kernel = problem.weight[row // 4, column // 4]
        window = x[:, :, row : row + 3, column : column + 3]
        right = torch.nn.functional.conv2d(window, kernel, groups=2)[:, :, 0, 0]
        torch.testing.assert_close(found[:, :, row, column], right, rtol=1e-4, atol=1e-4)


def test_a_peer_that_computes_something_else_stops_everything(gauge: Gauge) -> None:
    def wrong(problem: Problem, direction: str) -> Ready:
        return local_peers.torch_ready(
            lambda x, weight: torch.full_like(problem.y_gradient, torch.nan), problem, direction
        )

    peers = (Peer("wrong", local_peers.nothing, local_peers.no_scratch, wrong),)
    with pytest.raises(Disagreement, match="wrong, plain, forward: off by nan"):
        list(local_timing.time_shape(SMALL[0], ["forward"], peers, gauge, SETTINGS, print))


def test_a_peer_that_needs_too_much_is_left_out_and_said(gauge: Gauge) -> None:
    said: list[str] = []
    settings = Settings(6, 1, 10_000, most_bytes=1000, longest=10)
    [row] = local_timing.time_shape(SMALL[0], ["forward"], QUICK, gauge, settings, said.append)
    assert row["skipped"][UNFOLD] == "needs 0.0 GB"
    assert UNFOLD not in row["times"]
    assert f"  {UNFOLD} is left out: needs 0.0 GB" in said


def test_a_process_that_dies_says_how() -> None:
    assert in_a_process(1, int, "3") == 3
    with pytest.raises(Died, match="its process died of SIGABRT"):
        in_a_process(1, os.abort)
    with pytest.raises(Died, match="its process died with exit code 7"):
        in_a_process(1, os._exit, 7)


def test_far_slower_peers_stop_early_and_turns_stay_paired(gauge: Gauge) -> None:
    def sleep(seconds: float) -> Any:
        return lambda: local_timing.time.sleep(seconds)

    runners = {OURS: sleep(0.002), UNFOLD: sleep(0.02)}
    times, machines = local_timing.race(runners, gauge, rounds=8, seconds=60)
    assert len(machines) == len(times[OURS]) == 8
    assert [one is None for one in times[UNFOLD]] == [False] * local_timing.FEWEST + [True] * 2
    assert None not in times[OURS]
    assert len(paired(times[OURS], times[UNFOLD])) == local_timing.FEWEST


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=40))
def test_the_interval_is_that_of_a_sign_test(values: list[float]) -> None:
    low, high = sign_interval(values)
    assert low <= Spread.of(values).median <= high
    count = len(values)
    # The narrowest of ranks k and count + 1 - k whose coverage is at least 95 %.
    covered = [k for k in range(1, count // 2 + 1) if 2 * binom.cdf(k - 1, count, 0.5) <= 0.05]
    rank = max(covered, default=1)
    assert (low, high) == (sorted(values)[rank - 1], sorted(values)[count - rank])


def test_every_copy_of_a_weight_has_its_turn() -> None:
    shape = SMALL[0]
    rings = local_timing.Rings.of(shape, 4 * shape.weight_bytes)
    ring = rings.of_layout(local_peers.plain(Problem.of(shape), "forward"))
    seen = {ring.next().data_ptr() for _ in range(5)}
    assert len(seen) == 5


def row(shape: str, direction: str, **times: list[float]) -> dict[str, Any]:
    bound = {"seconds": [1.0] * 6, "limit": "memory"}
    named = {name.replace("_", " "): each for name, each in times.items()}
    return {
        "kind": "time",
        "shape": shape,
        "text": "",
        "direction": direction,
        "backend": "cpu: compiled",
        "bound": bound,
        "skipped": {},
        "errors": {},
        "times": named,
    }


def timed(ours: float, others: float) -> list[dict[str, Any]]:
    return [
        row(shape, direction, **{OURS: [ours] * 6, UNFOLD: [others] * 6, KERNELS: [1.0] * 6})
        for shape in TARGETS
        for direction in DIRECTIONS
    ]


@pytest.mark.parametrize(
    ("ours", "others", "expected"),
    [
        (1.2, 12.0, [True, True, True, True, True]),
        (1.6, 3.2, [False, True, False, True, True]),
        (3.5, 3.4, [False, False, False, True, True]),
        (0.5, 0.4, [True, True, False, False, False]),
    ],
)
def test_targets(ours: float, others: float, expected: list[bool]) -> None:
    found = local_table.targets(timed(ours, others))
    assert [target.met for target in found[:5]] == expected
    assert all(target.met is None and target.found == "—" for target in found[5:])


def test_what_did_not_run_is_in_the_tables() -> None:
    rows = timed(1.0, 12.0)
    rows[0]["skipped"] = {UNFOLD: "needs 9.0 GB"}
    rows[1]["backend"] = "reference: there is no compiler"
    text = local_table.tables(rows)
    assert f"A: {UNFOLD} is left out: it needs 9.0 GB." in text
    assert "A: ours is the plain path: there is no compiler." in text


def test_part_of_the_list_meets_no_target() -> None:
    found = local_table.targets(timed(1.0, 12.0)[:4])
    assert not any(target.met for target in found)


def test_a_run_writes_its_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gauge: Gauge
) -> None:
    monkeypatch.setattr(local, "Gauge", lambda: gauge)
    monkeypatch.setattr(local.local_machine, "use_cores", lambda threads: None)
    monkeypatch.setattr(local, "SHAPES", SMALL[:1])
    monkeypatch.setattr(local, "PEERS", QUICK)
    document = tmp_path / "page.md"
    document.write_text(f"before\n{local.BEGIN}\n{local.END}\nafter\n")
    out = tmp_path / "some" / "table.md"
    arguments = ["--out", str(out), "--into", str(document), "--rotate", "0.1"]
    local.main([*arguments, "--rounds", "6", "--threads", "1"])
    text = out.read_text()
    assert SMALL[0].text in text
    assert text in document.read_text()
    assert document.read_text().startswith("before\n")
    assert document.read_text().endswith("\nafter\n")
    rows = json.loads(out.with_suffix(".json").read_text())["rows"]
    kinds = [one["kind"] for one in rows]
    assert kinds.count("time") == 2
    if resident.obstacle() is None:
        assert kinds.count("memory") == 4
    timed_rows = [one for one in rows if one["kind"] == "time"]
    assert all({OURS, UNFOLD, PLAIN} <= set(one["times"]) for one in timed_rows)
    # Nothing is measured twice, and a table can be made without measuring.
    before = out.with_suffix(".jsonl").read_text()
    local.main([*arguments, "--rounds", "6", "--threads", "1", "--resume"])
    assert out.with_suffix(".jsonl").read_text() == before
    out.unlink()
    local.main(["--out", str(out), "--table"])
    assert out.read_text() == text
    with pytest.raises(SystemExit, match="has no rows: run without --table first"):
        local.main(["--out", str(tmp_path / "other.md"), "--table"])


def test_the_journal_outlives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"kind": "time", "shape": "A"}\n{"kind": "ti')
    assert local.Journal.read(path).rows == [{"kind": "time", "shape": "A"}]
    assert local.Journal.new(path).rows == []
    assert (tmp_path / "rows.previous.jsonl").is_file()


@pytest.mark.skipif(resident.obstacle() is not None, reason=resident.obstacle() or "measurable")
def test_memory_of_unfold_is_that_of_its_windows() -> None:
    shape = Shape("wide", 8, 16, (40, 40), 4, 5)
    [found] = local_memory.of_peers(shape, "forward", [UNFOLD], 1)
    # A little is found in pages that were freed before.
    for run in ("extra", "again"):
        assert 0.9 <= found[run] / shape.window_bytes <= 3.5


def test_the_shapes_are_those_that_were_asked_for() -> None:
    assert tuple(shape.name for shape in SHAPES[:7]) == TARGETS
    assert len({shape.name for shape in SHAPES}) == len(SHAPES) >= 17
    assert SHAPES[0].text == "1×1×1000×1000→1 k10 same"
    assert SHAPES[0].weight_bytes == 400_000_000
    with pytest.raises(SystemExit, match="no shape Z: expected some of A, B"):
        local.chosen("A,Z")
