"""Part 6 in a browser: what its networks answer is what PyTorch computes, for test images and for drawings."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import digit_networks.data
import pytest
import torch
from digit_networks import stored
from digit_networks.data import digits
from digit_networks.fitting import logits
from playwright.sync_api import Page

from .conftest import Open
from .parts import address, caption, drawn, exact, frame, numbers, told

FILE = Path(__file__).parents[2] / "web" / "src" / "data" / "networks.json"
DOCUMENT = json.loads(FILE.read_text(encoding="utf-8"))
NAMES = [entry["name"] for entry in DOCUMENT["variants"]]


@pytest.fixture(scope="module")
def data() -> digit_networks.data.Digits:
    return digits()


def counts(pixels: torch.Tensor) -> list[list[int]]:
    """Images as the page takes them: 64 whole numbers from 0 to 16."""
    return (pixels.flatten(1) * 16).round().int().tolist()


@pytest.mark.parametrize("part", ["variants", "sharing"])
def test_every_network_answers_every_test_image_as_in_pytorch(
    opened: Open, data: digit_networks.data.Digits, part: str
) -> None:
    page = opened(query="embed=6")
    found = page.evaluate(
        """([part, images]) => window.striate.networks[part].map((network) =>
            images.map((pixels) => [...window.striate.forward(network, pixels).scores]))""",
        [part, counts(data.test.pixels)],
    )
    assert len(found) == len(DOCUMENT[part])
    for entry, scores in zip(DOCUMENT[part], found, strict=True):
        expected = logits(stored.network(entry), data.test.pixels).double()
        ours = torch.tensor(scores, dtype=torch.float64)
        assert ours.shape == (540, 10)
        scale = expected.abs().amax(1, keepdim=True)
        assert float(((ours - expected).abs() / scale).max()) < 1e-3, entry["name"]
        assert torch.equal(ours.argmax(1), expected.argmax(1)), entry["name"]
        right = int((ours.argmax(1) == data.test.labels).sum())
        assert right / 540 == pytest.approx(entry["shipped_accuracy"], abs=1e-6)


# ---- what is shown -------------------------------------------------------------------------------


def answers_of(pixels: list[int]) -> tuple[list[int], list[float]]:
    """What each network answers to an image and how it rates the answer, by PyTorch."""
    images = torch.tensor(pixels, dtype=torch.float32).reshape(1, 1, 8, 8) / 16
    parts = [
        logits(stored.network(entry), images).double().softmax(1)[0]
        for entry in DOCUMENT["variants"]
    ]
    return [int(part.argmax()) for part in parts], [float(part.max()) for part in parts]


def shown_answers(page: Page) -> list[str]:
    return page.locator("#figure-network-answers .network-answer").all_text_contents()


def seen(page: Page) -> list[int]:
    """The 8 × 8 counts that the networks see, as written in the figure."""
    return [
        int(text)
        for text in page.locator("#figure-network-seen .network-count").all_text_contents()
    ]


def check_answers(page: Page, pixels: list[int]) -> None:
    """The answers, their bars and the words agree with PyTorch's for the pixels."""
    assert seen(page) == pixels
    answers, sure = answers_of(pixels)
    assert shown_answers(page) == [str(answer) for answer in answers]
    said = re.findall(r"(\d) with ([\d.]+)", told(page, "network-answers"))
    assert [int(answer) for answer, _ in said] == answers
    assert [float(share) for _, share in said] == pytest.approx(
        [100 * share for share in sure], abs=0.51
    )
    summary = page.locator(".network-summary").inner_text()
    if len(set(answers)) == 1:
        assert summary == f"All five say {answers[0]}."
    else:
        assert [int(digit) for digit in re.findall(r"says (\d)", summary)] == answers
    heights = page.evaluate(
        """() => [...document.querySelectorAll("#figure-network-answers g > rect.network-bar")]
            .filter((bar) => bar.parentElement.querySelector(".network-class"))
            .map((bar) => Number(bar.getAttribute("height")))"""
    )
    bars = torch.tensor(heights, dtype=torch.float64).reshape(len(NAMES), 10)
    assert (bars / bars.sum(1, keepdim=True)).amax(1).tolist() == pytest.approx(sure, abs=1e-3)
    assert bars.argmax(1).tolist() == answers


