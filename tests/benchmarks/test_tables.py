"""The tables say what the run directories hold, and a dash for what is not there."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import shrink
import tables
from shrink import Row, Task

from striate.reduce.statistics import wilson

TASK = Task("toy", "zoo:mlp", "digits", 3)
FITTED = Row("toy-10-fit", "toy", "10%", 0, 0.5)
TUNED = Row("toy-10", "toy", "10%", 2, 0.5)
PICTURES = Row("toy-10-images", "toy", "10%", 0, 2.5, images=True)
ROWS = (FITTED, TUNED, PICTURES)
TASKS = {"toy": TASK}


def score(
    accuracy: float | None, examples: int, name: str = "accuracy", value: float = 0.0
) -> dict[str, Any]:
    metric = {"name": name, "value": value if accuracy is None else accuracy}
    return {"accuracy": accuracy, "metric": metric, "examples": examples}


def write(path: Path, document: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def write_journal(path: Path, steps: Mapping[str, float]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({"key": key, "seconds": seconds, "value": {}}) for key, seconds in steps.items()
    ]
    path.write_text("".join(f"{line}\n" for line in lines))


STEPS = {
    "survey": 1.0, "baseline": 100.0, "measure/fc1/residuals": 20.0, "measure/fc1/low-rank": 4.0, "finalists": 2.0,
    "finalist/1/replaced": 0.5, "finalist/1/fitted": 3.5, "race/1/epoch/1": 1000.0, "distill/epoch/1": 1000.0,
    "labels/epoch/1": 1000.0, "test": 10.0,
}  # fmt: skip
PLANNING = 31.0


def write_base(out: Path, seed: int, accuracy: float, epoch: float = 10.0) -> None:
    base = out / f"toy-base-{seed}"
    write(base / "result.json", {"status": "already-met", "baseline": score(accuracy, 1000)})
    write_journal(
        base / "journal.jsonl",
        {"survey": 0.0, "pretrain/epoch/1": epoch - 1, "pretrain/epoch/2": epoch + 1},
    )


def write_run(
    out: Path, row: Row, seed: int, before: float, after: float,
    stages: tuple[float, float, float] = (0.9, 0.5, 0.8), status: str = "done",
) -> None:  # fmt: skip
    original, replaced, fitted = (
        score(None, 200, "agreement", value) if row.images else score(value, 200)
        for value in stages
    )
    tested = [
        score(None, 0) if row.images else score(accuracy, 1000) for accuracy in (before, after)
    ]
    write(
        out / f"{row.name}-{seed}" / "result.json",
        {
            "status": status,
            "seconds": 500.0,
            "baseline": {**tested[0], "params": 10_000, "validation": original},
            "replaced": {"params": 950 + seed, "validation": replaced},
            "fitted": {"params": 950 + seed, "validation": fitted},
            "shrunk": {**tested[1], "params": 950 + seed, "validation": fitted},
            "budget": [{"metric": "params", "limit": 1000, "value": 950 + seed, "met": True}],
        },
    )
    write_journal(out / f"{row.name}-{seed}" / "journal.jsonl", STEPS)
    if row.images:
        write(out / f"{row.name}-{seed}.json", score(after, 1000))


def write_rivals(out: Path, seed: int, scratch: float, pruned: float) -> None:
    write(
        out / f"toy-10-scratch-{seed}" / "scratch.json", {"epochs": 5, "test": score(scratch, 1000)}
    )
    write(
        out / f"toy-10-torch-pruning-{seed}" / "rival.json",
        {
            "of": f"toy-base-{seed}", "percent": 10, "epochs": 2, "seed": seed, "params": 990,
            "importance": "taylor", "scope": "dense", "test": score(pruned, 1000),
            "pruned": {"validation": score(0.3, 200)},
            "candidates": [
                {"validation": score(0.3, 200)}, {"validation": score(0.4, 200)}, {"validation": None}
            ],
        },
    )  # fmt: skip


def read(text: str) -> list[list[dict[str, str]]]:
    """The Markdown tables, a dictionary a row."""
    found = []
    for is_table, group in itertools.groupby(text.splitlines(), lambda line: line.startswith("|")):
        if is_table:
            head, rule, *body = [
                [cell.strip() for cell in line.strip("|").split("|")] for line in group
            ]
            assert set(rule) == {"---"}
            found.append([dict(zip(head, cells, strict=True)) for cells in body])
    return found


def made(out: Path, seeds: tuple[int, ...] = (0, 1, 2)) -> list[list[dict[str, str]]]:
    return read(tables.table(out, seeds, ROWS, TASKS))


def test_without_a_run_every_row_of_the_driver_is_a_row_of_dashes(tmp_path: Path) -> None:
    text = tables.table(tmp_path, [0, 1, 2])
    results, rivals, costs = read(text)
    assert len(results) == len(costs) == len(shrink.ROWS)
    assert [row["allowed"] for row in results] == [f"{row.allowed:g}" for row in shrink.ROWS]
    assert all(row["smaller"] == row["met"] == row["points below"] == "—" for row in results)
    assert len(rivals) == sum(row.epochs > 0 for row in shrink.ROWS)
    assert text.endswith("regains: —\n")


def test_means_intervals_and_the_verdict_are_those_of_the_seeds(tmp_path: Path) -> None:
    for seed, (before, after) in enumerate([(0.95, 0.947), (0.96, 0.953), (0.955, 0.951)]):
        write_run(tmp_path, TUNED, seed, before, after)
    row = made(tmp_path)[0][1]
    assert row["original"] == "95.50 %"
    assert row["smaller"] == "95.03 %"
    assert row["each seed"] == "94.70, 95.30, 95.10"
    assert row["parameters"] == "950 to 952 of 1,000"
    assert row["test images"] == "3 × 1,000"
    low, high = wilson(947 + 953 + 951, 3000)
    assert row["95 % interval"] == f"{100 * low:.2f} to {100 * high:.2f}"
    assert row["points below"] == "0.47"
    assert row["met"] == "yes"
    assert row["replaced (validation)"] == "50.00 %"
    assert row["fitted (validation)"] == "80.00 %"


@pytest.mark.parametrize(
    ("after", "points", "met"),
    [(0.945, "0.50", "yes"), (0.944, "0.60", "no"), (0.96, "−1.00", "yes")],
)
def test_the_goal_is_met_up_to_what_is_allowed(
    tmp_path: Path, after: float, points: str, met: str
) -> None:
    write_run(tmp_path, FITTED, 0, 0.95, after)
    row = made(tmp_path, (0,))[0][0]
    assert (row["points below"], row["met"]) == (points, met)


def test_missing_seeds_and_unfinished_runs_are_said(tmp_path: Path) -> None:
    write_run(tmp_path, TUNED, 0, 0.95, 0.95)
    write_run(tmp_path, TUNED, 1, 0.95, 0.10, status="interrupted")
    row = made(tmp_path)[0][1]
    assert row["met"] == "yes (1 of 3 seeds)"
    assert row["each seed"] == "95.00"


def test_a_run_without_labels_takes_its_accuracies_from_the_labelled_test_set(
    tmp_path: Path,
) -> None:
    write_run(tmp_path, PICTURES, 0, 0.95, 0.93, stages=(1.0, 0.6, 0.9))
    assert made(tmp_path, (0,))[0][2]["met"] == "—"  # the original's accuracy is not known yet
    write_base(tmp_path, 0, 0.95)
    row = made(tmp_path, (0,))[0][2]
    assert (row["original"], row["smaller"], row["points below"]) == ("95.00 %", "93.00 %", "2.00")
    assert row["fitted (validation)"] == "90.00 % agreement"
    (tmp_path / f"{PICTURES.name}-0.json").unlink()
    assert made(tmp_path, (0,))[0][2]["smaller"] == "—"


@pytest.mark.parametrize(("epoch", "allowed"), [(10.0, "90"), (60.0, "120")])
def test_planning_is_all_before_the_race_and_may_take_two_epochs_or_ninety_seconds(
    tmp_path: Path, epoch: float, allowed: str
) -> None:
    write_base(tmp_path, 0, 0.95, epoch)
    write_run(tmp_path, TUNED, 0, 0.95, 0.95)
    row = made(tmp_path, (0,))[2][1]
    assert row["planning, s"] == f"{PLANNING:.1f}"
    assert row["an epoch of the original, s"] == f"{epoch:.1f}"
    assert (row["allowed, s"], row["met"]) == (allowed, "yes")
    assert row["peak memory, GB"] == row["below 4 GB"] == "—"
    write_journal(
        tmp_path / f"{TUNED.name}-0" / "journal.jsonl", {**STEPS, "finalists": 1 + float(allowed)}
    )
    write(tmp_path / f"{TUNED.name}-0.memory.json", {"peak_bytes": 4_200_000_000})
    row = made(tmp_path, (0,))[2][1]
    assert (row["met"], row["peak memory, GB"], row["below 4 GB"]) == ("no", "4.20", "no")


def test_a_torn_last_line_of_a_journal_does_not_count(tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    assert tables.journal(file) == {}
    write_journal(file, STEPS)
    with file.open("a") as journal:
        journal.write('{"key": "measure/fc2", "seco')
    assert tables.planning_seconds(file) == PLANNING


def test_what_the_fit_regains_is_a_mean_over_rows_of_shares_over_seeds(tmp_path: Path) -> None:
    write_base(tmp_path, 0, 0.95)
    write_run(tmp_path, FITTED, 0, 0.95, 0.95, stages=(0.9, 0.5, 0.7))  # 0.2 of 0.4
    write_run(tmp_path, FITTED, 1, 0.95, 0.95, stages=(0.9, 0.9, 0.9))  # nothing lost
    write_run(tmp_path, TUNED, 0, 0.95, 0.95, stages=(0.9, 0.91, 0.92))  # replacing gained
    write_run(tmp_path, PICTURES, 0, 0.95, 0.95, stages=(1.0, 0.0, 0.2))  # 0.2 of 1
    text = tables.table(tmp_path, (0, 1), ROWS, TASKS).splitlines()[-1]
    assert "regains 35 % in the mean over 2 rows (at least 50 %: no)" in text
    assert "toy 10%, fitted 50 %; toy 10%, fitted, unlabelled 20 %" in text
    assert text.endswith("Replacing lost nothing: toy 10%, 2 epochs.")


def test_rivals_stand_beside_the_run_of_their_own_seed(tmp_path: Path) -> None:
    for seed, after in ((0, 0.90), (1, 0.94)):
        write_run(tmp_path, TUNED, seed, 0.95, after)
        write_run(tmp_path, FITTED, seed, 0.95, after)
    write_rivals(tmp_path, 0, scratch=0.92, pruned=0.6)
    untrained, trained = made(tmp_path)[1]
    assert (untrained["striate"], untrained["Torch-Pruning"]) == (
        "80.00 % (validation)",
        "40.00 % (validation)",
    )
    assert untrained["best"] == "striate"
    assert trained["striate"] == "90.00 %"
    assert trained["the same from scratch"] == "92.00 % (5 epochs)"
    assert trained["Torch-Pruning"].startswith(
        "60.00 % (990 parameters; taylor, dense layers only; only pruned 30.00 %"
    )
    assert trained["best"] == "from scratch"


def test_a_rival_of_another_size_training_or_original_is_not_shown(tmp_path: Path) -> None:
    write_run(tmp_path, TUNED, 0, 0.95, 0.90)
    write_rivals(tmp_path, 0, scratch=0.92, pruned=0.6)
    path = tmp_path / "toy-10-torch-pruning-0" / "rival.json"
    rival = json.loads(path.read_text())
    for change in ({"percent": 20}, {"epochs": 3}, {"of": "other-base-0"}):
        write(path, rival | change)
        assert made(tmp_path)[1][-1]["Torch-Pruning"] == "—"


def test_different_test_images_before_and_after_are_refused(tmp_path: Path) -> None:
    write_base(tmp_path, 0, 0.95)
    write_run(tmp_path, PICTURES, 0, 0.95, 0.93)
    write(tmp_path / f"{PICTURES.name}-0.json", score(0.93, 900))
    with pytest.raises(ValueError, match="1000 images before and 900 after"):
        made(tmp_path, (0,))
