"""The tables of `striate shrink`: results, rivals and costs, read from the run directories that `shrink.py` left.

Nothing is computed but means, sums and intervals; a run that is not there, or not done, shows as a dash.

A file `NAME-SEED.memory.json` beside a run, `{"peak_bytes": N}`, is taken for the peak memory of its process.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from striate.reduce.statistics import wilson

if TYPE_CHECKING:
    from shrink import Row, Task

Document = Mapping[str, Any]

DASH = "—"
# Planning may take so long: two epochs of the original's training or this, whichever is longer.
PLANNING_EPOCHS, PLANNING_SECONDS = 2, 90.0
PEAK_BYTES = 4e9
# The share of what replacing lost that the fit is to regain, in the mean over the rows.
REGAINED = 0.5
# Steps of a run that are no planning: the training of the original, the finalists' race, and all that comes after.
_PLANNING = ("survey", "sensitivity", "measure/", "finalists", "finalist/")


# ---- what a run left


@dataclass(frozen=True)
class Measured:
    """A finished run of one row and seed. Accuracies are fractions of `images` test images."""

    seed: int
    params: int
    limit: int
    images: int
    before: float
    after: float
    metric: str  # of the validation scores: "accuracy", or "agreement" where there were no labels
    validation: tuple[float, float, float]  # the original, merely replaced, fitted
    planning: float
    epoch: float | None  # seconds that an epoch of the original's training took
    seconds: float
    peak: int | None

    @property
    def lost(self) -> float:
        """What replacing alone cost on the validation images."""
        return self.validation[0] - self.validation[1]

    @property
    def regained(self) -> float:
        """What the fit brought back of it."""
        return self.validation[2] - self.validation[1]

    @property
    def planning_allowed(self) -> float:
        return max(PLANNING_SECONDS, PLANNING_EPOCHS * (self.epoch or 0.0))


def measured(out: Path, row: Row, task: Task, seed: int) -> Measured | None:
    """The run of a row and a seed, None where it is not done or its test accuracy is not known yet."""
    directory = out / f"{row.name}-{seed}"
    base = out / f"{task.name}-base-{seed}"
    result = _document(directory / "result.json")
    if result is None or result["status"] != "done":
        return None
    before, after = result["baseline"], result["shrunk"]
    if row.images:  # pictures without labels: both were asked about the labelled test set apart
        original, again = (
            _document(base / "result.json"),
            _document(out / f"{row.name}-{seed}.json"),
        )
        if original is None or again is None:
            return None
        before, after = {**before, **_test(original["baseline"])}, {**after, **_test(again)}
    if before["accuracy"] is None or after["accuracy"] is None:
        return None
    if before["examples"] != after["examples"]:
        raise ValueError(
            f"{directory}: tested on {before['examples']} images before and {after['examples']} after"
        )
    stages = (result["baseline"], result["replaced"], result["fitted"])
    metrics = [stage["validation"]["metric"] for stage in stages]
    (limit,) = (gate["limit"] for gate in result["budget"] if gate["metric"] == "params")
    memory = _document(out / f"{row.name}-{seed}.memory.json")
    return Measured(
        seed=seed,
        params=after["params"],
        limit=limit,
        images=after["examples"],
        before=before["accuracy"],
        after=after["accuracy"],
        metric=metrics[0]["name"],
        validation=(metrics[0]["value"], metrics[1]["value"], metrics[2]["value"]),
        planning=planning_seconds(directory / "journal.jsonl"),
        epoch=epoch_seconds(base / "journal.jsonl"),
        seconds=result["seconds"],
        peak=None if memory is None else memory["peak_bytes"],
    )


def _test(score: Document) -> Document:
    return {"accuracy": score["accuracy"], "examples": score["examples"]}


def _document(path: Path) -> Document | None:
    """A JSON file, None where there is none (each appears whole or not at all)."""
    if not path.is_file():
        return None
    document: Document = json.loads(path.read_bytes())
    return document


def journal(path: Path) -> dict[str, float]:
    """The seconds of each finished step; a last line that a kill has torn does not count."""
    if not path.is_file():
        return {}
    whole = path.read_bytes().rpartition(b"\n")[0].splitlines()
    return {entry["key"]: float(entry["seconds"]) for entry in map(json.loads, whole)}


def planning_seconds(path: Path) -> float:
    """What a run spent on sites, rungs, fits and the choice; the race is none of it."""
    return sum(seconds for key, seconds in journal(path).items() if key.startswith(_PLANNING))


def epoch_seconds(path: Path) -> float | None:
    """The mean time of an epoch of the original's training, its validation included."""
    epochs = [
        seconds for key, seconds in journal(path).items() if key.startswith("pretrain/epoch/")
    ]
    return fmean(epochs) if epochs else None


