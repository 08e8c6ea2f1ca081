"""A handful of figures look as they did when they were last looked at.

The pictures in baselines/ are made by `python -m tests.web.test_screens`, from the clone; look at them before they are
committed. They are compared coarsely: where a system has other fonts than those they were made with, not at all.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from .conftest import BUILT, Open

BASELINES = Path(__file__).with_name("baselines")
#: figure, state, width of the window, dark; each in its part alone, without the strip that stays on top
SCREENS = {
    "dense-1440": ("dense-squares", "dense-zoom=local", 1440, False),
    "local-360": ("local-drag", "size=64x48&kernel=5&local-unit=2x3", 360, False),
    "sharing-768": ("sharing-slide", "sharing-digit=3", 768, True),
    "pooling-768": ("pooling-window", "pool=3&pool-stride=2", 768, False),
    "stack-1440": ("stack-cone", "stack=3-3-p2-3-3", 1440, True),
    "network-360": ("network-answers", "network-digit=7", 360, True),
}
PARTS = ("dense", "local", "sharing", "pooling", "stack", "network")
#: Squares of so many pixels are averaged: text that is drawn a little differently does not count.
COARSE = 8
ALLOWED = 0.02

#: The widths of a line in the three fonts of the page tell whether the fonts are the same.
FONTS = """() => ["sans", "serif", "mono"].map((font) => {
    const line = document.createElement("span");
    line.style.cssText = `position: absolute; white-space: nowrap; font: 100px var(--${font})`;
    line.textContent = "Hamburgefonstiv 0123456789 ×÷→";
    document.body.append(line);
    const width = Math.round(line.getBoundingClientRect().width);
    line.remove();
    return width;
})"""


def alone(figure: str) -> str:
    """The query that shows the part of a figure."""
    return f"embed={PARTS.index(figure.split('-')[0]) + 1}"


def shoot(page: Page, figure: str) -> bytes:
    """The figure without what follows a pointer, as PNG."""
    return page.locator(f"#figure-{figure} .frame").screenshot(animations="disabled")


def coarse(picture: Image.Image) -> np.ndarray:
    """Means over squares of pixels, from 0 to 1."""
    values = np.asarray(picture.convert("RGB"), dtype=float) / 255
    rows, columns = (side // COARSE * COARSE for side in values.shape[:2])
    squares = values[:rows, :columns].reshape(rows // COARSE, COARSE, columns // COARSE, COARSE, 3)
    return squares.mean(axis=(1, 3))


@pytest.mark.parametrize("name", SCREENS)
def test_a_figure_looks_as_it_did(opened: Open, name: str, tmp_path: Path) -> None:
    figure, state, width, dark = SCREENS[name]
    page = opened(f"lang=en&{state}", query=alone(figure), width=width, dark=dark)
    if page.evaluate(FONTS) != json.loads((BASELINES / "fonts.json").read_text()):
        pytest.skip("the fonts here are not those that the baselines were made with")
    found = tmp_path / f"{name}.png"
    found.write_bytes(shoot(page, figure))
    before, after = Image.open(BASELINES / f"{name}.png"), Image.open(found)
    assert after.size == before.size
    difference = np.abs(coarse(after) - coarse(before)).mean()
    assert difference < ALLOWED, f"{found} is not {name}.png: {difference:.3f}"


def main() -> None:
    program = shutil.which("chromium")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        for name, (figure, state, width, dark) in SCREENS.items():
            page = browser.new_page(
                viewport={"width": width, "height": 900},
                color_scheme="dark" if dark else "light",
                reduced_motion="reduce",
            )
            page.goto(f"{BUILT.as_uri()}?{alone(figure)}#lang=en&{state}")
            page.wait_for_selector("section h2")
            (BASELINES / f"{name}.png").write_bytes(shoot(page, figure))
            (BASELINES / "fonts.json").write_text(json.dumps(page.evaluate(FONTS)) + "\n")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
