"""Part 3 in a browser: sums, maps and who shares with whom are what PyTorch and a count unit by unit give."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from digit_networks import stored
from playwright.sync_api import Page
from torch.nn import functional

from striate.geometry import Setting, three_ideas

from .conftest import Open
from .parts import address, at, drawn, exact, frame, numbers, short, told, typed

FILE = Path(__file__).parents[2] / "web" / "src" / "data" / "networks.json"
DOCUMENT = json.loads(FILE.read_text(encoding="utf-8"))
KERNELS = {
    "vertical": [-1, 0, 1, -2, 0, 2, -1, 0, 1],
    "horizontal": [-1, -2, -1, 0, 0, 0, 1, 2, 1],
    "outline": [0, -1, 0, -1, 4, -1, 0, -1, 0],
    "blur": [1] * 9,
}


def image(digit: int) -> torch.Tensor:
    """The digit's first test image: 8 × 8, 0 to 16."""
    example = next(each for each in DOCUMENT["examples"] if each["label"] == digit)
    return torch.tensor(example["pixels"], dtype=torch.float64).reshape(8, 8)


def convolved(picture: torch.Tensor, taps: list[int]) -> torch.Tensor:
    weight = torch.tensor(taps, dtype=torch.float64).reshape(1, 1, 3, 3)
    return functional.conv2d(picture[None, None], weight, padding=1)[0, 0]


# ---- one kernel slides ---------------------------------------------------------------------------


def check_slide(page: Page, digit: int, taps: list[int], place: int) -> None:
    row, column = divmod(place - 1, 8)
    total = int(convolved(image(digit), taps)[row, column])
    description = told(page, "sharing-slide")
    assert f"over the digit {digit}." in description
    assert f"row {row + 1}, column {column + 1}: the nine products sum to {total}." in description
    assert description.endswith(f"{place} of 64 places of the map are filled.")
    seen = (
        functional.pad(image(digit), (1, 1, 1, 1))[row : row + 3, column : column + 3]
        .flatten()
        .int()
        .tolist()
    )
    products = [pixel * tap for pixel, tap in zip(seen, taps, strict=True)]
    written = page.locator("#figure-sharing-slide text.tap").all_text_contents()
    cells = [
        int(text.replace("\u2212", "-")) for text in written if re.fullmatch("\u2212?\\d+", text)
    ]
    assert cells == [*seen, *taps, *products]
    assert page.locator("#figure-sharing-slide .sharing-sum").text_content() == (
        f"sum: {str(total).replace('-', chr(0x2212))}"
    )


def choose(page: Page, label: str, figure: str = "sharing") -> None:
    page.locator(f"#{figure} label", has=page.get_by_text(label, exact=True)).first.click()


def test_the_products_and_the_sum_are_a_convolutions(opened: Open) -> None:
    page = opened("sharing-digit=4&sharing-step=19", query="embed=3")
    check_slide(page, 4, KERNELS["vertical"], 19)
    for name, label in (
        ("outline", "outline (Laplacian)"),
        ("blur", "blur"),
        ("horizontal", "horizontal edge"),
    ):
        choose(page, label)
        check_slide(page, 4, KERNELS[name], 19)
    choose(page, "7")
    frame(page, "sharing-slide").focus()
    for key, place in (("ArrowRight", 20), ("ArrowDown", 28), ("Shift+ArrowDown", 60), ("ArrowDown", 60),
                       ("Shift+ArrowLeft", 57), ("ArrowUp", 49)):  # fmt: skip
        page.keyboard.press(key)
        check_slide(page, 7, KERNELS["horizontal"], place)
    page.get_by_role("button", name="Step →").click()
    check_slide(page, 7, KERNELS["horizontal"], 50)
    page.get_by_label("tap in row 2, column 3").fill("-5")
    page.get_by_label("tap in row 2, column 3").blur()
    own = [-1, -2, -1, 0, 0, -5, 1, 2, 1]
    check_slide(page, 7, own, 50)
    address(page, sharing_digit="7", sharing_step="50", sharing_taps="_".join(map(str, own)))
    again = opened(page.url.split("#")[1], query="embed=3")
    check_slide(again, 7, own, 50)
    assert drawn(again, "sharing-slide") == drawn(page, "sharing-slide")
    page.get_by_role("button", name="All places").click()
    check_slide(page, 7, own, 64)


