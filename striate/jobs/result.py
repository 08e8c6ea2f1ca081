"""`result.json`: the outcome of a shrink as plain data, put together from the journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from striate.jobs.request import Settings
from striate.ledger.gates import Limit, judge
from striate.reduce.plan import Plan
from striate.runs import Run
from striate.version import __version__

SCHEMA = "striate.shrink/1"


class Counted(Protocol):
    """What has the three counts that budgets are set on: a plan, a survey's totals."""

    @property
    def params(self) -> int: ...
    @property
    def macs(self) -> int: ...
    @property
    def weight_bytes(self) -> int: ...


def counts_of(counted: Counted) -> dict[str, int]:
    """The three counts as plain data."""
    return {
        "params": counted.params,
        "macs": counted.macs,
        "weight_bytes": counted.weight_bytes,
    }


def document(
    run: Run,
    settings: Settings,
    status: str,
    *,
    limits: Sequence[Limit] = (),
    values: Mapping[str, int | None] | None = None,
    smallest: Mapping[str, int] | None = None,
    plan: Plan | None = None,
    shrunk: Mapping[str, Any] | None = None,
    frontier: Sequence[Mapping[str, Any]] = (),
    files: Mapping[str, str | None] | None = None,
    reasons: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
    command: str | None = None,
) -> dict[str, Any]:
    """The document for a run that has come to `status`; what its journal does not hold is null."""
    gates = [gate.to_dict() for gate in judge(limits, values or {})]
    met = status in ("done", "already-met") and all(gate["met"] for gate in gates)
    survey = _value(run, "survey") or {}
    test = _value(run, "test") or {}
    chosen = _value(run, "chosen")
    finalist = None if chosen is None else chosen["finalist"]
    baseline = _value(run, "baseline")
    if baseline is None and "totals" in survey:
        baseline = survey["totals"] | {"validation": None}
    fitted = _value(run, f"finalist/{finalist}/fitted")
    residuals = {} if fitted is None else fitted.pop("residuals")
    return {
        "schema": SCHEMA,
        "striate": __version__,
        "status": status,
        "met": met,
        "model": run.request.get("model"),
        "data": run.request.get("data_split"),
        "seed": settings.seed,
        "device": settings.device,
        "seconds": round(run.seconds, 3),
        "versions": run.request.get("versions"),
        "command": command or run.request.get("command"),
        "baseline": _tested(baseline, test.get("baseline")),
        "shrunk": _tested(shrunk, test.get("shrunk")),
        "replaced": _value(run, f"finalist/{finalist}/replaced"),
        "fitted": fitted,
        "budget": gates,
        "layers": [] if plan is None else _layers(plan, survey, residuals),
        "frontier": list(frontier),
        "files": None if files is None else {**files, "reasons": dict(reasons or {})},
        "latency": _value(run, "latency"),
        "test": test.get("paired"),
        "chosen": chosen,
        "refused": survey.get("refused", []),
        "smallest": smallest or survey.get("smallest"),
        "notes": list(notes),
    }


def _value(run: Run, key: str) -> dict[str, Any] | None:
    return run.value(key) if key in run else None


def _tested(
    counts: Mapping[str, Any] | None, score: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """Counts and validation score, with the test score beside them."""
    if counts is None:
        return None
    untested = {"accuracy": None, "loss": None, "metric": None, "examples": None}
    return {**counts, **(score or untested)}


def _layers(
    plan: Plan, survey: Mapping[str, Any], residuals: Mapping[str, float]
) -> list[dict[str, Any]]:
    """A row for every site: what it became, or that it stayed, and was refitted."""
    decisions = {decision.site: decision for decision in plan.decisions}
    rows = []
    for site in survey.get("sites", []):
        name, params = site["name"], site["params"]
        row = {"name": name, "from": site["rung"], "to": site["rung"], "ideas": []}
        row |= {"params_before": params, "params_after": params}
        row |= {"residual": residuals.get(name), "harm": None, "refitted": name in plan.refitted}
        if name in decisions:
            decision = decisions[name]
            row |= {
                "from": decision.from_label,
                "to": decision.rung.label(),
                "ideas": list(decision.rung.ideas),
                "params_before": decision.params_before,
                "params_after": decision.params_after,
                "residual": residuals.get(name, decision.residual),
                "harm": decision.harm,
            }
        rows.append(row)
    return rows
