"""Run directories as the shrink job leaves them, as copies that a test may change; and what one can ask of a page."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(params=sorted(path.name for path in FIXTURES.iterdir()))
def each_run(request: pytest.FixtureRequest) -> Path:
    """Every run of the fixtures, to be read only."""
    return FIXTURES / str(request.param)


@pytest.fixture
def a_run(tmp_path: Path) -> Callable[..., Path]:
    """Copy a run; `changes` maps a file to a function that changes its document in place."""

    def copy(name: str, **changes: Callable[[dict[str, Any]], object]) -> Path:
        run = tmp_path / name
        shutil.copytree(FIXTURES / name, run)
        for stem, change in changes.items():
            path = run / f"{stem}.json"
            document = json.loads(path.read_bytes())
            change(document)
            path.write_text(json.dumps(document))
        return run

    return copy


BLOCKS = {"td", "th", "dt", "dd", "p", "li", "h1", "h2", "h3", "caption", "pre", "span"}
VOID = {"meta", "link", "br", "hr", "img", "input"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    text: str = ""
    inside: list[str] = field(default_factory=list)


class Page(HTMLParser):
    """A page taken apart; an element that is not closed, or closed out of order, is a failure."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.html = html
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(html)
        self.close()
        assert not self._open, f"not closed: {[e.tag for e in self._open]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs), inside=[e.tag for e in self._open])
        self.elements.append(element)
        for outer in self._open:
            outer.inside.append(tag)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1].tag == tag, f"</{tag}> closes <{self._open[-1].tag}>"
        if tag in BLOCKS:
            self.handle_data(" ")
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, tag: str) -> list[Element]:
        return [element for element in self.elements if element.tag == tag]

    @property
    def text(self) -> str:
        """The words of the page, blanks as one space."""
        return " ".join(self.all("body")[0].text.split())


@pytest.fixture
def read_page() -> Callable[[str], Page]:
    return Page
