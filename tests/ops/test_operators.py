"""The operators as PyTorch's other mechanisms see them, on the compiled kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.queues import Queue
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from striate.geometry import LocalGrid, SharingMap, local_grid, transposed_grid
from striate.nn import LocallyConnected2d, LocallyConnectedTranspose2d, LowRankLocallyConnected2d
from striate.ops import cpu, on_grid, reference, routes, short
from striate.ops import local as operators
from striate.ops.backend import OVERRIDE
from striate.ops.on_grid import Layer
from striate.ops.rules import OPERATORS
from tests.grids import grids, transposed_grids
from tests.tolerances import CLOSE

pytestmark = pytest.mark.skipif(cpu.library() is None, reason=cpu.missing() or "")

MAP = SharingMap.of(np.array([[0, 1, 0], [2, 2, 1], [1, 0, 0]]))
GRIDS = {
    "own": local_grid((5, 6), (3, 2), stride=(2, 1), padding=1, padding_mode=("zeros", "circular")),
    "blocks": local_grid((5, 5), 3, padding=1, share=(2, 3)),
    "map": local_grid((5, 5), 3, share=MAP),
    "1d": local_grid(9, 3, stride=2, padding=1, share=2, axes=1),
}


@pytest.fixture(autouse=True)
def _only_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(OVERRIDE, raising=False)


def tensors(
    grid: LocalGrid, groups: int = 1, images: int = 2, bias: str = "kernel", seed: int = 0
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Input, weight and bias of a layer with 2 input and 3 output channels a group."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    outputs = 3 * groups
    offsets = {"none": None, "channel": draw(outputs), "kernel": draw(*grid.blocks, outputs)}
    return (
        draw(images, 2 * groups, *grid.input_size),
        draw(*grid.blocks, outputs, 2, *grid.kernel_size),
        offsets[bias],
    )


def gradients(
    function: Callable[..., Tensor], given: tuple[Tensor | None, ...], *rest: Any
) -> tuple[Tensor, ...]:
    """The result, the gradients of sum(cos(result)), and those of the sum of their squares."""
    leaves = [None if t is None else t.detach().requires_grad_() for t in given]
    out = function(*leaves, *rest)
    present = [leaf for leaf in leaves if leaf is not None]
    first = torch.autograd.grad(out.cos().sum(), present, create_graph=True)
    second = torch.autograd.grad(sum((g.square().sum() for g in first), out.sum() * 0), present)
    return out, *first, *second


def double(given: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    return tuple(None if tensor is None else tensor.double() for tensor in given)


def assert_like_reference(
    run: Callable[..., Tensor], plain: Callable[..., Tensor], given: Any, *rest: Any
) -> None:
    found = gradients(run, given, *rest)
    wanted = gradients(plain, double(given), *rest)
    for mine, theirs in zip(found, wanted, strict=True):
        assert mine.dtype is torch.float32
        # Second derivatives multiply sums with each other: the tolerance is of their size.
        scale = max(1.0, float(theirs.detach().abs().max())) if theirs.numel() else 1.0
        torch.testing.assert_close(mine.double() / scale, theirs / scale, **CLOSE[torch.float32])


@settings(max_examples=60)
@given(grids(), st.sampled_from([1, 2, 3]), st.sampled_from(["none", "channel", "kernel"]))
def test_results_and_two_orders_of_gradients(grid: LocalGrid, groups: int, bias: str) -> None:
    torch.use_deterministic_algorithms(True)  # fresh memory holds NaN: what is not written shows
    try:
        given = tensors(grid, groups, bias=bias)
        assert_like_reference(operators.local, reference.local, given, grid, groups)
    finally:
        torch.use_deterministic_algorithms(False)


@settings(max_examples=40)
@given(transposed_grids(), st.sampled_from([1, 2]))
def test_transposed_results_and_two_orders_of_gradients(grid: LocalGrid, groups: int) -> None:
    generator = torch.Generator().manual_seed(0)
    given = (
        torch.randn(2, 2 * groups, *grid.output_size, generator=generator),
        torch.randn(*grid.blocks, 2 * groups, 3, *grid.kernel_size, generator=generator),
        torch.randn(3 * groups, generator=generator),
    )
    run, plain = operators.local_transposed, reference.local_transposed
    assert_like_reference(run, plain, given, grid, groups)


@st.composite
def strided(draw: st.DrawFn, tensor: Tensor) -> Tensor:
    """The same values, laid out in some other way."""
    form = draw(st.sampled_from(["contiguous", "transposed", "stepped", "offset", "channels last"]))
    if form == "transposed":
        return tensor.transpose(0, -1).contiguous().transpose(0, -1)
    if form == "stepped":
        return tensor.repeat_interleave(2, -1)[..., ::2]
    if form == "offset":
        return torch.cat([tensor.new_zeros(1), tensor.flatten()])[1:].view(tensor.shape)
    if form == "channels last":
        return tensor.movedim(1, -1).contiguous().movedim(-1, 1)
    return tensor


@pytest.mark.slow
@settings(max_examples=500)
@given(
    grids(largest=(12, 5)),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([0, 1, 2, 7, 8, 17, 33]),
    st.sampled_from(["none", "channel", "kernel"]),
    st.data(),
)
def test_many_geometries_layouts_and_batches(
    grid: LocalGrid, groups: int, images: int, bias: str, data: st.DataObject
) -> None:
    torch.use_deterministic_algorithms(True)  # fresh memory holds NaN: what is not written shows
    try:
        input, weight, offsets = tensors(grid, groups, images, bias)
        input = data.draw(strided(input))
        # `choose` leaves weights that are not contiguous to the reference: the kernels get a copy of them.
        weight = data.draw(strided(weight))
        given = (input, weight, offsets)
        layer = Layer(grid, groups)
        if grid.kernels > 1:
            backend = operators.backend(input, weight.contiguous(), offsets, grid)
            assert backend.name == "cpu", backend

        def run(*tensors: Tensor | None) -> Tensor:
            return routes.run("local", *tensors, layer=layer)

        def plain(*tensors: Tensor | None) -> Tensor:
            return reference.local(*tensors, *layer)

        assert_like_reference(run, plain, given)
        rounded = tuple(None if t is None else t.bfloat16() for t in given)
        wanted = plain(*double(rounded))
        with torch.no_grad():
            low = routes.run("local", *rounded, layer=layer)
        torch.testing.assert_close(low.double(), wanted, **CLOSE[torch.bfloat16])
    finally:
        torch.use_deterministic_algorithms(False)


# -- the rules, to the precision of float64 ------------------------------------------------------


def _exactly(name: str) -> Callable[..., Tensor]:
    """An operator of the family in float64, by the reference and its derivatives."""

    def local(input: Tensor, weight: Tensor, bias: Tensor | None, layer: Layer) -> Tensor:
        return reference.local(input, weight, bias, *layer)

    def input_gradient(gradient: Tensor, weight: Tensor, layer: Layer) -> Tensor:
        shape = OPERATORS["input_gradient"].shape(gradient.shape, weight.shape, layer)
        at = gradient.new_zeros(shape)
        return torch.func.vjp(lambda x: reference.local(x, weight, None, *layer), at)[1](gradient)[
            0
        ]

    def weight_gradient(gradient: Tensor, input: Tensor, layer: Layer) -> Tensor:
        shape = OPERATORS["weight_gradient"].shape(gradient.shape, input.shape, layer)
        at = gradient.new_zeros(shape)
        return torch.func.vjp(lambda w: reference.local(input, w, None, *layer), at)[1](gradient)[0]

    return {"local": local, "input_gradient": input_gradient, "weight_gradient": weight_gradient}[
        name
    ]


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_gradcheck_of_the_rules(grid: LocalGrid, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, operator in OPERATORS.items():
        exact = routes._function(replace(operator, compute=_exactly(name)))
        monkeypatch.setitem(routes._FUNCTIONS, name, exact)
    layer = Layer(grid, 2)
    input, weight, bias = (
        None if t is None else t.requires_grad_() for t in double(tensors(grid, 2, 1))
    )
    assert input is not None and weight is not None  # noqa: PT018

    def local(*given: Tensor) -> Tensor:
        return routes.run("local", *given, layer=layer)

    def input_gradient(*given: Tensor) -> Tensor:
        return routes.run("input_gradient", *given, layer=layer)

    def weight_gradient(*given: Tensor) -> Tensor:
        return routes.run("weight_gradient", *given, layer=layer)

    of_output = torch.randn_like(local(input, weight, bias)).requires_grad_()
    for run, arguments in (
        (local, (input, weight, bias)),
        (input_gradient, (of_output, weight)),
        (weight_gradient, (of_output, input)),
    ):
        assert gradcheck(run, arguments, fast_mode=True)
        assert gradgradcheck(run, arguments, fast_mode=True)


# -- torch.library, compile, the FLOP counter ------------------------------------------------------


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_opcheck(grid: LocalGrid) -> None:
    layer = Layer(grid, 2)
    input, weight, bias = tensors(grid, 2)
    assert bias is not None
    given = [t.requires_grad_() for t in (input, weight, bias)]
    of_output = torch.randn_like(operators.local(*given, *layer)).detach().requires_grad_()
    for name, arguments in (
        ("local", given),
        ("local", [input, weight, None]),
        ("input_gradient", [of_output, weight]),
        ("weight_gradient", [of_output, input]),
    ):
        operator = getattr(torch.ops.striate, name).default
        torch.library.opcheck(operator, (*arguments, *routes.written(layer)))


def watched() -> tuple[Any, list[str]]:
    """A backend of `torch.compile`, and the names of the operators in the graphs that it is going to see."""
    from torch._dynamo.backends.common import aot_autograd

    seen: list[str] = []

    def look(graph: torch.fx.GraphModule, _: Any) -> Any:
        seen.extend(str(node.target) for node in graph.graph.nodes)
        return graph.forward

    torch._dynamo.reset()
    return aot_autograd(fw_compiler=look, bw_compiler=look), seen


@pytest.mark.parametrize("name", GRIDS)
def test_compiled_in_one_graph_that_holds_the_operator(name: str) -> None:
    grid = GRIDS[name]
    layer, given = Layer(grid, 2), tensors(grid, 2)
    backend, seen = watched()
    compiled = torch.compile(
        lambda *tensors: operators.local(*tensors, *layer).cos().sum(),
        backend=backend,
        fullgraph=True,
    )
    leaves = [t.detach().requires_grad_() for t in given if t is not None]
    out = compiled(*leaves)
    found = torch.autograd.grad(out, leaves)
    plain = operators.local(*leaves, *layer).cos().sum()
    wanted = torch.autograd.grad(plain, leaves)
    torch.testing.assert_close((out, *found), (plain, *wanted), **CLOSE[torch.float32])
    for operator in ("local", "input_gradient", "weight_gradient"):
        assert f"striate.{operator}.default" in seen


@pytest.mark.parametrize("kind", [LocallyConnected2d, LocallyConnectedTranspose2d])
def test_gradients_of_torch_func_inside_a_compiled_function(kind: Any) -> None:
    """PyTorch's rule for a registered operator knows nothing of torch.func: the reference steps in, and says so."""
    layer, x = kind(2, 4, 3, (6, 6)), torch.randn(3, 2, 6, 6)
    parameters = {name: p.detach() for name, p in layer.named_parameters()}

    def loss(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(layer, parameters, (x,)).cos().sum()

    gradient = torch.func.grad(loss)
    for function in (gradient, torch.vmap(gradient, (None, 0))):
        torch._dynamo.reset()
        compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
        torch.testing.assert_close(
            compiled(parameters, x), function(parameters, x), **CLOSE[torch.float32]
        )
    reasons = []

    def noted(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        reasons.append(str(layer.backend(x)))
        return loss(parameters, x)

    wanted = torch.func.grad(noted)(parameters, x)
    with FlopCounterMode(display=False) as counter:
        found = torch.func.grad(noted)(parameters, x)
    torch.testing.assert_close(found, wanted, **CLOSE[torch.float32])
    assert counter.get_total_flops() > 0
    assert reasons[0].startswith("cpu: ")
    assert reasons[1].startswith("reference: torch.func differentiates inside of torch.compile or")


def test_a_compiled_vmap_without_gradients_keeps_the_kernels() -> None:
    layer, x = LocallyConnected2d(2, 4, 3, (6, 6)).requires_grad_(False), torch.randn(3, 2, 6, 6)
    backend, seen = watched()
    compiled = torch.compile(lambda x: torch.vmap(layer)(x), backend=backend, fullgraph=True)
    torch.testing.assert_close(compiled(x), layer(x), **CLOSE[torch.float32])
    assert "striate.local.default" in seen


def test_the_flop_counter_sees_all_three() -> None:
    layer = LocallyConnected2d(2, 4, 3, (6, 6))
    x = torch.randn(5, 2, 6, 6, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        layer(x).sum().backward()
    counts = counter.get_flop_counts()["Global"]
    once = 2 * 5 * 4 * 4 * 4 * 2 * 9
    assert counts == {
        getattr(torch.ops.striate, name): once
        for name in ("local", "input_gradient", "weight_gradient")
    }


# -- torch.func and forward mode --------------------------------------------------------------------


def in_turn(function: Callable[..., Tensor], dims: tuple[int | None, ...], *given: Any) -> Tensor:
    size = next(t.shape[d] for t, d in zip(given, dims, strict=True) if d is not None)
    picked = (
        [t if d is None else t.select(d, i) for t, d in zip(given, dims, strict=True)]
        for i in range(size)
    )
    return torch.stack([function(*some) for some in picked])


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("dims", [(0, None, None), (None, 0, None), (1, 0, 0), (0, None, 0)])
@pytest.mark.parametrize("bias", ["kernel", "channel"])
def test_vmap(grid: LocalGrid, dims: tuple[int | None, ...], bias: str) -> None:
    sets = [tensors(grid, 2, bias=bias, seed=seed) for seed in range(3)]
    given = [
        sets[0][i] if dim is None else torch.stack([one[i] for one in sets], dim)  # type: ignore[misc]
        for i, dim in enumerate(dims)
    ]

    def run(*tensors: Tensor) -> Tensor:
        return operators.local(*tensors, grid, 2)

    found = torch.vmap(run, in_dims=dims)(*given)
    torch.testing.assert_close(found, in_turn(run, dims, *given), **CLOSE[torch.float32])

    def loss(*tensors: Tensor) -> Tensor:
        return run(*tensors).cos().sum()

    for argument in range(3):
        gradient = torch.func.grad(loss, argument)
        found = torch.vmap(gradient, in_dims=dims)(*given)
        torch.testing.assert_close(found, in_turn(gradient, dims, *given), **CLOSE[torch.float32])


def test_vmap_in_vmap_and_a_hessian() -> None:
    grid = GRIDS["blocks"]
    input, weight, bias = tensors(grid)

    def run(x: Tensor, w: Tensor) -> Tensor:
        return operators.local(x, w, bias, grid, 1)

    several = torch.stack([weight, -weight])
    found = torch.vmap(torch.vmap(run, (0, None)), (None, 0))(input[:, None], several)
    wanted = torch.stack([run(input, w) for w in several])[:, :, None]
    torch.testing.assert_close(found, wanted, **CLOSE[torch.float32])

    def loss(x: Tensor) -> Tensor:
        return run(x, weight).square().sum()

    one = input[:1]
    hessian = torch.func.jacrev(torch.func.jacrev(loss))(one).flatten(4).flatten(0, 3)
    jacobian = torch.func.jacrev(lambda x: run(x, weight))(one).flatten(4).flatten(0, 3)
    torch.testing.assert_close(hessian, 2 * jacobian.T @ jacobian, **CLOSE[torch.float32])


OURS = (
    r"forward-mode differentiation \(jvp\) of a local connection: .* set STRIATE_BACKEND=reference"
)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("recording", [True, False])
def test_forward_mode_raises_and_is_never_silently_zero(transposed: bool, recording: bool) -> None:
    kind = LocallyConnectedTranspose2d if transposed else LocallyConnected2d
    layer = kind(2, 4, 3, (6, 6))
    x = torch.randn(1, 2, 6, 6)
    with (
        torch.set_grad_enabled(recording),
        pytest.raises(NotImplementedError, match=OURS),
    ):
        torch.func.jvp(layer, (x,), (torch.ones_like(x),))
    with (
        torch.set_grad_enabled(recording),
        forward_ad.dual_level(),
        pytest.raises(NotImplementedError, match=OURS),
    ):
        layer(forward_ad.make_dual(x, torch.ones_like(x)))


def test_forward_over_reverse_raises_and_reverse_over_reverse_does_not() -> None:
    layer, x = LocallyConnected2d(2, 4, 3, (6, 6)), torch.randn(1, 2, 6, 6)

    def loss(x: Tensor) -> Tensor:
        return layer(x).square().sum()

    for forward in (torch.func.hessian(loss), torch.func.jacfwd(loss)):
        with pytest.raises(NotImplementedError, match=OURS):
            forward(x)
    assert torch.func.jacrev(torch.func.jacrev(loss))(x).shape == (*x.shape, *x.shape)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_forward_mode_raises_when_compiled_and_when_watched(backend: str) -> None:
    layer, x = LocallyConnected2d(2, 4, 3, (6, 6)), torch.randn(1, 2, 6, 6)

    def tangent(x: Tensor) -> Any:
        return torch.func.jvp(layer, (x,), (torch.ones_like(x),))[1]

    torch._dynamo.reset()
    with pytest.raises(Exception, match=r"forward mode|forward-mode"):
        torch.compile(tangent, backend=backend)(x)
    with (
        FlopCounterMode(display=False),
        pytest.raises(NotImplementedError, match="STRIATE_BACKEND=reference"),
    ):
        tangent(x)
    written = routes.written(Layer(layer.grid, 1))
    with pytest.raises(NotImplementedError, match="forward-mode"):
        torch.func.jvp(
            lambda x: torch.ops.striate.local(x, layer.weight, layer.bias, *written), (x,), (x,)
        )


# -- precision ---------------------------------------------------------------------------------------


def test_autocast_sums_the_weights_as_they_are() -> None:
    layer = LocallyConnected2d(2, 4, 3, (6, 6))
    x = torch.randn(3, 2, 6, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer.backend(x).name == "cpu"
        out = layer(x)
        low = layer(x.bfloat16())
    assert torch.equal(out, layer(x).bfloat16())
    assert low.dtype is torch.bfloat16
    out.float().sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype is torch.float32


def test_bfloat16_without_gradients() -> None:
    layer = LocallyConnected2d(2, 4, 3, (6, 6)).bfloat16()
    x = torch.randn(3, 2, 6, 6).bfloat16()
    with torch.no_grad():
        assert layer.backend(x).name == "cpu"
        out = layer(x)
    assert "gradients in bfloat16" in layer.backend(x).reason
    assert out.dtype is torch.bfloat16
    wanted = layer.double()(x.double())
    torch.testing.assert_close(out.double(), wanted, **CLOSE[torch.bfloat16])


def test_lazily_negated_views_are_what_they_mean() -> None:
    grid = GRIDS["own"]
    input, weight, bias = tensors(grid)
    negated = torch.complex(torch.zeros_like(input), input).conj().imag
    assert negated.is_neg()
    found = operators.local(negated, weight, bias, grid, 1)
    assert torch.equal(found, operators.local(-input, weight, bias, grid, 1))


# -- where it runs -------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")  # of sizes that become constants
def test_traced_programs_hold_torch_operators_only() -> None:
    layer = LocallyConnected2d(2, 4, 3, (6, 6), share=2)
    x = torch.randn(3, 2, 6, 6)
    traced = torch.jit.trace(layer, x)
    torch.testing.assert_close(traced(x + 1), layer(x + 1), **CLOSE[torch.float32])


def _in_child(queue: Queue[Tensor], layer: LocallyConnected2d, x: Tensor) -> None:
    with torch.no_grad():
        queue.put(cpu_result(layer, x).numpy())


def cpu_result(layer: LocallyConnected2d, x: Tensor) -> Tensor:
    """By the kernels with two threads, whatever torch has: its own would hang after a fork."""
    assert layer.backend(x).name == "cpu"
    return layer(x)


def test_in_a_forked_child_after_use_in_the_parent() -> None:
    layer = LocallyConnected2d(4, 16, 5, (20, 20))
    x = torch.randn(4, 4, 20, 20)
    with torch.no_grad():
        before = cpu_result(layer, x)
    context = get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(queue, layer, x))
    child.start()
    after = queue.get(timeout=60)
    child.join(60)
    assert child.exitcode == 0
    assert np.array_equal(before.numpy(), after)


class Filtered(Dataset[Tensor]):
    def __init__(self, layer: LocallyConnected2d, images: Tensor) -> None:
        self.layer, self.images = layer, images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        with torch.no_grad():
            return self.layer(self.images[index])


def test_in_the_workers_of_a_data_loader() -> None:
    data = Filtered(LocallyConnected2d(2, 4, 3, (8, 8)), torch.randn(6, 2, 8, 8))
    wanted = torch.stack([data[i] for i in range(6)])
    loader = DataLoader(data, batch_size=2, num_workers=2, multiprocessing_context="fork")
    torch.testing.assert_close(torch.cat(list(loader)), wanted, **CLOSE[torch.float32])


def test_layers_say_what_computes_them() -> None:
    x = torch.randn(3, 2, 6, 6)
    layer = LocallyConnected2d(2, 4, 3, (6, 6))
    assert str(layer.backend(x)) == f"cpu: compiled kernels, {cpu.instructions()}"
    assert layer.backend(x[0]).name == "cpu"
    assert "one kernel" in LocallyConnected2d(2, 4, 3, (6, 6), share="all").backend(x).reason
    assert "float64" in layer.double().backend(x.double()).reason
    low_rank = LowRankLocallyConnected2d(2, 4, 3, (6, 6), rank=2)
    assert "convolved" in low_rank.backend(x).reason
    transposed = LocallyConnectedTranspose2d(2, 4, 3, (6, 6))
    assert transposed.backend(x).name == "cpu"
    with pytest.raises(ValueError, match="expected"):
        layer.backend(x[:, :, 1:])


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_what_weights_that_are_not_finite_do_on_the_padding(
    bad: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernels leave a tap on the padding out; plain PyTorch multiplies it by zero, as its convolution does."""
    layer, x = LocallyConnected2d(1, 1, 3, (4, 4), padding=1, bias=False), torch.rand(1, 1, 4, 4)
    with torch.no_grad():
        layer.weight.zero_()[..., 0, 0] = bad  # on the padding in the first row and column
    kernel = layer.weight[0, 0].detach()
    inside = torch.full((3, 3), bad)
    for recording in (True, False):  # the long way and the short one
        with torch.set_grad_enabled(recording):
            out = layer(x)[0, 0].detach()
        assert torch.equal(out[1:, 1:].nan_to_num(7.0), inside.nan_to_num(7.0))
        assert not out[0].any()
        assert not out[:, 0].any()
    monkeypatch.setenv(OVERRIDE, "reference")
    plain = layer(x)[0, 0].detach()
    convolved = torch.nn.functional.conv2d(x, kernel, padding=1)[0, 0]
    assert plain[0].isnan().all()
    assert plain[:, 0].isnan().all()
    assert torch.equal(plain.nan_to_num(7.0), convolved.nan_to_num(7.0))


def test_changed_attributes_are_followed_with_gradients_and_without() -> None:
    layer, x = LocallyConnected2d(2, 4, 3, (6, 6), padding=1), torch.randn(3, 2, 6, 6)
    with torch.no_grad():
        before = layer(x)
        layer.padding_mode = "circular"
        after = layer(x)
    assert not torch.equal(before, after)
    torch.testing.assert_close(after, layer(x), **CLOSE[torch.float32])


def test_zeros_without_memory() -> None:
    layer = LocallyConnected2d(2, 4, 3, (6, 6))
    nothing = torch._efficientzerotensor((3, 2, 6, 6))
    zeros = torch.zeros(3, 2, 6, 6)
    with torch.no_grad():
        assert torch.equal(layer(nothing), layer(zeros))
    out = layer(zeros)
    out.backward(torch._efficientzerotensor(out.shape))
    assert not layer.weight.grad.any()


def test_large_tables_are_not_kept_for_long() -> None:
    for width in range(300, 312):
        layer = LocallyConnected2d(1, 1, 1, (300, width))
        with torch.no_grad():
            layer(torch.zeros(1, 1, 300, width))
    assert on_grid._large.cache_info().currsize <= 8
    assert not any(found and 300 in found[1] for found in short._kept.values())


def test_transposed_windows_wholly_on_the_padding() -> None:
    options = {"stride": (1, 6, 6), "padding": (0, 2, 4), "output_padding": (0, 8, 1)}
    grid = transposed_grid((4, 1, 5), 1, **options, dilation=(1, 9, 3), axes=3)
    given = (torch.randn(2, 2, 4, 1, 5), torch.randn(4, 1, 5, 2, 1, 1, 1, 1), None)
    run, plain = operators.local_transposed, reference.local_transposed
    assert_like_reference(run, plain, given, grid, 1)
    same = given[1][:1, :, :1].expand(4, 1, 5, 2, 1, 1, 1, 1)
    wanted = torch.nn.functional.conv_transpose3d(
        given[0], same[0, 0, 0], None, **options, dilation=(1, 9, 3)
    )
    for function in (run, plain):
        torch.testing.assert_close(function(given[0], same, None, grid, 1), wanted)


def test_transposed_grids_beyond_the_last_window() -> None:
    grid = transposed_grid((3, 3), 2, stride=3, output_padding=2)
    given = (torch.randn(2, 2, 3, 3), torch.randn(3, 3, 2, 1, 2, 2), None)
    run, plain = operators.local_transposed, reference.local_transposed
    assert_like_reference(run, plain, given, grid, 1)
