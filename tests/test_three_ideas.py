"""The account of the three ideas against sets of wires, and against our own layers."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import ceil

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from striate.geometry import (
    Setting,
    SettingError,
    SharingMap,
    local_grid,
    seconds_to_read,
    three_ideas,
    weight_bytes,
)
from striate.nn import LocallyConnected2d

sharings = st.one_of(
    st.sampled_from(["own", "all"]),
    st.builds("{}-{}".format, st.sampled_from(["block", "tile"]), st.integers(1, 12)),
)


@st.composite
def settings(draw: st.DrawFn, stride: int = 4) -> Setting:
    """Small ones, of all kinds."""
    size = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    setting = Setting(
        size=size,
        kernel=draw(st.integers(1, min(4, *size))),
        stride=draw(st.integers(1, stride)),
        padding=draw(st.sampled_from(["same", "valid"])),
        share=draw(sharings),
        pool=1,
        pool_stride=draw(st.integers(1, 4)),
        pool_kind=draw(st.sampled_from(["max", "average"])),
    )
    return replace(setting, pool=draw(st.integers(1, min(setting.outputs))))


Place = tuple[int, int]


def windows(side: int, kernel: int, stride: int, low: int, high: int) -> list[range]:
    """The windows along an axis, by trying each start."""
    starts = range(-low, side + high, stride)
    return [range(s, s + kernel) for s in starts if s + kernel <= side + high]


def kernel_of(unit: Place, share: str) -> Place:
    """A name for the kernel of a unit."""
    kind, _, step = share.partition("-")
    if kind == "all":
        return 0, 0
    if kind == "own":
        return unit
    if kind == "block":
        return unit[0] // int(step), unit[1] // int(step)
    return unit[0] % int(step), unit[1] % int(step)


@given(settings())
def test_every_number_equals_a_count_of_wires(setting: Setting) -> None:
    (height, width), k = setting.size, setting.kernel
    low = (k - 1) // 2 if setting.padding == "same" else 0
    high = k - 1 - low if setting.padding == "same" else 0
    rows = windows(height, k, setting.stride, low, high)
    columns = windows(width, k, setting.stride, low, high)
    wires: set[tuple[Place, Place]] = set()
    weights: set[tuple[Place, int, int]] = set()
    for (i, over), (j, across) in product(enumerate(rows), enumerate(columns)):
        for (a, row), (b, column) in product(enumerate(over), enumerate(across)):
            wires.add(((i, j), (row, column)))
            weights.add((kernel_of((i, j), setting.share), a, b))
    pixels = set(product(range(height), range(width)))
    pools = [
        len(
            [s for s in range(0, len(units), setting.pool_stride) if s + setting.pool <= len(units)]
        )
        for units in (rows, columns)
    ]

    account = three_ideas(setting)
    assert account.pixels == len(pixels)
    assert account.outputs == (len(rows), len(columns))
    assert account.units == len(rows) * len(columns) == len({unit for unit, _ in wires})
    assert account.dense == account.units * len(pixels)
    assert account.connections == len(wires)
    assert account.connections_inside == sum(pixel in pixels for _, pixel in wires)
    assert account.connections_outside == sum(pixel not in pixels for _, pixel in wires)
    assert account.weights == len(weights)
    assert account.kernels == len({name for name, _, _ in weights})
    assert account.pooled_outputs == tuple(pools)
    assert account.pooled_units == pools[0] * pools[1]
    assert (account.head, account.pooled_head) == (10 * account.units, 10 * pools[0] * pools[1])


@given(settings(), st.integers(1, 30))
def test_same_padding_gives_a_unit_for_each_stride(setting: Setting, stride: int) -> None:
    strided = replace(setting, padding="same", stride=stride, pool=1)
    assert strided.outputs == tuple(ceil(side / stride) for side in setting.size)


@given(settings())
def test_the_factors_lead_from_dense_to_the_weights_and_no_idea_adds_any(setting: Setting) -> None:
    account = three_ideas(setting)
    assert account.locality * account.sharing * account.weights == account.dense
    assert account.pooling * account.pooled_head == account.head
    assert account.locality >= 1
    assert account.sharing >= 1
    assert account.pooling >= 1
    ladder = [
        three_ideas(replace(setting, share=share)).weights for share in ("own", "block-2", "all")
    ]
    assert ladder == sorted(ladder, reverse=True)
    assert ladder[0] == account.connections
    assert ladder[-1] == setting.kernel**2


@given(settings(stride=1))
def test_at_stride_1_it_is_a_local_layer(setting: Setting) -> None:
    kind, step = setting.sharing
    rows, columns = setting.outputs
    share: object = {"own": 1, "block": step, "all": "all"}.get(kind)
    if kind == "tile":
        numbers = [
            [i % step * min(step, columns) + j % step for j in range(columns)] for i in range(rows)
        ]
        share = SharingMap.of(numbers)
    grid = local_grid(setting.size, setting.kernel, padding=setting.padding, share=share)
    layer = LocallyConnected2d(
        1,
        1,
        setting.kernel,
        input_size=setting.size,
        padding=setting.padding,
        share=share,
        bias=False,
    )
    account = three_ideas(setting)
    assert account.outputs == grid.output_size
    assert account.kernels == grid.kernels
    assert account.connections_inside == grid.taps_inside
    assert account.weights == layer.weight.numel()


@given(settings())
def test_at_any_stride_the_valid_one_is_too(setting: Setting) -> None:
    assume(setting.sharing.kind != "tile")
    kind, step = setting.sharing
    valid = replace(setting, padding="valid", pool=1)
    share = {"own": 1, "block": step, "all": "all"}[kind]
    grid = local_grid(valid.size, valid.kernel, valid.stride, share=share)
    account = three_ideas(valid)
    assert (account.outputs, account.kernels) == (grid.output_size, grid.kernels)
    assert account.connections == account.connections_inside == grid.taps_inside


def test_the_fields_example() -> None:
    account = three_ideas(Setting())
    assert (account.dense, account.connections, account.weights) == (10**12, 10**8, 100)
    # The image's first 4 and last 5 rows of windows reach over it, and so do the columns.
    assert account.connections_inside == (10 * 1000 - (4 + 3 + 2 + 1) - (5 + 4 + 3 + 2 + 1)) ** 2
    assert (account.head, account.pooled_head) == (10_000_000, 2_500_000)
    assert weight_bytes(account.dense) == 4 * 10**12
    assert seconds_to_read(account.dense) == 8000


def test_the_largest_is_exact_and_quick() -> None:
    largest = Setting(size=(100_000, 99_999), kernel=1000, share="tile-7")
    account = three_ideas(largest)
    assert account.dense == (100_000 * 99_999) ** 2
    assert account.weights == 49 * 10**6


def test_one_pixel() -> None:
    account = three_ideas(Setting(size=1, kernel=1, pool=1, share="tile-3"))
    assert (account.dense, account.connections, account.weights, account.pooled_units) == (1,) * 4


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("size", (0, 5), "integers from 1 to 100,000"),
        ("size", (5, 100_001), "integers from 1 to 100,000"),
        ("size", (5, 5, 5), "rows and columns"),
        ("kernel", 0, "from 1 to 1,000$"),
        ("kernel", 1001, "from 1 to 1,000$"),
        ("stride", 0, "from 1 to 100,000"),
        ("stride", 100_001, "from 1 to 100,000"),
        ("padding", "full", "'same' or 'valid'"),
        ("share", "block", "own, all, block-N or tile-N"),
        ("share", "block-0", "N from 1 to 100,000"),
        ("share", "tile-100001", "N from 1 to 100,000"),
        ("share", "block--1", "block-N"),
        ("share", "all-3", "own, all"),
        ("share", "tile-3\n", "own, all"),
        ("share", "tile-٣", "own, all"),
        ("share", 3, "own, all"),
        ("pool", 0, "from 1 to 1,000, as there are 1000×1000 units"),
        ("pool", 1001, "from 1 to 1,000, as there are 1000×1000 units"),
        ("pool_stride", 0, "from 1 to 100,000"),
        ("pool_kind", "min", "'max' or 'average'"),
        ("pool_kind", ["max"], "'max' or 'average'"),
    ],
)
def test_what_is_out_of_range_is_named(field: str, value: object, expected: str) -> None:
    with pytest.raises(SettingError, match=rf"^{field}=.*: expected .*{expected}") as caught:
        Setting(**{field: value})  # type: ignore[arg-type]
    assert caught.value.name == field


@pytest.mark.parametrize("value", [True, 1.0, "3", None])
@pytest.mark.parametrize("field", ["kernel", "stride", "pool", "pool_stride"])
def test_what_is_no_integer_is_a_type_error(field: str, value: object) -> None:
    with pytest.raises(TypeError, match=f"^{field}="):
        Setting(**{field: value})  # type: ignore[arg-type]


def test_windows_fit_the_smaller_side() -> None:
    assert Setting(size=(12, 7), kernel=7).kernel == 7
    with pytest.raises(SettingError, match=r"kernel=8: .* 1 to 7, as the image has 12×7 pixels"):
        Setting(size=(12, 7), kernel=8)
    assert Setting(size=(12, 7), kernel=3, padding="valid", pool=5).pool == 5
    with pytest.raises(SettingError, match=r"pool=6: .* 1 to 5, as there are 10×5 units"):
        Setting(size=(12, 7), kernel=3, padding="valid", pool=6)
