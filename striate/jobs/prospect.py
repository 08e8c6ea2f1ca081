"""What `--sites` and the start of a shrink say of a network: its prospect as a table, as Markdown, as text."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import torch
from torch import Tensor, nn

from striate.errors import RequestError, UserCodeError
from striate.ledger.render import markdown as ledger_markdown
from striate.ledger.render.numbers import short
from striate.ledger.render.plain import cell, plain
from striate.reduce.advice import TITLES, share
from striate.reduce.prospect import Kept, Prospect, Shrinkable, prospect

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

T = TypeVar("T", bound=Shrinkable | Kept)
#: Layers whose names differ in numbers only are shown in one row from this many on.
_FOLDED = 3
_DIGITS = re.compile(r"\d+")
_SITE_COLUMNS = ("can shrink", "what it is", "params", "smallest", "as")
_KEPT_COLUMNS = ("stays as it is", "type", "params", "because")


# What others wrote, to be counted and no more.
_FILES = (".onnx", ".pt2")


def require_module(name: str) -> None:
    """Raise RequestError where `name` is a file that can be counted only."""
    if name.lower().endswith(_FILES):
        raise RequestError(
            f"--sites: {name} can be counted, but not shrunk; give the model in code: zoo:NAME, "
            "package.module:factory, file.py:factory or a run directory"
        )


def prospect_of(
    model: nn.Module,
    positional: Sequence[Tensor],
    keywords: Mapping[str, Tensor],
    *,
    batched: bool,
) -> Prospect:
    """The prospect of what `striate count` was given; only the shape and the type of the input are read."""
    if not batched:
        raise RequestError(
            "--sites: --batch-dim none is given, but sites are found on a batch; leave it out and give a batch of 1"
        )
    if keywords or len(positional) != 1:
        given = [*keywords] if keywords else [f"{len(positional)} inputs"]
        raise RequestError(
            f"--sites: {', '.join(given)} given by --input, but only a network that takes one input, by position, can "
            "be shrunk; wrap it in a module that does"
        )
    shape = tuple(positional[0].shape)
    if len(shape) < 2:
        raise RequestError(
            f"--sites: --input {'x'.join(map(str, shape))} has no sizes beside the batch; expected such as 1x3x32x32"
        )
    # Zeros without memory of their own; the model is followed on values only where it asks for some.
    example = torch.zeros((), dtype=positional[0].dtype).expand(2, *shape[1:])
    try:
        return prospect(model, example)
    except UserCodeError as error:
        # The ledger's forward, on the batch that was given, did not raise.
        raise UserCodeError(f"{error}; sites are found on a batch of two") from error


def tables(found: Prospect) -> RenderableType:
    """What `rich.console.Console.print` takes: the verdict, the sums, the sites, what stays, what else to try."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    parts: list[RenderableType] = [
        Text.assemble((found.verdict, "bold"), f": {found.because}"),
        "",
        _list(_sums(found)),
    ]
    for columns, rows, numbers in (
        (_SITE_COLUMNS, _site_rows(found.sites), (2, 3)),
        (_KEPT_COLUMNS, _kept_rows(found.kept), (2,)),
    ):
        drawn = _table(columns, rows, numbers)
        parts += ["", drawn] if drawn.row_count else []
    closing = _closing(found)
    if closing:
        parts += ["", *(Padding(Text(line), (0, 0, 0, 2), expand=False) for line in closing)]
    return Group(*parts)


