"""Counting what was built, and timing two networks in turns."""

from __future__ import annotations

import time

import pytest
import torch
from torch import Tensor, nn

from striate.reduce.verify import check_counts, counts, latency


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4, bias=False)
        self.second = nn.Linear(4, 4, bias=False, dtype=torch.float32)
        self.second.weight = self.first.weight
        self.register_buffer("table", torch.zeros(5, dtype=torch.int32))
        self.scale = nn.Parameter(torch.zeros(3, dtype=torch.float16), requires_grad=False)


def test_tied_tensors_count_once_and_buffers_in_bytes_only() -> None:
    assert counts(Tied()) == {"params": 16 + 3, "weight_bytes": 64 + 20 + 6}


def test_a_network_that_is_not_the_planned_one_is_our_fault() -> None:
    model = nn.Linear(3, 2)
    assert check_counts(model, {"params": 8, "weight_bytes": 32, "macs": 6}) == counts(model)
    with pytest.raises(RuntimeError, match="params 8 where the plan says 9") as raised:
        check_counts(model, {"params": 9})
    assert not isinstance(raised.value, ValueError)


def test_networks_take_turns_and_the_slower_one_is_named() -> None:
    order: list[float] = []

    class Sleeping(nn.Module):
        def __init__(self, seconds: float) -> None:
            super().__init__()
            self.seconds = seconds

        def forward(self, inputs: Tensor) -> Tensor:
            order.append(self.seconds)
            assert not self.training
            time.sleep(self.seconds)
            return inputs

    before, after = Sleeping(0.004), Sleeping(0.001)
    found = latency(before, after, torch.zeros(1, 2), seconds=0.05, least=5)
    assert found.before_ms >= 4
    assert found.after_ms >= 1
    assert found.ratio == found.before_ms / found.after_ms
    assert found.ratio > 1
    assert order == [0.004, 0.001] * (len(order) // 2)
    assert len(order) >= 16
    assert before.training
    assert found.to_dict().keys() == {"batch", "threads", "before_ms", "after_ms", "ratio"}
