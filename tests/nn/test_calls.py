"""What a function has found out about a call is used again for calls that are the same, and for no others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from striate.geometry import SharingMap
from striate.nn.functional import locally_connected1d, locally_connected2d


def test_a_map_that_has_changed_is_another_one() -> None:
    x, weight = torch.randn(1, 1, 4, 4), torch.randn(3, 1, 1, 1, 1)
    numbers = torch.arange(16).view(4, 4) % 3
    once = locally_connected2d(x, weight, share=numbers)
    numbers.copy_((numbers + 1) % 3)
    again = locally_connected2d(x, weight, share=numbers)
    assert torch.equal(again, locally_connected2d(x, weight, share=SharingMap.of(numbers)))
    assert not torch.equal(again, once)


@pytest.mark.parametrize("same", [1, (1, 1), [1, 1], np.int64(1)])
def test_ways_to_write_an_option(same: Any) -> None:
    x, weight = torch.randn(2, 1, 4, 4), torch.randn(4, 4, 3, 1, 1, 1)
    first = locally_connected2d(x, weight, stride=1)
    for _ in range(2):
        assert torch.equal(locally_connected2d(x, weight, stride=same), first)


@pytest.mark.parametrize("wrong", [1.0, True, (1.0, 1.0), (True, 1)])
def test_what_equals_a_number_is_none(wrong: Any) -> None:
    x, weight = torch.randn(2, 1, 4, 4), torch.randn(4, 4, 3, 1, 1, 1)
    for right in (1, (1, 1)):
        locally_connected2d(x, weight, stride=right, groups=1)
    with pytest.raises(TypeError, match="stride"):
        locally_connected2d(x, weight, stride=wrong)
    if not isinstance(wrong, tuple):
        with pytest.raises(TypeError, match="groups"):
            locally_connected2d(x, weight, groups=wrong)


@pytest.mark.parametrize("bias", [None, (4, 4, 3), (3,)])
@pytest.mark.parametrize("images", [0, 1, 5])
def test_the_same_call_gives_the_same_result(bias: Any, images: int) -> None:
    x, weight = torch.randn(images, 2, 6, 6), torch.randn(4, 4, 3, 2, 3, 3)
    offsets = None if bias is None else torch.randn(bias)
    first, *others = (locally_connected2d(x, weight, offsets) for _ in range(3))
    exact = locally_connected2d(
        x.double(), weight.double(), None if offsets is None else offsets.double()
    )
    torch.testing.assert_close(first.double(), exact, rtol=1e-4, atol=1e-4)
    assert all(torch.equal(first, other) for other in others)
    if images:
        one = locally_connected2d(x[:1], weight, offsets)
        assert torch.equal(locally_connected2d(x[0], weight, offsets), one[0])


def test_a_graph_is_made_where_one_is_wanted() -> None:
    x, weight = torch.randn(2, 1, 4, 4), torch.randn(2, 2, 3, 1, 3, 3)
    assert locally_connected2d(x, weight).grad_fn is None
    weight.requires_grad_()
    assert locally_connected2d(x, weight).grad_fn is not None
    with torch.no_grad():
        assert locally_connected2d(x, weight).grad_fn is None


def test_sizes_may_be_symbols() -> None:
    x, weight = torch.randn(3, 1, 4, 4), torch.randn(2, 2, 3, 1, 3, 3)
    run = make_fx(lambda x, weight: locally_connected2d(x, weight), tracing_mode="symbolic")
    graph = run(x, weight)
    torch.testing.assert_close(graph(x, weight), locally_connected2d(x, weight))


def test_windows_wholly_on_the_padding_of_a_large_input() -> None:
    """Nothing is read, and all the same there is too much of it to be transposed at once."""
    x, weight, bias = torch.randn(128, 2000, 1), torch.randn(2, 40, 2000, 1), torch.randn(2, 40)
    out = locally_connected1d(x, weight, bias, stride=2, padding=1)
    assert torch.equal(out, bias.T.expand(128, 40, 2))
