"""What a forward is given: shapes and tensors, made where the model runs, and their batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any, TypeAlias

import torch

from striate.errors import RequestError

#: Tensors, shapes (tuples of integers), and lists, tuples or dicts of them.
Input: TypeAlias = "torch.Tensor | Sequence[Any] | Mapping[str, Any] | int | float | str | None"


#: Elements; times a size in bytes they still fit 63 bits.
_MOST = 2**60


class _Shape:
    """A shape that was given for an input, to be made into a tensor where the model runs."""

    def __init__(self, sizes: tuple[int, ...], dtype: torch.dtype) -> None:
        self.sizes, self.dtype = sizes, dtype


def expand(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, list | tuple):
        sizes = list(value)
        if sizes and all(isinstance(n, int) and not isinstance(n, bool) for n in sizes):
            if min(sizes) < 0:
                raise RequestError(f"count: input {tuple(value)}: sizes can not be negative")
            if prod(sizes) >= _MOST:
                raise RequestError(
                    f"count: input {tuple(value)}: more elements than a tensor can have, 2^60"
                )
            return _Shape(tuple(sizes), dtype)
        return [expand(entry, dtype) for entry in value]
    if isinstance(value, Mapping):
        return {key: expand(entry, dtype) for key, entry in value.items()}
    return value


def materialise(value: Any, device: torch.device) -> Any:
    if isinstance(value, list):
        return [materialise(entry, device) for entry in value]
    if isinstance(value, dict):
        return {key: materialise(entry, device) for key, entry in value.items()}
    if isinstance(value, _Shape):
        value = torch.empty(value.sizes, dtype=value.dtype, device="meta")
    if not isinstance(value, torch.Tensor):
        return value
    if device.type == "meta":
        return torch.empty_like(value, device="meta", requires_grad=False)
    if not value.is_meta:
        return value.detach().to(device, copy=True)
    # A model that looks at values is shown ordinary ones, the same each time.
    generator = torch.Generator().manual_seed(0)
    if value.is_floating_point():
        return torch.randn(value.shape, generator=generator).to(device, value.dtype)
    return torch.zeros(value.shape, dtype=value.dtype, device=device)


def batch_size(given: Sequence[Any], named: Mapping[str, Any], batch_dim: int | None) -> int | None:
    if batch_dim is None:
        return None
    shapes = list(_shapes([*given, *named.values()]))
    if not shapes:
        raise RequestError("count: the inputs hold no tensor and no shape")
    if not -len(shapes[0]) <= batch_dim < len(shapes[0]):
        raise RequestError(
            f"count: batch_dim={batch_dim}: the first input has {len(shapes[0])} dimensions; "
            "use batch_dim=None for an input without a batch"
        )
    size = shapes[0][batch_dim]
    if size < 1:
        raise RequestError(f"count: the batch is {size}; give at least one example")
    return int(size)


def _shapes(value: Any) -> Iterator[tuple[int, ...]]:
    if isinstance(value, _Shape):
        yield value.sizes
    elif isinstance(value, torch.Tensor):
        yield tuple(value.shape)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _shapes(entry)
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from _shapes(entry)


def tensors(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in nested lists, tuples, dicts and the fields of an output object, in order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from tensors(entry)
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from tensors(entry)
    elif hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        for name in value.__dataclass_fields__:
            yield from tensors(getattr(value, name))