def test_a_real_digit_and_the_next_one(opened: Open) -> None:
    page = opened(query="embed=6", width=1280)
    button = page.get_by_role("button", name="a real 7", exact=True)
    sevens = [example for example in DOCUMENT["examples"] if example["label"] == 7]
    for k, expected in enumerate([*sevens, sevens[0]]):
        button.click()
        check_answers(page, expected["pixels"])
        assert f"this 7 (test image {expected['index']})" in caption(page, "network-pad")
        assert button.get_attribute("aria-pressed") == "true"
        if k == 1:
            address(page, network_digit="7.2")
            again = opened(page.url.split("#")[1], query="embed=6", width=1280)
            check_answers(again, expected["pixels"])
    marks = page.locator(".network-right, .network-wrong").all_text_contents()
    answers, _ = answers_of(sevens[0]["pixels"])
    assert marks == ["✓" if answer == 7 else "✗" for answer in answers]


def draw(page: Page, strokes: list[list[tuple[float, float]]]) -> None:
    """Draw with the mouse; the pad is a square of side 1."""
    box = frame(page, "network-pad").bounding_box()
    assert box is not None
    for (x, y), *more in strokes:
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        page.mouse.down()
        for right, down in more:
            page.mouse.move(
                box["x"] + right * box["width"], box["y"] + down * box["height"], steps=3
            )
        page.mouse.up()


RING = [(0.5, 0.15), (0.3, 0.25), (0.22, 0.5), (0.3, 0.75), (0.5, 0.85), (0.7, 0.75), (0.78, 0.5), (0.7, 0.25),
        (0.5, 0.15)]  # fmt: skip
DRAWINGS: dict[str, Any] = {
    "0": [RING],
    "1": [[(0.5, 0.1), (0.5, 0.9)]],
    "4": [[(0.55, 0.1), (0.25, 0.6), (0.8, 0.6)], [(0.62, 0.35), (0.6, 0.9)]],
    "7": [[(0.25, 0.15), (0.75, 0.15), (0.45, 0.9)], [(0.35, 0.5), (0.7, 0.5)]],
}


@pytest.mark.parametrize("digit", DRAWINGS)
def test_a_digit_drawn_with_the_mouse_is_read(opened: Open, digit: str) -> None:
    page = opened(query="embed=6", width=1280)
    draw(page, DRAWINGS[digit])
    pixels = seen(page)
    assert len(pixels) == 64
    assert 0 < sum(pixels) <= 1024
    check_answers(page, pixels)
    # A plain digit is read rightly by most.
    assert shown_answers(page).count(digit) >= 4
    strokes = len(DRAWINGS[digit])
    assert (
        caption(page, "network-pad")
        == f"A drawing of {strokes} stroke{'s' if strokes > 1 else ''}."
    )
    ink = re.search(r"with (\d+) black pixels", told(page, "network-seen"))
    assert ink
    assert int(ink[1]) == sum(pixels)
    address(page, network_digit="none")


def test_strokes_are_taken_back_and_cleared(opened: Open) -> None:
    page = opened("network-digit=none", query="embed=6", width=1280)
    assert shown_answers(page) == ["–"] * len(NAMES)
    assert (
        page.locator(".network-summary").inner_text() == "Draw something, and the networks answer."
    )
    draw(page, DRAWINGS["1"])
    one = seen(page)
    draw(page, [[(0.2, 0.5), (0.8, 0.5)]])
    assert seen(page) != one
    page.get_by_role("button", name="Undo").click()
    check_answers(page, one)
    page.get_by_role("button", name="Clear").click()
    assert shown_answers(page) == ["–"] * len(NAMES)
    assert caption(page, "network-pad") == "The pad is empty."


