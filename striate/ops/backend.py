"""Which implementation computes a local connection, and why: one predicate that decides and explains.

`STRIATE_BACKEND=reference` or `STRIATE_BACKEND=cpu` in the environment overrides it, for debugging: the second
turns a quiet use of the reference into an error that says what stood in the way.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from striate.errors import RequestError
from striate.geometry import LocalGrid
from striate.ops import cpu
from striate.ops.tables import LIMIT

__all__ = ["OVERRIDE", "Backend", "choose", "override"]

#: The environment variable.
OVERRIDE = "STRIATE_BACKEND"
_NAMES = ("reference", "cpu")


@dataclass(frozen=True)
class Backend:
    """A choice: `name` is "cpu" (the compiled kernels) or "reference" (plain PyTorch); `reason` says why.

    >>> str(Backend("reference", "input is on cuda:0, and the kernels are for the CPU"))
    'reference: input is on cuda:0, and the kernels are for the CPU'
    """

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


def choose(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    grid: LocalGrid | None = None,
    transposed: bool = False,
) -> Backend:
    """The backend for these tensors.

    Args:
        input, weight, bias: as the operator takes them; nothing of their values is read.
        grid: of the layer, if it is known: what it makes of the choice is left out without it.
        transposed: whether the operator is the transposed one.

    Raises:
        RequestError: `STRIATE_BACKEND` is neither of its values, or asks for the kernels where they cannot be used.

    >>> choose(torch.rand(2, 1, 8, 8, device="meta"), torch.rand(36, 4, 1, 9)).name
    'reference'
    """
    asked, missing, instructions = _process()
    if asked == "reference":
        return Backend("reference", f"{OVERRIDE}=reference in the environment")
    obstacle = missing or _obstacle(input, weight, bias, grid, transposed)
    if obstacle is None:
        return Backend("cpu", f"compiled kernels, {instructions}")
    if asked == "cpu":
        raise RequestError(f"{OVERRIDE}=cpu, but {obstacle}")
    return Backend("reference", obstacle)


def override() -> str:
    """What `STRIATE_BACKEND` asks for: "reference", "cpu", or "" for nothing. RequestError for all else."""
    asked = os.environ.get(OVERRIDE, "")
    if asked not in ("", *_NAMES):
        raise RequestError(f"{OVERRIDE}={asked}: expected one of {', '.join(_NAMES)}, or nothing")
    return asked


def _process() -> tuple[str, str | None, str]:
    """What is the same for all tensors: the override, why there are no kernels, their instructions."""
    asked = override()
    missing = cpu.missing()
    return asked, missing, "" if missing else cpu.instructions()


# While a graph is traced this is a constant, as `by_map.tensors_of` is.
_process._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _obstacle(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    grid: LocalGrid | None,
    transposed: bool,
) -> str | None:
    """Why the compiled kernels cannot take these tensors, or None where they can."""
    # Exported programs are made of ATen operators only, so that they load where striate is not installed.
    if torch.compiler.is_exporting() or torch.jit.is_tracing():  # type: ignore[attr-defined]
        return "a program is being exported"
    if registered() and _differentiated():
        return (
            "torch.func differentiates inside of torch.compile or under a dispatch mode, and cannot go through "
            "operators of torch.library; outside of these it goes through the kernels"
        )
    if grid is not None:
        if grid.kernels == 1:
            return "one kernel for all positions is a convolution, which torch computes"
        if max(prod(grid.input_size), prod(grid.output_size)) > LIMIT:
            return f"there are more than {LIMIT:,} positions"
    tensors = (("input", input), ("weight", weight), ("bias", bias))
    kinds = set()
    for name, tensor in tensors:
        if tensor is None:
            continue
        kinds.add(tensor.dtype)
        obstacle = _obstacle_of(name, tensor)
        if obstacle is not None:
            return obstacle
    if not weight.is_contiguous():
        return "weight is not contiguous, and a copy would cost more than the kernels save"
    if kinds == {torch.float32}:
        return None
    if kinds == {torch.bfloat16}:
        if transposed:
            return "a transposed layer in bfloat16 is not among the kernels: they are for float32"
        if torch.is_grad_enabled() and any(
            tensor is not None and tensor.requires_grad for _, tensor in tensors
        ):
            return "gradients in bfloat16 are not among the kernels: they are for float32"
        return None
    shown = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds))
    return f"tensors of {shown}: the kernels are for float32, and forward for bfloat16"


def registered() -> bool:
    """Whether the kernels are called as operators of `torch.library`: all that compilers and dispatch modes see."""
    return torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack() > 0


def _differentiated() -> bool:
    """Whether `torch.func.grad`, `vjp` or `jacrev` is at work."""
    if not torch._C._are_functorch_transforms_active():
        return False
    stack = torch._C._functorch.get_interpreter_stack() or ()
    return any(one.key() == torch._C._functorch.TransformType.Grad for one in stack)


# While a graph is traced the transforms are entered for real, and what they are is a constant.
_differentiated._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _obstacle_of(name: str, tensor: Tensor) -> str | None:
    if tensor.device.type != "cpu":
        return f"{name} is on {tensor.device}, and the kernels are for the CPU"
    if tensor.layout is not torch.strided:
        return f"{name} is {tensor.layout}, and the kernels are for dense tensors"
    if type(tensor) not in (Tensor, torch.nn.Parameter):
        return f"{name} is a {type(tensor).__name__}, whose memory is its own affair"
    return None
