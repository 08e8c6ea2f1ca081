"""Which options of `striate count` go together: with the format, and with MODEL or without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from striate.errors import RequestError

#: What `striate count` prints.
FORMATS = ("table", "json", "csv", "md", "html", "github")


@dataclass(frozen=True)
class Rule:
    """Formats that have no place for any of `options`; `reason` follows the name of the format."""

    options: tuple[str, ...]
    formats: tuple[str, ...]
    reason: str


_ROWS = ("--depth", "--sort", "--filter", "--unfold")
_MORE = ("--elementwise", "--ideas")
_FOR_THE_TABLE = "leave out --ideas and --elementwise, which are for the table"

#: In the order in which they are judged.
RULES = (
    Rule(("--against",), ("csv",), "has no differences; take json or md with --against"),
    Rule(
        ("--sites",),
        ("csv", "html", "github"),
        "has no sites; take table, json or md with --sites",
    ),
    Rule(
        ("--probe",),
        ("csv", "md", "html", "github"),
        "has no place for --probe; take table or json",
    ),
    Rule(
        _ROWS,
        ("json", "csv", "html", "github"),
        "has every row; leave out --depth, --sort, --filter and --unfold, or take table or md",
    ),
    Rule(_MORE, ("json",), f"{_FOR_THE_TABLE}; they are in this format"),
    Rule(_MORE, ("csv", "md", "html", "github"), _FOR_THE_TABLE),
)

#: What is said of one network: where pyproject.toml lists several, it stands there.
OF_THE_LIST = ("--input", "--model-arg", "--batch-dim", "--budget", "--against", "--max-growth")
#: What is asked of one network, given as MODEL or picked from the list.
OF_ONE_NETWORK = ("--sites", "--probe", "--training", *_MORE, *_ROWS)


def check(model: str | None, given: Mapping[str, Any]) -> None:
    """RequestError where options exclude each other; `given` has those that were given, with their values.

    >>> check("zoo:mlp", {"--sites": True, "--format": "md"})
    >>> check("zoo:mlp", {"--sites": True, "--format": "csv"})
    Traceback (most recent call last):
    striate.errors.RequestError: --format csv: has no sites; take table, json or md with --sites
    >>> check(None, {"--depth": 2, "--only": ["small"]})
    >>> check(None, {"--depth": 2})
    Traceback (most recent call last):
    striate.errors.RequestError: --depth: is for one network; give MODEL, or one --only NAME
    """
    _known(given)
    if model is None:
        _belongs_to_the_list(given)
        if len(set(given.get("--only", ()))) != 1:
            _is_of_several(given)
    elif "--only" in given:
        raise RequestError(
            f"--only {given['--only'][0]}: selects from pyproject.toml; leave out MODEL {model}"
        )
    named = given.get("--format", "table")
    # `--json` decides what is printed, and excuses no `--format` beside it.
    _fits(("json", named) if "--json" in given else (named,), given)


def _known(given: Mapping[str, Any]) -> None:
    if given.get("--format", "table") not in FORMATS:
        raise RequestError(f"--format {given['--format']}: expected {', '.join(FORMATS)}")
    if given.get("--batch-dim", "0") not in ("0", "none"):
        raise RequestError(f"--batch-dim {given['--batch-dim']}: expected 0 or none")


def _belongs_to_the_list(given: Mapping[str, Any]) -> None:
    for option in OF_THE_LIST:
        if given.get(option, "") != "":  # an empty text says nothing of any network
            raise RequestError(
                f"{option}: is for one network; give MODEL too, or write it in pyproject.toml, "
                "below [tool.striate.count.models.NAME]"
            )


def _is_of_several(given: Mapping[str, Any]) -> None:
    named = f"--format {given['--format']}" if given.get("--format") == "html" else None
    option = next((option for option in OF_ONE_NETWORK if option in given), named)
    if option is not None:
        raise RequestError(f"{option}: is for one network; give MODEL, or one --only NAME")


def _fits(formats: Sequence[str], given: Mapping[str, Any]) -> None:
    for rule in RULES:
        if any(option in given for option in rule.options):
            for name in formats:
                if name in rule.formats:
                    raise RequestError(f"--format {name}: {rule.reason}")
