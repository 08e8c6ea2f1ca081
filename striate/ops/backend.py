"""Which implementation computes a local connection, and why: one predicate that decides and explains.

`STRIATE_BACKEND=reference` or `STRIATE_BACKEND=cpu` in the environment overrides it, for debugging: the second
turns a quiet use of the reference into an error that says what stood in the way.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import Tensor

from striate.ops import cpu

__all__ = ["OVERRIDE", "Backend", "choose"]

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
    input: Tensor, weight: Tensor, bias: Tensor | None = None, *, kernels: int | None = None
) -> Backend:
    """The backend for these tensors.

    Args:
        input, weight, bias: as the operator takes them; nothing of their values is read.
        kernels: how many kernels the layer has, if that is known: a single one is a convolution, which
            torch computes.

    Raises:
        ValueError: `STRIATE_BACKEND` is neither of its values, or asks for the kernels where they cannot be used.

    >>> choose(torch.rand(2, 1, 8, 8, device="meta"), torch.rand(36, 4, 1, 9)).name
    'reference'
    """
    asked = os.environ.get(OVERRIDE, "")
    if asked not in ("", *_NAMES):
        raise ValueError(f"{OVERRIDE}={asked}: expected one of {', '.join(_NAMES)}, or nothing")
    if asked == "reference":
        return Backend("reference", f"{OVERRIDE}=reference in the environment")
    obstacle = _obstacle(input, weight, bias, kernels)
    if obstacle is None:
        return Backend("cpu", f"compiled kernels, {cpu.instructions()}")
    if asked == "cpu":
        raise ValueError(f"{OVERRIDE}=cpu, but {obstacle}")
    return Backend("reference", obstacle)


def _obstacle(
    input: Tensor, weight: Tensor, bias: Tensor | None, kernels: int | None
) -> str | None:
    """Why the compiled kernels cannot take these tensors, or None where they can."""
    missing = cpu.missing()
    if missing is not None:
        return missing
    tensors = {"input": input, "weight": weight} | ({} if bias is None else {"bias": bias})
    # Exported programs are made of ATen operators only, so that they load where striate is not installed.
    if torch.compiler.is_exporting():
        return "a program is being exported"
    for name, tensor in tensors.items():
        obstacle = _obstacle_of(name, tensor)
        if obstacle is not None:
            return obstacle
    if kernels == 1:
        return "one kernel for all positions is a convolution, which torch computes"
    if not weight.is_contiguous():
        return "weight is not contiguous, and a copy would cost more than the kernels save"
    kinds = {tensor.dtype for tensor in tensors.values()}
    if kinds == {torch.float32}:
        return None
    if kinds == {torch.bfloat16}:
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors.values()):
            return "gradients in bfloat16 are not among the kernels: they are for float32"
        return None
    shown = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds))
    return f"tensors of {shown}: the kernels are for float32, and forward for bfloat16"


def _obstacle_of(name: str, tensor: Tensor) -> str | None:
    if tensor.device.type != "cpu":
        return f"{name} is on {tensor.device}, and the kernels are for the CPU"
    if tensor.layout is not torch.strided:
        return f"{name} is {tensor.layout}, and the kernels are for dense tensors"
    if type(tensor) not in (Tensor, torch.nn.Parameter):
        return f"{name} is a {type(tensor).__name__}, whose memory is its own affair"
    if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        return f"{name} is seen through a transform of torch.func, which acts on ATen operators"
    if tensor.is_conj() or tensor.is_neg():
        return f"{name} is a lazily negated or conjugated view"
    return None
