"""Results on the meta device made at once, for the operators that networks call most.

PyTorch's own shape rules for them are written in Python on top of other operators and take a hundred
times as long: on a network of normalisations and activations, most of the time that counting it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

#: From an operator's arguments its result; None where PyTorch's own rule is to be asked.
Rule: TypeAlias = "Callable[..., Any]"

_aten = torch.ops.aten
_empty_like = _aten.empty_like.default


def quick(operator: Any, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
    """What the operator gives for these meta tensors, or None where no rule here knows."""
    rule = RULES.get(operator)
    if rule is None or not arguments or not _simple(arguments[0]):
        return None
    return rule(*arguments, **named)


def _simple(tensor: Any) -> bool:
    """Whether a result of the same shape lies in memory as this tensor does."""
    return (
        type(tensor) in (Tensor, torch.nn.Parameter)
        and tensor.is_meta
        and tensor.is_floating_point()
        and tensor.is_contiguous()
    )


def _alike(first: Tensor, *_: Any, **__: Any) -> Tensor:
    return _empty_like(first)  # type: ignore[no-any-return]


def _itself(first: Tensor, *_: Any, **__: Any) -> Tensor:
    return first


def _of_two(first: Tensor, second: Any, **_: Any) -> Tensor | None:
    if not _simple(second) or second.shape != first.shape or second.dtype != first.dtype:
        return None
    return _alike(first)


def _into_first(first: Tensor, second: Any, **_: Any) -> Tensor | None:
    return first if _of_two(first, second) is not None else None


def _batch_norm(
    data: Tensor, weight: Any, bias: Any, mean: Any, variance: Any, training: bool, *_: Any
) -> tuple[Tensor, ...] | None:
    kept = (weight, bias, mean, variance)
    if data.dtype not in (torch.float32, torch.float64):  # the statistics are of another type
        return None
    if training or data.ndim < 2 or any(t is not None and t.dtype != data.dtype for t in kept):
        return None
    channels = data.shape[1]
    return _alike(data), data.new_empty(channels), data.new_empty(channels)


def _product(first: Tensor, second: Tensor) -> Tensor | None:
    """Of two matrices, or of as many pairs of them."""
    rank = first.ndim
    fits = (
        rank == second.ndim
        and second.is_meta
        and first.shape[:-2] == second.shape[:-2]
        and first.shape[-1] == second.shape[-2]
        and first.dtype == second.dtype
    )
    return first.new_empty((*first.shape[:-1], second.shape[-1])) if fits else None


def _product_plus(added: Tensor, first: Tensor, second: Tensor, **_: Any) -> Tensor | None:
    one_of_each = added.ndim == 1 and added.shape[0] == second.shape[-1]
    if first.ndim != 2 or not first.is_meta or not one_of_each or added.dtype != first.dtype:
        return None
    return _product(first, second)


def _grouped(first: Tensor, second: Tensor, ends: Any = None, *_: Any, **named: Any) -> Any:
    """Products of groups of rows, of any type: PyTorch's rule for meta tensors takes bfloat16 only."""
    sizes = {
        (2, 2): lambda: (named.get("offs", ends).shape[0], first.shape[0], second.shape[1]),
        (2, 3): lambda: (first.shape[0], second.shape[2]),
        (3, 2): lambda: (first.shape[1], second.shape[1]),
        (3, 3): lambda: (first.shape[0], first.shape[1], second.shape[2]),
    }
    if first.shape[-1] != second.shape[-2]:
        return None
    return first.new_empty(sizes[first.ndim, second.ndim](), dtype=named.get("out_dtype"))


_SAME = (
    _aten.relu, _aten.gelu, _aten.silu, _aten.sigmoid, _aten.tanh, _aten.hardtanh, _aten.hardswish,
    _aten.hardsigmoid, _aten.leaky_relu, _aten.elu, _aten.mish,
)  # fmt: skip
_IN_PLACE = (
    _aten.relu_, _aten.silu_, _aten.sigmoid_, _aten.tanh_, _aten.hardtanh_, _aten.hardswish_,
    _aten.hardsigmoid_, _aten.leaky_relu_, _aten.elu_, _aten.mish_,
)  # fmt: skip
RULES: Mapping[Any, Rule] = {
    **{operator.default: _alike for operator in _SAME},
    **{operator.default: _itself for operator in _IN_PLACE},
    _aten.add.Tensor: _of_two,
    _aten.mul.Tensor: _of_two,
    _aten.add_.Tensor: _into_first,
    _aten.mul_.Tensor: _into_first,
    _aten.native_batch_norm.default: _batch_norm,
    _aten.mm.default: _product,
    _aten.bmm.default: _product,
    _aten.addmm.default: _product_plus,
    _aten._grouped_mm.default: _grouped,
}
