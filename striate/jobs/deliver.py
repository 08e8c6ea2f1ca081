"""The end of a shrink: the test set read once, what the result costs, its files, its account."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor, nn

from striate.jobs.problem import Problem
from striate.jobs.progress import Progress
from striate.jobs.report import write_page
from striate.jobs.request import Settings
from striate.jobs.result import counts_of, document
from striate.jobs.scores import Judge, scored
from striate.ledger import count
from striate.reduce.evaluate import evaluate
from striate.reduce.export import Exported, export_onnx, export_program
from striate.reduce.latency import latency
from striate.reduce.plan import Plan
from striate.reduce.statistics import paired
from striate.reduce.survey import Survey
from striate.reduce.verify import check_counts
from striate.runs import Run

Export = Callable[[nn.Module, Tensor, Path], Exported]
MODEL, PROGRAM, ONNX = "model.safetensors", "model.pt2", "model.onnx"


@dataclass(frozen=True)
class Outcome:
    """What the job has arrived at; `model` and `original` are on the CPU, in evaluation mode.

    `plan` is empty where the budget was met before, and `model` is `original` then.
    """

    survey: Survey
    original: nn.Module
    model: nn.Module
    plan: Plan
    judge: Judge
    frontier: Sequence[dict[str, Any]]
    notes: tuple[str, ...]


def survey_document(seen: Survey) -> dict[str, Any]:
    """What was seen of the network before any data, as plain data for the journal."""
    return {
        "totals": counts_of(seen.totals),
        "smallest": seen.smallest(),
        "limits": [
            {"metric": limit.metric, "limit": limit.limit, "text": limit.text}
            for limit in seen.limits
        ],
        "sites": [
            {
                "name": site.name,
                "type": site.type,
                "rung": "dense" if site.kind == "dense" else "convolution",
                "params": site.params,
                "macs": site.macs,
            }
            for site in seen.sites
        ],
        "refused": [
            {
                "name": refusal.name,
                "type": refusal.type,
                "params": refusal.params,
                "reason": refusal.reason,
            }
            for refusal in seen.refusals
        ],
    }


def weights(model: nn.Module) -> bytes:
    """The state dict as a safetensors file; a tensor that several names share is stored under its first."""
    stored: dict[str, Tensor] = {}
    seen: set[tuple[int, tuple[int, ...], tuple[int, ...]]] = set()
    for name, tensor in model.state_dict().items():
        place = (tensor.data_ptr(), tuple(tensor.shape), tuple(tensor.stride()))
        if tensor.numel() and place in seen:
            continue
        seen.add(place)
        stored[name] = tensor.detach().to("cpu").contiguous()
    return save(stored, metadata={"format": "pt"})


def deliver(
    run: Run,
    problem: Problem,
    settings: Settings,
    outcome: Outcome,
    progress: Progress,
    command: str | None = None,
    *,
    keep: bool = True,
) -> dict[str, Any]:
    """Verify, test, export and write the result's files; gives the result document.

    With `keep` false, for a run directory that is not to stay, nothing is exported and no page is made.
    """
    model, plan = outcome.model, outcome.plan
    check_counts(model, counts_of(plan))
    shrunk = counts_of(plan) | {"validation": _validation(run)}
    run.step("test", lambda: _test(problem, outcome, progress))
    few = problem.few()
    if model is not outcome.original:
        sites = tuple(decision.site for decision in plan.decisions)
        with progress.bar(None, "timing the network before and after"):
            run.step("latency", lambda: latency(outcome.original, model, few, sites).to_dict())
    files: dict[str, str | None] = {"model": MODEL, "plan": "plan.json", "ledger": "ledger.json"}
    reasons: dict[str, str] = {}
    run.write_json("plan.json", plan.to_dict() | {"structure": plan.structure})
    run.write_bytes(MODEL, weights(model))
    limits = outcome.survey.limits
    ledger = count(model, few[:1]).with_gates(limits).to_dict()
    run.write_json("ledger.json", ledger | {"baseline": count(outcome.original, few[:1]).to_dict()})
    exports: list[tuple[str, str, Export]] = []
    if keep:
        exports.append(("program", PROGRAM, export_program))
        if "onnx" in settings.export:
            exports.append(("onnx", ONNX, export_onnx))
    for kind, name, export in exports:
        done = run.step(f"export/{kind}", partial(_export, run, export, name, model, few))
        files[kind] = done["file"]
        if done["reason"] is not None:
            reasons[kind] = done["reason"]
            progress.say(f"{name} was not written: {done['reason']}")
    if keep:
        files["report"] = "report.html"
    result = document(
        run,
        settings,
        "already-met" if model is outcome.original else "done",
        limits=limits,
        values=counts_of(plan),
        plan=plan,
        shrunk=shrunk,
        frontier=outcome.frontier,
        files=files,
        reasons=reasons,
        notes=outcome.notes,
        command=command,
    )
    run.write_json("result.json", result)
    if keep:
        write_page(run)
    return result


def _validation(run: Run) -> dict[str, Any]:
    key = "chosen" if "chosen" in run else "baseline"
    validation: dict[str, Any] = run.value(key)["validation"]
    return validation


def _test(problem: Problem, outcome: Outcome, progress: Progress) -> dict[str, Any]:
    """The test set, read once for the original and once for the result; nulls where there is none."""
    if problem.test is None or not problem.labelled:
        return {"baseline": None, "shrunk": None, "paired": None}
    device = outcome.judge.device
    before = evaluate(outcome.judge.original, problem.test, device=device)
    # The original already has its answers where nothing was changed.
    same = outcome.model is outcome.original
    after = before if same else evaluate(outcome.model.to(device), problem.test, device=device)
    outcome.model.to("cpu")
    assert before.correct is not None
    assert after.correct is not None
    compared = paired(before.correct, after.correct)
    return {
        "baseline": scored(before),
        "shrunk": scored(after),
        "paired": {
            "mcnemar_p": compared.mcnemar_p,
            "only_before_right": compared.only_before_right,
            "only_after_right": compared.only_after_right,
        },
    }


class _NotExportedError(Exception):
    """Leaves the writer of a file that is not to be written after all."""


def _export(
    run: Run, export: Export, name: str, model: nn.Module, images: Tensor
) -> dict[str, Any]:
    """Export to a file of the run; a failure leaves its reason, but a full disk stops the job."""
    try:
        with run.writer(name) as part:
            exported = export(model, images, part)
            if exported.reason is not None:
                raise _NotExportedError(exported.reason)
    except _NotExportedError as failed:
        return {"file": None, "reason": str(failed)}
    return {"file": name, "reason": None}