@dataclass(frozen=True)
class Line:
    """A row of the tables, with what is there of it."""

    row: Row
    task: Task
    runs: tuple[Measured, ...]
    seed: int | None  # of the rivals; both have the same
    scratch: Document | None
    pruned: Document | None

    @property
    def name(self) -> str:
        return f"{self.task.name} {self.row.budget}, {self.how}"

    @property
    def how(self) -> str:
        if self.row.epochs:
            return f"{self.row.epochs} epochs"
        return "fitted, unlabelled" if self.row.images else "fitted"

    @property
    def drop(self) -> float | None:
        """Points of test accuracy below the original, the mean over the seeds."""
        if not self.runs:
            return None
        return 100 * (
            _mean(run.before for run in self.runs) - _mean(run.after for run in self.runs)
        )

    @property
    def met(self) -> bool | None:
        # A hundredth of an image is no difference; only rounding is.
        return None if self.drop is None else self.drop <= self.row.allowed + 1e-9

    @property
    def regained(self) -> float | None:
        """The share of what replacing lost that the fit regained, over the seeds; None where nothing was lost."""
        lost = sum(run.lost for run in self.runs)
        return sum(run.regained for run in self.runs) / lost if self.runs and lost > 0 else None


def lines(
    out: Path, seeds: Sequence[int], rows: Sequence[Row], tasks: Mapping[str, Task]
) -> list[Line]:
    rivals = [
        document
        for path in sorted(out.glob("*-torch-pruning-*/rival.json"))
        if (document := _document(path)) is not None
    ]
    found = []
    for row in rows:
        task = tasks[row.task]
        runs = tuple(run for seed in seeds if (run := measured(out, row, task, seed)) is not None)
        line = Line(row, task, runs, None, None, None)
        for seed in seeds:
            scratch = _document(out / f"{row.name}-scratch-{seed}" / "scratch.json")
            pruned = next((one for one in rivals if _same_size(one, row, task, seed)), None)
            if scratch or pruned:
                line = Line(row, task, runs, seed, scratch, pruned)
                break
        found.append(line)
    return found


def _same_size(rival: Document, row: Row, task: Task, seed: int) -> bool:
    """Whether Torch-Pruning had the row's original and budget and, where it was trained, the row's epochs."""
    same = rival["of"] == f"{task.name}-base-{seed}" and row.budget == f"{rival['percent']:g}%"
    return same and not row.images and row.epochs in (0, rival["epochs"])


# ---- the tables


def table(
    out: Path,
    seeds: Sequence[int],
    rows: Sequence[Row] | None = None,
    tasks: Mapping[str, Task] | None = None,
) -> str:
    """All tables, as Markdown; `rows` and `tasks` are those of `shrink.py` unless given."""
    if rows is None or tasks is None:
        import shrink

        rows, tasks = rows or shrink.ROWS, tasks or shrink.TASKS
    found = lines(out, seeds, rows, tasks)
    parts = [
        _results(found, len(seeds)),
        _rivals(found),
        _costs(found),
        _regained(found),
    ]
    return "\n\n".join(parts) + "\n"


def _first(line: Line) -> list[str]:
    """The columns that name a row."""
    epochs = str(line.row.epochs) if line.row.epochs else f"0 ({line.how})"
    return [line.task.name, line.row.budget, epochs]


def _results(found: Sequence[Line], seeds: int) -> str:
    head = [
        "data", "budget", "epochs", "parameters", "original", "replaced (validation)", "fitted (validation)",
        "smaller", "each seed", "95 % interval", "test images", "points below", "allowed", "met",
    ]  # fmt: skip
    body = [_result(line, seeds) for line in found]
    return _markdown(head, body)


def _result(line: Line, seeds: int) -> list[str]:
    row, runs, first = line.row, line.runs, _first(line)
    if not runs:
        return [*first, *[DASH] * 9, f"{row.allowed:g}", DASH]
    images = sum(run.images for run in runs)
    low, high = wilson(sum(round(run.after * run.images) for run in runs), images)
    tested = f"{len(runs)} × {runs[0].images:,}"
    metric = "" if runs[0].metric == "accuracy" else f" {runs[0].metric}"
    assert line.drop is not None
    return [
        *first,
        f"{_span(run.params for run in runs)} of {runs[0].limit:,}",
        _percent(_mean(run.before for run in runs)),
        _percent(_mean(run.validation[1] for run in runs)) + metric,
        _percent(_mean(run.validation[2] for run in runs)) + metric,
        _percent(_mean(run.after for run in runs)),
        ", ".join(f"{100 * run.after:.2f}" for run in runs),
        f"{100 * low:.2f} to {100 * high:.2f}",
        tested,
        f"{line.drop:+.2f}".replace("+", "").replace("-", "−"),
        f"{row.allowed:g}",
        _yes(line.met) + ("" if len(runs) == seeds else f" ({len(runs)} of {seeds} seeds)"),
    ]


