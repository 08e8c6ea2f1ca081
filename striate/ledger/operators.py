"""What each operator does to a network's account: one rule an operator, looked up by name.

A contraction multiplies and adds, a pooling summarises windows, a padding or a view moves units about.
Everything else that is listed does element-wise work, which the account does not count. What is not
listed is `Unknown`, and the ledger says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import zip_longest
from math import prod
from typing import TypeAlias

from striate.ledger.effects import (
    Contraction,
    Effect,
    ElementWise,
    Joined,
    Moved,
    Padding,
    Plain,
    Pooling,
    Product,
    Unknown,
    Window,
)
from striate.ledger.graph import Argument, Operator, Tensor, tensor
from striate.ledger.known import CREATES, MOVES, PLAIN, POINTWISE
from striate.ledger.local_rules import LOCAL_RULES
from striate.ledger.onnx_rules import effect as onnx_effect

Rule: TypeAlias = Callable[[Operator], Effect]


def effect(operator: Operator) -> Effect:
    """The effect of one operator call."""
    if operator.name.startswith("onnx."):
        return onnx_effect(operator)
    rule = RULES.get(operator.name)
    if rule is not None:
        return rule(operator)
    name = operator.name.partition(".")[2]
    base = name[:-1] if name.endswith("_") and not name.startswith("__") else name
    if operator.name.startswith("aten."):
        if operator.pointwise or base in POINTWISE:
            return ElementWise(works=base not in MOVES)
        if base in CREATES:
            return Plain(creates=True, works=False)
        if base in PLAIN or operator.view:
            return Plain(works=base not in MOVES and not operator.view)
    return Unknown("no rule for this operator: its work and connections are not counted")


# -- contractions ------------------------------------------------------------------------------


def _matmul(first: int, bias: int | None = None) -> Rule:
    def rule(operator: Operator) -> Effect:
        left, right = tensor(operator, first), tensor(operator, first + 1)
        return Contraction(
            "matmul",
            left,
            right,
            operator.outputs[0],
            # Every element of the left one meets every column of the right one.
            left.units * (right.shape[-1] if len(right.shape) > 1 else 1),
            None if bias is None else operator.tensor(bias),
        )

    return rule


def _linear(operator: Operator) -> Effect:
    data, weight = tensor(operator, 0), tensor(operator, 1)
    connections = data.units * weight.shape[0]
    return Contraction("matmul", data, weight, operator.outputs[0], connections, operator.tensor(2))


def _grouped(operator: Operator) -> Effect:
    """Rows in groups, each group by its own matrix (the experts of a mixture).

    Where both operands are matrices the groups share out the inner axis, where only the right one is, its columns:
    a row meets all of them once. The rows beyond the last group are counted too: how many there are is a value.
    """
    left, right = tensor(operator, 0), tensor(operator, 1)
    connections = left.units * right.shape[-1]
    if len(left.shape) > len(right.shape):
        connections //= left.shape[0]
    bias = operator.tensor(3)
    return Contraction("matmul", left, right, operator.outputs[0], connections, bias)


def _convolution(operator: Operator) -> Effect:
    data, weight, bias = tensor(operator, 0), tensor(operator, 1), operator.tensor(2)
    axes, output = len(weight.shape) - 2, operator.outputs[0]
    stride, padding, dilation = (operator.integers(index, axes) for index in (3, 4, 5))
    windows = tuple(
        Window(weight.shape[2 + axis], stride[axis], (padding[axis],) * 2, dilation[axis])
        for axis in range(axes)
    )
    transposed = bool(operator.argument(6, False))
    # weight: (O, C/groups, *kernel), and (C, O/groups, *kernel) when transposed.
    source = data if transposed else output
    connections = source.units * weight.shape[1] * prod(weight.shape[2:])
    pairs = source.units // max(1, prod(source.shape[-axes:])) * weight.shape[1]
    form = "transposed" if transposed else "convolution"
    return Contraction(form, data, weight, output, connections, bias, windows, pairs)


def _attention(operator: Operator) -> Effect:
    named = dict(operator.named)
    query, key, value = (
        part if isinstance(part := named.get(name), Tensor) else tensor(operator, index)
        for index, name in enumerate(("query", "key", "value"))
    )
    parts = [part.shape[:-2] for part in (query, key, value)]
    if named.get("enable_gqa", operator.argument(7)):  # groups of heads have the same keys
        parts = [part[:-1] for part in parts]
    batch = prod(map(max, zip_longest(*(part[::-1] for part in parts), fillvalue=1)))
    if named.get("enable_gqa", operator.argument(7)):
        batch *= query.shape[-3]
    scores = batch * query.shape[-2] * key.shape[-2]
    macs = scores * (query.shape[-1] + value.shape[-1])
    return Product((query, key, value), macs, scores)


def _trilinear(operator: Operator) -> Effect:
    """The second and third operand contracted over the axes that the first has not, then with the first."""
    operands = tuple(tensor(operator, index) for index in range(3))
    *new, summed = (_axes(operator.argument(index)) for index in (3, 4, 5, 6))
    shapes = []
    for operand, axes in zip(operands, new, strict=True):
        sizes = list(operand.shape)
        for axis in axes:
            sizes.insert(axis, 1)
        shapes.append(sizes)
    whole = [max(sizes) for sizes in zip(*shapes, strict=True)]
    inner = prod(whole[axis] for axis in summed if axis in new[0])
    return Product(operands, prod(whole) + prod(whole) // max(1, inner), 0)


def _axes(argument: Argument) -> list[int]:
    entries = argument if isinstance(argument, tuple) else ()
    return sorted(entry for entry in entries if isinstance(entry, int))


# -- pooling -----------------------------------------------------------------------------------


def _pool(axes: int, *, has_dilation: bool) -> Rule:
    def rule(operator: Operator) -> Effect:
        kernel = operator.integers(1, axes)
        stride = operator.integers(2, axes) if operator.argument(2) not in (None, ()) else kernel
        padding = operator.integers(3, axes, 0)
        dilation = operator.integers(4, axes, 1) if has_dilation else (1,) * axes
        ceil = bool(operator.argument(5 if has_dilation else 4, False))
        windows = tuple(
            Window(k, s, (p, p), d, ceil)
            for k, s, p, d in zip(kernel, stride, padding, dilation, strict=True)
        )
        return Pooling(tensor(operator, 0), operator.outputs[0], axes, windows)

    return rule


def _other_pool(axes: int) -> Rule:
    return lambda operator: Pooling(tensor(operator, 0), operator.outputs[0], axes, None)


def _reduction(operator: Operator) -> Effect:
    """A mean or maximum over every spatial axis is a global pooling; any other is a reduction."""
    data = operator.tensor(0)
    dims = operator.argument(1)
    if data is None or not isinstance(dims, tuple) or len(data.shape) < 4:
        return Plain()
    rank = len(data.shape)
    if {int(d) % rank for d in dims if isinstance(d, int)} != set(range(2, rank)):
        return Plain()
    keeps = len(operator.outputs[0].shape) == rank
    return Pooling(data, operator.outputs[0], rank - 2, None, keeps_axes=keeps)


# -- paddings and moves ------------------------------------------------------------------------


def _pad(operator: Operator) -> Effect:
    data, output, named = tensor(operator, 0), operator.outputs[0], dict(operator.named)
    flat = operator.argument(1, named.get("pad"))
    numbers = [int(n) for n in flat if isinstance(n, int)] if isinstance(flat, tuple) else []
    amounts = [(0, 0)] * len(data.shape)
    for place in range(len(numbers) // 2):
        amounts[-1 - place] = (numbers[2 * place], numbers[2 * place + 1])
    if operator.name == "striate.pad":
        mode = operator.argument(2, named.get("mode", "constant"))
        value = operator.argument(3, named.get("value"))
    else:
        mode = "constant" if operator.name == "aten.constant_pad_nd" else "other"
        value = operator.argument(2, 0)
    constant = mode == "constant"
    return Padding(data, output, tuple(amounts), constant and not value, copies=not constant)


def _moved(how: str) -> Rule:
    return lambda operator: Moved(how, tensor(operator, 0), operator.outputs[0])


def _permute(operator: Operator) -> Effect:
    data, output = tensor(operator, 0), operator.outputs[0]
    rank = len(data.shape)
    order = list(range(rank))
    if operator.name == "aten.permute":
        order = [axis % rank for axis in operator.integers(1, rank)]
    elif operator.name == "aten.t":
        order.reverse()
    elif rank:
        first, second = (int(str(operator.argument(index))) % rank for index in (1, 2))
        order[first], order[second] = order[second], order[first]
    return Moved("permute", data, output, tuple(order))


def _cat(operator: Operator) -> Effect:
    parts = operator.argument(0)
    tensors = tuple(p for p in parts if isinstance(p, Tensor)) if isinstance(parts, tuple) else ()
    axis = operator.argument(1, dict(operator.named).get("dim", 0))
    rank = len(operator.outputs[0].shape)
    return Joined(tensors, operator.outputs[0], int(str(axis)) % max(1, rank))


RULES: Mapping[str, Rule] = {
    "aten.mm": _matmul(0),
    "aten.bmm": _matmul(0),
    "aten.mv": _matmul(0),
    "aten.dot": _matmul(0),
    "aten.vdot": _matmul(0),
    "aten.addmm": _matmul(1, bias=0),
    "aten.addmv": _matmul(1, bias=0),
    "aten.baddbmm": _matmul(1, bias=0),
    "aten.addbmm": _matmul(1, bias=0),
    "aten._addmm_activation": _matmul(1, bias=0),
    "aten._int_mm": _matmul(0),
    "aten._grouped_mm": _grouped,
    "aten.linear": _linear,
    "aten.convolution": _convolution,
    **LOCAL_RULES,
    "aten._trilinear": _trilinear,
    "striate.scaled_dot_product_attention": _attention,
    "aten._scaled_dot_product_flash_attention_for_cpu": _attention,
    "aten._scaled_dot_product_flash_attention": _attention,
    "aten._scaled_dot_product_efficient_attention": _attention,
    "aten._scaled_dot_product_cudnn_attention": _attention,
    "aten.max_pool1d": _pool(1, has_dilation=True),
    "aten.max_pool2d": _pool(2, has_dilation=True),
    "aten.max_pool3d": _pool(3, has_dilation=True),
    "aten.max_pool2d_with_indices": _pool(2, has_dilation=True),
    "aten.max_pool3d_with_indices": _pool(3, has_dilation=True),
    "aten.avg_pool1d": _pool(1, has_dilation=False),
    "aten.avg_pool2d": _pool(2, has_dilation=False),
    "aten.avg_pool3d": _pool(3, has_dilation=False),
    "aten.adaptive_avg_pool1d": _other_pool(1),
    "aten._adaptive_avg_pool2d": _other_pool(2),
    "aten._adaptive_avg_pool3d": _other_pool(3),
    "aten.adaptive_max_pool2d": _other_pool(2),
    "aten.adaptive_max_pool3d": _other_pool(3),
    "aten.fractional_max_pool2d": _other_pool(2),
    "aten.fractional_max_pool3d": _other_pool(3),
    "aten.mean": _reduction,
    "aten.amax": _reduction,
    "striate.pad": _pad,
    "aten.constant_pad_nd": _pad,
    "aten.reflection_pad1d": _pad,
    "aten.reflection_pad2d": _pad,
    "aten.reflection_pad3d": _pad,
    "aten.replication_pad1d": _pad,
    "aten.replication_pad2d": _pad,
    "aten.replication_pad3d": _pad,
    "aten.cat": _cat,
    "aten.view": _moved("view"),
    "aten._unsafe_view": _moved("view"),
    "aten.reshape": _moved("view"),
    "aten._reshape_alias": _moved("view"),
    "aten.squeeze": _moved("view"),
    "aten.unsqueeze": _moved("view"),
    "aten.clone": _moved("copy"),
    "aten.contiguous": _moved("copy"),
    "aten._to_copy": _moved("copy"),
    "aten.detach": _moved("copy"),
    "aten.alias": _moved("copy"),
    "aten.lift_fresh": _moved("copy"),
    "aten.expand": _moved("expand"),
    "aten.permute": _permute,
    "aten.transpose": _permute,
    "aten.t": _permute,
    "aten.im2col": _moved("unfold"),
    "aten.unfold": _moved("unfold"),
    **{
        f"profiler._record_function_{name}": lambda operator: Plain(creates=True, works=False)
        for name in ("enter", "enter_new", "exit")
    },
    "striate.local_response_norm": lambda operator: ElementWise(),
}
