"""The modes through which a forward is followed: every operator, and a few functions that count as one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch._ops import OpOverload
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from striate.nn.functional import FUNCTIONS

# Norms that are several operators: each output stands at its input's position.
_NORM_FUNCTIONS = frozenset(
    {
        F.local_response_norm,
        F.instance_norm,
        F.rms_norm,
        F.normalize,
        torch.instance_norm,
        torch.rms_norm,
    }
)


_WHOLE = _NORM_FUNCTIONS.union(FUNCTIONS)


class Follower(Protocol):
    """What the modes report to."""

    def own(self) -> AbstractContextManager[None]:
        """Around the follower's own work inside the model's forward."""

    def operator(
        self, func: OpOverload[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
    ) -> None:
        """An operator has run."""

    def whole(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Run a function that counts as one operator."""


class Operators(TorchDispatchMode):
    def __init__(self, follower: Follower) -> None:
        super().__init__()
        self._follower = follower

    def __torch_dispatch__(
        self,
        func: OpOverload[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        with self._follower.own():
            self._follower.operator(func, args, kwargs, out)
        return out


class Functions(TorchFunctionMode):
    def __init__(self, follower: Follower) -> None:
        super().__init__()
        self._follower = follower

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _WHOLE:
            return self._follower.whole(func, args, kwargs)
        return func(*args, **kwargs)