def _rivals(found: Sequence[Line]) -> str:
    """A rival has one seed: it is compared with the run from the same original."""
    head = ["data", "budget", "epochs", "striate", "the same from scratch", "Torch-Pruning", "best"]
    return _markdown(head, [_rival(line) for line in found if line.row.epochs or line.pruned])


def _rival(line: Line) -> list[str]:
    run = next((run for run in line.runs if run.seed == line.seed), None)
    cells, scores = [DASH, DASH, DASH], {}
    if not line.row.epochs:  # untrained: on the validation images, the only ones asked about it
        if run is not None:
            scores["striate"] = run.validation[2]
            cells[0] = f"{_percent(scores['striate'])} (validation)"
        if line.pruned is not None:
            candidates = [one["validation"] for one in line.pruned["candidates"]]
            scores["Torch-Pruning"] = max(score["accuracy"] for score in candidates if score)
            cells[2] = f"{_percent(scores['Torch-Pruning'])} (validation)"
    else:
        if run is not None:
            scores["striate"] = run.after
            cells[0] = _percent(run.after)
        elif line.runs:
            cells[0] = f"{_percent(_mean(run.after for run in line.runs))} (mean)"
        if line.scratch is not None:
            scores["from scratch"] = line.scratch["test"]["accuracy"]
            cells[1] = f"{_percent(scores['from scratch'])} ({line.scratch['epochs']} epochs)"
        if line.pruned is not None:
            scores["Torch-Pruning"] = line.pruned["test"]["accuracy"]
            cells[2] = f"{_percent(scores['Torch-Pruning'])} ({_pruned(line.pruned)})"
    compared = "striate" in scores and len(scores) > 1
    return [*_first(line), *cells, _best(scores) if compared else DASH]


def _pruned(rival: Document) -> str:
    only = rival["pruned"]["validation"]["accuracy"]
    how = f"{rival['importance']}, {_SCOPE[rival['scope']]}"
    return f"{rival['params']:,} parameters; {how}; only pruned {_percent(only)} on validation"


_SCOPE = {
    "layer": "each layer alike",
    "network": "all layers together",
    "dense": "dense layers only",
}


def _best(scores: Mapping[str, float]) -> str:
    top = max(scores.values())
    return " and ".join(name for name, score in scores.items() if score == top)


def _costs(found: Sequence[Line]) -> str:
    head = [
        "data", "budget", "epochs", "planning, s", "an epoch of the original, s", "allowed, s", "met",
        "the whole run, s", "peak memory, GB", "below 4 GB",
    ]  # fmt: skip
    return _markdown(head, [_cost(line) for line in found])


def _cost(line: Line) -> list[str]:
    runs, first = line.runs, _first(line)
    if not runs:
        return [*first, *[DASH] * 7]
    epochs = [run.epoch for run in runs if run.epoch is not None]
    peaks = [run.peak for run in runs if run.peak is not None]
    return [
        *first,
        _span((run.planning for run in runs), ".1f"),
        _span(epochs, ".1f") if epochs else DASH,
        _span((run.planning_allowed for run in runs), ".0f"),
        _yes(all(run.planning <= run.planning_allowed for run in runs)),
        _span((run.seconds for run in runs), ".0f"),
        f"{max(peaks) / 1e9:.2f}" if peaks else DASH,
        _yes(max(peaks) < PEAK_BYTES) if peaks else DASH,
    ]


def _regained(found: Sequence[Line]) -> str:
    """A line that says how much of what replacing lost the fit regains, by row and in the mean."""
    shares = {line.name: line.regained for line in found if line.regained is not None}
    if not shares:
        return f"Of what replacing lost on the validation images, the fit regains: {DASH}"
    mean = _mean(shares.values())
    each = "; ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items())
    judged = f"at least {100 * REGAINED:.0f} %: {_yes(mean >= REGAINED)}"
    text = (
        f"Of what replacing lost on the validation images, the fit regains {100 * mean:.0f} % in the mean over "
        f"{len(shares)} row{'s' * (len(shares) != 1)} ({judged}): {each}."
    )
    nothing = [line.name for line in found if line.runs and line.regained is None]
    return text + (f" Replacing lost nothing: {'; '.join(nothing)}." if nothing else "")


def _markdown(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    rows = [list(head), ["---"] * len(head), *map(list, body)]
    assert {len(cells) for cells in rows} == {len(head)}
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _mean(values: Iterable[float]) -> float:
    return fmean(values)


def _span(values: Iterable[float], form: str = ",") -> str:
    """The values in one: the least to the largest, or the only one."""
    numbers = sorted(values)
    low, high = f"{numbers[0]:{form}}", f"{numbers[-1]:{form}}"
    return low if low == high else f"{low} to {high}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"


def _yes(holds: bool | None) -> str:
    return DASH if holds is None else "yes" if holds else "no"
