"""Part 4 in a browser: every pooled value, winner and count that it shows is PyTorch's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest
import torch
from playwright.sync_api import Page
from sklearn.datasets import load_digits
from torch.nn import functional

from striate.geometry import Setting, output_size, three_ideas
from striate.sources.data.digits import TEST_IMAGES
from striate.sources.split import draw

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
    told,
    typed,
)

SIDE = 8
POOLS = [(2, 2, "max"), (3, 2, "max"), (3, 2, "average"), (2, 3, "max"), (1, 1, "average"), (4, 1, "average"),
         (5, 7, "max"), (8, 1, "max")]  # fmt: skip
UNIT = "#figure-pooling-window .pooling-unit"
NUMBER = "#figure-pooling-window .pooling-number"
DIGIT_UNIT = "#figure-pooling-digit .pooling-unit"


def setting(side: int, pool_stride: int, kind: str, **changed: object) -> Setting:
    return Setting(
        **{"size": (40, 30), "kernel": 3, **changed},
        pool=side,
        pool_stride=pool_stride,
        pool_kind=kind,
    )  # type: ignore[arg-type]


@dataclass(frozen=True)
class Pooled:
    """A small picture pooled by PyTorch, and by hand for what PyTorch does not tell."""

    picture: torch.Tensor
    values: torch.Tensor
    windows: list[torch.Tensor]
    winners: list[int]


def pooled(picture: torch.Tensor, side: int, stride: int, kind: str) -> Pooled:
    batch = picture.double()[None, None]
    largest, indices = functional.max_pool2d(batch, side, stride, return_indices=True)
    mean = functional.avg_pool2d(batch, side, stride)
    windows = picture.unfold(0, side, stride).unfold(1, side, stride).flatten(0, 1).flatten(1)
    best = kind == "max"
    return Pooled(
        picture,
        (largest if best else mean)[0, 0],
        list(windows),
        indices.flatten().tolist() if best else [],
    )


def half_up(value: float, step: str) -> str:
    return str(Decimal(value).quantize(Decimal(step), rounding=ROUND_HALF_UP))


def fine(value: float) -> str:
    """At most two digits after the point."""
    return half_up(value, "0.01").rstrip("0").rstrip(".")


def said_of(found: Pooled, kind: str, row: int, column: int) -> str:
    """What the first figure says of a pooled unit."""
    value = float(found.values[row, column])
    window = found.windows[row * found.values.shape[1] + column].tolist()
    start = f"Pooled unit in row {row + 1}, column {column + 1}: "
    if len(window) == 1:
        return f"{start}its window holds one number, {fine(value)}."
    among = ", ".join(map(str, window)) if len(window) <= 9 else f"its {len(window)} numbers"
    if kind == "max":
        return f"{start}the largest of {among} is {fine(value)}."
    about = "" if abs(float(fine(value)) - value) < 1e-9 else "≈ "
    return f"{start}the average of {among} is {about}{fine(value)}."


def reading(page: Page, figure: str) -> str:
    return page.locator(f"#figure-{figure} .pooling-reading").inner_text()


def table(page: Page) -> torch.Tensor:
    """The numbers that the first figure pools."""
    found = page.locator(f"{NUMBER} text").all_text_contents()
    side = round(len(found) ** 0.5)
    return torch.tensor([int(text) for text in found]).reshape(side, side)


# ---- the table of numbers ------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "stride", "kind"), POOLS)
def test_the_table_is_pooled_as_pytorch_pools_it(
    opened: Open, side: int, stride: int, kind: str
) -> None:
    page = opened(at(setting(side, stride, kind)), query="embed=4")
    found = pooled(table(page), side, stride, kind)
    rows, columns = found.values.shape
    shown = page.locator(f"{UNIT} text").all_text_contents()
    assert shown == [fine(value) for value in found.values.flatten().tolist()]
    assert told(page, "pooling-window").endswith(f"row by row: {', '.join(shown)}.")
    won = page.evaluate(
        """(number) => [...document.querySelectorAll(number)].map((each) => {
            const rings = each.querySelectorAll("circle:not(.pooling-ring)").length;
            return [rings, each.querySelector("text").classList.contains("outside")];
        })""",
        NUMBER,
    )
    cells = found.picture.numel()
    assert [rings for rings, _ in won] == [found.winners.count(cell) for cell in range(cells)]
    indices = torch.arange(cells).reshape(found.picture.shape)
    seen = set(indices.unfold(0, side, stride).unfold(1, side, stride).flatten().tolist())
    assert [outside for _, outside in won] == [cell not in seen for cell in range(cells)]
    frame(page, "pooling-window")
    places = middles(page, UNIT)
    assert len(places) == rows * columns
    for unit in sorted({0, len(places) - 1, len(places) // 2, columns - 1}):
        page.mouse.move(*places[unit])
        assert reading(page, "pooling-window") == said_of(found, kind, *divmod(unit, columns))


def test_a_tap_lights_a_window_and_raises_a_number(opened: Open) -> None:
    page = opened(at(setting(2, 2, "max")), query="embed=4", width=360, height=780, has_touch=True)
    frame(page, "pooling-window")
    before = table(page)
    page.touchscreen.tap(*middles(page, UNIT)[5])
    assert reading(page, "pooling-window") == said_of(pooled(before, 2, 2, "max"), "max", 1, 2)
    page.locator(NUMBER).nth(14).tap()
    after = before.clone()
    after[2, 2] = (after[2, 2] + 1) % 10
    assert table(page).equal(after)
    assert page.locator(f"{UNIT} text").all_text_contents() == [
        fine(value) for value in pooled(after, 2, 2, "max").values.flatten().tolist()
    ]


def test_arrows_choose_a_unit_and_digits_fill_its_window(opened: Open) -> None:
    page = opened(at(setting(3, 2, "average")), query="embed=4")
    frame(page, "pooling-window").focus()
    row = column = 0
    last = pooled(table(page), 3, 2, "average").values.shape[0] - 1
    steps = {
        "ArrowRight": (0, 1),
        "Shift+ArrowDown": (10, 0),
        "ArrowUp": (-1, 0),
        "ArrowLeft": (0, -1),
    }
    for key in (
        "ArrowRight",
        "Shift+ArrowDown",
        "ArrowUp",
        "ArrowUp",
        "ArrowUp",
        "ArrowLeft",
        "ArrowLeft",
    ):
        row = min(max(row + steps[key][0], 0), last)
        column = min(max(column + steps[key][1], 0), last)
        page.keyboard.press(key)
        expected = said_of(pooled(table(page), 3, 2, "average"), "average", row, column)
        assert reading(page, "pooling-window") == expected
    page.keyboard.press("ArrowRight")
    page.keyboard.type("987654321")
    written = table(page)
    assert written[0:3, 2:5].flatten().tolist() == [9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert reading(page, "pooling-window").endswith(
        "the average of 9, 8, 7, 6, 5, 4, 3, 2, 1 is 5."
    )
    entries = address(page, pooling_unit="0-1")
    assert re.fullmatch("[0-9]{64}", entries["pooling-table"])
    again = opened(page.url.split("#")[1], query="embed=4")
    assert table(again).equal(written)
    assert drawn(again, "pooling-window") == drawn(page, "pooling-window")
    assert reading(again, "pooling-window") == reading(page, "pooling-window")
    page.get_by_role("button", name="The first numbers again").click()
    assert not table(page).equal(written)
    address(page, pooling_table=None)


# ---- the digit -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits() -> list[torch.Tensor]:
    """The first test image of each class."""
    bunch = load_digits()
    labels = bunch.target.astype(np.int64)
    _, test = draw(labels, np.arange(len(labels)), TEST_IMAGES, seed=0)
    return [
        torch.from_numpy(bunch.images[test[labels[test] == digit][0]]).double()
        for digit in range(10)
    ]


SOBEL = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]], dtype=torch.float64)
MOVES = {"none": (0, 0), "left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}


def moved(picture: torch.Tensor, move: str) -> torch.Tensor:
    down, right = MOVES[move]
    return functional.pad(picture, (1, 1, 1, 1))[
        1 - down : 1 - down + SIDE, 1 - right : 1 - right + SIDE
    ]


def mapped(picture: torch.Tensor, name: str) -> torch.Tensor:
    if name == "pixels":
        return picture
    kernel = SOBEL if name == "upright" else SOBEL.T
    return functional.conv2d(picture[None, None], kernel[None, None], padding=1).relu()[0, 0]


def compared(before: torch.Tensor, after: torch.Tensor) -> tuple[str, str]:
    """The table's cells: how many values changed, and by how much of the total."""
    changed = int((before != after).sum())
    total = float(before.sum())
    share = half_up(100 * changed / before.numel(), "1")
    moved = float((before - after).abs().sum())
    # A space that does not break stands before the sign.
    amount = f"{half_up(100 * moved / total, '1')}\u00a0%" if total > 0 else "nothing there"
    return f"{changed} of {before.numel()} ({share}\u00a0%)", amount


