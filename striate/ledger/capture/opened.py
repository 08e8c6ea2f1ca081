"""PyTorch's functions that call others which a function mode is to see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

import torch


def _opened(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of PyTorch's whose inside a function mode sees too: the same code, that asks for no mode first."""
    inside = {**function.__globals__, "has_torch_function": lambda _: False}
    copy = FunctionType(function.__code__, inside, function.__name__, function.__defaults__)
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


#: The same functions, to be called in their place with the mode entered again.
OPENED: Mapping[Callable[..., Any], Callable[..., Any]] = {
    function: _opened(function) for function in [torch.nn.functional.multi_head_attention_forward]
}