def text(found: Prospect, width: int = 80) -> str:
    """The same as plain text without colours, without the last end of a line."""
    from rich.console import Console

    stream = io.StringIO()
    console = Console(file=stream, width=width, no_color=True, force_terminal=False)
    console.print(tables(found))
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def markdown(found: Prospect) -> str:
    """The same as GitHub's Markdown."""
    sums = [f"{number:,} {words}" for number, words in _sums(found)]
    parts = [f"**{found.verdict}**: {found.because}", *([_bullets(sums)] if sums else [])]
    for columns, rows in (
        (_SITE_COLUMNS, [*_site_rows(found.sites)]),
        (_KEPT_COLUMNS, [*_kept_rows(found.kept)]),
    ):
        if rows:
            parts.append(ledger_markdown.text_table(columns, rows, left=len(columns)))
    closing = _closing(found)
    return "\n\n".join([*parts, *([_bullets(closing)] if closing else [])]) + "\n"


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _sums(found: Prospect) -> list[tuple[int, str]]:
    """The weights that can shrink, and how far: numbers of parameters, and what they are."""
    params, least = found.totals.params, found.smallest
    if not params:
        return []
    lines = [
        (
            found.inside,
            f"({share(found.inside, params)}) of {params:,} parameters are in sites that can shrink",
        ),
        (
            found.reached,
            f"({share(found.reached, params)}) are in those that are dense over space or behind that",
        ),
    ]
    if found.reached:
        rest = found.smallest_by_three_ideas
        lines.append((rest, f"({share(rest, params)}) with only those at their smallest"))
    if found.sites:
        lines.append(
            (
                least.params,
                f"({share(least.params, params)}) with every site at its smallest, the least that can be reached; by "
                f"MACs the least is {short(least.macs)}, by bytes {short(least.weight_bytes)}B. How accurate it is "
                "then, only data can tell",
            )
        )
    if found.frozen:
        lines.append((found.frozen, "in sites are frozen: to be fitted, and not trained"))
    if found.elsewhere:
        lines.append((found.elsewhere, "are in no layer that was looked at"))
    return lines


def _closing(found: Prospect) -> list[str]:
    lead = "beyond those" if found.verdict == "good fit" else "what else"
    return [*(f"{lead}: {line}" for line in found.advice), *(f"note: {n}" for n in found.notes)]


# ---- rows


def _site_rows(sites: Sequence[Shrinkable]) -> Iterator[tuple[str, ...]]:
    for group in _folded(sites, lambda site: (site.kind,)):
        first = group.members[0]
        maps, rungs = {m.map for m in group.members}, {m.rung for m in group.members}
        what = TITLES[first.kind]
        if first.kind == "space":
            what = (
                f"{what}, {first.map.replace('x', '×')}" if len(maps) == 1 and first.map else what
            )
        yield (
            group.label,
            what,
            f"{sum(m.params for m in group.members):,}",
            f"{sum(m.smallest for m in group.members):,}",
            first.rung if len(rungs) == 1 else "several",
        )


def _kept_rows(kept: Sequence[Kept]) -> Iterator[tuple[str, ...]]:
    for group in _folded(kept, lambda layer: (layer.type, _DIGITS.sub("*", layer.reason))):
        reason = pattern([layer.reason for layer in group.members])
        params = sum(layer.params for layer in group.members)
        yield group.label, cell(group.members[0].type), f"{params:,}", plain(reason)


@dataclass(frozen=True)
class _Group(Generic[T]):
    label: str
    members: Sequence[T]


def _folded(layers: Sequence[T], alike: Callable[[T], tuple[str, ...]]) -> Iterator[_Group[T]]:
    """Layers of one kind whose names differ in numbers only, as one row; in the order of their first."""
    groups: dict[tuple[str, ...], list[T]] = {}
    for layer in layers:
        key = (_DIGITS.sub("*", layer.name), *alike(layer))
        groups.setdefault(key, []).append(layer)
    for members in groups.values():
        if len(members) >= _FOLDED:
            name = pattern([layer.name for layer in members])
            yield _Group(f"{cell(name)} ({len(members)})", members)
            continue
        for layer in members:
            yield _Group(cell(layer.name or "(model)"), [layer])


def pattern(names: Sequence[str]) -> str:
    """Names that differ in numbers only, as one.

    >>> pattern(["blocks.0.fc1", "blocks.1.fc1", "blocks.2.fc1"]), pattern(["0.1", "0.4"])
    ('blocks.*.fc1', '0.*')
    """
    split = [re.split(r"(\d+)", name) for name in names]
    parts = [column[0] if len(set(column)) == 1 else "*" for column in zip(*split, strict=True)]
    return "".join(parts)


def _list(sums: Sequence[tuple[int, str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column()
    for number, words in sums:
        grid.add_row(f"{number:,}", Text(words))
    return grid


def _table(
    columns: Sequence[str], rows: Iterator[tuple[str, ...]], numbers: Sequence[int]
) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 0, 0, 1))
    for place, name in enumerate(columns):
        right = place in numbers
        table.add_column(name, justify="right" if right else "left", no_wrap=right, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table
