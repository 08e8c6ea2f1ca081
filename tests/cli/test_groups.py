"""Options that belong together, as one dataclass."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Annotated

import pytest
import typer

from striate.cli.app import COMMANDS
from striate.cli.groups import given, spread
from striate.cli.options import CommonOptions


@dataclass(frozen=True)
class Place:
    row: Annotated[int, typer.Option(metavar="N", help="The row.")]
    column_: int = 2


@spread
def put(what: str, place: Place, *, times: int = 1, common: CommonOptions) -> str:
    """Put it there."""
    return f"{what} {place.row} {place.column_} {times} {common.quiet}"


def test_fields_stand_where_the_group_stood() -> None:
    found = signature(put).parameters
    assert list(found) == ["what", "row", "column_", "times", "quiet", "json_", "version"]
    assert found["row"].default is Parameter.empty
    assert found["column_"].default == 2
    assert found["row"].annotation.__metadata__[0].help == "The row."
    assert (put.__name__, put.__doc__) == ("put", "Put it there.")


def test_the_command_gets_the_group() -> None:
    said = put(what="x", row=5, column_=7, times=3, quiet=True, json_=False, version=False)
    assert said == "x 5 7 3 True"


def test_what_is_no_option_is_refused() -> None:
    with pytest.raises(TypeError, match="colour"):
        put(what="x", row=5, column_=7, quiet=True, json_=False, version=False, colour="red")


def test_what_is_given_is_called_as_its_option() -> None:
    assert given(Place(0)) == {"--row": 0}
    assert given(Place(0, 3), CommonOptions(json_=True)) == {
        "--row": 0,
        "--column": 3,
        "--json": True,
    }


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_every_command_has_the_common_options_last(command: object) -> None:
    assert list(signature(command).parameters)[-3:] == ["quiet", "json_", "version"]  # type: ignore[arg-type]
