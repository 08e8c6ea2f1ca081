"""The page's arithmetic is Python's: both computed over hundreds of settings and compared, and read off the page."""

from __future__ import annotations

import random
from dataclasses import asdict

import pytest
from playwright.sync_api import Page

from striate.geometry import (
    ReceptiveField,
    Setting,
    output_size,
    same_padding,
    taps_inside,
    three_ideas,
    window,
)
from striate.jobs.explain import opening

from .conftest import Open


def settings(count: int) -> list[Setting]:
    """Settings drawn at random, small and huge, and the corners."""
    draw = random.Random(7)
    found = [
        Setting(),
        Setting(size=(1, 1), kernel=1, pool=1, pool_stride=1),
        Setting(size=(100_000, 100_000), kernel=1000, share="own"),
        Setting(size=(1000, 1000), share="tile-100000", stride=100_000, pool=1, pool_stride=1),
    ]
    while len(found) < count:
        sides = [draw.choice((draw.randint(1, 12), draw.randint(1, 100_000))) for _ in range(2)]
        kernel = draw.randint(1, min(*sides, draw.choice((5, 1000))))
        stride = draw.choice((1, 1, 2, draw.randint(1, 200)))
        padding = draw.choice(("same", "valid"))
        pads = same_padding(kernel) if padding == "same" else (0, 0)
        outputs = [output_size(side, kernel, stride, pads) for side in sides]
        pool = draw.randint(1, min(*outputs, draw.choice((3, 100_000))))
        found.append(
            Setting(
                size=(sides[0], sides[1]),
                kernel=kernel,
                stride=stride,
                padding=padding,
                share=draw.choice(
                    ("own", "all", f"block-{draw.randint(1, 50)}", f"tile-{draw.randint(1, 50)}")
                ),
                pool=pool,
                pool_stride=draw.choice((pool, draw.randint(1, 9))),
                pool_kind=draw.choice(("max", "average")),
            )
        )
    return found


ACCOUNT = """(all) => all.map((entries) => {
    const account = window.striate.account(entries);
    return Object.fromEntries(Object.entries(account).map(([name, value]) => [name, String(value)]));
})"""


def test_every_number_is_pythons_over_hundreds_of_settings(opened: Open) -> None:
    drawn = settings(600)
    page = opened()
    found = page.evaluate(ACCOUNT, [dict(opening(setting)) for setting in drawn])
    for setting, account in zip(drawn, found, strict=True):
        ideas = three_ideas(setting)
        expected = {
            "pixels": ideas.pixels,
            "rows": ideas.outputs[0],
            "columns": ideas.outputs[1],
            "units": ideas.units,
            "dense": ideas.dense,
            "connections": ideas.connections,
            "connectionsInside": ideas.connections_inside,
            "kernels": ideas.kernels,
            "weights": ideas.weights,
            "shared": setting.kernel**2,
            "pooledRows": ideas.pooled_outputs[0],
            "pooledColumns": ideas.pooled_outputs[1],
            "pooledUnits": ideas.pooled_units,
            "head": ideas.head,
            "pooledHead": ideas.pooled_head,
        }
        assert account == {name: str(value) for name, value in expected.items()}, asdict(setting)


def test_the_geometry_of_an_axis_is_pythons(opened: Open) -> None:
    draw = random.Random(11)
    cases = []
    for _ in range(300):
        size, kernel, stride = draw.randint(1, 60), draw.randint(1, 12), draw.randint(1, 7)
        low, high = draw.randint(0, 9), draw.randint(0, 9)
        if kernel <= size + low + high:
            cases.append([size, kernel, stride, low, high, draw.randint(0, 30)])
    found = opened().evaluate(
        """(cases) => cases.map(([size, kernel, stride, low, high, position]) => {
            const g = window.striate.geometry, pad = [low, high];
            const field = g.through(g.through(g.INPUT, kernel, stride, pad), 3, 2, [1, 1]);
            return [g.outputSize(size, kernel, stride, pad), g.tapsInside(size, kernel, stride, pad),
                g.samePadding(kernel), g.windowOf(position, kernel, stride, pad),
                g.windowOf(position, kernel, stride, pad, size),
                [field.size, field.stride, field.centre], g.fieldWindow(field, position)];
        })""",
        cases,
    )
    for case, (outputs, inside, same, whole, cut, field, seen) in zip(cases, found, strict=True):
        size, kernel, stride, low, high, position = case
        pad = (low, high)
        assert outputs == output_size(size, kernel, stride, pad)
        assert inside == taps_inside(size, kernel, stride, pad)
        assert tuple(same) == same_padding(kernel)
        assert tuple(whole) == window(position, kernel, stride, pad)
        assert tuple(cut) == window(position, kernel, stride, pad, size=size)
        expected = ReceptiveField().through(kernel, stride, pad).through(3, 2, (1, 1))
        assert field == [expected.size, expected.stride, expected.centre]
        assert tuple(seen) == expected.window(position)


@pytest.mark.parametrize(
    "setting",
    [
        Setting(),
        Setting(size=(64, 48), kernel=3, share="block-4", pool=3, pool_stride=2),
        Setting(size=(9, 9), kernel=4, stride=2, padding="valid", share="own", pool=1),
    ],
    ids=str,
)
def test_the_numbers_that_the_page_shows_are_pythons(opened: Open, setting: Setting) -> None:
    ideas = three_ideas(setting)
    state = "&".join(f"{name}={value}" for name, value in opening(setting).items())
    page = opened(state)

    def heard(page: Page) -> list[str]:
        return page.evaluate(
            """() => [...document.querySelectorAll(".ladder .number")].map((number) =>
                number.title || number.textContent)"""
        )

    assert heard(page) == [
        f"{n:,}" for n in (ideas.dense, ideas.connections, ideas.weights, ideas.pooled_units)
    ]
