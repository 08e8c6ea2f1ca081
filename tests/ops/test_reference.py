"""The reference against the formula written as a loop, on both of its routes and at its edges."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from striate import geometry
from striate.geometry import LocalGrid, local_grid
from striate.ops import reference
from tests.tolerances import CLOSE


def loop(
    input: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, grid: LocalGrid, groups: int
) -> np.ndarray:
    """The formula, unit by unit, without padding the input: taps outside it are left out."""
    batch, channels, height, width = input.shape
    outputs = weight.shape[2]
    result = np.zeros((batch, outputs, *grid.output_size))
    per_group = channels // groups
    for o, i, j in product(range(outputs), *map(range, grid.output_size)):
        block = (i // grid.share[0], j // grid.share[1])
        first = o // (outputs // groups) * per_group
        for c, a, b in product(range(per_group), *map(range, grid.kernel_size)):
            row = i * grid.stride[0] - grid.padding[0][0] + a * grid.dilation[0]
            column = j * grid.stride[1] - grid.padding[1][0] + b * grid.dilation[1]
            if 0 <= row < height and 0 <= column < width:
                result[:, o, i, j] += weight[*block, o, c, a, b] * input[:, first + c, row, column]
        if bias is not None:
            result[:, o, i, j] += bias[o] if bias.ndim == 1 else bias[*block, o]
    return result


def pairs(low: int, high: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(low, high), st.integers(low, high))


@st.composite
def grids(draw: st.DrawFn) -> LocalGrid:
    size, kernel, dilation = draw(pairs(1, 8)), draw(pairs(1, 3)), draw(pairs(1, 2))
    padding: object = draw(pairs(0, 3))
    stride: object = draw(pairs(1, 3))
    if draw(st.booleans()):
        padding, stride = "same", 1
    entry = st.one_of(st.just("all"), st.integers(1, 6))
    share = draw(st.one_of(entry, st.tuples(entry, entry)))
    try:
        return local_grid(size, kernel, stride, padding, dilation, share)
    except ValueError:
        assume(False)
        raise


def tensors(
    grid: LocalGrid, groups: int, bias: str, batch: int = 2, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor | None]:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    outputs = 2 * groups
    offsets = {"none": None, "channel": (outputs,), "block": (*grid.blocks, outputs)}[bias]
    return (
        draw(batch, 2 * groups, *grid.input_size),
        draw(*grid.blocks, outputs, 2, *grid.kernel_size),
        None if offsets is None else draw(*offsets),
    )


def numpy(tensor: Tensor | None) -> np.ndarray | None:
    return None if tensor is None else tensor.numpy()


@settings(max_examples=60)
@given(grids(), st.integers(1, 2), st.sampled_from(["none", "channel", "block"]))
def test_equals_the_loop(grid: LocalGrid, groups: int, bias: str) -> None:
    input, weight, offsets = tensors(grid, groups, bias)
    expected = loop(input.numpy(), weight.numpy(), numpy(offsets), grid, groups)
    out = reference.local(input, weight, offsets, grid, groups)
    torch.testing.assert_close(out, torch.from_numpy(expected), **CLOSE[torch.float64])


@settings(max_examples=60)
@given(grids(), st.integers(1, 2), st.sampled_from(["none", "block"]))
def test_both_routes_agree_with_their_gradients(grid: LocalGrid, groups: int, bias: str) -> None:
    """The choice between them is only one of speed."""
    input, weight, offsets = tensors(grid, groups, bias)
    leaves = [t.requires_grad_() for t in (input, weight, offsets) if t is not None]
    padded = reference._pad_to_whole_blocks(input, grid)
    results = []
    for route in (reference._by_patches, reference._by_crops):
        out = route(padded, weight, offsets, grid, groups)
        generator = torch.Generator().manual_seed(1)
        cotangent = torch.randn(out.shape, generator=generator, dtype=out.dtype)
        results.append((out, *torch.autograd.grad(out, leaves, cotangent, retain_graph=True)))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, **CLOSE[torch.float64])


EXAMPLES: dict[str, Callable[[], LocalGrid]] = {
    "local": lambda: local_grid((4, 5), (3, 2), (2, 1), (1, 0)),
    "blocked, last block smaller": lambda: local_grid(5, 3, padding="same", share=(2, 3)),
    "blocked, large blocks": lambda: local_grid((9, 6), 2, dilation=(1, 2), share=(6, 4)),
    "rows share nothing, columns all": lambda: local_grid((4, 6), 3, padding=1, share=(1, "all")),
    "shared": lambda: local_grid((5, 4), (2, 3), padding="same", share="all"),
}
examples = pytest.mark.parametrize("grid", [make() for make in EXAMPLES.values()], ids=EXAMPLES)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own forward mode
@examples
@pytest.mark.parametrize("bias", ["none", "channel", "block"])
def test_gradients_of_both_orders(grid: LocalGrid, bias: str) -> None:
    leaves = [t.requires_grad_() for t in tensors(grid, 1, bias, batch=1) if t is not None]

    def run(input: Tensor, weight: Tensor, offsets: Tensor | None = None) -> Tensor:
        return reference.local(input, weight, offsets, grid, 1)

    assert torch.autograd.gradcheck(run, leaves, check_forward_ad=True, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, leaves, fast_mode=True)


@examples
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_other_dtypes(grid: LocalGrid, dtype: torch.dtype) -> None:
    input, weight, offsets = tensors(grid, 2, "block", dtype=dtype)
    out = reference.local(input, weight, offsets, grid, 2)
    assert out.dtype is dtype
    assert offsets is not None
    exact = reference.local(input.double(), weight.double(), offsets.double(), grid, 2)
    # Errors of a sum grow with the sizes of its terms, not with that of the sum.
    scale = 1 + exact.abs().amax()
    torch.testing.assert_close(out.double() / scale, exact / scale, **CLOSE[dtype])


class Largest(TorchDispatchMode):
    """Remembers the most elements that any operator gave that were new memory."""

    elements = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor) and not func.is_view:
            self.elements = max(self.elements, out.numel())
        return out


@pytest.mark.parametrize(
    ("share", "bound"),
    [
        (1, 100 * 10**6),  # every window's taps, once
        (3, 100 * 1002**2),  # the same for whole blocks
        (100, 10 * 10 * 109**2),  # crops that overlap by a window less one
        ("all", 1009**2),  # the padded input
    ],
    ids=str,
)
def test_no_intermediate_is_larger_than_it_has_to_be(share: object, bound: int) -> None:
    """Nor are the weights ever repeated: 10×10 windows on 1000×1000 positions."""
    grid = local_grid(1000, 10, padding="same", share=share)
    input = torch.empty(1, 1, 1000, 1000, device="meta")
    weight = torch.empty(*grid.blocks, 2, 1, 10, 10, device="meta")
    with Largest() as largest:
        out = reference.local(input, weight, None, grid, 1)
    assert out.shape == (1, 2, 1000, 1000)
    assert largest.elements <= max(bound, 2 * grid.blocks[0] ** 2 * grid.share[0] ** 2)


@examples
def test_padding_does_not_meet_what_lies_beyond_the_input(grid: LocalGrid) -> None:
    """A view into a larger tensor full of NaN: nothing but its own elements is read."""
    input, weight, offsets = tensors(grid, 1, "block")
    around = torch.full((2, 4, grid.input_size[0] + 6, grid.input_size[1] + 6), torch.nan).double()
    view = around[:, 1:3, 3:-3, 3:-3]
    view.copy_(input)
    out = reference.local(view, weight, offsets, grid, 1)
    torch.testing.assert_close(out, reference.local(input, weight, offsets, grid, 1))


@examples
def test_an_input_reaches_exactly_the_units_whose_windows_hold_it(grid: LocalGrid) -> None:
    """A NaN at one input position marks the units that see it, which geometry names."""
    input, weight, _ = tensors(grid, 1, "none", batch=1)
    marked = (grid.input_size[0] // 2, grid.input_size[1] - 1)
    input[:, :, *marked] = torch.nan
    out = reference.local(input, weight, None, grid, 1)
    for position in product(*map(range, grid.output_size)):
        sees = True
        for axis in (0, 1):
            start, stop = geometry.window(
                position[axis],
                grid.kernel_size[axis],
                grid.stride[axis],
                grid.padding[axis],
                grid.dilation[axis],
            )
            sees &= marked[axis] in range(start, stop, grid.dilation[axis])
        assert bool(out[0, 0, *position].isnan()) == sees
