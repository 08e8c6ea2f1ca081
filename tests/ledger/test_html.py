"""The page of a ledger, and what a notebook shows of it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import time
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from itertools import pairwise
from math import isclose
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ledger_networks import NETWORKS
from torch import Tensor, nn

from striate.cli import main
from striate.ledger import Ledger, count
from striate.ledger.compare import compare
from striate.ledger.gates import Limit
from striate.ledger.render import areas, bars, html, notebook
from striate.ledger.render.areas import METRICS
from striate.ledger.render.logarithmic import Scale
from striate.ledger.render.modules import tree
from striate.ledger.render.saved_by import steps, under_weights
from striate.ledger.render.treemap import squarified
from striate.ledger.rows import Unsupported

VOID = {"meta", "link", "br", "input", "wbr"}
HOSTILE = (
    "</script><script>document[`title`]=1</script>",
    '<img src=x onerror="document[`title`]=1">',
    "'\"><svg onload=document[`title`]=1>",
    "\u202eevil\nname\u2066",
    "{{ 7*7 }}",
    "<!--<script>",
    "a:b",
)


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    text: str = ""
    inside: tuple[str, ...] = ()


@dataclass
class Page(HTMLParser):
    """A page taken apart; an element that is not closed, or closed out of order, is a failure."""

    html: str
    elements: list[Element] = field(default_factory=list)
    open: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.feed(self.html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs), inside=tuple(e.tag for e in self.open))
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text += data

    def all(self, tag: str) -> list[Element]:
        return [element for element in self.elements if element.tag == tag]

    def one(self, identity: str) -> Element:
        [found] = [e for e in self.elements if e.attributes.get("id") == identity]
        return found

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(self.one("data").text)


def ledger(name: str) -> Ledger:
    make, inputs = NETWORKS[name]
    return count(make(), *inputs, name=name)


def cells(page: Page) -> list[list[str]]:
    """The table of all layers, row by row."""
    width = len(html.COLUMNS)
    start = page.elements.index(page.one("rows"))
    texts = [e.text for e in page.elements[start:] if e.tag in ("td", "th") and "tbody" in e.inside]
    count_rows = len(page.data["nodes"]) - sum(node[3] is None for node in page.data["nodes"])
    return [texts[i * width : (i + 1) * width] for i in range(count_rows)]


class Named(nn.Module):
    """Layers whose names are anything, one after the other."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        for name in names:
            self.add_module(name, nn.Linear(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = layer(x)
        return x


def hostile() -> Ledger:
    found = count(Named(*HOSTILE), (1, 4), name=HOSTILE[0])
    return replace(
        found,
        notes=HOSTILE,
        unsupported=tuple(Unsupported(text, text, text, (text,)) for text in HOSTILE),
        layers=tuple(replace(layer, type=HOSTILE[1]) for layer in found.layers),
    )


# ---- the page


@pytest.mark.parametrize("name", list(NETWORKS))
def test_the_page_is_whole_and_asks_for_nothing(name: str) -> None:
    text = html.render(ledger(name))
    page = Page(text)
    assert text.isascii()  # so that no encoding of standard output can spoil it
    for element in page.elements:
        for attribute, value in element.attributes.items():
            assert not attribute.startswith("on")
            if attribute in ("src", "href"):
                assert value is not None
                assert value.startswith(("data:", "#"))
    style = "".join(e.text for e in page.all("style"))
    assert "url(" not in style
    assert "@import" not in style
    assert "{{" not in style
    ids = [e.attributes["id"] for e in page.elements if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    for element in page.elements:
        for attribute in ("aria-labelledby", "aria-describedby", "for"):
            if attribute in element.attributes:
                assert element.attributes[attribute] in ids
    assert all(
        any(e.tag == "caption" for e in page.elements[place + 1 : place + 2])
        for place, table in enumerate(page.elements)
        if table.tag == "table"
    )
    assert "None" not in page.all("main")[0].text


def test_only_the_one_script_may_run() -> None:
    page = Page(html.render(ledger("lenet")))
    data, script = page.all("script")
    assert data.attributes["type"] == "application/json"
    digest = base64.b64encode(hashlib.sha256(script.text.encode()).digest()).decode()
    [policy] = [e for e in page.all("meta") if "http-equiv" in e.attributes]
    content = policy.attributes["content"]
    assert content is not None
    assert "default-src 'none'" in content
    assert f"script-src 'sha256-{digest}';" in content


@pytest.mark.parametrize("name", list(NETWORKS))
def test_every_row_is_in_the_table_with_its_figures(name: str) -> None:
    found = ledger(name)
    shown = cells(Page(html.render(found)))
    assert len(shown) == len(found.layers)
    for layer, row in zip(found.layers, shown, strict=True):
        assert row[0] == (layer.name or "(model)")
        assert row[1].startswith(layer.type)
        figures = [int(text.replace(",", "")) for text in row[4:7]]
        assert figures == [layer.params, layer.macs, layer.activation_bytes]
        factors = (layer.locality_factor, layer.sharing_factor, layer.pooling_factor)
        for text, value in zip(row[8:], factors, strict=True):
            if value is None:
                assert text == ""
            else:
                assert float(text[1:].replace(",", "")) == pytest.approx(value, rel=0.01)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_the_totals_and_the_ideas_are_written_out(name: str) -> None:
    found = ledger(name)
    text = Page(html.render(found)).all("main")[0].text
    totals = found.totals
    for figure in (
        totals.params, totals.weight_bytes, totals.macs_per_example, totals.connections,
        totals.activation_bytes, totals.peak_activation_bytes,
    ):  # fmt: skip
        assert f"{figure:,}" in text
    for step in steps(found):
        assert ("Not known: " in text) if step.weights is None else (f"{step.weights:,}" in text)
    assert ("This ledger is partial" in text) == (found.status == "partial")


@pytest.mark.parametrize("name", list(NETWORKS))
def test_the_steps_lead_from_fully_connected_to_the_weights(name: str) -> None:
    found = ledger(name)
    layers = under_weights(found.layers)
    led = steps(found)
    if not layers:
        assert led == []
        return
    assert led[-1].weights == sum(layer.weights for layer in layers)
    assert led[-2].weights == sum(layer.connections or 0 for layer in layers)
    assert led[-3].weights == sum(layer.dense_params or 0 for layer in layers)
    for before, after in pairwise(led):
        if before.weights is None:
            assert before.why
        else:
            assert after.weights is not None
            assert after.factor == pytest.approx(before.weights / after.weights)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_every_layer_under_weights_has_its_bars(name: str) -> None:
    found = ledger(name)
    text = Page(html.render(found)).all("main")[0].text
    drawn = bars.of_layers(found)
    layers = under_weights(found.layers)
    assert len(drawn.leading) + len(drawn.others) == len(layers)
    for layer in layers:
        counts = (layer.dense_params, layer.connections, layer.weights)
        assert " → ".join(f"{count:,}" for count in counts) in text


def test_the_bars_at_once_are_those_in_which_most_was_saved() -> None:
    sizes = range(1, 30)
    model = nn.Sequential(*(nn.Conv2d(1, 1, n, padding="same") for n in sizes))
    drawn = bars.of_layers(count(model, (1, 1, 32, 32)))
    # Between the same units a smaller kernel saves more.
    assert [bar.name for bar in drawn.leading] == [str(i) for i in range(bars.MOST_BARS)]
    assert len(drawn.others) == len(sizes) - bars.MOST_BARS


def test_what_pooling_saved_is_not_known_and_why() -> None:
    page = Page(html.render(ledger("unet")))
    assert "Not known: aten.cat in the model" in page.all("main")[0].text
    assert "branches no longer have the same size" in page.all("main")[0].text


def test_gates_are_shown() -> None:
    found = ledger("lenet").with_gates([Limit("params", 10, "10"), Limit("macs", 10**9, "")])
    text = Page(html.render(found)).all("main")[0].text
    assert "Not met: params: 61,706 does not meet the limit of 10" in text
    assert "Held: macs:" in text


# ---- areas


def whole_frames(nodes: list[Any], metric: int) -> list[tuple[float, ...] | None]:
    """Each part's rectangle in the frame of the network."""
    frames: list[tuple[float, ...] | None] = []
    for parent, *_, own in nodes:
        around = (0.0, 0.0, 1.0, 1.0) if parent is None else frames[parent]
        rectangle = own[metric]
        if around is None or rectangle is None:
            frames.append(None)
            continue
        x, y, w, h = around
        a, b, c, d = rectangle
        frames.append((x + a * w, y + b * h, c * w, d * h))
    return frames


@pytest.mark.parametrize("name", list(NETWORKS))
def test_areas_are_what_the_rows_say(name: str) -> None:
    found = ledger(name)
    nodes = Page(html.render(found)).data["nodes"]
    for metric, (attribute, _, _) in enumerate(METRICS):
        total = sum(getattr(layer, attribute) for layer in found.layers)
        leaves = 0.0
        for node, frame in zip(nodes, whole_frames(nodes, metric), strict=True):
            if node[3] is None:
                continue
            value = getattr(found.layers[node[3]], attribute)
            if frame is None:
                assert value == 0
                continue
            assert frame[2] * frame[3] == pytest.approx(value / total, abs=1e-4)
            leaves += frame[2] * frame[3]
        assert total == 0 or leaves == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_a_module_is_the_sum_of_its_rows(name: str) -> None:
    found = ledger(name)
    parts = tree(found)
    assert sorted(part.row for part in parts if part.row is not None) == list(
        range(len(found.layers))
    )
    assert parts[0].params == found.totals.params
    assert parts[0].macs == found.totals.macs
    assert parts[0].activation_bytes == found.totals.activation_bytes
    for place, part in enumerate(parts):
        assert part.parent is None or part.parent < place
        if part.row is None:
            inside = [p for p in parts if p.parent == place]
            for of in ("layers", "params", "macs", "activation_bytes"):
                assert sum(getattr(p, of) for p in inside) == getattr(part, of)


@pytest.mark.parametrize(("modules", "named"), [(4, 40), (40, 40)])
def test_small_modules_are_drawn_shut(modules: int, named: int) -> None:
    model = nn.Sequential(
        *(nn.Sequential(*(nn.Linear(3, 3) for _ in range(10))) for _ in range(modules))
    )
    drawn = areas.tiles(areas.nodes(count(model, (1, 3))), 0)
    labels = [tile.label for tile in drawn if tile.label is not None]
    assert len(labels) == named
    assert labels[0] == ("0.0" if modules == 4 else "0")
    shut = [tile for tile in drawn if tile.look.endswith(" within")]
    assert len(shut) == (0 if modules == 4 else 400)
    assert all(tile.label is None for tile in shut)


def test_parts_are_where_their_names_say() -> None:
    parts = tree(ledger("encoder"))
    names = {part.name: part for part in parts if part.row is None}
    for part in parts:
        if part.parent is not None:
            above = parts[part.parent].name
            assert part.name.startswith(above)
            assert names[above] is parts[part.parent]


def test_a_pooling_called_as_a_function_is_a_part_of_its_caller() -> None:
    [pool] = [part for part in tree(ledger("unet")) if part.label == ":max_pool2d"]
    assert pool.parent == 0
    # A colon that is only a sign in a name divides nothing.
    parts = tree(count(Named("a", "a:b"), (1, 4)))
    assert [part.label for part in parts if part.parent == 0] == ["a", "a:b"]


@given(
    st.lists(st.one_of(st.integers(0, 100), st.integers(0, 10**30)), max_size=60),
    st.floats(0.05, 20),
)
def test_rectangles_fill_the_frame_by_area_and_do_not_overlap(
    values: list[int], aspect: float
) -> None:
    tiles = squarified(values, aspect)
    total = sum(values)
    drawn = []
    for value, tile in zip(values, tiles, strict=True):
        assert (tile is None) == (value == 0)
        if tile is None:
            continue
        assert isclose(tile.width * tile.height, value / total, abs_tol=1e-9)
        assert min(tile.left, tile.top, tile.width, tile.height) >= 0
        assert tile.left + tile.width <= 1 + 1e-9
        assert tile.top + tile.height <= 1 + 1e-9
        drawn.append(tile)
    for i, one in enumerate(drawn):
        for other in drawn[:i]:
            wide = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
            high = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
            assert min(wide, high) <= 1e-9


@given(st.integers(2, 40), st.floats(0.5, 2))
def test_equal_values_come_out_nearly_square(number: int, aspect: float) -> None:
    for tile in squarified([7] * number, aspect):
        assert tile is not None
        sides = sorted((tile.width * aspect, tile.height))
        assert sides[1] / sides[0] < 3


def test_areas_of_what_is_no_area() -> None:
    assert squarified([], 1.0) == []
    assert squarified([0, 0], 1.0) == [None, None]
    with pytest.raises(ValueError, match="values=-1"):
        squarified([2, -1], 1.0)
    with pytest.raises(ValueError, match="aspect=0"):
        squarified([2], 0)


@given(st.lists(st.integers(0, 10**40), min_size=1))
def test_bars_have_room_and_keep_the_order(values: list[int]) -> None:
    scale = Scale.up_to(values)
    lengths = [scale.part(value) for value in sorted(values)]
    assert lengths == sorted(lengths)
    assert lengths[0] >= 0
    assert lengths[-1] <= 1 + 1e-12
    ticks = scale.ticks()
    assert 2 <= len(ticks) <= 5
    assert ticks[-1] <= scale.decades


# ---- what is hard


def test_names_from_outside_stay_text() -> None:
    found = hostile()
    text = html.render(found, compare(found, count(nn.Linear(4, 4), (1, 4), name=HOSTILE[1])))
    page = Page(text)
    assert len(page.all("script")) == 2
    assert text.count("</script") == 2
    assert not page.all("img")
    assert not page.all("svg")
    assert "49" not in page.all("h1")[0].text
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", "".join(e.text for e in page.elements))
    shown = cells(page)
    assert [row[0] for row in shown] == [
        *HOSTILE[:3], "\\u202eevil\\nname\\u2066", *HOSTILE[4:]
    ]  # fmt: skip
    assert {node[1] for node in page.data["nodes"][1:]} == {row[0] for row in shown}


@pytest.mark.parametrize("shape", ["flat", "nested"])
def test_a_thousand_layers(shape: str) -> None:
    layers = [nn.Linear(8, 8) for _ in range(1000)]
    model = nn.Sequential(*layers)
    if shape == "nested":
        model = nn.Sequential(*(nn.Sequential(*layers[i : i + 10]) for i in range(0, 1000, 10)))
    found = count(model, (1, 8))
    took = []
    for _ in range(3):
        start = time.process_time()
        text = html.render(found)
        took.append(time.process_time() - start)
    assert min(took) < 1
    assert len(text) < 2_000_000
    assert len(cells(Page(text))) == 1000


def test_nothing_to_show() -> None:
    empty = replace(count(nn.Identity(), (1, 4)), layers=())
    page = Page(html.render(empty))
    assert not page.all("script")
    assert "No layer of this network has connections under weights." in page.all("main")[0].text
    assert "0 parameters" in " ".join(page.all("h1")[0].text.split())
    still = html.render(count(nn.Identity(), (1, 4), name="still"))
    assert "<script" not in still
    assert "(model)" in Page(still).one("rows").text


def test_one_layer_saves_nothing() -> None:
    text = Page(html.render(count(nn.Linear(4, 3), (1, 4)))).all("main")[0].text
    assert "Every layer is fully connected" in text


def test_numbers_beyond_those_of_scripts_are_exact() -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(10**9 + 7, 10**9 + 9), nn.Linear(10**9 + 9, 3))
    found = count(model, (1, 10**9 + 7))
    assert found.totals.params > 2**53
    text = html.render(found)
    page = Page(text)
    assert cells(page)[0][4] == f"{found.layers[0].params:,}"
    assert page.data["nodes"][0][6][0] == f"{found.totals.params:,}"

    def plain_numbers(value: Any) -> list[float]:
        if isinstance(value, list | dict):
            entries = value.values() if isinstance(value, dict) else value
            return [number for entry in entries for number in plain_numbers(entry)]
        return [value] if isinstance(value, int | float) else []

    assert max(plain_numbers(page.data)) < 2**53  # all figures go as text


def test_text_can_be_read_on_the_colours_of_both_modes() -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(one: str, other: str) -> float:
        low, high = sorted((luminance(one), luminance(other)))
        return (high + 0.05) / (low + 0.05)

    page = Page(html.render(ledger("lenet")))
    [style] = page.all("style")
    light: dict[str, str] = {}
    dark: dict[str, str] = {}
    for dark_rule, body in re.findall(
        r"(@media screen and \(prefers-color-scheme: dark\) \{\s*)?:root \{([^}]*)\}", style.text
    ):
        colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", body))
        if dark_rule:
            dark.update(colours)
        elif not light.keys() & colours.keys():
            light.update(colours)
    for colours in (light, dark):
        for kind in ("dense", "local", "shared", "both", "pooling", "other", "paper", "sunk"):
            assert contrast(colours[kind], colours["ink"]) >= 4.5, kind
        for text in ("quiet", "accent"):
            assert contrast(colours[text], colours["paper"]) >= 4.5, text


def test_the_article_is_told_in_words() -> None:
    from striate.sources.models import resolve

    source = resolve("zoo:article", {})
    assert source.input_shape is not None
    found = count(source.build(), (1, *source.input_shape), name="zoo:article")
    text = Page(html.render(found)).all("main")[0].text
    assert "1,000,000,000,000 (10^12) weights" in text


# ---- the command


def test_the_command_prints_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["count", "zoo:lenet5", "--format", "html", "--against", "zoo:lenet5"]) == 0
    out = capsys.readouterr().out
    assert "12 layers unchanged" in out
    assert out.startswith("<!doctype html>")
    assert out.endswith("</html>\n")
    assert "61,706" in Page(out).all("h1")[0].text


def test_a_difference_is_in_the_page() -> None:
    before, after = ledger("lenet"), ledger("functional")
    found = compare(before, after)
    text = Page(html.render(after, found, found.growth_gates(0))).all("main")[0].text
    assert "Against lenet" in text
    for name, figures in found.totals.items():
        # Of two batches, activations are those of an example.
        shown = name != "activation_bytes"
        assert all(f"{figure:,}" in text for figure in figures) or not shown
    assert "bytes of activations of an example" in text
    assert "Note: batches of 2 and 4: layers are compared per example" in text
    assert "MACs of an example" in text
    assert "Not met: macs" in text or "Held: macs" in text
    same = compare(before, before)
    assert f"{len(before.layers)} layers unchanged" in Page(html.render(before, same)).html


# ---- notebooks


@pytest.mark.parametrize("name", list(NETWORKS))
def test_a_notebook_shows_the_same_figures_without_script_or_style_sheet(name: str) -> None:
    found = ledger(name)
    page = Page(found._repr_html_())
    assert not {e.tag for e in page.elements} & {"script", "style", "link", "img", "iframe"}
    assert not any("class" in e.attributes or "id" in e.attributes for e in page.elements)
    text = page.elements[0].text
    for figure in (found.totals.params, found.totals.connections, found.totals.macs_per_example):
        assert f"{figure:,}" in text
    for layer in found.layers:
        assert (f"{layer.params:,}" in text) or not layer.matters
    assert ("partial" in text) == (found.status == "partial")


def test_a_notebook_is_not_filled_with_a_long_network() -> None:
    found = count(nn.Sequential(*(nn.Linear(2, 2) for _ in range(300))), (1, 2))
    shown = notebook.ledger(found)
    assert len(shown) < 200_000
    assert "100 more are left out here" in shown


def test_names_stay_text_in_a_notebook() -> None:
    found = hostile()
    for shown in (found._repr_html_(), compare(found, ledger("lenet"))._repr_html_()):
        page = Page(shown)
        assert not {e.tag for e in page.elements} & {"script", "img", "svg"}
        assert "\u202e" not in shown


def test_a_notebook_shows_a_difference() -> None:
    found = compare(ledger("lenet"), ledger("functional"))
    text = Page(found._repr_html_()).elements[0].text
    assert "functional against lenet" in text
    assert "batches of 2 and 4" in text
    assert "MACs of an example" in text


# ---- in a browser


def browser() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


needs_browser = pytest.mark.skipif(browser() is None, reason="no chromium to show the page with")


def in_browser(text: str, folder: Path) -> Page:
    """The page as it is once its scripts have run."""
    program = browser()
    assert program is not None
    path = folder / "page.html"
    path.write_text(text)
    done = subprocess.run(
        [
            program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=1000", "--dump-dom",
            path.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )  # fmt: skip
    return Page(done.stdout)


@needs_browser
def test_in_a_browser_the_script_runs_and_nothing_else_does(tmp_path: Path) -> None:
    page = in_browser(html.render(hostile()), tmp_path)
    assert page.all("title")[0].text.endswith("· striate")
    assert not page.all("img")
    assert len(page.all("script")) == 2
    # The script has put buttons in the place of the tiles, with the same names, and shown its controls.
    tiles = [e for e in page.all("button") if "tile" in str(e.attributes.get("class"))]
    assert len(tiles) == len(HOSTILE)
    assert "hidden" not in page.one("panel").attributes
    assert str(tiles[0].attributes["aria-label"]).startswith(HOSTILE[0])


#: What a user does, and what is then to be seen. Run in the page, whose policy is taken away for it.
USE = """
const seen = {};
const one = (selector) => document.querySelector(selector);
const tiles = () => [...document.querySelectorAll("#map button")];
const press = (key) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
const trail = () => [...document.querySelectorAll("#crumbs li")].map((item) => item.textContent);
const area = () => [...document.querySelectorAll("#map .tile:not(.group)")]
  .reduce((sum, tile) => sum + parseFloat(tile.style.width) * parseFloat(tile.style.height) / 1e4, 0);
const order = () => [...document.querySelectorAll("#rows tbody th")].map((cell) => cell.textContent);
seen.area = area();
const small = tiles().find((tile) => tile.getAttribute("aria-label").startsWith("inner."));
small.focus();
seen.figures = one("#panel").textContent;
small.click();
seen.inside = trail();
seen.insideArea = area();
press("ArrowRight");
seen.second = document.activeElement === tiles()[1];
press("Escape");
seen.back = trail();
document.querySelectorAll("input[name=metric]")[2].click();
seen.memory = area();
one("#search").value = "inner";
one("#search").dispatchEvent(new Event("input"));
seen.found = one("#found").textContent;
seen.shown = [...document.querySelectorAll("#rows tbody tr")].filter((row) => !row.hidden).length;
seen.dim = document.querySelectorAll(".tile.dim").length;
const head = document.querySelectorAll("#rows thead [role=button]")[4];
head.click();
seen.falling = order();
head.click();
seen.rising = order();
head.click();
seen.asBefore = order();
const result = document.createElement("p");
result.id = "seen";
result.textContent = JSON.stringify(seen);
document.body.append(result);
"""


@needs_browser
def test_in_a_browser_a_user_zooms_searches_and_sorts(tmp_path: Path) -> None:
    with torch.device("meta"):
        # Two layers whose weights a number of the browser's language takes for the same.
        model = nn.ModuleDict(
            {
                "first": nn.Linear(2**27, 2**27, bias=False),
                "inner": nn.Sequential(nn.Linear(2**27, 2**27), nn.Linear(2**27, 3)),
            }
        )
        model["first"].register_parameter("one", nn.Parameter(torch.empty(1)))

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.inner = model["first"], model["inner"]

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(self.first(x))

    found = count(Both(), (1, 2**27), name="both")
    sizes = {layer.name: layer.params for layer in found.layers}
    text = html.render(found)
    policy = re.search(r'<meta http-equiv="Content-Security-Policy"[^>]*>', text)
    assert policy is not None
    page = in_browser(
        text.replace(policy[0], "").replace("</body>", f"<script>{USE}</script></body>"), tmp_path
    )
    seen = json.loads(page.one("seen").text)
    assert seen["area"] == pytest.approx(1, abs=1e-3)
    assert f"{sizes['inner.0']:,}" in seen["figures"]
    assert seen["inside"] == ["both", "inner"]
    assert seen["insideArea"] == pytest.approx(1, abs=1e-3)
    assert seen["second"]
    assert seen["back"] == ["both"]
    assert seen["memory"] == pytest.approx(1, abs=1e-3)
    assert seen["found"] == "2 of 3 layers"
    assert seen["shown"] == 2
    assert seen["dim"] == 1
    assert seen["falling"] == sorted(sizes, key=lambda name: -sizes[name])
    assert seen["rising"] == sorted(sizes, key=lambda name: sizes[name])
    assert seen["asBefore"] == list(sizes)