@pytest.mark.parametrize("touch", [False, True])
def test_the_kernel_goes_where_it_is_dragged(opened: Open, touch: bool) -> None:
    width = 360 if touch else 1100
    page = opened("sharing-digit=3", query="embed=3", width=width, has_touch=touch)
    frame(page, "sharing-slide")
    box = page.locator("#figure-sharing-slide .sharing-drag").first.bounding_box()
    assert box is not None

    def middle(place: int) -> tuple[float, float]:
        row, column = divmod(place - 1, 8)
        return box["x"] + (column + 0.5) * box["width"] / 8, box["y"] + (row + 0.5) * box[
            "height"
        ] / 8

    if touch:
        page.touchscreen.tap(*middle(44))
    else:
        page.mouse.move(*middle(3))
        page.mouse.down()
        check_slide(page, 3, KERNELS["vertical"], 3)
        page.mouse.move(*middle(44))
        page.mouse.up()
        page.mouse.move(*middle(10))
    check_slide(page, 3, KERNELS["vertical"], 44)


# ---- who shares ----------------------------------------------------------------------------------


def kernel_of(setting: Setting, row: int, column: int) -> tuple[int, int]:
    kind, _, step = setting.share.partition("-")
    along = {
        "own": lambda place: place,
        "all": lambda place: 0,
        "block": lambda place: place // int(step),
        "tile": lambda place: place % int(step),
    }[kind]
    return along(row), along(column)


def sharers(setting: Setting, row: int, column: int) -> int:
    """Counted unit by unit."""
    rows, columns = three_ideas(setting).outputs
    own = kernel_of(setting, row, column)
    return sum(kernel_of(setting, y, x) == own for y in range(rows) for x in range(columns))


SHARED = [
    Setting(size=(13, 10), kernel=3, share=share) for share in ("own", "block-4", "tile-3", "all")
]
SHARED.append(Setting(size=(40, 31), kernel=4, stride=2, share="block-8"))


