"""Part 1 in a browser: the units and their wires, and the squares whose areas are to scale."""

from __future__ import annotations

import math
import re

import pytest
from playwright.sync_api import Page

from striate.geometry import Setting, three_ideas

from .conftest import Open
from .parts import (
    address,
    at,
    caption,
    drawn,
    exact,
    frame,
    memory,
    middles,
    numbers,
    reading_time,
    short,
    told,
    typed,
    until,
)

SETTINGS = [
    Setting(),
    Setting(size=(4, 7), kernel=3, share="own"),
    Setting(size=(30, 9), kernel=2, stride=3, padding="valid", share="block-2", pool=1),
    Setting(size=(1, 1), kernel=1, pool=1, pool_stride=1),
    Setting(size=(100_000, 90_000), kernel=700, share="tile-3"),
]
UNIT = "#figure-dense-wiring .dense-unit:not(.dense-plane)"


def drawn_along(size: int) -> list[int]:
    """The indices drawn of an axis: ten at most, evenly spaced, rounded half up."""
    count = min(size, 10)
    return [
        (2 * k * (size - 1) + count - 1) // (2 * (count - 1)) if count > 1 else 0
        for k in range(count)
    ]


def said_of(setting: Setting, row: int, column: int) -> str:
    """What is said of the unit drawn at a place."""
    ideas = three_ideas(setting)
    rows, columns = (drawn_along(size) for size in ideas.outputs)
    weights = "weight" if ideas.pixels == 1 else "weights"
    return (
        f"The unit in row {exact(rows[row] + 1)}, column {exact(columns[column] + 1)}: "
        f"{exact(ideas.pixels)} {weights} of its own, one for each pixel. "
        f"All units together: {exact(ideas.units)} × {exact(ideas.pixels)} = {exact(ideas.dense)}."
    )


def chosen(page: Page) -> int:
    """Which of the units drawn is the one marked as chosen."""
    return page.evaluate(
        """(unit) => {
            const marked = [...document.querySelectorAll(unit)]
                .flatMap((each, k) => each.matches(".dense-chosen") ? [k] : []);
            return marked.length === 1 ? marked[0] : -1;
        }""",
        UNIT,
    )


