"""What was measured of the networks of a run: the stages, the finalists, and the scores to lead with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from striate.reduce.statistics import wilson
from striate.report import words
from striate.report.charts import Mark
from striate.report.documents import Node

FRACTIONS = ("accuracy", "agreement")
"""Metrics that are a share of images, written in percent."""


@dataclass(frozen=True)
class Score:
    """A measured quality of a network: of what, how much, how sure, on how many images."""

    name: str
    value: float
    low: float | None
    high: float | None
    examples: int | None

    @property
    def is_fraction(self) -> bool:
        return self.name in FRACTIONS

    def format(self, value: float | None) -> str:
        return words.percent(value) if self.is_fraction else words.figure(value)

    def __str__(self) -> str:
        return self.format(self.value)

    @property
    def interval(self) -> str:
        if self.low is None or self.high is None:
            return ""
        if self.is_fraction:
            return f"{100 * self.low:.2f}\N{EN DASH}{words.percent(self.high)}"
        return f"{words.figure(self.low)}\N{EN DASH}{words.figure(self.high)}"

    def mark(self, label: str, accent: bool, params: int | None = None) -> Mark:
        return Mark(label, self.value, self.low, self.high, accent, params)


@dataclass(frozen=True)
class Stage:
    label: str
    explained: str
    params: int | None
    score: Score | None
    loss: float | None
    divergence: float | None
    final: bool


@dataclass(frozen=True)
class Finalist:
    number: int
    plan: str
    params: int | None
    macs: int | None
    score: Score | None
    chosen: bool
    divergence: float | None


def score(node: Node | None) -> Score | None:
    """The metric of a network on a set of images, or its accuracy; None where there were no labels.

    >>> found = score(Node("result.json", {"accuracy": 0.75, "examples": 400}))
    >>> found.value, round(found.low, 3), round(found.high, 3)
    (0.75, 0.705, 0.79)
    """
    if node is None:
        return None
    examples = node.integer("examples")
    metric = node.node("metric")
    if metric is not None and metric.number("value") is not None:
        low, high = _interval(metric)
        name, value = metric.text("name") or "metric", metric.number("value")
    else:
        low, high, name, value = None, None, "accuracy", node.number("accuracy")
    if value is None:
        return None
    if low is None and name in FRACTIONS and examples and 0 <= value <= 1:
        low, high = wilson(round(value * examples), examples)
    return Score(name, value, low, high, examples)


def _interval(metric: Node) -> tuple[float | None, float | None]:
    ends = metric.raw("interval")
    if isinstance(ends, list) and len(ends) == 2 and all(isinstance(e, int | float) for e in ends):
        return ends[0], ends[1]
    return None, None


def leading(baseline: Node | None, shrunk: Node | None) -> dict[str, Any]:
    """The scores to lead with: of the test set if there is one, else of the validation images."""
    for place in ("test", "validation"):
        pair = [
            score(node if place == "test" else node.node("validation") if node else None)
            for node in (baseline, shrunk)
        ]
        if any(pair):
            return {"set": place, "before": pair[0], "after": pair[1]}
    return {"set": None, "before": None, "after": None}


_STAGES = (
    ("baseline", "original", "the network as it was"),
    ("replaced", "replaced", "smaller layers in place, their weights carried over, nothing fitted"),
    ("fitted", "fitted", "the smaller layers solved for in closed form, no training"),
    ("shrunk", "fine-tuned", "after training the smaller network"),
)


def stages(
    request: Node, result: Node, chosen: Node | None = None, journal: Sequence[Node] = ()
) -> list[Stage]:
    """The stages that were measured.

    Without epochs the fitted network is the result, and there is no fourth. Where the weights of the fit were kept
    although there were epochs, the fourth stage is the best of those epochs, as the journal has it.
    """
    untrained = request.number("epochs") == 0
    keys = [key for key, _, _ in _STAGES if result.raw(key) is not None]
    if untrained and "fitted" in keys and "shrunk" in keys:
        keys.remove("shrunk")
    dropped = not untrained and chosen is not None and source(chosen) == "fitted"
    found = []
    for key, label, explained in _STAGES:
        node = result.node(key)
        if key not in keys or node is None:
            continue
        validation = node.node("validation")
        final = key == ("fitted" if dropped else keys[-1])
        if key == "shrunk" and dropped:
            explained = "training did not improve on the fit; its epochs were dropped"
            validation = _best_epoch(journal, chosen)
        elif key == "fitted" and dropped:
            explained += "; kept"
        found.append(
            Stage(
                label,
                explained,
                node.integer("params"),
                score(validation),
                validation.number("loss") if validation else None,
                validation.number("divergence") if validation else None,
                final=final and key != "baseline",
            )
        )
    return found


def source(chosen: Node) -> str | None:
    """Which training, or the fit, the weights that were kept come from."""
    return chosen.text("arm") or chosen.text("from")


def _best_epoch(journal: Sequence[Node], chosen: Node | None) -> Node | None:
    """The best validation score of the epochs in which the chosen plan was trained, by what chose."""
    finalist = chosen.text("finalist") if chosen else None
    phases = ("distill/epoch/", "labels/epoch/", f"race/{finalist}/epoch/")
    epochs = [
        validation
        for line in journal
        if (line.text("key") or "").startswith(phases)
        and (value := line.node("value")) is not None
        and (validation := value.node("validation")) is not None
    ]
    return max(epochs, key=_rank, default=None)


def _rank(validation: Node) -> tuple[float, float]:
    """A better score is larger: by divergence where that was measured, else by accuracy, then by loss."""
    divergence = validation.number("divergence")
    if divergence is not None:
        return -divergence, 0.0
    return validation.number("accuracy") or 0.0, -(validation.number("loss") or 0.0)


def finalists(result: Node, chosen: Node | None) -> list[Finalist]:
    shrunk = result.node("shrunk")
    validation = shrunk.node("validation") if shrunk else None
    examples = validation.integer("examples") if validation else None
    entries = result.nodes("frontier")
    plans = [_plan_text(entry) for entry in entries]
    flags = [bool(entry.flag("chosen")) for entry in entries]
    if not any(flags):
        # The chosen one by its plan's label; else by its size, if only one has it.
        label, params = (
            chosen.text("plan") if chosen else None,
            shrunk.raw("params") if shrunk else None,
        )
        by_label = [plan == label for plan in plans]
        by_size = [entry.raw("params") == params for entry in entries]
        flags = next((f for f in (by_label, by_size) if sum(f) == 1), flags)
    found = []
    for i, (entry, plan) in enumerate(zip(entries, plans, strict=True)):
        measured = {"accuracy": entry.raw("validation_accuracy"), "examples": examples}
        measured["metric"] = entry.raw("metric")
        found.append(
            Finalist(
                i + 1,
                plan,
                entry.integer("params"),
                entry.integer("macs"),
                score(Node(entry.where, measured)),
                flags[i],
                entry.number("divergence"),
            )
        )
    return found


def _plan_text(entry: Node) -> str:
    value = entry.raw("plan")
    if isinstance(value, dict):
        plan = Node(entry.where, value)
        return plan.text("structure") or plan.text("label") or entry.text("plan") or ""
    return entry.text("plan") or ""
