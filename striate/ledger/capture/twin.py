"""A copy of a module to run in its place, so that the module itself is left as it was."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from types import CellType, FunctionType
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


def twin_of(model: nn.Module, on_meta: bool) -> tuple[nn.Module, tuple[str, ...]]:
    """A copy with meta tensors (or with copies of the real ones), to run in the model's place.

    Also returns the names of attributes that cannot be copied (locks, open files, generators): the
    copy shares those with the model.
    """

    def duplicate(tensor: torch.Tensor) -> torch.Tensor:
        with torch.no_grad(), torch._C.DisableTorchFunction():
            return torch.empty_like(tensor, device="meta") if on_meta else tensor.detach().clone()

    memo: dict[int, Any] = {}
    same: dict[Any, nn.Parameter] = {}
    for module in model.modules():
        for parameter in module._parameters.values():
            if parameter is None or id(parameter) in memo:
                continue
            if nn.parameter.is_lazy(parameter):
                memo[id(parameter)] = _lazy_twin(parameter, on_meta)
                continue
            # Two parameters over the same memory are one stored, trained tensor.
            place = _place(parameter)
            if place is None or place not in same:
                same[id(parameter) if place is None else place] = nn.Parameter(
                    duplicate(parameter), requires_grad=parameter.requires_grad
                )
            memo[id(parameter)] = same[id(parameter) if place is None else place]
        for buffer in module._buffers.values():
            if buffer is None or id(buffer) in memo:
                continue
            if nn.parameter.is_lazy(buffer):
                memo[id(buffer)] = _lazy_twin(buffer, on_meta)
            else:
                memo[id(buffer)] = duplicate(buffer)
    with _CopyTensors(duplicate):
        try:
            made = dict(memo)
            twin = copy.deepcopy(model, made)
            _rebind(twin, made)
            return twin, ()
        except Exception as error:  # what an attribute raises when copied is its own affair
            shared = _share_uncopyable(model, memo)
            if not shared:
                raise RequestError(
                    f"count: the model cannot be copied: {type(error).__name__}: {error}"
                ) from error
            twin = copy.deepcopy(model, memo)
            _rebind(twin, memo)
            return twin, shared


def _rebind(twin: nn.Module, made: Mapping[int, Any]) -> None:
    """Functions that modules hold (`self.f = lambda x: self.layer(x)`) are not copied: they would run the model
    itself. Give those of the copy what was copied, by the ids in `made`."""
    for module in twin.modules():
        for name, value in vars(module).items():
            if isinstance(value, FunctionType) and value.__closure__:
                cells = [cell.cell_contents for cell in value.__closure__ if _is_full(cell)]
                if len(cells) == len(value.__closure__) and any(id(c) in made for c in cells):
                    closure = tuple(CellType(made.get(id(entry), entry)) for entry in cells)
                    copied = FunctionType(
                        value.__code__, value.__globals__, name, value.__defaults__, closure
                    )
                    copied.__kwdefaults__ = value.__kwdefaults__
                    vars(module)[name] = copied


def _is_full(cell: CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:  # a variable that has no value yet
        return False
    return True


def _share_uncopyable(model: nn.Module, memo: dict[int, Any]) -> tuple[str, ...]:
    """Make a coming copy use the model's own objects where they cannot be copied; their names."""
    shared = []
    for prefix, module in model.named_modules():
        for name, value in vars(module).items():
            # The module's own dictionaries (hooks among them) must be the copy's own.
            inner = name.startswith("_") and isinstance(value, dict)
            for entry in value.values() if inner else [value]:
                if id(entry) in memo or isinstance(entry, nn.Module):
                    continue
                try:
                    copy.deepcopy(entry, dict(memo))
                except Exception:  # its name is returned, and said in the ledger
                    memo[id(entry)] = entry
                    shared.append(f"{prefix}.{name}" if prefix else name)
    return tuple(shared)


def _lazy_twin(lazy: torch.Tensor, on_meta: bool) -> torch.Tensor:
    kind: type[Any] = type(lazy)
    device = torch.device("meta") if on_meta else lazy.device
    found: torch.Tensor = kind(requires_grad=lazy.requires_grad, device=device, dtype=lazy.dtype)
    return found


def _place(tensor: torch.Tensor) -> Any:
    if tensor.layout is not torch.strided:
        return None
    storage = tensor.untyped_storage()._cdata
    return storage, tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype


def refuse_uncountable(model: nn.Module) -> None:
    """Raise for a module whose calls cannot be followed."""
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise RequestError(
                f"count: {name or 'the model'} is TorchScript, which does not show its layers; "
                "give the module that it was made from"
            )


def is_lazy(model: nn.Module) -> bool:
    """Whether some of its tensors have no shape before it has run once."""
    return any(nn.parameter.is_lazy(tensor) for tensor in [*model.parameters(), *model.buffers()])