# ---- the units and their wires -------------------------------------------------------------------


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_the_unit_under_the_pointer_is_told(opened: Open, setting: Setting) -> None:
    page = opened(at(setting), query="embed=1")
    rows, columns = (len(drawn_along(size)) for size in three_ideas(setting).outputs)
    frame(page, "dense-wiring")
    places = middles(page, UNIT)
    assert len(places) == rows * columns
    for k in sorted({0, columns - 1, len(places) // 2, len(places) - columns, len(places) - 1}):
        page.mouse.move(*places[k])
        assert caption(page, "dense-wiring").startswith(said_of(setting, *divmod(k, columns)))
        assert chosen(page) == k
    assert page.locator(UNIT).count() == len(places)


def test_every_pixel_drawn_has_a_wire_from_the_unit_chosen(opened: Open) -> None:
    page = opened(at(Setting(size=(3, 5), kernel=3), dense_unit="2x4"), query="embed=1")
    wires = page.locator("#figure-dense-wiring .dense-wires").get_attribute("d") or ""
    ends = re.findall(r"M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)", wires)
    assert len({(x, y) for x, y, *_ in ends}) == 1
    assert len({(x, y) for *_, x, y in ends}) == len(ends) == 15
    unit = page.locator(".dense-chosen")
    assert ends[0][0] == f"{float(unit.get_attribute('cx') or 'nan'):.1f}"


def test_a_tap_chooses_a_unit(opened: Open) -> None:
    setting = Setting(size=(6, 6), kernel=3)
    page = opened(at(setting), query="embed=1", width=360, height=780, has_touch=True)
    frame(page, "dense-wiring")
    page.touchscreen.tap(*middles(page, UNIT)[6 * 4 + 1])
    assert caption(page, "dense-wiring").startswith(said_of(setting, 4, 1))
    address(page, dense_unit="5x2")


def test_arrows_choose_a_unit_and_stop_at_the_edges(opened: Open) -> None:
    setting = Setting(size=(50, 8), kernel=3)
    page = opened(at(setting, dense_unit="9x7"), query="embed=1")
    frame(page, "dense-wiring").focus()
    row, column = 8, 6
    steps = {"ArrowUp": (-1, 0), "ArrowDown": (1, 0), "ArrowLeft": (0, -1), "ArrowRight": (0, 1)}
    keys = ["ArrowRight", "ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft", "Shift+ArrowUp"]
    for key in keys:
        down, right = steps[key.removeprefix("Shift+")]
        far = 10 if key.startswith("Shift") else 1
        row, column = min(max(row + far * down, 0), 9), min(max(column + far * right, 0), 7)
        page.keyboard.press(key)
        assert caption(page, "dense-wiring").startswith(said_of(setting, row, column)), key
        assert chosen(page) == row * 8 + column
    page.keyboard.press("Control+Enter")  # no key of the figure
    address(page, dense_unit=f"{row + 1}x{column + 1}")


@pytest.mark.parametrize("unit", ["", "0x1", "11x1", "3", "axb", "1x1x1"])
def test_a_unit_that_makes_no_sense_is_the_middle_one(opened: Open, unit: str) -> None:
    page = opened(at(Setting(size=(5, 5), kernel=3), dense_unit=unit), query="embed=1")
    assert chosen(page) == 12


# ---- areas ---------------------------------------------------------------------------------------


def sides(page: Page) -> list[float]:
    """The widths of the three squares as they are drawn, in pixels."""
    return page.evaluate(
        """() => [...document.querySelectorAll("#figure-dense-squares .dense-area > rect")]
            .map((rect) => Number(rect.getAttribute("width")))"""
    )


PREFIXES = {"km": 1e3, "m": 1, "cm": 1e-2, "mm": 1e-3, "µm": 1e-6, "nm": 1e-9, "pm": 1e-12}


def lengths(page: Page) -> list[float]:
    """The widths that the labels give the squares, in pixels of 1/96 inch."""
    found = page.locator("#figure-dense-squares .dense-label > .label").all_text_contents()
    parsed = [re.fullmatch(r"([\d,.]+) (\w+) wide", text) for text in found]
    return [
        float(match[1].replace(",", "")) * PREFIXES[match[2]] * 96 / 0.0254
        for match in parsed
        if match
    ]


def test_areas_are_to_scale(opened: Open) -> None:
    setting = Setting(size=(20, 16), kernel=6, share="block-3")
    ideas = three_ideas(setting)
    page = opened(at(setting), query="embed=1")
    dense, local, shared = sides(page)
    assert local / dense == pytest.approx(math.sqrt(ideas.connections / ideas.dense), rel=1e-3)
    assert shared / dense == pytest.approx(math.sqrt(ideas.weights / ideas.dense), rel=1e-3)


@pytest.mark.parametrize("stop", ["dense", "37", "local", "140", "shared"])
def test_the_widths_said_are_to_scale_at_every_zoom(opened: Open, stop: str) -> None:
    ideas = three_ideas(Setting())
    page = opened(f"dense-zoom={stop}", query="embed=1")
    widths = lengths(page)
    for width, weights in zip(widths, (ideas.dense, ideas.connections, ideas.weights), strict=True):
        assert width / widths[0] == pytest.approx(math.sqrt(weights / ideas.dense), rel=0.11)
    if stop in ("dense", "local", "shared"):  # then this square is drawn whole
        k = ("dense", "local", "shared").index(stop)
        # Those to the left are out of sight and not drawn.
        assert sides(page)[-3 + k :][0] == pytest.approx(widths[k], rel=0.06)
        assert 100 < widths[k] < 900


@pytest.mark.parametrize("stop", ["dense", "60", "local", "shared"])
def test_the_scale_bar_is_as_long_as_it_says(opened: Open, stop: str) -> None:
    page = opened(f"dense-zoom={stop}", query="embed=1")
    scale = drawn(page, "dense-squares")[0]
    said = re.fullmatch(r"one grid square: (?:10([⁰-⁹¹²³]+)|([\d,]+)) weights?", scale)
    assert said, scale
    power = (said[1] or "").translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789"))
    cell = 10 ** int(power) if power else int(said[2].replace(",", ""))
    bar = float(
        re.findall(r"h([\d.]+)", page.locator(".dense-scale path").get_attribute("d") or "")[0]
    )
    widths = lengths(page)
    assert bar == pytest.approx(
        widths[0] * math.sqrt(cell / three_ideas(Setting()).dense), rel=0.06
    )


def zoomed(page: Page) -> str:
    return page.locator("#dense input[type=range]").get_attribute("aria-valuetext") or ""


def test_keys_zoom_from_the_dense_square_to_the_shared_one(opened: Open) -> None:
    page = opened(query="embed=1")
    frame(page, "dense-squares").focus()
    expected = {
        "End": ("shared", "shared"), "ArrowLeft": ("196", "between local and shared"),
        "-": ("192", "between local and shared"), "Shift+ArrowDown": ("152", "between local and shared"),
        "ArrowRight": ("156", "between local and shared"), "Home": (None, "dense"),
        "ArrowLeft ": (None, "dense"), "+": ("4", "between dense and local"),
    }  # fmt: skip
    for key, (entry, where) in expected.items():
        page.keyboard.press(key.strip())
        assert zoomed(page) == where
        assert told(page, "dense-squares").endswith(f"The zoom shows: {where}.")
        address(page, dense_zoom=entry)


def test_buttons_labels_and_the_slider_zoom(opened: Open) -> None:
    page = opened(query="embed=1", has_touch=True)
    page.get_by_role("button", name="local", exact=True).click()
    assert zoomed(page) == "local"
    pressed = page.locator("#dense [aria-pressed=true]").all_inner_texts()
    assert pressed == ["local"]
    frame(page, "dense-squares")
    page.touchscreen.tap(*middles(page, ".dense-label.shared .dense-hit")[0])
    assert zoomed(page) == "shared"
    page.get_by_role("slider", name="zoom").fill("50")
    assert zoomed(page) == "between dense and local"
    assert page.locator("#dense [aria-pressed=true]").count() == 0
    address(page, dense_zoom="50")


def test_the_wheel_zooms_with_ctrl_alone(opened: Open) -> None:
    page = opened(query="embed=1")
    frame(page, "dense-squares").hover()
    before = page.evaluate("scrollY")
    page.keyboard.down("Control")
    page.mouse.wheel(0, -100)
    address(page, dense_zoom="4")
    page.keyboard.up("Control")
    assert page.evaluate("scrollY") == before
    page.mouse.wheel(0, -100)
    until(lambda: page.evaluate("scrollY"), lambda now: now < before)
    assert zoomed(page) == "between dense and local"
    address(page, dense_zoom="4")


def test_a_flight_ends_where_it_was_sent(opened: Open) -> None:
    page = opened("size=30x30&kernel=9", query="embed=1", reduced_motion="no-preference")
    seen: list[str] = []

    def flown() -> str:
        seen.append(zoomed(page))
        return seen[-1]

    page.get_by_role("button", name="local", exact=True).click()
    until(flown, lambda where: where == "local")
    assert "between dense and local" in seen
    page.get_by_role("button", name="shared", exact=True).click()
    until(flown, lambda where: where == "between local and shared")
    frame(page, "dense-squares").focus()
    page.keyboard.press("Home")  # a key ends the flight
    page.wait_for_timeout(100)
    assert zoomed(page) == "dense"


# ---- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_the_table_and_the_labels_say_what_python_computes(opened: Open, setting: Setting) -> None:
    ideas = three_ideas(setting)
    page = opened(at(setting), query="embed=1")
    rows = page.evaluate(
        """() => [...document.querySelectorAll(".dense-costs tbody")].map((body) => {
            const cells = [...body.rows[0].cells].slice(2).map(({ textContent }) => textContent);
            const heard = body.querySelector(".heard");
            const all = body.querySelector(".dense-digits");
            return [body.rows[0].cells[0].textContent,
                (heard ?? body.querySelector(".number")).textContent, all?.textContent, ...cells];
        })"""
    )
    layers = {"dense": ideas.dense, "local": ideas.connections, "shared": ideas.weights}
    for (name, number, digits, size, time), (layer, weights) in zip(
        rows, layers.items(), strict=True
    ):
        abridged = short(weights) != exact(weights)
        assert (name, number) == (layer, exact(weights))
        assert digits == (exact(weights) if abridged else None)
        assert (size, time) == (memory(weights), reading_time(weights))
    texts = [text.removeprefix("← ") for text in drawn(page, "dense-squares")]
    for name, weights in layers.items():
        k = texts.index(name)
        assert texts[k + 1 : k + 4] == [short(weights), memory(weights), reading_time(weights)]
        said = f"{name}: {short(weights)}, {memory(weights)}, {reading_time(weights)}"
        assert said in told(page, "dense-squares")
    counts = drawn(page, "dense-wiring")[-2:]
    assert counts == [
        f"this unit: {short(ideas.pixels)} weight{'s' if ideas.pixels > 1 else ''}",
        f"all units: {short(ideas.units)} × {short(ideas.pixels)} = {short(ideas.dense)}",
    ]
    told_units = (
        f"All {exact(ideas.units)} units have as many: {exact(ideas.dense)} weights together."
    )
    assert told(page, "dense-wiring").endswith(told_units)


@pytest.mark.parametrize("setting", SETTINGS[::2], ids=str)
def test_both_languages_show_the_same_numbers(opened: Open, setting: Setting) -> None:
    def shown(page: Page) -> list[object]:
        figures = ("dense-wiring", "dense-squares")
        table = page.locator(".dense-costs").inner_text()
        return [
            [numbers(told(page, figure)) for figure in figures],
            [numbers(" ".join(drawn(page, figure))) for figure in figures],
            [numbers(caption(page, figure)) for figure in figures],
            numbers(table),
        ]

    english = shown(opened(at(setting, dense_zoom="30"), query="embed=1"))
    assert shown(opened(at(setting, dense_zoom="30", lang="zh"), query="embed=1")) == english


# ---- state ---------------------------------------------------------------------------------------


def test_the_address_opens_what_was_shown(opened: Open) -> None:
    page = opened("size=40x30&kernel=4", query="embed=1")
    frame(page, "dense-wiring")
    page.mouse.move(*middles(page, UNIT)[37])
    page.locator("#dense input[type=range]").fill("130")
    entries = address(page, dense_unit="4x8", dense_zoom="130")
    assert entries["size"] == "40x30"
    again = opened(page.url.split("#")[1], query="embed=1")
    for figure in ("dense-wiring", "dense-squares"):
        assert told(again, figure) == told(page, figure)
        assert drawn(again, figure) == drawn(page, figure)
        assert caption(again, figure) == caption(page, figure)
    assert sides(again) == sides(page)


def test_the_setting_follows_other_parts_and_reaches_them(opened: Open) -> None:
    page = opened("dense-unit=10x10")
    typed(page, "local", "image height", 6)
    typed(page, "local", "window side", 3)
    small = Setting(size=(6, 1000), kernel=3)
    # The place chosen among ten rows is none of six: the nearest is.
    assert caption(page, "dense-wiring").startswith(said_of(small, 5, 9))
    typed(page, "dense", "image width", 5)
    typed(page, "dense", "side of the window", 2)
    smaller = Setting(size=(6, 5), kernel=2)
    assert caption(page, "dense-wiring").startswith(said_of(smaller, 5, 4))
    assert page.locator("#local").get_by_label("image width", exact=True).input_value() == "5"
    assert page.locator("#local").get_by_label("window side", exact=True).input_value() == "2"
    ladder = page.locator(".ladder .number").first.inner_text()
    assert ladder == exact(three_ideas(smaller).dense)
    address(page, size="6x5", kernel="2", dense_unit="10x10")
