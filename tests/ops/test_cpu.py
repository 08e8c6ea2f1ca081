"""The CPU kernels against float64 sums over gathered windows: every order, every set of instructions."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from striate.ops import cpu
from striate.ops.tables import WindowTables
from tests.ops.local_problems import Problem, axis_table, expected, problems
from tests.tolerances import CLOSE

pytestmark = pytest.mark.skipif(cpu.library() is None, reason=cpu.missing() or "")

ORDERS = get_args(cpu.Order)
BACKWARD_ORDERS = [order for order in ORDERS if order != "positions"]


def available() -> list[str]:
    """The instructions that can be forced here."""
    if cpu.library() is None:
        return ["baseline"]
    names = list(cpu.INSTRUCTIONS)[1:]
    return names[: names.index(cpu.instructions()) + 1]


INSTRUCTIONS = available()
forced = pytest.mark.parametrize("instructions", INSTRUCTIONS)


def close(actual: Tensor, exact: Tensor, dtype: torch.dtype = torch.float32) -> None:
    # Errors of a sum grow with the sizes of its terms, not with that of the sum.
    assert not actual.isnan().any(), "not all of the output was written"
    scale = 1 + exact.abs().amax() if exact.numel() else 1
    torch.testing.assert_close(actual.double() / scale, exact / scale, **CLOSE[dtype])


def filled(*shape: int) -> Tensor:
    return torch.full(shape, torch.nan)


def forward(
    problem: Problem, *, weight_dtype: torch.dtype = torch.float32, **options: Any
) -> Tensor:
    x, weight, bias = problem.tensors()
    out = filled(problem.images, problem.outputs, problem.tables.positions)
    windows = cpu.Windows(problem.tables)
    weight = weight.to(weight_dtype)
    cpu.forward(windows, x, weight, bias, out, groups=problem.groups, **options)
    return out


def input_gradient(problem: Problem, **options: Any) -> Tensor:
    x, weight, _ = problem.tensors()
    out = filled(*x.shape)
    windows = cpu.Windows(problem.tables)
    cpu.input_gradient(windows, problem.y_gradient(), weight, out, groups=problem.groups, **options)
    return out


def weight_gradient(problem: Problem, **options: Any) -> Tensor:
    x, weight, _ = problem.tensors()
    out = filled(*weight.shape)
    windows = cpu.Windows(problem.tables)
    cpu.weight_gradient(windows, problem.y_gradient(), x, out, groups=problem.groups, **options)
    return out


def exact_forward(problem: Problem, weight_dtype: torch.dtype = torch.float32) -> Tensor:
    x, weight, bias = problem.tensors()
    wide = weight.to(weight_dtype).double()
    return expected(problem, x.double(), wide, None if bias is None else bias.double())


def exact_gradients(problem: Problem) -> list[Tensor]:
    """Of x and the weight."""
    leaves = [t.double().requires_grad_() for t in problem.tensors()[:2]]
    y = expected(problem, leaves[0], leaves[1], None)
    return list(torch.autograd.grad(y, leaves, problem.y_gradient().double()))


@forced
@settings(max_examples=60)
@given(problem=problems(), order=st.sampled_from(ORDERS))
def test_forward(problem: Problem, order: str, instructions: str) -> None:
    close(forward(problem, order=order, instructions=instructions), exact_forward(problem))


@forced
@settings(max_examples=30)
@given(problem=problems(), order=st.sampled_from(ORDERS))
def test_forward_with_bfloat16_weights(problem: Problem, order: str, instructions: str) -> None:
    """The weights are exact in float32 and so are their products: only the sums round."""
    kind = torch.bfloat16
    close(
        forward(problem, order=order, instructions=instructions, weight_dtype=kind),
        exact_forward(problem, kind),
    )


@forced
@settings(max_examples=60)
@given(problem=problems(), order=st.sampled_from(BACKWARD_ORDERS))
def test_input_gradient(problem: Problem, order: str, instructions: str) -> None:
    exact, _ = exact_gradients(problem)
    close(input_gradient(problem, order=order, instructions=instructions), exact)


@forced
@settings(max_examples=60)
@given(problem=problems())
def test_weight_gradient(problem: Problem, instructions: str) -> None:
    _, exact = exact_gradients(problem)
    close(weight_gradient(problem, instructions=instructions), exact)


@pytest.mark.slow
@forced
@settings(max_examples=200)
@given(problem=problems(), order=st.sampled_from(BACKWARD_ORDERS))
def test_many_geometries(problem: Problem, order: str, instructions: str) -> None:
    """Over 500 per run of the slow suite, forward and both gradients."""
    options = {"instructions": instructions}
    close(forward(problem, order=order, **options), exact_forward(problem))
    of_x, of_weight = exact_gradients(problem)
    close(input_gradient(problem, order=order, **options), of_x)
    close(weight_gradient(problem, **options), of_weight)


@forced
@pytest.mark.parametrize("order", ORDERS)
def test_what_is_no_number_stays_where_it_is(order: str, instructions: str) -> None:
    """An infinite input or weight reaches the sums that it is part of, whatever is read or computed beside them."""
    along = axis_table(60, 5, 1, 1, 0, "zeros")
    problem = Problem(WindowTables.from_axes([60], [along]), 3, 2, 3, 1, "none")
    x, weight, _ = problem.tensors()
    x[1, 0, 30] = torch.inf
    weight[7, 2, 1, 4] = torch.inf
    windows, out = cpu.Windows(problem.tables), filled(3, 3, len(along))
    cpu.forward(windows, x, weight, None, out, order=order, instructions=instructions)
    infinite = torch.zeros(out.shape, dtype=torch.bool)
    infinite[1, :, 26:31] = True
    infinite[:, 2, 7] = True
    assert torch.equal(out.isinf(), infinite)
    assert not out.isnan().any()


# ---- geometries large enough for every block, tile and chunk ---------------------------------------


def square(size: int, kernel: int, pad: int, mode: str = "zeros", share: int = 1) -> WindowTables:
    along = axis_table(size, kernel, 1, 1, pad, mode)
    block = np.arange(len(along)) // share
    numbers = block[:, None] * (block[-1] + 1) + block
    return WindowTables.from_axes([size, size], [along, along], numbers)


def rectangle(height: int, width: int, kernel: int, stride: int) -> WindowTables:
    axes = [axis_table(size, kernel, stride, 1, 1, "zeros") for size in (height, width)]
    return WindowTables.from_axes([height, width], axes)


def scattered(inputs: int) -> WindowTables:
    table = np.random.default_rng(5).integers(-1, inputs, (50, 6))
    return WindowTables.from_table(inputs, table)


LARGE = {
    "article": lambda: Problem(square(60, 10, 5), 1, 1, 1, 1, "channel"),
    "many channels": lambda: Problem(square(7, 3, 1), 33, 150, 90, 1, "kernel"),
    "few images": lambda: Problem(square(16, 3, 1), 7, 64, 64, 1, "kernel"),
    "circular": lambda: Problem(square(20, 5, 2, "circular"), 8, 3, 5, 1, "none"),
    "blocks": lambda: Problem(square(17, 3, 1, share=4), 3, 8, 40, 2, "kernel"),
    "depthwise": lambda: Problem(square(15, 3, 1), 5, 40, 40, 40, "channel"),
    "shared": lambda: Problem(square(24, 3, 1, share=99), 2, 6, 30, 1, "kernel"),
    "many images": lambda: Problem(square(6, 3, 1), 300, 3, 33, 1, "none"),
    "one position": lambda: Problem(square(9, 9, 0), 9, 7, 200, 1, "kernel"),
    "wide window": lambda: Problem(
        WindowTables.from_axes([400], [axis_table(400, 70, 3, 1, 10, "reflect")]),
        2,
        3,
        5,
        1,
        "none",
    ),
    "long rows": lambda: Problem(
        WindowTables.from_axes([300], [axis_table(300, 37, 1, 1, 20, "zeros")]),
        2,
        3,
        4,
        1,
        "kernel",
    ),
    # Too large to transpose at once: in bands, in fewer images, not at all.
    "long": lambda: Problem(
        WindowTables.from_axes([9000], [axis_table(9000, 3, 1, 1, 1, "zeros")]),
        20,
        16,
        2,
        1,
        "none",
    ),
    "bands": lambda: Problem(rectangle(100, 60, 3, stride=2), 17, 12, 2, 1, "channel"),
    "gaps": lambda: Problem(rectangle(100, 60, 2, stride=7), 17, 12, 2, 1, "channel"),
    "wide": lambda: Problem(scattered(5000), 40, 8, 2, 1, "none"),
    "too wide": lambda: Problem(scattered(9000), 16, 8, 2, 1, "none"),
}
large = pytest.mark.parametrize("name", LARGE)


@forced
@large
def test_large(name: str, instructions: str) -> None:
    problem = LARGE[name]()
    y, (gx, gw) = exact_forward(problem), exact_gradients(problem)
    for order in ORDERS:
        close(forward(problem, order=order, instructions=instructions), y)
    for order in BACKWARD_ORDERS:
        close(input_gradient(problem, order=order, instructions=instructions), gx)
    close(weight_gradient(problem, instructions=instructions), gw)


@forced
@large
def test_any_number_of_threads_gives_the_same_bits(name: str, instructions: str) -> None:
    problem = LARGE[name]()
    for function, orders in (
        (forward, ORDERS),
        (input_gradient, BACKWARD_ORDERS),
    ):
        for order in orders:
            one, *others = (
                function(problem, order=order, instructions=instructions, threads=threads)
                for threads in (1, 2, 3)
            )
            assert all(torch.equal(one, other) for other in others), (function.__name__, order)
    one, *others = (
        weight_gradient(problem, instructions=instructions, threads=threads)
        for threads in (1, 2, 3)
    )
    assert all(torch.equal(one, other) for other in others)


def test_tables_that_are_no_grid() -> None:
    """Any table: windows that jump, repeat an input, or see nothing."""
    generator = np.random.default_rng(3)
    table = generator.integers(-1, 30, (50, 11))
    table[7] = -1
    tables = WindowTables.from_table(30, table, generator.integers(0, 9, 50))
    assert np.array_equal(tables.full(), table)
    problem = Problem(tables, 9, 2, 5, 1, "kernel")
    close(forward(problem, threads=2), exact_forward(problem))
    gx, gw = exact_gradients(problem)
    for order in BACKWARD_ORDERS:
        close(input_gradient(problem, order=order, threads=2), gx)
    close(weight_gradient(problem), gw)


# ---- processes and threads -------------------------------------------------------------------------


def in_fork(check: Callable[[], bool]) -> bool:
    """Run `check` in a forked child; whether it was true there."""
    child = os.fork()
    if child == 0:
        code = 1
        # torch's own threads, used before a fork, hang in the child: here only ours are looked at.
        torch.set_num_threads(1)
        try:
            code = 0 if check() else 2
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def test_works_in_a_forked_child_after_use_in_the_parent() -> None:
    problem = LARGE["many channels"]()
    before = forward(problem, threads=3)
    assert in_fork(lambda: torch.equal(forward(problem, threads=3), before))
    assert in_fork(lambda: in_fork(lambda: torch.equal(forward(problem, threads=2), before)))
    assert torch.equal(forward(problem, threads=3), before)


def test_calls_from_several_threads_at_once() -> None:
    from concurrent.futures import ThreadPoolExecutor

    problem = LARGE["few images"]()
    alone = forward(problem, threads=1)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: forward(problem, threads=2), range(12)))
    assert all(torch.equal(result, alone) for result in results)


# ---- what is refused -------------------------------------------------------------------------------


def tables(**changes: Any) -> WindowTables:
    good = {
        "inputs": 4,
        "kernels": 3,
        "base": np.array([0, 1, 2], np.int32),
        "pattern": np.array([0, 0, 1], np.int32),
        "offsets": np.array([[0, 1], [1, -1]], np.int32),
        "kernel": None,
    }
    return WindowTables(**{**good, **changes})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"base": np.array([0, 1, 3], np.int32)}, "table entry"),
        ({"base": np.array([0, -1, 2], np.int32)}, "table entry"),
        ({"pattern": np.array([0, 2, 1], np.int32)}, "table entry"),
        ({"pattern": np.array([0, -1, 1], np.int32)}, "table entry"),
        ({"pattern": np.array([0, 0], np.int32)}, "pattern of shape"),
        ({"offsets": np.array([[0, 4], [1, -1]], np.int32)}, "table entry"),
        ({"offsets": np.array([[0, 1], [1, -2]], np.int32)}, "table entry"),
        ({"kernel": np.array([0, 1, 3], np.int32)}, "table entry"),
        ({"kernel": np.array([0, -1, 2], np.int32)}, "table entry"),
        ({"kernels": 2}, "a size"),
        ({"kernels": 0, "kernel": np.zeros(3, np.int32)}, "a size"),
        ({"inputs": 2**31}, "too large"),
    ],
)
def test_wrong_tables_are_refused(changes: dict[str, Any], says: str) -> None:
    cpu.Windows(tables())
    with pytest.raises(ValueError, match=says):
        cpu.Windows(tables(**changes))


def test_a_position_that_reads_nothing_still_needs_a_kernel() -> None:
    empty = {"offsets": np.array([[0, 1], [-1, -1]], np.int32)}
    cpu.Windows(tables(**empty))
    with pytest.raises(ValueError, match="table entry"):
        cpu.Windows(tables(**empty, kernel=np.array([0, 1, 9], np.int32)))


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"x": torch.zeros(2, 4, 5)}, ValueError, r"x of shape \(2, 4, 5\): .* 4 positions"),
        ({"x": torch.zeros(2, 16)}, ValueError, "x of shape"),
        ({"x": torch.zeros(3, 4, 4)}, ValueError, "3 and 2 images"),
        (
            {"x": torch.zeros(2, 4, 4).double()},
            TypeError,
            "x is torch.float64: expected torch.float32",
        ),
        ({"x": torch.zeros(2, 4, 8)[..., ::2]}, ValueError, "x is not contiguous"),
        ({"x": torch.zeros(2, 4, 4, device="meta")}, ValueError, "on the CPU, got .* on meta"),
        ({"x": None}, TypeError, "x: expected a Tensor, got NoneType"),
        ({"weight": torch.zeros(3, 6, 2, 3)}, ValueError, "taps = 3×6×2×2 elements"),
        ({"weight": torch.zeros(3, 6, 2, 2).half()}, TypeError, "weight is torch.float16"),
        ({"bias": torch.zeros(5)}, ValueError, "bias of shape"),
        ({"bias": torch.zeros(6).double()}, TypeError, "bias is torch.float64"),
        ({"out": torch.zeros(2, 6, 4)}, ValueError, "out of shape"),
        ({"groups": 4}, ValueError, "groups=4: expected a divisor of 4 input and 6 output"),
        ({"groups": 0}, ValueError, "groups=0"),
        ({"threads": 0}, ValueError, "threads=0"),
        ({"instructions": "mmx"}, ValueError, "instructions='mmx': expected one of best, baseline"),
        ({"order": "random"}, ValueError, "order='random': expected one of choose"),
    ],
)
def test_wrong_arguments_are_refused(
    changes: dict[str, Any], error: type[Exception], says: str
) -> None:
    good: dict[str, Any] = {
        "x": torch.zeros(2, 4, 4),
        "weight": torch.zeros(3, 6, 2, 2),
        "bias": torch.zeros(6),
        "out": torch.zeros(2, 6, 3),
        "groups": 2,
    }
    windows = cpu.Windows(tables())
    cpu.forward(windows, **good)
    with pytest.raises(error, match=says):
        cpu.forward(windows, **{**good, **changes})


def test_sizes_that_overflow_are_refused_by_the_library() -> None:
    """As another caller might: sizes whose product wraps around to the length of the array."""
    import ctypes

    windows, library = cpu.Windows(tables()), cpu.library()
    assert library is not None
    call = cpu._Call(2**62, 4, 4, 1, 1, 0, 0, 0)
    none = cpu._Array(None, 0)
    status = library.striate_forward(windows.handle, ctypes.byref(call), none, none, 0, none, none)
    assert b"too large" in library.striate_message(status)
    for images, channels in ((-1, 4), (1, 0), (1, -4)):
        call = cpu._Call(images, channels, 4, 1, 1, 0, 0, 0)
        status = library.striate_forward(
            windows.handle, ctypes.byref(call), none, none, 0, none, none
        )
        assert b"a size" in library.striate_message(status)
