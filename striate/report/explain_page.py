"""The page of `striate explain`: built from `web/`, here it only gets the state that it opens in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files

from striate.errors import RequestError

PAGE = "explain.html"
_BEFORE, _STATE, _AFTER = '<script type="application/json" id="opening">', "{}", "</script>"


def page(opening: Mapping[str, str]) -> str:
    """The interactive page as HTML, to be opened in the state `opening`: names and values as its address has them.

    Raises `RequestError` where striate runs from its sources and the page was not built.
    """
    return opened(_built(), opening)


def opened(built: str, opening: Mapping[str, str]) -> str:
    r"""The `built` page with the state it opens in.

    Raises RuntimeError where it has not exactly one place for it.

    >>> opened('<script type="application/json" id="opening">{}</script>', {"size": "64x64</script>"})
    '<script type="application/json" id="opening">{"size": "64x64\\u003c/script\\u003e"}</script>'
    """
    place = _BEFORE + _STATE + _AFTER
    if built.count(place) != 1:
        raise RuntimeError(
            f"{PAGE}: {built.count(place)} places for the opening state, expected one; "
            "build the page again with `make web`"
        )
    return built.replace(place, _BEFORE + _inert(json.dumps(dict(opening))) + _AFTER)


def _inert(document: str) -> str:
    """JSON, in ASCII, that neither ends a script element nor begins a comment in it."""
    for sign in "<>&":
        document = document.replace(sign, f"\\u{ord(sign):04x}")
    return document


def _built() -> str:
    try:
        return (files("striate.report") / PAGE).read_text("utf-8")
    except FileNotFoundError as error:
        raise RequestError(
            "--out: this copy of striate has no page to write, as it runs from sources in which the page was not "
            "built; build it with `make web`, or install a released wheel"
        ) from error
