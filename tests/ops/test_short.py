"""The short way gives what the long one gives, and is taken by nothing but plain calls that nobody watches."""

from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from striate.nn import LocallyConnected1d, LocallyConnected2d, LocallyConnected3d
from striate.ops import cpu, short
from striate.ops.backend import OVERRIDE

pytestmark = pytest.mark.skipif(cpu.library() is None, reason=str(cpu.missing()))

LAYERS: list[Callable[[], Any]] = [
    lambda: LocallyConnected1d(3, 4, 5, input_size=17, stride=2, padding=2, share=3),
    lambda: LocallyConnected2d(1, 16, 7, input_size=28, stride=3),
    lambda: LocallyConnected2d(4, 6, (3, 2), input_size=(9, 7), groups=2, dilation=2, bias=False),
    lambda: LocallyConnected2d(4, 6, 3, input_size=8, padding="same", share=2, bias="channel"),
    lambda: LocallyConnected2d(2, 3, 3, 6, padding=1, padding_mode=("reflect", "circular")),
    lambda: LocallyConnected2d(2, 3, 3, 6, share=torch.arange(16).view(4, 4) % 5),
    lambda: LocallyConnected3d(2, 2, 3, input_size=(5, 4, 6), share=("all", 1, 1)),
]


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Whether each call of a layer took the short way."""
    calls: list[bool] = []
    whole = short.local

    def local(*arguments: Any) -> Tensor | None:
        out = whole(*arguments)
        if len(arguments) == 4:  # else it is the function behind the layer that tries
            calls.append(out is not None)
        return out

    monkeypatch.setattr(short, "local", local)
    monkeypatch.delenv(OVERRIDE, raising=False)
    return calls


def example(layer: Any, batch: int = 2) -> Tensor:
    return torch.randn(batch, layer.in_channels, *layer.input_size)


@pytest.mark.parametrize("make", LAYERS)
@pytest.mark.parametrize("batch", [1, 3, 17])
def test_the_result_is_the_long_ways_to_the_bit(
    make: Callable[[], Any], batch: int, taken: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = make()
    x = example(layer, batch)
    with torch.no_grad():
        found = [layer(x), layer(x)]
        monkeypatch.setattr(short, "local", lambda *_: None)
        expected = layer(x)
    assert taken == [True, True]
    for out in found:
        assert torch.equal(out, expected)


def test_weights_are_read_at_every_call(taken: list[bool]) -> None:
    layer = LAYERS[1]()
    x = example(layer)
    with torch.inference_mode():
        first = layer(x)
        layer.load_state_dict({name: value * 2 for name, value in layer.state_dict().items()})
        torch.testing.assert_close(layer(x), 2 * first)
        layer.weight = nn.Parameter(torch.zeros_like(layer.weight))
        layer.bias = None
        assert not layer(x).any()
        assert not copy.deepcopy(layer)(x).any()
        assert not pickle.loads(pickle.dumps(layer))(x).any()
    assert taken == [True] * 5


def test_a_frozen_layer_takes_it_with_gradients_enabled(taken: list[bool]) -> None:
    layer = LAYERS[1]().requires_grad_(False)
    x = example(layer)
    assert not layer(x).requires_grad
    assert layer(x.requires_grad_()).requires_grad
    layer.bias.requires_grad_()
    assert layer(x.detach()).requires_grad
    assert taken == [True, False, False]


class Counting(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append(func)
        return func(*args, **(kwargs or {}))


class Own(Tensor):
    pass


def test_who_watches_sees_the_operator(taken: list[bool]) -> None:
    layer = LAYERS[1]()
    x = example(layer)
    with torch.no_grad():
        expected = layer(x)
        taken.clear()
        with Counting() as mode:
            assert torch.equal(layer(x), expected)
        assert any(getattr(func, "__name__", "") == "locally_connected2d" for func in mode.seen)
        with FlopCounterMode(display=False) as flops:
            layer(x)
        assert flops.get_total_flops() == 2 * 2 * 64 * 16 * 49
        torch.testing.assert_close(torch.vmap(layer)(x[:, None])[:, 0], expected)
        assert type(layer(x.as_subclass(Own))) is not Tensor
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(x).dtype is torch.bfloat16
    assert taken == [False] * 5


def test_forward_mode_is_never_silently_zero(taken: list[bool]) -> None:
    layer = LAYERS[1]()
    x = example(layer)
    with torch.no_grad(), torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, torch.ones_like(x))
        with pytest.raises(RuntimeError):
            layer(dual)
    assert taken == [False]


@pytest.mark.parametrize(
    "change",
    [
        lambda layer, x: (layer.double(), x.double()),
        lambda layer, x: (layer.bfloat16(), x.bfloat16()),
        lambda layer, x: (layer, x[0]),
        lambda layer, x: (layer, x[:0]),
        lambda layer, x: (layer, x.transpose(2, 3).contiguous().transpose(2, 3)),
        lambda layer, x: (layer, torch.cat([x, x], 3)[..., :28]),
        lambda layer, x: (layer.to("meta"), x.to("meta")),
    ],
    ids=["float64", "bfloat16", "unbatched", "empty", "transposed", "strided", "meta"],
)
def test_other_tensors_go_the_long_way(change: Callable[..., Any], taken: list[bool]) -> None:
    layer, x = change(LAYERS[1](), example(LAYERS[1]()))
    with torch.no_grad():
        layer(x)
    assert taken == [False]


def test_what_is_wrong_is_still_named(taken: list[bool]) -> None:
    layer = LAYERS[1]()
    x = example(layer)
    with torch.no_grad():
        layer(x)
        with pytest.raises(ValueError, match=r"input of shape \(2, 1, 14, 56\)"):
            layer(x.view(2, 1, 14, 56))
        with pytest.raises(TypeError, match=r"expected a Tensor, got ndarray"):
            layer(x.numpy())
        with pytest.raises(TypeError, match=r"input is torch.float64 but weight is torch.float32"):
            layer(x.double())
        layer.weight = nn.Parameter(layer.weight.detach().flatten(0, 1)[None])
        with pytest.raises(ValueError, match=r"weight of shape"):
            layer(x)
    assert taken == [True, *[False] * 4]


def test_the_override_holds_at_every_call(
    taken: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = LAYERS[1]()
    x = example(layer)
    with torch.no_grad():
        layer(x)
        monkeypatch.setenv(OVERRIDE, "reference")
        layer(x)
        monkeypatch.setenv(OVERRIDE, "cpu")
        layer(x)
        monkeypatch.setenv(OVERRIDE, "nonsense")
        with pytest.raises(ValueError, match=f"{OVERRIDE}=nonsense"):
            layer(x)
    assert taken == [True, False, True]


def test_one_kernel_for_all_is_torchs(taken: list[bool]) -> None:
    layer = LocallyConnected2d(1, 2, 3, input_size=8, share="all")
    with torch.no_grad():
        layer(example(layer))
    assert taken == [False]


def test_what_is_kept_is_bounded(taken: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(short, "_MOST", 3)
    monkeypatch.setattr(short, "_kept", {})
    layer = LAYERS[1]()
    x = example(layer, 8)
    with torch.no_grad():
        expected = layer(x)
        for batch in range(1, 9):
            assert torch.allclose(layer(x[:batch]), expected[:batch], atol=1e-6)
            assert len(short._kept) <= 3
    assert all(taken)


def test_many_threads_of_python_at_once(taken: list[bool]) -> None:
    layer = LAYERS[1]()
    inputs = [example(layer) for _ in range(64)]

    def run(x: Tensor) -> Tensor:
        with torch.no_grad():
            return layer(x)  # type: ignore[no-any-return]

    expected = [run(x) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        for out, right in zip(pool.map(run, inputs * 4), expected * 4, strict=True):
            assert torch.equal(out, right)
    assert all(taken)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_in_a_forked_child(taken: list[bool]) -> None:
    layer = LAYERS[1]()
    x = example(layer)
    with torch.no_grad():
        expected = layer(x)
        child = os.fork()
        if not child:
            os._exit(0 if torch.equal(layer(x), expected) else 1)
    assert os.waitpid(child, 0)[1] == 0
