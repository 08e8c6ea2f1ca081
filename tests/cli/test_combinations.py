"""Which options of `striate count` go together."""

from __future__ import annotations

import pytest
import typer
from hypothesis import given as for_all
from hypothesis import strategies as st

from striate.cli.app import app
from striate.cli.combinations import FORMATS, OF_ONE_NETWORK, OF_THE_LIST, RULES, check
from striate.cli.count import CountOptions
from striate.cli.groups import given
from striate.cli.options import CommonOptions
from striate.errors import RequestError

#: What can be said of a list of networks as well as of one.
OF_A_LIST = {"--format", "--allow-partial", "--only"}

# "none" is a value that `--batch-dim` may have, and the rules look at no other's.
EITHER = (*OF_THE_LIST, *OF_ONE_NETWORK)
some_options = st.sets(st.sampled_from(EITHER)).map(lambda s: dict.fromkeys(s, "none"))


def declared() -> dict[str, object]:
    """The options of `striate count` that Typer sees, with their metavars."""
    command = typer.main.get_command(app).commands["count"]  # type: ignore[attr-defined]
    return {param.opts[0]: param.metavar for param in command.params if param.opts[0][:2] == "--"}


def refused(model: str | None, options: dict[str, object]) -> bool:
    try:
        check(model, options)
    except RequestError:
        return True
    return False


def test_every_option_is_of_one_network_or_of_a_list() -> None:
    """Whoever adds an option has to say which."""
    options = set(declared()) - {"--quiet", "--json", "--version"}
    assert sorted(options) == sorted([*EITHER, *OF_A_LIST])


def test_rules_name_options_and_formats_that_are() -> None:
    for rule in RULES:
        assert set(rule.options) <= set(EITHER)
        assert set(rule.formats) < set(FORMATS)
    assert declared()["--format"] == "|".join(FORMATS)


def test_options_are_called_as_typer_calls_them() -> None:
    options = CountOptions(
        input_=["1x3"],
        model_arg=["a=1"],
        batch_dim="none",
        format_="md",
        budget=["3"],
        against="a",
        max_growth="2%",
        allow_partial=True,
        only=["a"],
        depth=0,
        sort="macs",
        filter_="*",
        unfold=True,
        ideas=True,
        elementwise=True,
        training=True,
        sites=True,
        probe=True,
    )
    everything = given(options, CommonOptions(quiet=True, json_=True, version=True))
    assert set(everything) == set(declared())
    assert everything["--depth"] == 0
    assert given(CountOptions(input_=[], only=[]), CommonOptions()) == {}


@for_all(some_options)
def test_the_table_has_a_place_for_everything(options: dict[str, object]) -> None:
    check("zoo:mlp", options)


@for_all(
    st.sampled_from([None, "zoo:mlp"]),
    some_options,
    some_options,
    st.sampled_from(FORMATS),
    st.sampled_from([{}, {"--json": True}]),
)
def test_no_further_option_makes_a_wrong_request_right(
    model: str | None,
    options: dict[str, object],
    more: dict[str, object],
    form: str,
    json: dict[str, object],
) -> None:
    fewer = {**options, "--format": form}
    assert refused(model, {**fewer, **more, **json}) >= refused(model, fewer)


@pytest.mark.parametrize("option", OF_THE_LIST)
def test_what_the_list_says_is_not_said_beside_it(option: str) -> None:
    with pytest.raises(RequestError, match=f"^{option}: is for one network; give MODEL too"):
        check(None, {option: "none", "--only": ["a"]})


@pytest.mark.parametrize("option", [*OF_ONE_NETWORK, "--format html"])
def test_what_is_asked_of_one_network(option: str) -> None:
    name, _, value = option.partition(" ")
    for several in ({}, {"--only": ["a", "b"]}):
        with pytest.raises(RequestError) as caught:
            check(None, {name: value or 3, **several})
        assert str(caught.value) == f"{option}: is for one network; give MODEL, or one --only NAME"
    check(None, {name: value or 3, "--only": ["a"]})
    check(None, {name: value or 3, "--only": ["a", "a"]})


@for_all(some_options, st.sampled_from(FORMATS))
def test_one_of_the_list_is_refused_what_a_model_is(options: dict[str, object], form: str) -> None:
    asked = {name: value for name, value in options.items() if name in OF_ONE_NETWORK}
    asked["--format"] = form
    assert refused(None, {**asked, "--only": ["a"]}) == refused("zoo:mlp", asked)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"--sites": True, "--format": "csv", "--json": True}, "--format csv: has no sites"),
        ({"--depth": 0, "--format": "md", "--json": True}, "--format json: has every row"),
        ({"--ideas": True, "--json": True}, "for the table; they are in this format$"),
        ({"--ideas": True, "--format": "html"}, "which are for the table$"),
        ({"--only": ["a", "b"]}, "--only a: selects from pyproject.toml; leave out MODEL zoo:mlp"),
    ],
)
def test_what_is_said(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(RequestError, match=complaint):
        check("zoo:mlp", options)
