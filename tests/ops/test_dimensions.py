"""The reference in one to three dimensions, with maps and padding modes; transposed; low rank."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from striate.geometry import LocalGrid, kernel_of_position, local_grid, transposed_grid
from striate.ops import reference
from tests.grids import draw, grids, loop, transposed_grids
from tests.ops.test_reference import Largest
from tests.tolerances import CLOSE

EXACT = CLOSE[torch.float64]


def operands(
    grid: LocalGrid, groups: int, bias: str, batch: int = 2
) -> tuple[Tensor, Tensor, Tensor | None]:
    channels, outputs = 2 * groups, 3 * groups
    offsets = {"none": None, "channel": (outputs,), "kernel": (*grid.blocks, outputs)}[bias]
    return (
        draw(batch, channels, *grid.input_size, seed=1),
        draw(*grid.blocks, outputs, 2, *grid.kernel_size, seed=2),
        None if offsets is None else draw(*offsets, seed=3),
    )


@pytest.mark.parametrize("axes", [1, 2, 3])
@settings(max_examples=60)
@given(st.data(), st.integers(1, 2), st.sampled_from(["none", "channel", "kernel"]))
def test_equals_the_loop(axes: int, data: st.DataObject, groups: int, bias: str) -> None:
    check_outputs(data.draw(grids(st.just(axes))), groups, bias)


@pytest.mark.slow
@settings(max_examples=600)
@given(grids(), st.integers(1, 2), st.sampled_from(["none", "channel", "kernel"]))
def test_equals_the_loop_with_its_gradients_on_many_geometries(
    grid: LocalGrid, groups: int, bias: str
) -> None:
    check_outputs(grid, groups, bias)
    check_gradients(grid, groups, bias)


def check_outputs(grid: LocalGrid, groups: int, bias: str) -> None:
    input, weight, offsets = operands(grid, groups, bias)
    numpy = None if offsets is None else offsets.numpy()
    expected = loop(input.numpy(), weight.numpy(), numpy, grid, groups)
    out = reference.local(input, weight, offsets, grid, groups)
    torch.testing.assert_close(out, torch.from_numpy(expected), **EXACT)


@settings(max_examples=60)
@given(grids(), st.integers(1, 2), st.sampled_from(["none", "channel", "kernel"]))
def test_gradients_equal_those_of_the_definition(grid: LocalGrid, groups: int, bias: str) -> None:
    check_gradients(grid, groups, bias)


def check_gradients(grid: LocalGrid, groups: int, bias: str) -> None:
    """The layer is linear in each operand, so a gradient is the loop's answer to each unit vector;
    here in sum: <cotangent, out> as a function of the operand."""
    leaves = [t.requires_grad_() for t in operands(grid, groups, bias) if t is not None]
    out = reference.local(leaves[0], leaves[1], leaves[2] if bias != "none" else None, grid, groups)
    cotangent = draw(*out.shape, seed=4)
    gradients = torch.autograd.grad(out, leaves, cotangent)
    for place, (leaf, gradient) in enumerate(zip(leaves, gradients, strict=True)):
        step = draw(*leaf.shape, seed=5)
        values = [t.detach().numpy() for t in leaves]
        values[place] = step.numpy()
        if place < 2 and bias != "none":
            values[2] = np.zeros_like(values[2])
        if place == 2:
            values[0] = np.zeros_like(values[0])
        moved = loop(values[0], values[1], values[2] if bias != "none" else None, grid, groups)
        by_hand = float((cotangent.numpy() * moved).sum())
        scale = float(np.abs(cotangent.numpy() * moved).sum()) + 1
        assert abs(float((gradient * step).sum()) - by_hand) < 1e-10 * scale


@settings(max_examples=80)
@given(transposed_grids(), st.integers(1, 2), st.sampled_from(["none", "channel", "position"]))
def test_transposed_is_the_adjoint(grid: LocalGrid, groups: int, bias: str) -> None:
    """<A x, y> = <x, A' y>, with A the local layer of the same weight and A' the transposed one."""
    x, weight, _ = operands(grid, groups, "none")
    y = draw(2, 3 * groups, *grid.output_size, seed=6)
    sizes = {"none": None, "channel": (2 * groups,), "position": (*grid.input_size, 2 * groups)}[
        bias
    ]
    offsets = None if sizes is None else draw(*sizes, seed=7)
    back = reference.local_transposed(y, weight, offsets, grid, groups)
    assert back.shape == x.shape
    if offsets is not None:
        back = back - (
            offsets.movedim(-1, 0) if bias == "position" else offsets.view(-1, *(1,) * grid.axes)
        )
    there = reference.local(x, weight, None, grid, groups)
    torch.testing.assert_close((there * y).sum(), (x * back).sum(), rtol=1e-10, atol=1e-8)


@settings(max_examples=40)
@given(
    grids(st.just(2)),
    st.integers(1, 2),
    st.integers(1, 3),
    st.sampled_from(["none", "channel", "position"]),
)
def test_low_rank_is_the_local_layer_with_mixed_kernels(
    grid: LocalGrid, groups: int, rank: int, bias: str
) -> None:
    input, _, _ = operands(grid, groups, "none")
    bank = draw(rank, 3 * groups, 2, *grid.kernel_size, seed=8)
    mixing = draw(*grid.blocks, rank, seed=9)
    sizes = {"none": None, "channel": (3 * groups,), "position": (*grid.output_size, 3 * groups)}[
        bias
    ]
    offsets = None if sizes is None else draw(*sizes, seed=7)
    out = reference.low_rank(input, bank, mixing, offsets, grid, groups)
    weight = torch.tensordot(mixing, bank, 1)
    expected = torch.from_numpy(loop(input.numpy(), weight.numpy(), None, grid, groups))
    if offsets is not None:
        expected = expected + (
            offsets.movedim(-1, 0) if bias == "position" else offsets[:, None, None]
        )
    torch.testing.assert_close(out, expected, **EXACT)


TILES = np.arange(4)[:, None] % 2 * 2 + np.arange(3) % 2
EXAMPLES: dict[str, Callable[[], LocalGrid]] = {
    "1d blocked": lambda: local_grid(7, 3, 2, 1, share=2, axes=1),
    "1d map": lambda: local_grid(5, 2, share=np.array([0, 1, 0, 0]), axes=1),
    "2d tiles, circular": lambda: local_grid(
        (4, 3), 3, padding=1, share=TILES, padding_mode=("circular", "reflect")
    ),
    "3d blocked, replicate": lambda: local_grid(
        (3, 2, 3), 2, padding=1, share=(2, "all", 3), padding_mode="replicate", axes=3
    ),
    "3d shared": lambda: local_grid((2, 3, 2), 2, padding="same", share="all", axes=3),
}
TRANSPOSED: dict[str, Callable[[], LocalGrid]] = {
    "1d": lambda: transposed_grid(3, 3, 2, 1, 1, axes=1),
    "2d blocked, dilated": lambda: transposed_grid((2, 3), 2, 1, 1, 1, 2, share=2),
    "2d map": lambda: transposed_grid((2, 2), 2, 2, share=np.array([[0, 1], [1, 1]])),
    "3d": lambda: transposed_grid((2, 1, 2), 2, 2, axes=3),
    "3d shared": lambda: transposed_grid((2, 1, 2), 2, 2, share="all", axes=3),
}


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own forward mode
@pytest.mark.parametrize("grid", [make() for make in EXAMPLES.values()], ids=EXAMPLES)
@pytest.mark.parametrize("bias", ["none", "kernel"])
def test_gradients_of_both_orders(grid: LocalGrid, bias: str) -> None:
    leaves = [t.requires_grad_() for t in operands(grid, 1, bias, batch=1) if t is not None]

    def run(input: Tensor, weight: Tensor, offsets: Tensor | None = None) -> Tensor:
        return reference.local(input, weight, offsets, grid, 1)

    assert torch.autograd.gradcheck(run, leaves, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(run, leaves, fast_mode=True)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.parametrize("grid", [make() for make in TRANSPOSED.values()], ids=TRANSPOSED)
@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_gradients_of_both_orders(grid: LocalGrid, groups: int) -> None:
    y = draw(1, 2 * groups, *grid.output_size).requires_grad_()
    weight = draw(*grid.blocks, 2 * groups, 1, *grid.kernel_size).requires_grad_()
    bias = draw(*grid.input_size, groups).requires_grad_()

    def run(input: Tensor, weight: Tensor, offsets: Tensor) -> Tensor:
        return reference.local_transposed(input, weight, offsets, grid, groups)

    assert torch.autograd.gradcheck(run, (y, weight, bias), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(run, (y, weight, bias), fast_mode=True)


def test_low_rank_gradients_of_both_orders() -> None:
    grid = local_grid((4, 3), 2, share=(2, 1))
    leaves = (
        draw(1, 2, 4, 3).requires_grad_(),
        draw(2, 2, 1, 2, 2).requires_grad_(),
        draw(*grid.blocks, 2).requires_grad_(),
        draw(2).requires_grad_(),
    )

    def run(input: Tensor, bank: Tensor, mixing: Tensor, bias: Tensor) -> Tensor:
        return reference.low_rank(input, bank, mixing, bias, grid, 2)

    assert torch.autograd.gradcheck(run, leaves)
    assert torch.autograd.gradgradcheck(run, leaves, fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("grid", [make() for make in EXAMPLES.values()], ids=EXAMPLES)
def test_other_dtypes(grid: LocalGrid, dtype: torch.dtype) -> None:
    input, weight, bias = operands(grid, 2, "kernel")
    assert bias is not None
    low = [t.to(dtype) for t in (input, weight, bias)]
    out = reference.local(*low, grid, 2)
    assert out.dtype is dtype
    exact = reference.local(*(t.double() for t in low), grid, 2)
    scale = 1 + exact.abs().amax()
    torch.testing.assert_close(out.double() / scale, exact / scale, **CLOSE[dtype])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("grid", [make() for make in TRANSPOSED.values()], ids=TRANSPOSED)
def test_transposed_other_dtypes(grid: LocalGrid, dtype: torch.dtype) -> None:
    y = draw(2, 2, *grid.output_size, dtype=dtype)
    weight = draw(*grid.blocks, 2, 3, *grid.kernel_size, dtype=dtype)
    out = reference.local_transposed(y, weight, None, grid, 1)
    assert out.dtype is dtype
    exact = reference.local_transposed(y.double(), weight.double(), None, grid, 1)
    scale = 1 + exact.abs().amax()
    torch.testing.assert_close(out.double() / scale, exact / scale, **CLOSE[dtype])


def test_a_map_of_many_sizes_takes_few_products_and_no_more_than_twice_the_patches() -> None:
    """Kernels with 1 to 500 positions: together in classes of two sizes apart at most."""
    counts = [1, 1, 2, 3, 5, 9, 500, 400]
    numbers = np.repeat(np.arange(len(counts)), counts)
    np.random.default_rng(0).shuffle(numbers)
    grid = local_grid(len(numbers), 1, share=numbers, axes=1)
    assert grid.sharing is not None
    tables = reference.tensors_of(grid.sharing, torch.device("cpu"))
    assert len(tables.buckets) == 6
    used = sum(len(bucket.places[0]) for bucket in tables.buckets)
    assert used <= 2 * len(numbers)
    at = torch.cat([bucket.places[0] for bucket in tables.buckets])
    assert torch.equal(at[tables.slots], torch.arange(len(numbers)))
    assert torch.equal(tables.numbers, torch.from_numpy(kernel_of_position(grid)))


def test_maps_and_transposed_layers_make_no_more_than_their_patches_or_columns() -> None:
    """Nor are weights repeated: as many positions to a kernel as there may be, or one."""
    size, taps = 400, 25
    tiles = np.arange(size)[:, None] % 2 * 2 + np.arange(size) % 2
    for share, kernels in ((tiles, 4), (np.arange(size * size).reshape(size, size), size * size)):
        grid = local_grid(size, 5, padding=2, share=share)
        with Largest() as largest:
            input = torch.empty(1, 1, size, size, device="meta")
            weight = torch.empty(kernels, 2, 1, 5, 5, device="meta")
            assert reference.local(input, weight, None, grid, 1).shape == (1, 2, size, size)
        assert largest.elements <= max(taps * size * size, weight.numel())
    transposed = transposed_grid(size, 5, padding=2)
    with Largest() as largest:
        weight = torch.empty(size, size, 2, 1, 5, 5, device="meta")
        out = reference.local_transposed(
            torch.empty(1, 2, size, size, device="meta"), weight, None, transposed, 1
        )
    assert out.shape == (1, 1, size, size)
    # Half as large as the weight: one column for both input channels.
    assert largest.elements <= weight.numel()
