"""What a forward is given: shapes and tensors, made where the model runs, and their batch."""

from __future__ import annotations

import re
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


def origin(inputs: Any) -> str:
    """Where the values of inputs come from when `materialise` makes them real, in words.

    >>> origin([torch.zeros(2)]), origin([torch.zeros(2, device="meta"), torch.zeros(2)])[:23]
    ('the values given', 'the values given where ')
    """
    made = any(_is_made(value) for value in _leaves(inputs))
    own = any(isinstance(value, torch.Tensor) and not value.is_meta for value in _leaves(inputs))
    ordinary = "floats normally distributed from seed 0, integers and booleans zero"
    if made and own:
        return f"the values given where there are any, else {ordinary}"
    return ordinary if made else "the values given"


def _is_made(value: object) -> bool:
    return isinstance(value, _Shape) or (isinstance(value, torch.Tensor) and value.is_meta)


def batch_size(given: Sequence[Any], named: Mapping[str, Any], batch_dim: int | None) -> int | None:
    """How many examples the inputs hold; None where they have no batch.

    RequestError where they hold no tensor and no shape to tell it by, or a text in the place of one.
    """
    shapes = list(_shapes([*given, *named.values()]))
    if not shapes:
        _refuse_text([*given, *named.values()])
    if batch_dim is None:
        return None
    if not shapes:
        raise RequestError(
            "count: the inputs hold no tensor and no shape; give an example tensor or a tuple of sizes such as "
            "(1, 3, 32, 32)"
        )
    if not -len(shapes[0]) <= batch_dim < len(shapes[0]):
        raise RequestError(
            f"count: batch_dim={batch_dim}: the first input has {len(shapes[0])} dimensions; "
            "use batch_dim=None for an input without a batch"
        )
    size = shapes[0][batch_dim]
    if size < 1:
        raise RequestError(f"count: the batch is {size}; give at least one example")
    return int(size)


def _shapes(inputs: Any) -> Iterator[tuple[int, ...]]:
    for value in _leaves(inputs):
        if isinstance(value, _Shape):
            yield value.sizes
        elif isinstance(value, torch.Tensor):
            yield tuple(value.shape)


_SIZES = re.compile(r"\s*[(\[]?\s*(\d+(?:\s*[x×*, ]\s*\d+)+)\s*,?\s*[)\]]?\s*", re.IGNORECASE)


def _refuse_text(inputs: Sequence[Any]) -> None:
    """RequestError for sizes that are written as a text, as the command line takes them."""
    for value in _leaves(inputs):
        found = _SIZES.fullmatch(value) if isinstance(value, str) else None
        if found is not None:
            sizes = ", ".join(re.findall(r"\d+", found[1]))
            raise RequestError(
                f"count: input {value!r:.80}: a text is no shape; give the tuple ({sizes}), or an example tensor"
            )


def _leaves(value: Any) -> Iterator[Any]:
    """What nested lists, tuples and dicts hold in the end."""
    if isinstance(value, list | tuple):
        for entry in value:
            yield from _leaves(entry)
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from _leaves(entry)
    else:
        yield value


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