@pytest.mark.parametrize("setting", SHARED, ids=str)
def test_who_shares_is_counted_rightly(opened: Open, setting: Setting) -> None:
    page = opened(at(setting), query="embed=3")
    ideas = three_ideas(setting)
    rows, columns = (min(count, 24) for count in ideas.outputs)
    grid = page.locator("#figure-sharing-who .frame svg")
    frame(page, "sharing-who")
    box = grid.bounding_box()
    cell = page.evaluate(
        """() => Math.min(...[...document.querySelectorAll("#figure-sharing-who .sharing-mark")]
            .map((mark) => Number(mark.getAttribute("width")) + 2))"""
    )
    assert box is not None
    top = box["height"] - rows * cell
    for row, column in ((0, 0), (rows - 1, columns - 1), (rows // 2, columns // 3)):
        page.mouse.move(box["x"] + (column + 0.5) * cell, box["y"] + top + (row + 0.5) * cell)
        count = sharers(setting, row, column)
        unit, among = drawn(page, "sharing-who")[:2]
        assert unit == f"row {row + 1}, column {column + 1}"
        said = "has a kernel of its own" if count == 1 else f"one of {count} units with this kernel"
        assert among == said
        assert f"row {row + 1}, column {column + 1} " in told(page, "sharing-who")
    colours = page.locator("#figure-sharing-who path.cell").count()
    assert colours == len({kernel_of(setting, y, x) for y in range(rows) for x in range(columns)})
    frame(page, "sharing-who").focus()
    page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("ArrowLeft")
    assert drawn(page, "sharing-who")[0] == f"row 1, column {max(columns // 3, 1)}"
    address(page, sharing_position=f"1x{max(columns // 3, 1)}" if columns // 3 > 1 else None)
    weights = page.locator(".sharing-count strong").inner_text()
    assert weights == exact(ideas.weights)
    rows_told = re.findall(r"([\d,]+)(?=[,.] |\.$|$)", told(page, "sharing-weights"))
    assert exact(ideas.weights) in rows_told


def test_the_way_to_share_is_the_whole_pages(opened: Open) -> None:
    page = opened("size=30x20&kernel=3&share=own")
    slider = page.get_by_role("slider", name="sharing:")
    for stop, share in enumerate(("own", "block-2", "block-4", "block-8", "block-16", "all")):
        slider.fill(str(stop))
        ideas = three_ideas(Setting(size=(30, 20), kernel=3, share=share))
        assert page.locator(".ladder .number").nth(2).inner_text() == short(ideas.weights)
        assert page.locator(".sharing-count strong").inner_text() == exact(ideas.weights)
        address(page, share=None if share == "all" else share)
    bars = ["".join(text.split()) for text in drawn(page, "sharing-weights")]
    assert bars[bars.index("4×4") + 1] == short(
        three_ideas(Setting(size=(30, 20), kernel=3, share="block-4")).weights
    )
    slider.fill("2")
    choose(page, "regularly spaced (tiles)")
    typed(page, "sharing", "spacing", 5)
    assert address(page, share="tile-5")
    typed(page, "dense", "image height", 12)
    typed(page, "local", "window side", 4)
    changed = Setting(size=(12, 20), kernel=4, share="tile-5")
    assert page.locator(".sharing-count strong").inner_text() == exact(three_ideas(changed).weights)
    assert told(page, "sharing-who").endswith(
        f"shares its kernel with {sharers(changed, 0, 0)} units, itself included."
    )


# ---- trained kernels -----------------------------------------------------------------------------


def maps_of(entry: dict[str, Any], picture: torch.Tensor) -> torch.Tensor:
    """What the hidden units of a stored network answer, map by map, by PyTorch."""
    network = stored.network(entry)
    with torch.no_grad():
        hidden = network.hidden(picture.float()[None, None] / 16).relu()
    return hidden[0].reshape(-1, 8, 8)


@pytest.mark.parametrize("share", ["own", "2", "4", "all"])
def test_trained_units_answer_as_in_pytorch(opened: Open, share: str) -> None:
    entry = next(
        each
        for each in DOCUMENT["sharing"]
        if str(each["share"]) == ("1" if share == "own" else share)
    )
    maps = maps_of(entry, image(6))
    for k, values in enumerate(maps):
        page = opened(
            f"sharing-trained={share}&sharing-digit=6&sharing-look=3x3&sharing-map={k + 1}",
            query="embed=3",
        )
        frame(page, "sharing-board").focus()
        for key, (row, column) in (
            ("ArrowDown", (3, 2)),
            ("ArrowRight", (3, 3)),
            ("Shift+ArrowDown", (7, 3)),
        ):
            page.keyboard.press(key)
            found = re.search(
                rf"row {row + 1}, column {column + 1} answers ([\d.]+) to the digit 6",
                told(page, "sharing-board"),
            )
            assert found
            assert float(found[1]) == pytest.approx(float(values[row, column]), abs=0.0051)
            assert f"row {row + 1}, column {column + 1} answers {found[1]}" in drawn(
                page, "sharing-board"
            )
    address(page, sharing_look="8x4")


def test_moving_the_digit_moves_one_kernels_map_alone(opened: Open) -> None:
    page = opened("sharing-digit=2&sharing-moved=1", query="embed=3")
    entries = {each["share"]: each for each in DOCUMENT["sharing"]}

    def differences(by: int) -> list[str]:
        moved = torch.zeros(8, 8, dtype=torch.float64)
        moved[:, max(by, 0) : 8 + min(by, 0)] = image(2)[:, max(-by, 0) : 8 - max(by, 0)]
        texts = []
        for share in ("all", 1):
            before, after = (maps_of(entries[share], each)[0] for each in (image(2), moved))
            gap = after[:, max(by, 0) : 8 + min(by, 0)] - before[:, max(-by, 0) : 8 - max(by, 0)]
            most = float(gap.abs().max())
            texts.append("none" if most < 0.005 else f"up to {most:.2f}")
        return texts

    for by, button in (
        (1, None),
        (2, "one pixel right →"),
        (2, "one pixel right →"),
        (1, "← one pixel left"),
    ):
        if button:
            page.get_by_role("button", name=button).click()
        one, each = differences(by)
        assert told(page, "sharing-moving").endswith(
            f": {one} with one kernel, {each} with a kernel each."
        )
        address(page, sharing_moved=str(by) if by != 1 else None)
    # At the edge that ink may leave by, one kernel's map differs too; elsewhere never.
    assert differences(1)[1] != "none"


def test_accuracies_are_the_files(opened: Open) -> None:
    page = opened(query="embed=3")
    texts = drawn(page, "sharing-accuracy")
    for entry in DOCUMENT["sharing"]:
        accuracy = entry["accuracy"]
        low, high = (f"{100 * accuracy[name]:.1f}" for name in ("lowest", "highest"))
        assert f"{100 * accuracy['mean']:.1f}\u00a0% ({low}\u2013{high})" in texts


def test_both_languages_show_the_same_numbers(opened: Open) -> None:
    figures = (
        "sharing-slide",
        "sharing-who",
        "sharing-weights",
        "sharing-board",
        "sharing-accuracy",
        "sharing-moving",
    )

    def shown(language: str) -> list[object]:
        state = "size=60x50&kernel=4&share=block-6&sharing-digit=8&sharing-step=20&sharing-taps=1_2_3_-1_0_0_4_-6_1"
        page = opened(f"{state}&lang={language}", query="embed=3")
        return [
            [numbers(" ".join(drawn(page, figure))) for figure in figures],
            # English writes some small numbers as words.
            [numbers(told(page, figure)) - numbers("3 1 2 4 8 64 9") for figure in figures],
            numbers(page.locator(".sharing-count").inner_text()),
        ]

    assert shown("zh") == shown("en")
