"""What the tests of the page's parts have in common: reading what is shown, and writing numbers as the page does."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from typing import TypeVar
from urllib.parse import parse_qsl

from playwright.sync_api import Locator, Page

from striate.geometry import Setting
from striate.jobs.explain import opening

T = TypeVar("T")
SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


# ---- reading -------------------------------------------------------------------------------------


def told(page: Page, figure: str) -> str:
    """What a figure tells those who cannot see it."""
    return page.locator(f"#figure-{figure} svg > desc").text_content() or ""


def caption(page: Page, figure: str) -> str:
    return page.locator(f"#figure-{figure} figcaption").inner_text()


def drawn(page: Page, figure: str) -> list[str]:
    """Every text in a figure's drawing."""
    return page.locator(f"#figure-{figure} .frame svg text").all_text_contents()


def frame(page: Page, figure: str) -> Locator:
    """A figure's frame, in sight."""
    found = page.locator(f"#figure-{figure} .frame")
    found.scroll_into_view_if_needed()
    return found


def numbers(text: str) -> Counter[str]:
    """The numbers of a text, whatever its language."""
    return Counter(re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?|[⁰¹²³⁴⁵⁶⁷⁸⁹]+", text))


def middles(page: Page, selector: str) -> list[tuple[float, float]]:
    """The middle of every element found, in the window's pixels."""
    found = page.evaluate(
        """(selector) => [...document.querySelectorAll(selector)].map((element) => {
            const { x, y, width, height } = element.getBoundingClientRect();
            return [x + width / 2, y + height / 2];
        })""",
        selector,
    )
    return [(x, y) for x, y in found]


def typed(page: Page, part: str, label: str, value: int) -> None:
    """Type a number into a field of a part."""
    field = page.locator(f"#{part}").get_by_label(label, exact=True)
    field.fill(str(value))
    field.press("Enter")


def until(seen: Callable[[], T], expected: Callable[[T], bool]) -> T:
    """What is seen once it is as expected: what follows an animation or a timer of the page. Two seconds at most."""
    # The page forbids eval, and with it Playwright's own waiting for a condition.
    for _ in range(80):
        if expected(found := seen()):
            return found
        time.sleep(0.025)
    raise AssertionError(f"never as expected: {found!r}")


# ---- the address ---------------------------------------------------------------------------------


def at(setting: Setting, **entries: str) -> str:
    """The address of a setting, with a part's own entries: `pooling_unit="2-1"`."""
    own = {name.replace("_", "-"): value for name, value in entries.items()}
    return "&".join(f"{name}={value}" for name, value in (dict(opening(setting)) | own).items())


def address(page: Page, **expected: str | None) -> dict[str, str]:
    """The entries of the address once those expected are there (None: not there); they are written a moment later."""
    wanted = {name.replace("_", "-"): value for name, value in expected.items()}

    def entries() -> dict[str, str]:
        return dict(parse_qsl(page.evaluate("location.hash.slice(1)"), keep_blank_values=True))

    return until(entries, lambda all: all | wanted == all | {n: all.get(n) for n in wanted})


# ---- writing -------------------------------------------------------------------------------------


def exact(value: int) -> str:
    return f"{value:,}"


def short(value: int) -> str:
    """A number as the page abridges it: 10¹², 100, 9.2×10⁹."""
    digits = str(value)
    power = len(digits) - 1
    if power > 3 and re.fullmatch("10+", digits):
        return f"10{str(power).translate(SUPERSCRIPTS)}"
    if power < 7:
        return exact(value)
    leading = Decimal(value).scaleb(-power).quantize(Decimal("0.001"), rounding="ROUND_DOWN")
    leading = leading.quantize(Decimal("0.1"), rounding=ROUND_HALF_UP)
    if leading == 10:
        return f"10{str(power + 1).translate(SUPERSCRIPTS)}"
    return f"{leading}×10{str(power).translate(SUPERSCRIPTS)}"


def rounded(value: float) -> str:
    """Two digits below ten, three below a hundred, whole numbers above."""
    if value >= 100:
        return exact(int(Decimal(value).quantize(Decimal(1), rounding=ROUND_HALF_UP)))
    return f"{float(f'{value:.{3 if value >= 10 else 2}g}'):g}"


def memory(weights: int) -> str:
    """Weights of four bytes: 4 TB."""
    size = 4 * weights
    step = min((len(str(size)) - 1) // 3, 7)
    return f"{rounded(size / 1000**step)} {('B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB', 'ZB')[step]}"


def reading_time(weights: int) -> str:
    """The time to read weights of four bytes at 500 MB a second, in English."""
    seconds = 4 * weights / 500_000_000
    spans = [
        (31_557_600, "year"), (86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"),
    ]  # fmt: skip
    for span, name in spans:
        if seconds >= span:
            value = rounded(seconds / span)
            return f"{value} {name}" + ("" if value == "1" else "s")
    for scale, symbol in ((1e3, "ms"), (1e6, "µs"), (1e9, "ns")):
        if seconds * scale >= 1 or symbol == "ns":
            return f"{float(f'{seconds * scale:.3g}'):g} {symbol}"
    raise AssertionError(weights)
