"""Counting what was built."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from striate.reduce.verify import check_counts, counts


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
