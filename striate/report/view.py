"""From the documents of a run to what its page says, section by section; plain data for the template.

A section whose numbers are not in the run directory is None or empty; the template says so in its place.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from striate.report import picture, scores, words
from striate.report.documents import Documents, Node
from striate.report.speed import Speed, speed


@dataclass(frozen=True)
class Reason:
    name: str
    before: str
    after: str
    ideas: tuple[str, ...]
    weights: str
    params_before: int | None
    params_after: int | None
    sentences: tuple[str, ...]
    residual: float | None
    harm: float | None


def view(documents: Documents) -> dict[str, Any]:
    """Everything the template needs, but for the charts, which are drawn from `stages` and `finalists`."""
    request, result, plan = documents.request, documents.result, documents.plan
    status = (result.text("status") if result else None) or "interrupted"
    empty = Node("result.json", {})
    result = result or empty
    changes = result.nodes("layers")
    baseline, shrunk = result.node("baseline"), result.node("shrunk")
    before = baseline.integer("params") if baseline else None
    after = shrunk.integer("params") if shrunk else None
    chosen = result.node("chosen") or _journaled(documents, "chosen")
    shapes = _shapes(documents.ledger)
    timed = speed(result.node("latency"))
    refitted = _refitted(changes, plan)
    refused_in = (result, plan, _journaled(documents, "survey"))
    return {
        "name": documents.name,
        "model": request.text("model") or "the network",
        "data": _data(documents, baseline, status),
        "status": status,
        "met": result.flag("met"),
        "before": before,
        "after": after,
        "baseline": baseline,
        "shrunk": shrunk,
        "scores": scores.leading(baseline, shrunk),
        "stages": scores.stages(request, result, chosen, documents.journal),
        "finalists": scores.finalists(result, chosen),
        "untrained": request.number("epochs") == 0,
        "kept_from": _kept_from(chosen),
        "changes": [_reason(c, shapes, timed) for c in changes if c.raw("from") != c.raw("to")],
        "kept": [
            name
            for c in changes
            if c.raw("from") == c.raw("to") and (name := c.text("name")) not in refitted
        ],
        "refitted": refitted,
        "refused": next((r for n in refused_in if n and (r := n.nodes("refused"))), ()),
        "refused_known": any(n is not None and n.raw("refused") is not None for n in refused_in),
        "picture": picture.draw(documents.ledger, changes, before, after, shapes, refitted)
        if before
        else None,
        "ideas": _ideas(documents.ledger if shrunk else None),
        "ledger_partial": _uncounted(documents.ledger),
        "budget": result.nodes("budget"),
        "asked": _asked(request),
        "command": result.text("command") or request.text("command"),
        "request_json": json.dumps(request.data, indent=2, ensure_ascii=False),
        "smallest": result.node("smallest"),
        "mcnemar": _mcnemar(result, baseline),
        "speed": timed,
        "files": _files(result.node("files")),
        "load": _load(documents.name, request, result.node("files")),
        "notes": result.texts("notes"),
        "provenance": _provenance(request, result),
        "progress": _progress(documents.journal),
    }


_KEPT_FROM = {
    "distill": "learned from the original's answers (distillation)",
    "labels": "learned from the labels",
    "race": "come from the finalists' race; training on did not improve on them",
    "fitted": "are those of the fit; training did not improve on them",
}


def _kept_from(chosen: Node | None) -> str | None:
    """Where the weights that were kept come from."""
    source = scores.source(chosen) if chosen else None
    return _KEPT_FROM.get(source, f"come from {source}") if source else None


def _shapes(ledger: Node | None) -> dict[str, str]:
    """What each layer of the original takes and gives: `784 → 1024`."""
    original = ledger.node("baseline") if ledger else None
    rows = original.nodes("layers") if original else ()
    return {
        row.text("name") or "": " → ".join(
            picture.shape(row.raw(side)) for side in ("input_shape", "output_shape")
        )
        for row in rows
    }


def _reason(change: Node, shapes: Mapping[str, str], timed: Speed | None) -> Reason:
    before, after = change.integer("params_before"), change.integer("params_after")
    weights = ""
    if before is not None and after is not None:
        weights = f"{before:,} weights before, {after:,} after"
        if before:
            weights += f" ({words.part(after, before)})"
    residual, harm = change.number("residual"), change.number("harm")
    name = change.text("name") or ""
    sentences = [words.residual(residual), words.harm(harm)]
    if timed is not None and timed.layers.get(name):
        sentences.append(timed.layers[name])
    return Reason(
        name=name,
        before=picture.described(change, shapes),
        after=change.text("to") or "",
        ideas=change.texts("ideas"),
        weights=weights,
        params_before=before,
        params_after=after,
        sentences=tuple(sentences),
        residual=residual,
        harm=harm,
    )


def _refitted(changes: Sequence[Node], plan: Node | None) -> tuple[str, ...]:
    """The layers that kept their shape and were fitted again behind a change."""
    named = [*(plan.texts("refitted") if plan else ())]
    named += [c.text("name") or "" for c in changes if c.flag("refitted")]
    return tuple(dict.fromkeys(named))


def _uncounted(ledger: Node | None) -> list[dict[str, Any]] | None:
    """What a partial ledger could not count, where, and in which metrics; None where it is complete."""
    if ledger is None or ledger.text("status") != "partial":
        return None
    return [
        {
            "operator": entry.text("operator") or "an operator",
            "where": entry.text("where") or "the network",
            "effect": entry.text("effect"),
            "metrics": entry.texts("metrics"),
        }
        for entry in ledger.nodes("unsupported")
    ]


def _ideas(ledger: Node | None) -> list[tuple[str, str, str]] | None:
    """What each idea saves in the shrunk network: name, factor, weights saved; None if not known."""
    ideas = ledger.node("ideas") if ledger else None
    if ideas is None:
        return None
    rows = []
    for key in ("locality", "sharing", "pooling"):
        entry = ideas.node(key)
        factor = entry.number("factor") if entry else None
        if entry is not None and factor is not None and factor > 1:
            rows.append(
                (words.idea(key), words.times(factor, 1), words.count(entry.number("saved")))
            )
    return rows


def _journaled(documents: Documents, key: str) -> Node | None:
    """The value of a step of the journal."""
    line = next((line for line in documents.journal if line.text("key") == key), None)
    return line.node("value") if line else None


def _data(documents: Documents, baseline: Node | None, status: str) -> dict[str, Any]:
    """Which images calibrated, validated and tested.

    Where the run ended before it used them, how many there were is no claim to make.
    """
    request = documents.request
    used = status != "unreachable"
    fitted = used and status != "already-met"
    trained = fitted or (used and bool(request.number("pretrain")))
    split = documents.result.node("data") if documents.result else None
    split = split or request.node("data_split") or _journaled(documents, "data")
    if split is None and isinstance(request.raw("data"), dict):
        split = request.node("data")
    named = request.raw("data")
    split = split or Node("run.json", {})
    validation = baseline.node("validation") if baseline else None
    classes = split.raw("classes")
    preprocess = split.node("preprocess")
    return {
        "name": named if isinstance(named, str) else split.text("name") or "",
        "known": bool(split.data),
        "used": used,
        "calibration": split.integer("calibration") if fitted else None,
        "training": split.integer("training") if trained else None,
        "validation": split.integer("validation")
        or (validation.integer("examples") if validation else None),
        "test": split.integer("test") or (baseline.integer("examples") if baseline else None),
        "notes": [n for n in split.texts("notes") if fitted or "calibrate and train" not in n],
        "shape": picture.shape(split.raw("shape"), batch=False),
        "classes": split.texts("classes") if isinstance(classes, list) else (),
        "preprocess": [
            f"{key} {words.setting(value)}"
            for key, value in preprocess.data.items()
            if value is not None
        ]
        if preprocess
        else [],
    }


_ASKED = (
    ("model", "Model"),
    ("model_args", "Model arguments"),
    ("weights", "Weights"),
    ("pretrain", "Epochs of training beforehand"),
    ("budget", "Budget"),
    ("data", "Data"),
    ("val", "Validation data"),
    ("split", "Split"),
    ("layout", "Layout"),
    ("size", "Image size"),
    ("augment", "Augmentation"),
    ("epochs", "Epochs of fine-tuning"),
    ("export", "Export"),
)


def _asked(request: Node) -> list[tuple[str, str]]:
    rows = []
    for key, label in _ASKED:
        value = request.raw(key)
        if value in (None, {}, [], "") or (key == "data" and isinstance(value, dict)):
            continue
        rows.append((label, ", ".join(request.texts(key))))
    return rows


def _mcnemar(result: Node, baseline: Node | None) -> str | None:
    test = result.node("test")
    if test is None:
        return None
    p = test.number("mcnemar_p")
    only_before, only_after = test.integer("only_before_right"), test.integer("only_after_right")
    if p is None or only_before is None or only_after is None:
        return None
    return words.mcnemar(
        only_before, only_after, p, baseline.integer("examples") if baseline else None
    )


_FILES = (
    ("model", "the weights of the shrunk network"),
    ("program", "the exported program: loads with torch alone"),
    ("onnx", "the network for ONNX runtimes"),
    ("plan", "which layer became what"),
    ("ledger", "the account of the shrunk network, layer by layer"),
    ("report", "this page"),
)


def _files(files: Node | None) -> list[dict[str, str | None]]:
    rows: list[dict[str, str | None]] = []
    reasons = files.node("reasons") if files else None
    for key, explained in _FILES:
        if files is None or key not in files.data:
            continue
        value = files.raw(key)
        reason = reasons.text(key) if reasons else None
        if isinstance(value, dict):
            entry = Node(files.where, value)
            value, reason = entry.text("path"), entry.text("reason") or reason
        rows.append({"key": key, "path": value, "explained": explained, "reason": reason})
    return rows


def _load(name: str, request: Node, files: Node | None) -> list[tuple[str, str]]:
    """The lines that load the result, each with what it gives; none if there is nothing to load."""
    if files is None or not files.raw("model"):
        return []
    run = json.dumps(name, ensure_ascii=False)
    factory = request.node("factory") or Node("run.json", {"text": request.raw("model")})
    model = factory.text("text")
    program = files.raw("program")
    imported = "import striate\n\nmodel = striate.load"
    ways = []
    if factory.flag("is_zoo") or (model or "").startswith("zoo:"):
        ways.append(("As a module that can be trained further:", f"{imported}({run})"))
    else:
        if isinstance(program, str):
            ways.append(("For inference, from the exported program:", f"{imported}({run})"))
        # Code that a file names is not run on the file's word: whoever loads says which.
        source = json.dumps(model, ensure_ascii=False) if model else "make"
        what = "from the model's own code" if model else "where make() builds the original"
        own = f"{imported}({run}, source={source})"
        ways.append((f"As a module that can be trained further, {what}:", own))
    if isinstance(program, str):
        path = json.dumps(f"{name}/{program}", ensure_ascii=False)
        alone = f"import torch\n\nmodel = torch.export.load({path}).module()"
        ways.append(("Where striate is not installed, for inference:", alone))
    return ways


def _provenance(request: Node, result: Node) -> list[tuple[str, str]]:
    versions = result.node("versions")
    facts = [
        ("Seed", result.text("seed") or request.text("seed")),
        ("Device", result.text("device") or request.text("device")),
        ("Time taken", words.duration(result.number("seconds")) if result.raw("seconds") else None),
        ("striate", result.text("striate") or request.text("striate")),
    ]
    if versions is not None:
        facts += [(name, versions.text(name)) for name in versions.data if name != "striate"]
    return [(label, value) for label, value in facts if value]


_STEPS = {
    "survey": "Look at the layers that can shrink",
    "pretrain": "Epochs of training the original",
    "baseline": "Measurement of the original",
    "measure": "Measurements of smaller layers",
    "finalists": "Choice of the finalists",
    "finalist": "Finalists replaced or fitted",
    "race": "Epochs of the finalists' race",
    "distill": "Epochs of learning from the original",
    "labels": "Epochs of learning from the labels",
    "chosen": "Choice of the result",
}


def _progress(journal: Sequence[Node]) -> list[tuple[str, int]]:
    """Finished steps by kind: the part of the key before its first separator."""
    groups = Counter((line.text("key") or "").replace(":", "/").split("/")[0] for line in journal)
    return [(_STEPS.get(kind, words.title(kind)), n) for kind, n in groups.items()]
