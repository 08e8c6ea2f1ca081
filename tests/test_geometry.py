"""Geometry against brute force over index sets, and against torch's own layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st

from striate import geometry
from striate.geometry import ReceptiveField

sizes = st.integers(1, 20)
kernels = st.integers(1, 7)
strides = st.integers(1, 5)
dilations = st.integers(1, 4)
paddings = st.tuples(st.integers(0, 6), st.integers(0, 6))


def windows_by_hand(
    size: int, kernel: int, stride: int, padding: tuple[int, int], dilation: int
) -> list[list[int]]:
    """The taps' indices of every window that fits in the padded axis, by trying each start."""
    low, high = padding
    return [
        [start + tap * dilation for tap in range(kernel)]
        for start in range(-low, size + high, stride)
        if start + (kernel - 1) * dilation < size + high
    ]


@given(sizes, kernels, strides, paddings, dilations)
def test_sizes_windows_and_taps_equal_brute_force(
    size: int, kernel: int, stride: int, padding: tuple[int, int], dilation: int
) -> None:
    windows = windows_by_hand(size, kernel, stride, padding, dilation)
    if not windows:
        with pytest.raises(ValueError, match=rf"a window of \d+ does not fit {size} inputs"):
            geometry.output_size(size, kernel, stride, padding, dilation)
        return
    assert geometry.output_size(size, kernel, stride, padding, dilation) == len(windows)
    inside = sum(0 <= index < size for taps in windows for index in taps)
    assert geometry.taps_inside(size, kernel, stride, padding, dilation, len(windows)) == inside
    assert geometry.taps_inside(size, kernel, stride, padding, dilation) == inside
    for position, taps in enumerate(windows):
        whole = geometry.window(position, kernel, stride, padding, dilation)
        assert whole == (taps[0], taps[-1] + 1)
        start, stop = geometry.window(position, kernel, stride, padding, dilation, size)
        assert list(range(start, stop)) == [i for i in range(*whole) if 0 <= i < size]


@given(sizes, kernels, strides, paddings, dilations, st.integers(0, 40))
def test_taps_inside_for_any_number_of_outputs(
    size: int, kernel: int, stride: int, padding: tuple[int, int], dilation: int, outputs: int
) -> None:
    expected = sum(
        0 <= output * stride - padding[0] + tap * dilation < size
        for output in range(outputs)
        for tap in range(kernel)
    )
    assert geometry.taps_inside(size, kernel, stride, padding, dilation, outputs) == expected


@given(sizes, kernels, strides, st.integers(0, 3), dilations, st.booleans())
def test_output_size_equals_torch_pooling(
    size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool
) -> None:
    assume(padding <= kernel // 2)
    assume(geometry.span(kernel, dilation) <= size + 2 * padding)
    pooled = F.max_pool1d(torch.zeros(1, 1, size), kernel, stride, padding, dilation, ceil_mode)
    ours = geometry.output_size(size, kernel, stride, (padding, padding), dilation, ceil_mode)
    assert ours == pooled.shape[-1]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@given(kernels, dilations, sizes)
def test_same_padding_keeps_the_size_and_is_torchs(kernel: int, dilation: int, size: int) -> None:
    padding = geometry.same_padding(kernel, dilation)
    assert geometry.output_size(size, kernel, 1, padding, dilation) == size
    impulse = torch.zeros(1, 1, size)
    impulse[0, 0, size // 2] = 1
    weight = torch.arange(1.0, kernel + 1).view(1, 1, kernel)
    theirs = F.conv1d(impulse, weight, padding="same", dilation=dilation)
    ours = F.conv1d(F.pad(impulse, padding), weight, dilation=dilation)
    assert torch.equal(ours, theirs)


@given(sizes, sizes)
def test_adaptive_windows_are_those_of_torch(size: int, outputs: int) -> None:
    windows = geometry.adaptive_windows(size, outputs)
    values = torch.arange(size, dtype=torch.float64).square()
    means = torch.stack([values[start:stop].mean() for start, stop in windows])
    torch.testing.assert_close(means, F.adaptive_avg_pool1d(values[None], outputs)[0])


@given(st.integers(1, 60), st.integers(1, 70))
def test_block_count_covers_every_position(outputs: int, share: int) -> None:
    assert geometry.block_count(outputs, share) == len({o // share for o in range(outputs)})


layers = st.lists(
    st.tuples(kernels, st.integers(1, 3), st.tuples(st.integers(0, 3), st.just(0)), dilations),
    max_size=4,
)


@given(layers, st.integers(0, 3))
def test_receptive_field_equals_the_indices_that_reach_a_unit(
    stack: list[tuple[int, int, tuple[int, int], int]], position: int
) -> None:
    field = ReceptiveField()
    reached = {position}
    for kernel, stride, padding, dilation in stack:
        field = field.through(kernel, stride, padding, dilation)
    for kernel, stride, padding, dilation in reversed(stack):
        reached = {
            unit * stride - padding[0] + tap * dilation for unit in reached for tap in range(kernel)
        }
    assert field.window(position) == (min(reached), max(reached) + 1)
    assert field.stride == int(np.prod([stride for _, stride, _, _ in stack], dtype=int))


def test_pair_and_integer_accept_what_torch_layers_accept() -> None:
    assert geometry.pair("k", np.int64(3)) == (3, 3)
    assert geometry.pair("k", [2, np.int32(4)]) == (2, 4)
    assert geometry.pair("k", torch.Size([2, 4])) == (2, 4)
    assert geometry.pair("padding", 0, minimum=0) == (0, 0)
    assert type(geometry.integer("k", np.int64(3))) is int


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        ((3, 0), ValueError),
        ((3,), ValueError),
        ((3, 3, 3), ValueError),
        (2.0, TypeError),
        (True, TypeError),
        ("3", TypeError),
        (None, TypeError),
        ((3, 2.5), TypeError),
    ],
)
def test_pair_names_the_argument_and_the_value(value: object, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        geometry.pair("kernel_size", value)
    assert f"kernel_size={value!r}" in str(caught.value)
    assert "expected an integer >= 1 or two of them" in str(caught.value)


def test_counts_of_a_million_positions_are_exact() -> None:
    padding = geometry.same_padding(10)
    assert geometry.output_size(1000, 10, 1, padding) == 1000
    missing = sum(range(1, 5)) + sum(range(1, 6))  # taps cut off at the low and at the high side
    assert geometry.taps_inside(1000, 10, 1, padding) == 10 * 1000 - missing
