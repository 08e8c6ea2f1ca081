"""Timing two networks, and their layers, in turns."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from striate.nn import LocallyConnected2d, LowRankLocallyConnected2d
from striate.nn.on_map import OnMap
from striate.reduce import latency as timing
from striate.reduce.latency import latency, timed


class Sleeping(nn.Module):
    """Takes as long as it says, for each example, and notes who was called with how many."""

    def __init__(self, seconds: float, calls: list[tuple[float, int]]) -> None:
        super().__init__()
        self.seconds, self.calls = seconds, calls
        self.inner = nn.Linear(2, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        assert not self.training
        assert torch.is_inference_mode_enabled()
        self.calls.append((self.seconds, len(inputs)))
        time.sleep(self.seconds)
        out: Tensor = self.inner(inputs)
        return out


def test_the_faster_network_is_named_at_one_example_and_at_more() -> None:
    calls: list[tuple[float, int]] = []
    before, after = Sleeping(0.004, calls), Sleeping(0.001, calls)
    found = latency(before, after, torch.zeros(3, 2), ["inner"], seconds=0.02)
    assert found.larger is not None
    for pair, batch in ((found, 1), (found.larger, 32)):
        assert pair.batch == batch
        assert pair.before_ms >= 4
        assert 1 <= pair.after_ms < pair.before_ms
        low, high = pair.middle_half
        assert 1 < low <= pair.ratio <= high
        assert pair.turns >= 15
    assert {size for _, size in calls} == {1, 32}
    assert before.training
    assert after.inner.training
    assert found.threads == torch.get_num_threads()
    assert (found.device, found.dtype, found.backend) == ("cpu", "float32", None)


def test_the_document_is_plain_and_has_what_the_contract_names() -> None:
    found = latency(nn.Linear(2, 2), nn.Linear(2, 2), torch.zeros(1, 2), [""], seconds=0.001)
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert {"batch", "threads", "before_ms", "after_ms", "ratio"} <= document.keys()
    assert len(document["middle_half"]) == 2
    assert document["larger"].keys() == document.keys() - {
        "threads",
        "device",
        "dtype",
        "backend",
        "larger",
        "layers",
    }
    assert document["layers"][0].keys() == document["larger"].keys() | {"name", "backend"}


def test_each_runs_after_the_other_and_the_first_turns_do_not_count() -> None:
    order: list[str] = []

    def call(name: str) -> Callable[[], None]:
        return lambda: order.append(name)

    found = timed(call("a"), call("b"), 7, seconds=0, least=4)
    assert order == ["a", "b"] * (3 + 4)
    assert (found.turns, found.batch) == (4, 7)
    assert timed(call("a"), call("b"), 1, seconds=60, least=1, most=5).turns == 5


def test_a_ratio_is_of_the_two_times_of_one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine slows down in the middle: the medians of either side say nothing, the pairs do."""
    spent = {"a": iter([9.0] * 3 + [2.0, 2.0, 20.0, 20.0]), "b": iter([9.0] * 3 + [1.0, 1.0, 8, 8])}
    monkeypatch.setattr(timing, "_time", lambda call, _: next(spent[call()]))
    found = timed(lambda: "a", lambda: "b", 1, seconds=0, least=4)
    assert (found.ratio, found.middle_half) == (2.25, (2.0, 2.5))
    assert (found.before_ms, found.after_ms) == (11000, 4500)


def test_each_layer_is_timed_on_what_its_network_gives_it() -> None:
    class Net(nn.Module):
        def __init__(self, seconds: float) -> None:
            super().__init__()
            self.first = nn.Linear(2, 3)
            self.second = Seen(seconds)
            self.unused = nn.Linear(1, 1)

        def forward(self, inputs: Tensor) -> Tensor:
            hidden = self.first(inputs)
            out: Tensor = self.second(hidden, scale=2.0)
            return self.second(out, scale=1.0).sum(1)

    class Seen(nn.Module):
        def __init__(self, seconds: float) -> None:
            super().__init__()
            self.seconds = seconds
            self.seen: list[tuple[Tensor, float]] = []

        def forward(self, inputs: Tensor, *, scale: float) -> Tensor:
            self.seen.append((inputs.clone(), scale))
            time.sleep(self.seconds)
            return inputs * scale

    before, after = Net(0.001), Net(0.003)
    found = latency(before, after, torch.ones(2, 2), ["second", "unused"], seconds=0.01)
    (layer,) = found.layers  # one that is never called has no time
    assert layer.name == "second"
    assert layer.ratio < 1
    assert layer.middle_half[1] < 1
    for net in (before, after):
        (x, scale) = net.second.seen[-1]
        assert scale == 2.0  # of its first call
        assert torch.equal(x, net.first(torch.ones(1, 2)))
        assert not any(m._forward_pre_hooks for m in net.modules())


def test_what_computes_the_local_layers_is_named() -> None:
    torch.manual_seed(0)
    layer = LocallyConnected2d(1, 2, 3, input_size=6)
    small = nn.Sequential(OnMap((1, 6, 6), layer), nn.Linear(32, 4))
    large = nn.Sequential(nn.Linear(36, 32), nn.Linear(32, 4))
    found = latency(large, small, torch.rand(2, 36), ["0"], seconds=0.01)
    assert found.backend is not None
    assert found.backend.startswith(("cpu: ", "reference: "))
    assert found.layers[0].backend == found.backend
    assert not layer._forward_pre_hooks
    # Layers that mix a bank of kernels have another backend, or none to name; they are timed all the same.
    mixed = nn.Sequential(OnMap((1, 6, 6), LowRankLocallyConnected2d(1, 2, 3, 6, rank=2)), large[1])
    assert latency(large, mixed, torch.rand(2, 36), ["0"], seconds=0.01).layers[0].name == "0"
    # The other way round the second network has none.
    assert latency(small, large, torch.rand(2, 36), ["0"], seconds=0.01).backend is None


def test_a_slow_network_gets_a_smaller_batch_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[float, int]] = []
    nets = Sleeping(0.002, calls), Sleeping(0.001, calls)
    monkeypatch.setattr(timing, "_PASS", 30.0)
    larger = latency(*nets, torch.zeros(1, 2), seconds=0.01).larger
    assert larger is not None
    assert larger.batch in (2, 8)
    monkeypatch.setattr(timing, "_PASS", 1.0)
    assert latency(*nets, torch.zeros(1, 2), seconds=0.01).larger is None
