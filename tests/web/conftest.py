"""The explainer page in a real browser, watched: nothing it says to the console or asks of a network goes unseen."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "striate" / "report" / "explain.html"

Open = Callable[..., Page]


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's program."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("no Chromium: install one (Debian: apt-get install chromium)")


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield running
        running.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Open the page: `opened("size=8x8&kernel=3", query="embed=3", width=360, dark=True)`."""
    complaints: list[str] = []
    contexts = []

    def listen(page: Page) -> None:
        def said(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                complaints.append(f"console: {message.text}")

        def asked(request: Request) -> None:
            if not request.url.startswith(("file:", "data:", "blob:")):
                complaints.append(f"request: {request.url}")

        page.on("console", said)
        page.on("request", asked)
        page.on("pageerror", lambda error: complaints.append(f"exception: {error}"))

    def open_page(
        state: str = "",
        *,
        query: str = "",
        width: int = 1100,
        height: int = 900,
        dark: bool = False,
        file: Path = BUILT,
        locale: str = "en-GB",
        **context: Any,
    ) -> Page:
        made = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion=context.pop("reduced_motion", "reduce"),
            locale=locale,
            **context,
        )
        contexts.append(made)
        page = made.new_page()
        listen(page)
        page.goto(file.as_uri() + (f"?{query}" if query else "") + (f"#{state}" if state else ""))
        page.wait_for_selector("section h2")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
