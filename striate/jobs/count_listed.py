"""`striate count` without MODEL: every model that pyproject.toml lists, each judged by its own limits."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.errors import RequestError, clipped
from striate.jobs.count import (
    Counted,
    as_markdown,
    count_named,
    exit_code,
    faults,
    full_document,
    shown,
    tables,
)
from striate.jobs.listed import Listed, find
from striate.ledger.render import several, workflow
from striate.ledger.render.document import written
from striate.ledger.render.several import Entry
from striate.version import __version__

if TYPE_CHECKING:
    from rich.console import RenderableType

SCHEMA = "striate.ledgers/1"


@dataclass(frozen=True)
class Outcome:
    """What came of a listed model: its ledger, or why there is none; `fault` where that is one of striate."""

    listed: Listed
    counted: Counted | None
    error: str = ""
    fault: Exception | None = None


def count_listed(
    only: Sequence[str] = (), start: Path | None = None, **asked: Any
) -> tuple[Outcome, ...]:
    """Count what the nearest pyproject.toml from `start` (here) upwards lists, or what `only` names of it.

    `asked` are fields of `CountRequest` that the list has no keys for: what to look for besides, and what to show.
    As if striate ran where that file lies. A request that is wrong, or on which striate fails, is the outcome of its
    model and no other's; where the list itself is wrong, nothing is counted: RequestError.
    """
    found = find(Path.cwd() if start is None else start).only(only)
    elsewhere = "" if found.folder == Path.cwd() else f" (in {os.path.relpath(found.folder)})"
    models = [replace(one, request=replace(one.request, **asked)) for one in found.models]
    return tuple(_outcome(listed, found.folder, elsewhere) for listed in models)


def _outcome(listed: Listed, folder: Path, elsewhere: str) -> Outcome:
    try:
        with chdir(folder):
            return Outcome(listed, _called(count_named(listed.request), listed.name))
    except RequestError as error:
        return Outcome(listed, None, f"{error}{elsewhere}")
    except Exception as fault:  # kept, to be logged once the others have been shown
        what = f"{type(fault).__name__}: {' '.join(str(fault).split())}"
        return Outcome(listed, None, f"a fault of striate: {clipped(what, 300)}", fault)


def _called(counted: Counted, name: str) -> Counted:
    """By its name in the list, which is shorter, and may be one of several for one factory."""
    ledger = replace(counted.ledger, name=name)
    found = counted.difference
    return replace(
        counted, ledger=ledger, difference=None if found is None else replace(found, after=ledger)
    )


def tables_of(outcomes: Sequence[Outcome], width: int) -> RenderableType:
    """For a terminal: a line for each model, or all of it where there is only one."""
    counted, failed = _divided(outcomes)
    if len(outcomes) == len(counted) == 1:
        return tables(counted[0], width)
    return several.table([_entry(one) for one in counted], failed)


def shown_all(outcomes: Sequence[Outcome], form: str) -> str:
    """As text: "json", "csv", "md" or "github", of one network also "html"; without the last end of a line.

    RequestError where there is nothing of that form to show.
    """
    counted, failed = _divided(outcomes)
    if form == "csv":
        return several.as_csv(one.ledger for one in counted).removesuffix("\n")
    if form == "md":
        return several.as_markdown([_entry(one) for one in counted], failed).removesuffix("\n")
    if form == "github":
        lines = [shown(one, form) for one in counted]
        return "\n".join([*lines, *(workflow.error(name, why) for name, why in failed)])
    if form != "json":
        if len(outcomes) != 1:
            raise RequestError(f"--format {form}: is for one network")
        if outcomes[0].fault is not None:
            raise outcomes[0].fault
        if failed:
            raise RequestError(": ".join(failed[0]))
        return shown(counted[0], form)
    return written(
        {
            "schema": SCHEMA,
            "striate": __version__,
            "models": {one.ledger.name: full_document(one) for one in counted},
            "errors": dict(failed),
        }
    )


def _divided(outcomes: Sequence[Outcome]) -> tuple[list[Counted], list[tuple[str, str]]]:
    """What was counted, and the names of what was not, with the reasons."""
    counted = [outcome.counted for outcome in outcomes if outcome.counted is not None]
    return counted, [(one.listed.name, one.error) for one in outcomes if one.counted is None]


def _entry(counted: Counted) -> Entry:
    return Entry(counted.ledger, counted.difference, counted.growth, as_markdown(counted))


def exit_code_of(outcomes: Sequence[Outcome], allow_partial: bool) -> tuple[int, list[str]]:
    """1 where striate failed on any, else 2 where any request was wrong, else 3 where any gate was not met, else 0;
    and the lines that say which, but for the faults, which need a log.
    """
    codes, lines = [0], []
    for outcome in outcomes:
        name = outcome.listed.name
        if outcome.fault is not None:
            codes.append(1)
            continue
        if outcome.counted is None:
            codes.append(2)
            lines.append(f"{name}: {outcome.error}")
            continue
        code, said = exit_code(outcome.counted, allow_partial or outcome.listed.allow_partial)
        codes.append(code)
        lines += [f"{name}: {line}" for line in (*faults(outcome.counted), *said)]
    return next((code for code in (1, 2, 3) if code in codes), 0), lines
