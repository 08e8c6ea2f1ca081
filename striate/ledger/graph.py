"""What one forward pass did, as plain data: the tensors, the operators, the module calls.

`capture` makes it from a PyTorch module; everything after it reads only this.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import TypeAlias

#: An operator's argument: tensors as `Tensor`, lists as tuples, numbers and texts as they are.
Argument: TypeAlias = "Tensor | tuple[Argument, ...] | int | float | complex | str | None"


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor that an operator read or made. Views of one memory have the same `storage`."""

    id: int
    storage: int
    shape: tuple[int, ...]
    itemsize: int

    @property
    def units(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.units * self.itemsize


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator call. `call` is the index of the module call it happened in, or -1."""

    name: str
    call: int
    arguments: tuple[Argument, ...]
    named: tuple[tuple[str, Argument], ...]
    outputs: tuple[Tensor, ...]
    #: Storages that had been released when this operator ran.
    freed: tuple[int, ...] = ()
    pointwise: bool = False
    view: bool = False

    def argument(self, index: int, default: Argument = None) -> Argument:
        return self.arguments[index] if index < len(self.arguments) else default

    def tensor(self, index: int) -> Tensor | None:
        value = self.argument(index)
        return value if isinstance(value, Tensor) else None

    def integers(self, index: int, length: int, default: int | None = None) -> tuple[int, ...]:
        """A list argument such as a stride; one integer, or none given, stands for every axis."""
        value = self.argument(index)
        if value is None or value == ():
            if default is None:
                raise ValueError(f"{self.name}: argument {index} is missing")
            value = default
        values = value if isinstance(value, tuple) else (value,)
        numbers = tuple(int(entry) for entry in values if isinstance(entry, int))
        return numbers * length if len(numbers) == 1 else numbers

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        found: list[Tensor] = []
        _gather(self.arguments, found)
        _gather(tuple(value for _, value in self.named), found)
        return tuple(found)


def tensor(operator: Operator, index: int) -> Tensor:
    """The tensor that an operator must have as its argument `index`."""
    found = operator.tensor(index)
    if found is None:
        raise ValueError(f"{operator.name}: argument {index} should be a tensor")
    return found


def _gather(values: tuple[Argument, ...], found: list[Tensor]) -> None:
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, tuple):
            _gather(value, found)


@dataclass(frozen=True, slots=True)
class Module:
    """A module of the model, under the first name it is registered with."""

    name: str
    type: str
    leaf: bool
    aliases: tuple[str, ...] = ()


@dataclass(slots=True)
class Call:
    """One call of a module, and what its first tensors looked like."""

    module: int
    #: How many operators had run before it.
    start: int
    input_shape: tuple[int, ...] | None
    output_shape: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Parameter:
    """A distinct parameter or buffer: its first name, the module it sits on, other places it is
    registered at, its size and stored bytes."""

    name: str
    module: int
    tensor: Tensor
    trainable: bool
    #: (module, full name) of further registrations of the same tensor.
    also: tuple[tuple[int, str], ...] = ()
    #: Whether it is a bias, where that is known by more than its name.
    bias: bool | None = None

    @property
    def is_bias(self) -> bool:
        return "bias" in self.name.rpartition(".")[2] if self.bias is None else self.bias


@dataclass(frozen=True)
class Graph:
    """A captured forward pass."""

    modules: tuple[Module, ...]
    calls: tuple[Call, ...]
    operators: tuple[Operator, ...]
    parameters: tuple[Parameter, ...]
    buffers: tuple[Parameter, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    batch: int | None
    #: The axis of the first input that is the batch; None where it has none.
    batch_dim: int | None = 0
    notes: tuple[str, ...] = field(default=())
    #: (module, bytes kept for the backward pass), where that was asked for.
    saved: tuple[tuple[int, int], ...] | None = None
    #: Modules that hold weights in objects of PyTorch's that do not show them (packed, quantised ones).
    packed: tuple[int, ...] = ()
    #: Storages of what is computed from weights alone and kept: once, ahead of all forward passes.
    folded: frozenset[int] = frozenset()
