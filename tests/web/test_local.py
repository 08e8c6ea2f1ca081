"""Part 2 in a browser: the windows that it shows are those of striate.geometry, wherever they are dragged."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page

from striate.geometry import Setting, same_padding, three_ideas, window

from .conftest import Open
from .parts import address, at, caption, drawn, exact, frame, middles, numbers, told, typed

SETTINGS = [
    Setting(),
    Setting(size=(12, 9), kernel=4, stride=2, share="own"),
    Setting(size=(20, 20), kernel=5, stride=7, padding="valid", pool=1, pool_stride=1),
    Setting(size=(3, 1000), kernel=3),
    Setting(size=(1, 1), kernel=1, pool=1, pool_stride=1),
    Setting(size=(100_000, 90_000), kernel=999, stride=3),
]


def spans(setting: Setting, row: int, column: int) -> tuple[list[tuple[int, int]], int]:
    """The pixels that a unit sees along each axis, and how many of its taps are on pixels."""
    pads = same_padding(setting.kernel) if setting.padding == "same" else (0, 0)
    found = [
        window(place, setting.kernel, setting.stride, pads, size=size)
        for place, size in zip((row, column), setting.size, strict=True)
    ]
    (top, bottom), (left, right) = found
    return found, (bottom - top) * (right - left)


def said_of(setting: Setting, row: int, column: int) -> str:
    found, inside = spans(setting, row, column)
    along = [
        f"{name} {exact(start + 1)}"
        if stop - start == 1
        else f"{name}s {exact(start + 1)} to {exact(stop)}"
        for name, (start, stop) in zip(("row", "column"), found, strict=True)
    ]
    taps = setting.kernel**2
    where = (
        "all on pixels"
        if taps == inside
        else f"{exact(inside)} on pixels (blue), {exact(taps - inside)} outside the image (red)"
    )
    return (
        f"The unit in row {exact(row + 1)}, column {exact(column + 1)} sees {', '.join(along)}. "
        f"Its window has {exact(taps)} tap{'' if taps == 1 else 's'} (a weight each): {where}."
    )


def said(page: Page) -> str:
    return page.locator("#figure-local-drag figcaption span[aria-live]").inner_text()


def unit(page: Page) -> tuple[int, int]:
    match = re.match(r"The unit in row ([\d,]+), column ([\d,]+)", said(page))
    assert match
    return int(match[1].replace(",", "")) - 1, int(match[2].replace(",", "")) - 1


def check(page: Page, setting: Setting, row: int, column: int) -> None:
    assert said(page).startswith(said_of(setting, row, column))
    _, inside = spans(setting, row, column)
    outside = setting.kernel**2 - inside
    numbers_told = f"taps: {exact(setting.kernel**2)}, on pixels: {exact(inside)}, outside the image: {exact(outside)}."
    assert told(page, "local-drag").endswith(numbers_told)
    texts = drawn(page, "local-drag")
    assert any(text.endswith(f" {exact(inside)} on pixels") for text in texts)
    assert any(text.endswith(f" {exact(outside)} outside") for text in texts)


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_windows_and_sums_are_pythons(opened: Open, setting: Setting) -> None:
    ideas = three_ideas(setting)
    rows, columns = ideas.outputs
    page = opened(at(setting), query="embed=2")
    for name, place in (
        ("top left", (0, 0)),
        ("middle", (rows // 2, columns // 2)),
        ("bottom right", (rows - 1, columns - 1)),
    ):
        page.get_by_role("button", name=name).click()
        check(page, setting, *place)
    marks = page.evaluate(
        """() => [".local-dots", ".local-crosses"].map((name) =>
            (document.querySelector(name).getAttribute("d").match(/M/g) ?? []).length)"""
    )
    _, inside = spans(setting, rows - 1, columns - 1)
    if any(marks):
        assert marks == [inside, setting.kernel**2 - inside]
    else:
        assert setting.kernel > 20
    sums = page.locator(".local-sums dd").all_inner_texts()
    padding = ideas.connections - ideas.connections_inside
    expected = [ideas.dense, ideas.connections, ideas.connections_inside, padding]
    assert sums[:4] == [exact(count) for count in expected]
    if ideas.dense % ideas.connections == 0:
        assert sums[4].endswith(exact(ideas.dense // ideas.connections))


def board(page: Page, k: int) -> dict[str, float]:
    """The box of the image (0) or of the plane of units (1)."""
    return page.evaluate(
        """(k) => {
            const box = document.querySelectorAll("#figure-local-drag .local-board")[k].getBoundingClientRect();
            return { x: box.x, y: box.y, width: box.width, height: box.height };
        }""",
        k,
    )


@pytest.mark.parametrize(
    "setting", [SETTINGS[1], SETTINGS[2], Setting(size=(30, 40), kernel=6)], ids=str
)
def test_the_window_is_dragged_over_the_image(opened: Open, setting: Setting) -> None:
    page = opened(at(setting), query="embed=2")
    rows, columns = three_ideas(setting).outputs
    frame(page, "local-drag")
    page.get_by_role("button", name="bottom right").click()
    image, plane = board(page, 0), board(page, 1)
    pads = same_padding(setting.kernel) if setting.padding == "same" else (0, 0)
    for row, column in ((0, 0), (rows // 2, columns - 1), (rows - 1, columns // 3)):
        # Press where the middle of that unit's window is.
        middle = [
            (place * setting.stride - pads[0] + setting.kernel / 2) / size
            for place, size in zip((row, column), setting.size, strict=True)
        ]
        page.mouse.move(image["x"] + image["width"] / 2, image["y"] + image["height"] / 2)
        page.mouse.down()
        held = unit(page)
        page.mouse.move(
            image["x"] + middle[1] * image["width"],
            image["y"] + middle[0] * image["height"],
            steps=3,
        )
        page.mouse.up()
        moved = unit(page)
        assert moved == (row, column)
        assert moved != held
        check(page, setting, *moved)
        page.mouse.move(image["x"], image["y"])  # let go: nothing follows
        assert unit(page) == moved
        # On the plane a unit is where it is drawn.
        page.mouse.click(
            plane["x"] + (column + 0.5) / columns * plane["width"],
            plane["y"] + (row + 0.5) / rows * plane["height"],
        )
        check(page, setting, row, column)


def test_arrows_and_fields_move_the_window(opened: Open) -> None:
    setting = Setting(size=(30, 25), kernel=4)
    page = opened(at(setting, local_unit="3x3"), query="embed=2")
    frame(page, "local-drag").focus()
    far = "Shift+ArrowRight"
    keys = [("ArrowUp", (1, 2)), (far, (1, 12)), (far, (1, 22)), (far, (1, 24)), ("ArrowUp", (0, 24)),
            ("ArrowUp", (0, 24)), ("ArrowLeft", (0, 23))]  # fmt: skip
    for key, place in keys:
        page.keyboard.press(key)
        check(page, setting, *place)
    typed(page, "local", "unit\u2019s row", 17)
    check(page, setting, 16, 23)
    address(page, local_unit="17x24")


def test_a_finger_drags_the_window(opened: Open) -> None:
    setting = Setting(size=(20, 20), kernel=3)
    page = opened(
        at(setting, local_unit="1x1"), query="embed=2", width=360, height=780, has_touch=True
    )
    frame(page, "local-drag")
    image = board(page, 0)
    before = page.evaluate("scrollY")
    client = page.context.new_cdp_session(page)
    for kind, part in (("touchStart", 0.4), ("touchMove", 0.5), ("touchMove", 0.9)):
        point = {"x": image["x"] + part * image["width"], "y": image["y"] + part * image["height"]}
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    row, column = unit(page)
    assert 16 <= row <= 18
    assert 16 <= column <= 18
    check(page, setting, row, column)
    assert page.evaluate("scrollY") == before


EXAMPLE = "#figure-local-compare .local-wired.dense .local-unit"


def test_the_same_unit_is_lit_in_both_drawings(opened: Open) -> None:
    page = opened("local-example-unit=4x1", query="embed=2", has_touch=True)
    frame(page, "local-compare")

    def lit(row: int, column: int) -> None:
        start = f"The same unit (row {row + 1}, column {column + 1}) in both drawings. Left, each of the 36 pixels"
        assert caption(page, "local-compare").startswith(start)
        for kind, wires in (("dense", 36), ("local", 9)):
            drawn_units = page.locator(f"#figure-local-compare .local-wired.{kind} .local-unit")
            chosen = [
                k
                for k, each in enumerate(drawn_units.all())
                if "chosen" in (each.get_attribute("class") or "")
            ]
            assert chosen == [4 * row + column]
            path = page.locator(
                f"#figure-local-compare .local-wired.{kind} .local-wires"
            ).get_attribute("d")
            assert (path or "").count("M") == wires

    lit(3, 0)
    places = middles(page, EXAMPLE)
    page.mouse.move(*places[6])
    lit(1, 2)
    page.touchscreen.tap(*places[13])
    lit(3, 1)
    frame(page, "local-compare").focus()
    page.keyboard.press("ArrowUp")
    lit(2, 1)
    page.keyboard.press("Shift+ArrowRight")
    lit(2, 3)
    address(page, local_example_unit="3x4")


@pytest.mark.parametrize("setting", SETTINGS[:3], ids=str)
def test_both_languages_show_the_same_numbers(opened: Open, setting: Setting) -> None:
    def shown(language: str) -> list[object]:
        page = opened(at(setting, local_unit="2x1", lang=language), query="embed=2")
        figures = ("local-compare", "local-drag")
        return [
            [numbers(told(page, figure)) for figure in figures],
            [numbers(" ".join(drawn(page, figure))) for figure in figures],
            numbers(said(page)),
            [
                numbers(text)
                for text in page.locator(".local-sums dd, .local-formula").all_inner_texts()
            ],
        ]

    assert shown("zh") == shown("en")


def test_the_address_opens_what_was_shown(opened: Open) -> None:
    page = opened("size=30x20&kernel=4&stride=2&local-example-unit=1x4", query="embed=2")
    frame(page, "local-drag").focus()
    page.get_by_role("button", name="bottom right").click()
    address(page, local_unit="15x10", local_example_unit="1x4")
    again = opened(page.url.split("#")[1], query="embed=2")
    for figure in ("local-compare", "local-drag"):
        assert told(again, figure) == told(page, figure)
        assert drawn(again, figure) == drawn(page, figure)
        assert caption(again, figure) == caption(page, figure)


def test_the_setting_follows_other_parts_and_reaches_them(opened: Open) -> None:
    page = opened("size=40x40&kernel=3&local-unit=39x39")
    typed(page, "dense", "image height", 10)
    typed(page, "dense", "side of the window", 5)
    check(page, Setting(size=(10, 40), kernel=5), 9, 38)
    typed(page, "local", "stride", 3)
    page.locator("#local label", has=page.get_by_text("none", exact=True)).first.click()
    changed = Setting(size=(10, 40), kernel=5, stride=3, padding="valid", pool=2)
    check(page, changed, *[count - 1 for count in three_ideas(changed).outputs])
    ladder = page.locator(".ladder .number").all_inner_texts()
    assert ladder[1] == exact(three_ideas(changed).connections)
    address(page, size="10x40", kernel="5", stride="3", padding="valid")
