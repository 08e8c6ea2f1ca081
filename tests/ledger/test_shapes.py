"""The quick shape rules of the capture give what PyTorch's own give."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from striate.ledger.capture.inputs import tensors
from striate.ledger.capture.shapes import RULES, quick

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.bool]


@st.composite
def metas(draw: st.DrawFn) -> Tensor:
    shape = draw(st.lists(st.integers(0, 4), min_size=2, max_size=5))
    tensor = torch.empty(shape, dtype=draw(st.sampled_from(DTYPES)), device="meta")
    how = draw(st.sampled_from(["as it is", "transposed", "channels_last", "expanded", "sliced"]))
    if how == "transposed":
        return tensor.transpose(0, 1)
    if how == "channels_last" and tensor.ndim == 4:
        return tensor.to(memory_format=torch.channels_last)
    if how == "expanded":
        return tensor[:1].expand(shape) if shape[0] else tensor
    return tensor[..., ::2] if how == "sliced" else tensor


def arguments(operator: Any, first: Tensor, second: Tensor, *, training: bool) -> tuple[Any, ...]:
    name = operator.name()
    if "batch_norm" in name:
        kept = [torch.empty(first.shape[1], dtype=second.dtype, device="meta") for _ in range(4)]
        return (first, *kept, training, 0.1, 1e-5)
    return (first, second) if "Tensor" in name else (first,)


def plain(result: Any) -> list[Any]:
    return [(t.shape, t.dtype, _steps(t), t.device) for t in tensors(result)]


def _steps(tensor: Tensor) -> list[int]:
    """The strides that an element can be told by."""
    sizes = zip(tensor.shape, tensor.stride(), strict=True)
    return [stride for size, stride in sizes if size > 1] if tensor.numel() else []


GROUPED = torch.ops.aten._grouped_mm.default
PRODUCTS = [getattr(torch.ops.aten, name).default for name in ("mm", "bmm", "addmm")]
ONE_BY_ONE = [operator for operator in RULES if operator not in (GROUPED, *PRODUCTS)]


@pytest.mark.parametrize("operator", PRODUCTS, ids=lambda operator: operator.name())
@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 5), min_size=4, max_size=4),
    dtypes=st.lists(st.sampled_from(DTYPES), min_size=3, max_size=3),
    same=st.booleans(),
    turned=st.booleans(),
    wrong=st.booleans(),
)
def test_products(
    operator: Any,
    sizes: list[int],
    dtypes: list[torch.dtype],
    same: bool,
    turned: bool,
    wrong: bool,
) -> None:
    batch, rows, inner, columns = sizes
    lead = (batch,) if "bmm" in operator.name() else ()
    kinds = dtypes[:1] * 3 if same else dtypes
    first = torch.empty(*lead, rows, inner + wrong, dtype=kinds[0], device="meta")
    shape = (*lead, columns, inner) if turned else (*lead, inner, columns)
    second = torch.empty(shape, dtype=kinds[1], device="meta")
    second = second.transpose(-1, -2) if turned else second
    added = [torch.empty(columns, dtype=kinds[2], device="meta")] * ("addmm" in operator.name())
    found = quick(operator, (*added, first, second), {})
    if found is None:
        return
    assert not wrong
    expected = operator(*added, first, second)
    assert (found.shape, found.dtype, _steps(found)) == (
        expected.shape,
        expected.dtype,
        _steps(expected),
    )


def test_products_of_ordinary_layers_are_quick() -> None:
    bias, data, weight = (torch.empty(s, device="meta") for s in ((4,), (2, 3), (4, 3)))
    for operator, given_ in zip(
        PRODUCTS,
        [(data, weight.t()), (data[None], weight.t()[None]), (bias, data, weight.t())],
        strict=True,
    ):
        assert quick(operator, given_, {}) is not None


@pytest.mark.parametrize(
    ("rows", "weights"),
    [((32, 16), (3, 16, 8)), ((3, 32, 16), (3, 16, 8)), ((3, 32, 16), (16, 24))],
)
def test_groups_of_products(rows: tuple[int, ...], weights: tuple[int, ...]) -> None:
    given_ = [torch.empty(sizes, device="meta", dtype=torch.bfloat16) for sizes in (rows, weights)]
    together = len(rows) == len(weights) == 3
    ends = None if together else torch.empty(3, dtype=torch.int32, device="meta")
    found = quick(GROUPED, (*given_, ends), {})
    expected = GROUPED(*given_, ends)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    wide = quick(GROUPED, (given_[0].float(), given_[1].float()), {"offs": ends})
    assert (wide.shape, wide.dtype) == (expected.shape, torch.float32)
    assert quick(GROUPED, (given_[0], given_[1].transpose(-1, -2), ends), {}) is None


@pytest.mark.parametrize("operator", ONE_BY_ONE, ids=lambda operator: operator.name())
@settings(max_examples=60, deadline=None)
@given(first=metas(), other=metas(), same=st.booleans(), training=st.booleans())
def test_quick_shapes_are_those_of_torch(
    operator: Any, first: Tensor, other: Tensor, same: bool, training: bool
) -> None:
    second = torch.empty_like(first) if same else other
    given_ = arguments(operator, first, second, training=training)
    found = quick(operator, given_, {})
    if found is None:
        return
    assert plain(found) == plain(operator(*given_))
    in_place = operator.name().split("::")[1].split(".")[0].endswith("_")
    assert (found is first) == in_place


def test_every_rule_is_used_on_an_ordinary_map() -> None:
    map_ = torch.empty(2, 3, 4, 5, device="meta")
    for operator in ONE_BY_ONE:
        given_ = arguments(operator, map_, map_, training=False)
        assert quick(operator, given_, {}) is not None, operator.name()
    assert quick(torch.ops.aten.convolution.default, (map_, map_), {}) is None
