"""Part 5 in a browser: fields, cones and path counts are those of striate.geometry and of PyTorch's gradients."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

import pytest
import torch
from playwright.sync_api import Page
from torch.nn import functional

from striate.geometry import ReceptiveField, output_size, same_padding

from .conftest import Open
from .parts import address, caption, drawn, exact, frame, numbers, told, typed


@dataclass(frozen=True)
class Layer:
    kind: str
    window: int
    stride: int

    @property
    def padding(self) -> tuple[int, int]:
        return same_padding(self.window) if self.kind == "conv" else (0, 0)

    def __str__(self) -> str:
        usual = self.window if self.kind == "pool" else 1
        return f"{'p' if self.kind == 'pool' else ''}{self.window}" + (
            f"s{self.stride}" if self.stride != usual else ""
        )


def layers_of(text: str) -> list[Layer]:
    found = []
    for name in text.split("-"):
        pool, window, stride = re.fullmatch(r"(p?)(\d+)(?:s(\d))?", name).groups()  # type: ignore[union-attr]
        usual = int(window) if pool else 1
        found.append(Layer("pool" if pool else "conv", int(window), int(stride or usual)))
    return found


def fields_of(layers: list[Layer]) -> list[ReceptiveField]:
    fields = [ReceptiveField()]
    for layer in layers:
        fields.append(fields[-1].through(layer.window, layer.stride, layer.padding))
    return fields


def units_of(layers: list[Layer], size: int) -> list[int]:
    units = [size]
    for layer in layers:
        if layer.window > units[-1] + sum(layer.padding):
            break
        units.append(output_size(units[-1], layer.window, layer.stride, layer.padding))
    return units


def gradient(layers: list[Layer], size: int, layer: int, position: int) -> torch.Tensor:
    """How many paths lead from each pixel to a unit: the gradient through kernels of ones."""
    pixels = torch.zeros(1, 1, size, dtype=torch.float64, requires_grad=True)
    values = pixels
    for each in layers[:layer]:
        padded = functional.pad(values, each.padding)
        ones = torch.ones(1, 1, each.window, dtype=torch.float64)
        values = functional.conv1d(padded, ones, stride=each.stride)
    values[0, 0, position].backward()
    assert pixels.grad is not None
    return pixels.grad[0, 0]


def stacks(count: int) -> list[list[Layer]]:
    choose = random.Random(5)
    found = []
    while len(found) < count:
        stack = []
        for _ in range(choose.randint(1, 8)):
            kind = choose.choice(["conv", "conv", "pool"])
            stack.append(
                Layer(
                    kind,
                    choose.randint(1, choose.choice([3, 15])),
                    choose.randint(1, choose.choice([1, 2, 8])),
                )
            )
        found.append(stack)
    return found


def test_fields_and_units_are_pythons_over_random_stacks(opened: Open) -> None:
    drawn_stacks = stacks(300)
    sizes = [random.Random(k).choice([1, 7, 64, 1000, 100_000]) for k in range(300)]
    found = opened(query="embed=5").evaluate(
        """(cases) => cases.map(([layers, size]) => [
            window.striate.stack.fieldsOf(layers).map(({ size, stride, centre }) => [size, stride, centre]),
            window.striate.stack.unitsOf(layers, size)])""",
        [
            [[vars(layer) for layer in stack], size]
            for stack, size in zip(drawn_stacks, sizes, strict=True)
        ],
    )
    for stack, size, (fields, units) in zip(drawn_stacks, sizes, found, strict=True):
        expected = [[field.size, field.stride, field.centre] for field in fields_of(stack)]
        assert fields == expected, stack
        assert units == units_of(stack, size), (stack, size)


def test_cones_are_where_gradients_flow_over_random_stacks(opened: Open) -> None:
    choose = random.Random(3)
    cases = []
    for stack in stacks(120):
        units = units_of(stack, 60)
        if len(units) > 1:
            layer = choose.randint(1, len(units) - 1)
            cases.append((stack, units, layer, choose.randrange(units[layer])))
    assert len(cases) > 60
    found = opened(query="embed=5").evaluate(
        """(cases) => cases.map(([layers, units, layer, position]) => [
            window.striate.stack.coneOf(layers, layer, position, units)[0],
            window.striate.stack.pathCounts(layers).map(String).slice(0, 5000)])""",
        [[[vars(layer) for layer in stack], *rest] for stack, *rest in cases],
    )
    compared = 0
    for (stack, _, layer, position), ((start, stop), counts) in zip(cases, found, strict=True):
        flows = gradient(stack, 60, layer, position).nonzero().flatten()
        if (
            stop > start
            and all(each.stride <= each.window for each in stack[:layer])
            and len(flows)
        ):
            # Without gaps between windows the cone is the outermost pixels that count.
            assert (start, stop) == (int(flows[0]), int(flows[-1]) + 1), (stack, layer, position)
            compared += 1
        field = fields_of(stack)[-1]
        assert len(counts) == min(field.size, 5000)
        total = 1
        for each in stack:
            total *= each.window
        if field.size <= 5000:
            assert sum(map(int, counts)) == total
            assert counts == counts[::-1]
    assert compared > 30


def test_path_counts_are_gradients(opened: Open) -> None:
    texts = ["3-3-p2-3-3", "11s4-p3s2-5", "2-4s3-p2", "15-15", "1-5s2"]
    found = opened(query="embed=5").evaluate(
        """(texts) => texts.map((text) =>
            window.striate.stack.pathCounts(window.striate.stack.stackFrom(text)).map(Number))""",
        texts,
    )
    for text, counts in zip(texts, found, strict=True):
        stack = layers_of(text)
        field = fields_of(stack)[-1]
        position = 400 // field.stride
        start, stop = field.window(position)
        paths = gradient(stack, 1000, len(stack), position)
        assert paths[start:stop].tolist() == counts
        assert float(paths.sum()) == sum(counts)


def test_layers_needed_are_the_fewest(opened: Open) -> None:
    cases = [
        (text, side)
        for text in ("3", "3-p2", "5s2-3", "1-1-2", "p3s2-7")
        for side in (1, 2, 9, 100, 5000)
    ]
    found = opened(query="embed=5").evaluate(
        """(cases) => cases.map(([text, side]) => {
            const { layers, size, weights } =
                window.striate.stack.layersToSee(window.striate.stack.stackFrom(text), side);
            return [layers, size, Number(weights)];
        })""",
        cases,
    )
    for (text, side), (many, size, weights) in zip(cases, found, strict=True):
        stack, field, used = layers_of(text), ReceptiveField(), []
        while field.size < side:
            layer = stack[len(used) % len(stack)]
            field = field.through(layer.window, layer.stride, layer.padding)
            used.append(layer)
        assert (many, size) == (len(used), field.size), (text, side)
        assert weights == sum(layer.window**2 for layer in used if layer.kind == "conv")


# ---- the page ------------------------------------------------------------------------------------


def said_of(text: str, size: int, layer: int, position: int) -> str:
    """What is said of a unit, from the pixels that a gradient reaches."""
    stack = layers_of(text)
    flows = gradient(stack, size, layer, position).nonzero().flatten().tolist()
    start, stop = flows[0], flows[-1]
    field = fields_of(stack)[layer].size
    seen = (
        f"pixel {exact(start)} alone"
        if start == stop
        else (f"pixels {exact(start)} to {exact(stop)}, {exact(stop - start + 1)} wide")
    )
    cut = field - (stop - start + 1)
    end = f": the other {exact(cut)} of its {exact(field)} lie outside the image." if cut else "."
    return f"Unit {exact(position)} of layer {layer} sees {seen}{end}"


def said(page: Page) -> str:
    return page.locator("#figure-stack-cone [role=status]").inner_text()


def where(page: Page) -> tuple[int, int]:
    """Which unit is chosen, as it is said."""
    match = re.match(r"Unit ([\d,]+) of layer (\d)", said(page))
    assert match
    return int(match[2]), int(match[1].replace(",", ""))


def rows(page: Page) -> list[dict[str, float]]:
    """The boxes of the drawn rows of units, the pixels first."""
    return page.evaluate(
        """() => [...document.querySelectorAll("#figure-stack-cone .stack-row")].map((row) => {
            const { x, y, width, height } = row.getBoundingClientRect();
            return { x, y, width, height };
        })"""
    )


STACKS = ["3-3-p2-3-3", "11s4-p3s2-5-p3s2-3-3-3-p3s2", "2-4s3-p2", "15"]


@pytest.mark.parametrize("text", STACKS)
def test_the_unit_under_the_pointer_sees_what_is_said(opened: Open, text: str) -> None:
    page = opened(f"stack={text}&size=1000x600&kernel=3", query="embed=5")
    frame(page, "stack-cone")
    stack = layers_of(text)
    boxes = rows(page)
    assert len(boxes) == len(stack) + 1
    seen = set()
    for layer, box in list(enumerate(boxes))[1:]:
        for part in (0.02, 0.5, 0.93):
            page.mouse.move(box["x"] + part * box["width"], box["y"] + box["height"] / 2)
            at_layer, position = where(page)
            assert at_layer == layer
            assert said(page) == said_of(text, 600, layer, position)
            assert said(page) in told(page, "stack-cone")
            seen.add((layer, position))
    assert len(seen) > len(stack)
    # The first units lie against the edge of the image.
    assert {layer for layer, position in seen if position <= 1} >= {len(stack)}


def test_arrows_go_along_a_layer_and_between_layers(opened: Open) -> None:
    text = "3-3-p2-3-3"
    page = opened(f"stack={text}&size=64x64&kernel=3&stack-unit=5.4", query="embed=5")
    frame(page, "stack-cone").focus()
    assert where(page) == (5, 4)
    for key, expected in (("ArrowRight", (5, 5)), ("ArrowLeft", (5, 4)), ("ArrowUp", (5, 4))):
        page.keyboard.press(key)
        assert where(page) == expected, key
        assert said(page) == said_of(text, 64, *expected)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    layer, position = where(page)
    assert layer == 3
    fields = fields_of(layers_of(text))
    # It looks at the same place.
    centres = [fields[k].centre + place * fields[k].stride for k, place in ((5, 4), (3, position))]
    assert abs(centres[0] - centres[1]) <= fields[3].stride / 2
    for _ in range(9):
        page.keyboard.press("ArrowDown")
    assert where(page)[0] == 1
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Shift+ArrowLeft")
    assert where(page) == (1, 0)
    assert said(page) == said_of(text, 64, 1, 0)
    address(page, stack_unit="1.0")


def test_a_tap_chooses_a_unit(opened: Open) -> None:
    page = opened(
        "stack=3-3&size=40x40&kernel=3", query="embed=5", width=360, height=780, has_touch=True
    )
    frame(page, "stack-cone")
    box = rows(page)[2]
    page.touchscreen.tap(box["x"] + 0.99 * box["width"] - 2, box["y"] + box["height"] / 2)
    layer, position = where(page)
    assert layer == 2
    assert position > 30
    assert said(page) == said_of("3-3", 40, 2, position)


def test_the_table_of_layers_is_pythons_and_changes_the_stack(opened: Open) -> None:
    page = opened("stack=3-p2&size=200x200&kernel=3", query="embed=5")

    def check(text: str) -> None:
        address(page, stack=text)
        fields = fields_of(layers_of(text))[1:]
        cells = page.evaluate(
            """() => [...document.querySelectorAll(".stack-table tbody tr")].map((row) =>
                [...row.querySelectorAll("td.num")].map(({ textContent }) => textContent))"""
        )
        assert cells == [[exact(field.size), exact(field.stride)] for field in fields]
        formula = page.locator(".stack-formula b").inner_text()
        assert formula == exact(fields[-1].size)
        layer, position = where(page)
        assert said(page) == said_of(text, 200, layer, position)

    page.get_by_role("button", name="+ add a layer").click()
    check("3-p2-3")
    page.get_by_label("window of layer 3").fill("7")
    page.get_by_label("stride of layer 3").fill("2")
    check("3-p2-7s2")
    page.get_by_label("kind of layer 1").select_option("pool")
    check("p2-p2-7s2")
    page.get_by_label("remove layer 2").click()
    check("p2-7s2")
    page.get_by_label("window of layer 2").fill("99")
    page.get_by_label("window of layer 2").blur()
    check("p2-15s2")
    page.get_by_role("button", name="AlexNet").click()
    check("11s4-p3s2-5-p3s2-3-3-3-p3s2")
    # Krizhevsky, Sutskever and Hinton's last pool sees 195 pixels.
    assert page.locator(".stack-formula b").inner_text() == "195"


@pytest.mark.parametrize(("text", "size"), [("3-3-p2-3-3", 1000), ("5", 300), ("p2", 64), ("1", 9)])
def test_how_many_layers_see_the_image(opened: Open, text: str, size: int) -> None:
    page = opened(f"stack={text}&size={size}x{size // 2}&kernel=3", query="embed=5")
    shown = [row.split("\t") for row in page.locator(".stack-reach tbody tr").all_inner_texts()]
    for (_, *cells), way in zip(shown, ("3", "3-p2", text), strict=False):
        stack, field, used = layers_of(way), ReceptiveField(), []
        if fields_of(stack)[-1].size == 1:
            assert cells == ["never", "–", "–"]
            continue
        while field.size < size:
            layer = stack[len(used) % len(stack)]
            field = field.through(layer.window, layer.stride, layer.padding)
            used.append(layer)
        weights = sum(layer.window**2 for layer in used if layer.kind == "conv")
        assert cells == [exact(len(used)), exact(field.size), exact(weights)]


@pytest.mark.parametrize(("text", "rounds"), [("3-3-p2-3-3", 1), ("3", 6), ("2-5s2", 2)])
def test_paths_are_counted_as_gradients_count_them(opened: Open, text: str, rounds: int) -> None:
    page = opened(f"stack={text}&stack-rounds={rounds}&kernel=3", query="embed=5")
    stack = layers_of(text) * rounds
    field = fields_of(stack)[-1]
    position = 600 // field.stride
    start, stop = field.window(position)
    counts = gradient(stack, 1200, len(stack), position)[start:stop]
    total = float(counts.sum())
    cut = 0
    while float(counts[cut + 1 : len(counts) - cut - 1].sum()) >= 0.95 * total:
        cut += 1
    middle = counts[cut : len(counts) - cut]
    share = 100 * float(middle.sum()) / total
    assert caption(page, "stack-effective") == (
        f"The middle {exact(len(middle))} of {exact(len(counts))} pixels hold {share:.1f}\u00a0% of all paths "
        f"(the narrowest that holds 95 %). Most paths from one pixel: {exact(int(counts.max()))}; "
        f"from the outermost: {exact(int(counts[0]))}."
    )


def test_branches_and_routes(opened: Open) -> None:
    page = opened("stack-blocks=3", query="embed=5")
    assert told(page, "stack-branches").endswith("Where they meet the field is 5 pixels wide.")
    assert (
        told(page, "stack-routes")
        == "3 blocks make 8 routes, whose fields are 1 to 13 pixels wide."
    )
    page.get_by_role("button", name="5×5 and 3×3").click()
    assert (
        told(page, "stack-routes")
        == "3 blocks make 8 routes, whose fields are 7 to 13 pixels wide."
    )
    texts = drawn(page, "stack-routes")[2:]
    assert [texts[k : k + 3] for k in range(0, len(texts), 3)] == [
        ["0", "7", "1"], ["1", "9", "3"], ["2", "11", "3"], ["3", "13", "1"],
    ]  # fmt: skip
    page.get_by_role("slider", name="blocks in a row").fill("12")
    assert told(page, "stack-routes").startswith("12 blocks make 4,096 routes")
    address(page, stack_blocks="12", stack_branches="5.3")


# ---- state ---------------------------------------------------------------------------------------

FIGURES = (
    "stack-cone",
    "stack-growth",
    "stack-branches",
    "stack-routes",
    "stack-effective",
    "stack-heat",
)
STATE = "size=90x120&kernel=3&stack=5s2-3-p2&stack-unit=2.7&stack-branches=3-3.1&stack-blocks=5&stack-rounds=2"


def test_both_languages_show_the_same_numbers(opened: Open) -> None:
    def shown(language: str) -> list[object]:
        page = opened(f"{STATE}&lang={language}", query="embed=5")
        tables = [numbers(row) for row in page.locator("#stack tbody tr").all_inner_texts()]
        return [tables, *([set(numbers(told(page, figure))) for figure in FIGURES])]

    assert shown("zh") == shown("en")


def test_the_address_opens_what_was_shown(opened: Open) -> None:
    page = opened(STATE, query="embed=5")
    frame(page, "stack-cone").focus()
    page.keyboard.press("ArrowRight")
    address(
        page,
        stack="5s2-3-p2",
        stack_unit="2.8",
        stack_branches="3-3.1",
        stack_blocks="5",
        stack_rounds="2",
    )
    again = opened(page.url.split("#")[1], query="embed=5")
    for figure in FIGURES:
        assert told(again, figure) == told(page, figure)
        assert drawn(again, figure) == drawn(page, figure)
    assert where(again) == (2, 8)


def test_the_image_of_other_parts_is_the_row_of_pixels(opened: Open) -> None:
    page = opened("size=64x64&kernel=3&stack=3-3-3&stack-unit=3.30")
    assert said(page) == said_of("3-3-3", 64, 3, 30)
    typed(page, "local", "image width", 20)
    # There are only 20 units now: the last is the nearest.
    assert said(page) == said_of("3-3-3", 20, 3, 19)
    typed(page, "local", "window side", 1)
    typed(page, "dense", "image width", 1)
    assert said(page) == said_of("3-3-3", 1, 3, 0)


@pytest.mark.parametrize("stack", ["0", "3-", "99", "p2s9", "3s0", "x", "-".join("333333333")])
def test_a_stack_that_is_none_is_the_standard_one(opened: Open, stack: str) -> None:
    page = opened(f"stack={stack}", query="embed=5")
    assert page.locator(".stack-formula b").inner_text() == exact(
        fields_of(layers_of("3-3-p2-3-3"))[-1].size
    )
