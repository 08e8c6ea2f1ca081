"""The state that the explainer's page opens in, put into the built page."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.errors import RequestError
from striate.report import explain_page
from striate.report.explain_page import opened, page

PLACE = '<script type="application/json" id="opening">{}</script>'
BUILT = f"<!doctype html>\n<title>x</title>\n{PLACE}\n<script>let own = {{}}</script>\n<p>é</p>\n"


class Scripts(HTMLParser):
    """What stands in the page's script elements, and all its tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.inside = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        self.inside = tag == "script"
        if self.inside:
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.texts[-1] += data


hostile = st.one_of(
    st.text(),
    st.lists(
        st.sampled_from(["</script>", "<!--", "<script", "]]>", "&lt;", "\u2028", "\\", '"', "x"])
    ).map("".join),
)


@given(st.dictionaries(hostile, hostile, max_size=4))
def test_whatever_the_state_is_it_comes_back_and_the_page_stays(state: dict[str, str]) -> None:
    found = Scripts(opened(BUILT, state))
    assert json.loads(found.texts[0]) == state
    assert found.texts[1:] == ["let own = {}"]
    assert found.tags == Scripts(BUILT).tags
    before, after = BUILT.split(PLACE)
    assert opened(BUILT, state).startswith(before)
    assert opened(BUILT, state).endswith(after)


def test_no_state_is_the_page_as_built() -> None:
    assert opened(BUILT, {}) == BUILT


@pytest.mark.parametrize("built", ["", "<p>", BUILT + PLACE, BUILT.replace("{}</s", "{ }</s")])
def test_a_page_without_one_place_is_a_fault_of_its_build(built: str) -> None:
    with pytest.raises(RuntimeError, match=r"explain.html: [02] places .*make web"):
        opened(built, {"size": "8x8"})


def test_a_page_that_was_not_built_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain_page, "PAGE", "not-built.html")
    with pytest.raises(RequestError, match=r"^--out: .*not built; build it with `make web`"):
        page({})
