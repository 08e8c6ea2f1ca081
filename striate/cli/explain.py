"""`striate explain`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from striate.cli.exits import OK
from striate.cli.groups import spread
from striate.cli.options import CommonOptions
from striate.cli.output import results
from striate.errors import RequestError, clipped, refuse_long

if TYPE_CHECKING:
    from striate.geometry import Setting

_SIZE = re.compile(r"(?P<rows>[0-9]+)(?:[xX×](?P<columns>[0-9]+))?")


@dataclass(frozen=True)
class SettingOptions:
    """The image, its windows, who shares a kernel, the pooling; as a `striate.geometry.Setting` has them."""

    size: Annotated[
        str, typer.Option(metavar="HxW", help="Rows x columns of the image, or one number.")
    ] = "1000x1000"
    kernel: Annotated[int, typer.Option(metavar="N", help="Rows and columns of a window.")] = 10
    stride: Annotated[int, typer.Option(metavar="N", help="Pixels from a window to the next.")] = 1
    padding: Annotated[
        str,
        typer.Option(metavar="same|valid", help="Zeros around the image, or none."),
    ] = "same"
    share: Annotated[
        str,
        typer.Option(
            metavar="own|all|block-N|tile-N",
            help="Who shares a kernel: nobody, all units, NxN adjacent ones, those N steps apart.",
        ),
    ] = "all"
    pool: Annotated[
        int, typer.Option(metavar="N", help="Rows and columns of a pooling window.")
    ] = 2
    pool_stride: Annotated[
        int | None,
        typer.Option(metavar="N", help="Units from a pooling window to the next; default: --pool."),
    ] = None
    pool_kind: Annotated[
        str, typer.Option(metavar="max|average", help="What is taken of a pooling window.")
    ] = "max"


@spread
def explain(
    *,
    options: SettingOptions,
    lang: Annotated[
        str | None,
        typer.Option(metavar="en|zh", help="The language that the page opens in."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the interactive page, one file.")
    ] = None,
    common: CommonOptions,
) -> int:
    """Show why 10^12 weights become 10^8, and then 100: the arithmetic, and a page to play with.

    Example: striate explain --size 1000x1000 --kernel 10 --out three-ideas.html
    """
    _check_page(lang, out)
    setting = _setting(options)
    from striate.geometry import three_ideas
    from striate.jobs.explain import command, document, write_page

    with results(common.json_) as output:
        account = three_ideas(setting)
        page = None if out is None else write_page(setting, lang, out)
        if common.json_:
            output.print(json.dumps(document(account, None if out is None else str(out))))
        elif not common.quiet:
            from striate.report.explain_table import table

            output.print(table(account, output.width))
            if page is None:
                output.print(f"\nThe page where one can play with it:\n  {command(setting)}")
            else:
                output.print(f"\n{out}\n{page.as_uri()}")
    return OK


def _check_page(lang: str | None, out: Path | None) -> None:
    if lang is not None and lang not in ("en", "zh"):
        raise RequestError(f"--lang {clipped(lang, 30)}: expected en or zh")
    if lang is not None and out is None:
        raise RequestError(f"--lang {lang}: is about the page; give --out FILE too")
    if out == Path(""):
        raise RequestError("--out '': expected the name of a file")


def _setting(options: SettingOptions) -> Setting:
    """The setting; raises `RequestError` that names the option and what was given for it."""
    from striate.geometry import Setting, SettingError

    given: Mapping[str, object] = vars(options)
    try:
        return Setting(
            size=_size(options.size),
            kernel=options.kernel,
            stride=options.stride,
            padding=options.padding,
            share=options.share,
            pool=options.pool,
            pool_stride=options.pool if options.pool_stride is None else options.pool_stride,
            pool_kind=options.pool_kind,
        )
    except SettingError as error:
        option = f"--{error.name.replace('_', '-')} {clipped(str(given[error.name]), 30)}"
        raise RequestError(f"{option}: {error.expected}") from error


def _size(text: str) -> tuple[int, int]:
    refuse_long("--size", text, 30)
    found = _SIZE.fullmatch(text)
    if found is None:
        raise RequestError(
            f"--size {text}: expected ROWSxCOLUMNS, such as 1000x1000, or one number"
        )
    rows, columns = found["rows"], found["columns"] or found["rows"]
    return int(rows), int(columns)
