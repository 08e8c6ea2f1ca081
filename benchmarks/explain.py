"""How quick the explainer page is: first paint from disk, and the longest that any interaction keeps it busy.

    python benchmarks/explain.py [--repeats 5]

Opens the page that the package carries in Chromium at the article's own setting (1000×1000, window 10), moves every
slider, chooses every option, types into every field, and walks and drags over every figure, part by part. What keeps
the page busy is measured by the browser (Event Timing and Long Tasks): the time from an input to the end of its work.
The targets are the issue's: first paint under 1 s, nothing over 50 ms. Prints a table; exit code 1 when one is missed.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

PAGE = Path(__file__).parents[1] / "striate" / "report" / "explain.html"
PARTS = ("dense", "local", "sharing", "pooling", "stack", "network")
PAINT_MS, BUSY_MS = 1000, 50

WATCH = """() => {
    window.busy = [];
    new PerformanceObserver((list) => list.getEntries().forEach((entry) =>
        window.busy.push([entry.name, entry.processingEnd - entry.processingStart])))
        .observe({ type: "event", durationThreshold: 16 });
    new PerformanceObserver((list) => list.getEntries().forEach((entry) =>
        window.busy.push(["task", entry.duration]))).observe({ type: "longtask" });
}"""


def first_paint(browser: Browser) -> float:
    """Milliseconds from the start of the navigation to the first content on the screen."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(PAGE.as_uri())
    page.wait_for_selector("section h2")
    page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    page.close()
    return float(paint)


def interact(page: Page, part: str) -> None:
    """Everything that can be turned, chosen, typed, walked and dragged in a part."""
    section = page.locator(f"#{part}")
    section.scroll_into_view_if_needed()
    for frame in section.locator(".frame").all():
        frame.scroll_into_view_if_needed()
        box = frame.bounding_box()
        if box is None:
            continue
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + box["width"] / 4, y + box["height"] / 4, steps=12)
        page.mouse.move(x - box["width"] / 4, y - box["height"] / 4, steps=12)
        page.mouse.up()
        if frame.get_attribute("tabindex") is not None:
            frame.focus()
            for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"):
                page.keyboard.press(key)
                page.keyboard.press(f"Shift+{key}")
    for slider in section.locator("input[type=range]").all():
        slider.focus()
        for key in ("Home", "PageUp", "ArrowRight", "End"):
            page.keyboard.press(key)
    for option in section.locator("input[type=radio]").all():
        option.check()
    for field in section.locator("input[type=number]").all():
        was = field.input_value()
        for value in (was + "0", "1", was):
            field.fill(value)
            field.press("Enter")
    for button in section.locator("button:not(.save)").all():
        if button.is_visible() and button.is_enabled():
            button.click()


def longest(browser: Browser, part: str) -> tuple[float, str]:
    """The longest that the page was busy in a part, in milliseconds, and with what."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(PAGE.as_uri())
    page.wait_for_selector("section h2")
    page.wait_for_timeout(500)
    page.evaluate(WATCH)
    interact(page, part)
    page.wait_for_timeout(300)
    entries = page.evaluate("window.busy") or [["nothing over 16 ms", 0]]
    page.close()
    name, worst = max(entries, key=lambda entry: entry[1])
    return float(worst), str(name)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    program = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    )
    missed = False
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"]
        )
        paints = [first_paint(browser) for _ in range(repeats)]
        middle = statistics.median(paints)
        missed |= middle >= PAINT_MS
        print(
            f"first paint: {middle:.0f} ms ({min(paints):.0f} to {max(paints):.0f}), at most {PAINT_MS}"
        )
        print(f"busy at most, of {repeats} runs (median, range), with what; at most {BUSY_MS} ms")
        for part in PARTS:
            found = [longest(browser, part) for _ in range(repeats)]
            times = [time for time, _ in found]
            middle = statistics.median(times)
            missed |= middle > BUSY_MS
            print(
                f"  {part:<8} {middle:5.0f} ms ({min(times):.0f} to {max(times):.0f})  {max(found)[1]}"
            )
        browser.close()
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
