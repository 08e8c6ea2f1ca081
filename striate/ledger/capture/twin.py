"""A copy of a module to run in its place, so that the module itself is left as it was."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from striate.errors import RequestError


class _CopyTensors(TorchFunctionMode):
    """Copies the tensors that a module holds besides its parameters, wherever deepcopy meets them."""

    def __init__(self, duplicate: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self._duplicate = duplicate

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.Tensor.__deepcopy__:
            tensor, memo = args
            memo[id(tensor)] = self._duplicate(tensor)
            return memo[id(tensor)]
        return func(*args, **(kwargs or {}))


def twin_of(model: nn.Module, on_meta: bool) -> nn.Module:
    """A copy with meta tensors, or one that shares the parameters and has buffers of its own."""

    def duplicate(tensor: torch.Tensor) -> torch.Tensor:
        with torch.no_grad(), torch._C.DisableTorchFunction():
            twin = torch.empty_like(tensor, device="meta") if on_meta else tensor.detach().clone()
        return twin

    memo: dict[int, Any] = {}
    same: dict[Any, torch.Tensor] = {}
    for module in model.modules():
        for parameter in module._parameters.values():
            if parameter is None or id(parameter) in memo:
                continue
            # Two parameters over the same memory are one stored, trained tensor.
            place = _place(parameter)
            if place is not None and place in same:
                memo[id(parameter)] = same[place]
                continue
            twin: torch.Tensor = parameter
            if on_meta:
                twin = nn.Parameter(duplicate(parameter), requires_grad=parameter.requires_grad)
            memo[id(parameter)] = twin
            if place is not None:
                same[place] = twin
        for buffer in module._buffers.values():
            if buffer is not None and id(buffer) not in memo:
                memo[id(buffer)] = duplicate(buffer)
    with _CopyTensors(duplicate):
        try:
            return copy.deepcopy(model, memo)
        except (TypeError, RuntimeError, NotImplementedError, AttributeError) as error:
            raise RequestError(
                f"count: the model cannot be copied ({type(error).__name__}: {error}); remove "
                "locks, files and generators from its attributes or give it a __deepcopy__"
            ) from error


def _place(tensor: torch.Tensor) -> Any:
    if tensor.layout is not torch.strided:
        return None
    storage = tensor.untyped_storage()._cdata
    return storage, tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype


def refuse_uninitialised(model: nn.Module) -> None:
    for name, parameter in [*model.named_parameters(), *model.named_buffers()]:
        if nn.parameter.is_lazy(parameter):
            raise RequestError(
                f"count: {name} is not initialised yet (a lazy module); "
                "run the model once on an example before counting it"
            )
