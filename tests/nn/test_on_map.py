"""OnMap: flat features as a map, and back."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from striate.nn.on_map import OnMap


class Nothing(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.dim() == 4
        return x


@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)),
    batch=st.integers(0, 3),
    seed=st.integers(0, 2**16),
)
def test_features_stand_where_the_tables_say(
    shape: tuple[int, int, int], batch: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    size = shape[0] * shape[1] * shape[2]
    index = torch.randperm(size, generator=generator)
    units = torch.randint(0, size, (5,), generator=generator)
    x = torch.randn(batch, size, generator=generator)
    seen: list[torch.Tensor] = []
    body = Nothing()
    body.register_forward_hook(lambda _, args, out: seen.append(args[0]))
    out = OnMap(shape, body, index, units)(x)
    _, height, width = shape
    assert tuple(seen[0].shape) == (batch, *shape)
    for position in range(size):
        channel, rest = divmod(position, height * width)
        row, column = divmod(rest, width)
        assert torch.equal(seen[0][:, channel, row, column], x[:, index[position]])
    for unit in range(5):
        assert torch.equal(out[:, unit], x[:, index[units[unit]]])


def test_without_tables_it_is_an_unflattening() -> None:
    x = torch.randn(3, 2 * 5 * 4)
    conv = nn.Conv2d(2, 3, 3)
    layer = OnMap((2, 5, 4), conv)
    assert torch.equal(layer(x), conv(x.view(3, 2, 5, 4)).flatten(1))
    assert list(layer.buffers()) == []
    assert list(layer.state_dict()) == ["body.weight", "body.bias"]


def test_tables_are_saved_and_counted_as_int32() -> None:
    layer = OnMap((1, 2, 2), nn.Identity(), torch.tensor([3, 2, 1, 0]), torch.tensor([0, 2]))
    buffers = dict(layer.named_buffers())
    assert {name: table.dtype for name, table in buffers.items()} == {
        "index": torch.int32,
        "units": torch.int32,
    }
    other = OnMap((1, 2, 2), nn.Identity(), torch.arange(4), torch.arange(2))
    other.load_state_dict(layer.state_dict())
    x = torch.randn(2, 4)
    assert torch.equal(other(x), layer(x))
    # The given table is not the layer's own: changing it changes nothing.
    assert torch.equal(copy.deepcopy(layer)(x), x[:, [3, 1]])


def test_types_and_gradients_go_through() -> None:
    layer = OnMap((1, 3, 3), nn.Conv2d(1, 2, 2), torch.randperm(9), torch.randperm(8)).double()
    assert layer.index is not None
    assert layer.index.dtype == torch.int32
    x = torch.randn(2, 9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))


@pytest.mark.parametrize("index", [torch.arange(7), torch.arange(9), torch.zeros(2, 4)])
def test_a_table_of_another_length_is_an_error(index: torch.Tensor) -> None:
    with pytest.raises(
        ValueError, match=r"one entry for each of the 8 positions of shape=\(2, 2, 2\)"
    ):
        OnMap((2, 2, 2), nn.Identity(), index)


def test_it_prints_its_map() -> None:
    assert "3x4x5" in repr(OnMap((3, 4, 5), nn.Identity()))