def test_a_drawing_is_in_the_address(opened: Open) -> None:
    page = opened(query="embed=6", width=1280)
    draw(page, DRAWINGS["1"])
    drawn = seen(page)
    state = address(page, network_digit="none")
    assert re.fullmatch("([0-9a-z]{4}){2,}", state["network-drawing"])
    page.reload()
    page.wait_for_selector("section h2")
    assert seen(page) == drawn
    check_answers(page, drawn)
    again = "&".join(f"{name}={value}" for name, value in state.items())
    assert seen(opened(again, query="embed=6", width=1280)) == drawn
    # Nothing of it is left in the address once a test image is shown.
    page.get_by_role("button", name="a real 7").click()
    address(page, network_digit="7", network_drawing=None)


def test_the_pen_moves_by_keys(opened: Open) -> None:
    page = opened("network-digit=none", query="embed=6", width=1280)
    frame(page, "network-pad").focus()
    for key in ["ArrowDown", "Space", *["Shift+ArrowDown"] * 2, "Space", "ArrowRight"]:
        page.keyboard.press(key)
    assert page.locator("#network [aria-live]").filter(has_text="Pen up.").count() == 1
    drawn_by_keys = seen(page)
    check_answers(page, drawn_by_keys)
    # A line straight down is a column of ink in the middle.
    assert {k % 8 for k, ink in enumerate(drawn_by_keys) if ink} <= {2, 3, 4, 5}
    assert shown_answers(page).count("1") >= 4
    page.keyboard.press("Backspace")
    assert caption(page, "network-pad") == "The pad is empty."


def test_a_finger_draws(opened: Open) -> None:
    page = opened("network-digit=none", query="embed=6", width=360, height=800, has_touch=True)
    box = frame(page, "network-pad").bounding_box()
    assert box is not None
    client = page.context.new_cdp_session(page)
    places = [(0.5, 0.1), (0.5, 0.4), (0.5, 0.7), (0.5, 0.9)]
    before = page.evaluate("scrollY")
    for kind, (x, y) in zip(
        ("touchStart", "touchMove", "touchMove", "touchMove"), places, strict=True
    ):
        point = {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert caption(page, "network-pad") == "A drawing of 1 stroke."
    assert shown_answers(page).count("1") >= 4
    assert page.evaluate("scrollY") == before


# ---- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [360, 1280])
def test_counts_and_accuracies_are_the_files(opened: Open, width: int) -> None:
    page = opened(query="embed=6", width=width)
    texts = " ".join(drawn(page, "network-answers"))
    described = told(page, "network-accuracy")
    for entry in DOCUMENT["variants"]:
        weights, accuracy = entry["weights"], entry["accuracy"]
        assert f"{exact(weights['hidden'])} hidden" in texts
        assert f"+ {exact(weights['head'])} head" in texts
        assert f"{100 * accuracy['mean']:.1f}\u00a0% right" in texts
        assert (
            f"{exact(entry['params'])} weights, {100 * accuracy['mean']:.1f}\u00a0% right"
            in described
        )


def test_both_languages_show_the_same_numbers(opened: Open) -> None:
    def shown(language: str) -> list[object]:
        page = opened(f"network-digit=8.2&lang={language}", query="embed=6")
        figures = ("network-pad", "network-seen", "network-answers", "network-accuracy")
        words = page.locator("#network p").all_inner_texts()
        return [
            [numbers(" ".join(drawn(page, figure))) for figure in figures],
            numbers(told(page, "network-answers")),
            numbers(told(page, "network-accuracy")),
            numbers(caption(page, "network-pad")),
            [numbers(row) for row in page.locator("#network tbody tr").all_inner_texts()],
            len(words),
        ]

    english = shown("en")
    assert shown("zh") == english


@pytest.mark.parametrize("state", ["network-digit=3.9", "network-digit=12", "network-digit="])
def test_a_digit_that_is_none_is_the_standard_one(opened: Open, state: str) -> None:
    page = opened(state, query="embed=6")
    first = next(example for example in DOCUMENT["examples"] if example["label"] == 3)
    assert f"this 3 (test image {first['index']})" in caption(page, "network-pad")