CASES = [
    (0, "pixels", "right", (2, 2, "max")),
    (4, "upright", "down", (3, 2, "average")),
    (7, "level", "left", (3, 2, "max")),
    (9, "pixels", "up", (2, 3, "max")),
    (1, "upright", "none", (5, 1, "average")),
]


@pytest.mark.parametrize(("digit", "map_", "move", "pool"), CASES)
def test_the_digit_is_pooled_as_pytorch_pools_it(
    opened: Open,
    digits: list[torch.Tensor],
    digit: int,
    map_: str,
    move: str,
    pool: tuple[int, int, str],
) -> None:
    own = {"pooling_digit": str(digit), "pooling_map": map_, "pooling_shift": move}
    page = opened(at(setting(*pool), **own), query="embed=4")
    one = pooled(mapped(digits[digit], map_), *pool)
    other = pooled(mapped(moved(digits[digit], move), map_), *pool)
    rows, columns = one.values.shape
    frame(page, "pooling-digit")
    places = middles(page, DIGIT_UNIT)
    assert len(places) == 2 * rows * columns
    for unit in sorted({0, rows * columns // 2, rows * columns - 1}):
        row, column = divmod(unit, columns)
        for place in (unit, rows * columns + unit):  # in the picture pooled, and in the moved one
            page.mouse.move(1, 1)
            page.mouse.move(*places[place])
            expected = (
                f"Pooled unit in row {row + 1}, column {column + 1}: {fine(float(one.values[row, column]))} "
                f"before the move, {fine(float(other.values[row, column]))} after it."
            )
            assert reading(page, "pooling-digit") == expected
    cells = page.evaluate(
        """() => [...document.querySelectorAll("#pooling tbody tr")].map((row) =>
            [...row.querySelectorAll("td")].map(({ textContent }) => textContent))"""
    )
    assert [tuple(row) for row in cells] == [
        compared(one.picture, other.picture),
        compared(one.values, other.values),
    ]
    changed = [
        f"{int((a != b).sum())} of {a.numel()}"
        for a, b in ((one.picture, other.picture), (one.values, other.values))
    ]
    end = f"{changed[0]} of the unpooled values and {changed[1]} of the pooled values changed."
    assert told(page, "pooling-digit").startswith(f"The digit {digit} (")
    assert told(page, "pooling-digit").endswith(end)
    assert page.locator("#figure-pooling-digit .pooling-changed").count() == sum(
        int(text.split()[0]) for text in changed
    )
    if pool[2] == "max":
        inked = [cell for cell in one.winners if one.picture.flatten()[cell] > 0]
        assert page.locator("#figure-pooling-digit .pooling-winner").count() == len(set(inked))
        what = "unit" if map_ != "pixels" else "pixel"
        assert f"the {len(set(inked))} {what}s that won {len(inked)} windows" in caption(
            page, "pooling-digit"
        )


def test_the_digit_by_its_controls_taps_and_keys(opened: Open, digits: list[torch.Tensor]) -> None:
    page = opened(at(setting(2, 2, "max")), query="embed=4", width=360, height=780, has_touch=True)
    part = page.locator("#pooling")
    for label in ("5", "top edges", "down"):
        part.locator("label", has=page.get_by_text(label, exact=True)).tap()
    one = pooled(mapped(digits[5], "level"), 2, 2, "max").values
    other = pooled(mapped(moved(digits[5], "down"), "level"), 2, 2, "max").values

    def expected(row: int, column: int) -> str:
        return (
            f"Pooled unit in row {row + 1}, column {column + 1}: {fine(float(one[row, column]))} before the move, "
            f"{fine(float(other[row, column]))} after it."
        )

    frame(page, "pooling-digit")
    page.locator(DIGIT_UNIT).nth(2 * 4 + 1).tap()
    assert reading(page, "pooling-digit") == expected(2, 1)
    frame(page, "pooling-digit").focus()
    for key, place in (
        ("ArrowRight", (2, 2)),
        ("Shift+ArrowUp", (0, 2)),
        ("ArrowLeft", (0, 1)),
        ("ArrowDown", (1, 1)),
    ):
        page.keyboard.press(key)
        assert reading(page, "pooling-digit") == expected(*place)
    page.keyboard.press("ArrowDown")
    address(
        page, pooling_digit="5", pooling_map="level", pooling_shift="down", pooling_digit_unit="2-1"
    )
    again = opened(page.url.split("#")[1], query="embed=4", width=360, height=780)
    assert reading(again, "pooling-digit") == expected(2, 1)
    assert told(again, "pooling-digit") == told(page, "pooling-digit")
    assert caption(again, "pooling-digit") == caption(page, "pooling-digit")


# ---- what it saves -------------------------------------------------------------------------------

SAVED = [
    setting(2, 2, "max"),
    setting(3, 2, "average", size=(101, 64)),
    setting(2, 5, "max", size=(33, 1000), stride=2, padding="valid"),
    setting(7, 1, "max", size=(100_000, 99_991)),
    setting(1, 1, "max"),
]


def unseen(size: int, side: int, stride: int) -> int:
    """Units along an axis that no window holds, counted one by one where they are few, else by their period."""
    outputs = output_size(size, side, stride)
    covered = (outputs - 1) * min(side, stride) + side
    if size <= 1000:
        held = {
            place for unit in range(outputs) for place in range(unit * stride, unit * stride + side)
        }
        assert len(held) == covered
    return size - covered


@pytest.mark.parametrize("chosen", SAVED, ids=str)
def test_what_pooling_saves_is_what_python_computes(opened: Open, chosen: Setting) -> None:
    ideas = three_ideas(chosen)
    page = opened(at(chosen), query="embed=4")
    assert told(page, "pooling-saves") == (
        f"Bars: {exact(ideas.units)} units become {exact(ideas.pooled_units)} pooled units; the dense layer "
        f"behind shrinks from {exact(ideas.head)} to {exact(ideas.pooled_head)} weights."
    )
    bars = page.locator("#figure-pooling-saves .pooling-bar-number").all_text_contents()
    counts = (ideas.units, ideas.pooled_units, ideas.head, ideas.pooled_head)
    assert [bar.split(" · ")[0] for bar in bars] == [exact(count) for count in counts]
    assert [bar.split(" · ")[1] for bar in bars[2:]] == [memory(count) for count in counts[2:]]
    widths = [
        float(bar.get_attribute("width") or "nan")
        for bar in page.locator("#figure-pooling-saves .pooling-bar").all()
    ]
    for before, after in ((0, 1), (2, 3)):
        wanted = widths[before] * counts[after] / counts[before]
        assert widths[after] == pytest.approx(max(wanted, 2), abs=0.01)
    rows, columns = (
        unseen(size, chosen.pool, chosen.pool_stride or chosen.pool) for size in ideas.outputs
    )
    lost = ideas.units - (ideas.outputs[0] - rows) * (ideas.outputs[1] - columns)
    notes = caption(page, "pooling-saves")
    if lost:
        assert notes.endswith(f"Units never looked at: {exact(lost)}.")
    else:
        assert notes.endswith("Every unit is in a window.")


# ---- state ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "stride", "kind"), [(3, 2, "max"), (2, 3, "average"), (20, 1, "max")]
)
def test_both_languages_show_the_same_numbers(
    opened: Open, side: int, stride: int, kind: str
) -> None:
    def shown(language: str) -> list[object]:
        own = {
            "pooling_digit": "6",
            "pooling_map": "upright",
            "pooling_unit": "1-0",
            "lang": language,
        }
        page = opened(at(setting(side, stride, kind), **own), query="embed=4")
        figures = ("pooling-window", "pooling-digit", "pooling-saves")
        values = [
            [numbers(text) for text in drawn(page, figure) if numbers(text)] for figure in figures
        ]
        table = page.locator("#pooling tbody").inner_text().replace(" of ", " / ")
        return [
            numbers(reading(page, "pooling-window")),
            numbers(reading(page, "pooling-digit")),
            numbers(told(page, "pooling-window")),
            numbers(told(page, "pooling-saves")),
            [[n for n in texts if len(texts) > 0] for texts in values[:2]],
            numbers(table),
        ]

    assert shown("zh") == shown("en")


def test_the_setting_follows_other_parts_and_reaches_them(opened: Open) -> None:
    page = opened("size=20x20&kernel=3&pooling-unit=2-2")
    assert "One window" not in told(page, "pooling-window")
    for label, value in (("image height", 12), ("window side", 4)):
        typed(page, "local", label, value)
    ideas = three_ideas(Setting(size=(12, 20), kernel=4))
    assert told(page, "pooling-saves").startswith(f"Bars: {exact(ideas.units)} units become ")
    typed(page, "pooling", "sizeX (pooling window)", 5)
    typed(page, "pooling", "pooling stride", 3)
    page.locator("#pooling label", has=page.get_by_text("average", exact=True)).click()
    ideas = three_ideas(setting(5, 3, "average", size=(12, 20), kernel=4))
    last = page.locator(".ladder .number").last.inner_text()
    assert last == exact(ideas.pooled_units)
    found = pooled(table(page), 5, 3, "average")
    rows, columns = found.values.shape
    # The unit chosen is none of so few: the nearest is.
    nearest = said_of(found, "average", min(2, rows - 1), min(2, columns - 1))
    assert reading(page, "pooling-window") == nearest
    address(page, size="12x20", kernel="4", pool="5", pool_stride="3", pool_kind="average")
    page.get_by_role("button", name="window 3, stride 2 (AlexNet)").click()
    address(page, pool="3", pool_stride="2")
    pressed = page.locator("#pooling [aria-pressed=true]").all_inner_texts()
    assert pressed == ["window 3, stride 2 (AlexNet)"]


@pytest.mark.parametrize(
    "state",
    [
        "pooling-unit=9-9",
        "pooling-table=12",
        "pooling-digit=10",
        "pooling-map=x",
        "pooling-unit=0-0-0",
    ],
)
def test_entries_that_make_no_sense_are_the_standard_ones(opened: Open, state: str) -> None:
    page = opened(f"{state}&kernel=3", query="embed=4")
    assert reading(page, "pooling-window").startswith("Pooled unit in row 1, column 1:")
    assert table(page)[0].tolist() == [7, 0, 9, 0, 0, 8]
    assert told(page, "pooling-digit").startswith("The digit 0 (pixels)")
