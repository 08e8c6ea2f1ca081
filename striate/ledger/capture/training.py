"""What a training step keeps from the forward to the backward pass, module by module."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from striate.ledger.capture.inputs import tensors
from striate.ledger.capture.opened import OPENED
from striate.nn.functional import FUNCTIONS


class Saved:
    """The bytes that autograd keeps while its hooks are entered, by the module that was running.

    A storage counts once, whole, for the module that kept it first; inputs, parameters and buffers,
    which are there anyway, do not count.
    """

    def __init__(self, model: nn.Module, arguments: Sequence[Any]) -> None:
        self._stack: list[int] = []
        self._bytes: dict[int, int] = {}
        # Held, so that no other storage can come to lie at the same address.
        self._known: dict[int, Any] = {}
        for tensor in [*model.parameters(), *model.buffers(), *tensors(arguments)]:
            self._note(tensor)
        for index, module in enumerate(model.modules()):
            self._watch(module, index)

    def bytes_by_module(self) -> tuple[tuple[int, int], ...]:
        """(index in `Module.modules`, bytes)."""
        return tuple(self._bytes.items())

    def watching(self) -> torch.autograd.graph.saved_tensors_hooks:
        """What the forward is to run in."""

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            fresh = self._note(tensor)
            if fresh:
                module = self._stack[-1] if self._stack else 0
                self._bytes[module] = self._bytes.get(module, 0) + fresh
            return tensor

        return torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)

    def _note(self, tensor: torch.Tensor) -> int:
        """The bytes of the tensor's memory if it has not been seen before."""
        if tensor.layout is not torch.strided:
            return 0
        storage = tensor.untyped_storage()
        if storage._cdata in self._known:
            return 0
        self._known[storage._cdata] = storage
        return storage.nbytes()

    def _watch(self, module: nn.Module, index: int) -> None:
        def enter(*_: Any) -> None:
            self._stack.append(index)

        def leave(*_: Any) -> None:
            self._stack.pop()

        module.register_forward_pre_hook(enter, prepend=True)
        module.register_forward_hook(leave)


class AsOnCpu(TorchFunctionMode):
    """Keeps what the operators of real tensors keep, where those of meta ones are others that keep more.

    Attention keeps no scores, and a local layer its input and weights.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in FUNCTIONS:
            given = [*tensors([*args, *kwargs.values()])]
            return _Keeps.apply(lambda: func(*args, **kwargs), *given)
        if func in OPENED:
            with self:
                return OPENED[func](*args, **kwargs)
        if func is torch.nn.functional.scaled_dot_product_attention:
            found = _flash(*args, **kwargs)
            if found is not None:
                return found
        return func(*args, **kwargs)


class _Keeps(torch.autograd.Function):
    """A function that keeps the tensors it is given, and nothing that it makes of them."""

    @staticmethod
    def forward(ctx: Any, run: Callable[[], torch.Tensor], *given: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(*given)
        return run()


def _flash(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor | None:
    """The fused attention, or None where it does not take these tensors."""
    sizes = {query.shape[-1], key.shape[-1], value.shape[-1]}
    batches = {query.shape[:-3], key.shape[:-3], value.shape[:-3]}
    heads = query.shape[-3:-2] == key.shape[-3:-2] or enable_gqa
    masked = attn_mask is not None and attn_mask.requires_grad
    if query.ndim != 4 or len(sizes | batches) > 2 or not heads or dropout_p or masked:
        return None
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        attn_mask = torch.empty_like(attn_mask, dtype=query.dtype)  # what is added to the scores
    operator = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    result = operator(query, key, value, 0.0, is_causal, attn_mask=attn_mask, scale=scale)
    return result[0]  # type: ignore[no-any-return]
