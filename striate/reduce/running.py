"""How a network is run: its device, its memory format, its mode, and where randomness comes from."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from striate.errors import RequestError

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def checked_device(name: str | torch.device) -> torch.device:
    """The device of that name, or an error that says what this machine has.

    >>> checked_device("cpu")
    device(type='cpu')
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise RequestError(
            f"device={str(name)!r} is not a device; expected cpu, cuda, cuda:N or mps"
        ) from error
    if device.type == "cpu":
        return device
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            has = f"this machine has {count} CUDA device{'s' * (count != 1)}"
            raise RequestError(f"device={str(name)!r}: {has}; use cpu{' or cuda:0' * (count > 0)}")
        return torch.device("cuda", device.index or 0)
    if device.type == "mps":
        if not torch.backends.mps.is_available():
            raise RequestError(f"device={str(name)!r}: this machine has no MPS device; use cpu")
        return device
    raise RequestError(f"device={str(name)!r} is not supported; expected cpu, cuda, cuda:N or mps")


def use_channels_last(model: nn.Module) -> None:
    """Store the kernels of 2-d convolutions in channels-last order, in place; no value changes."""
    for module in model.modules():
        if isinstance(module, _CONVOLUTIONS):
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)


def takes_channels_last(model: nn.Module, inputs: Tensor) -> bool:
    """Whether `model` runs on channels-last `inputs` (a few examples), which convolutions prefer.

    A forward that calls `view` on a map works on contiguous maps only; such a model says no.
    """
    if inputs.dim() != 4 or not any(isinstance(m, _CONVOLUTIONS) for m in model.modules()):
        return False
    with evaluating(model, channels_last=True), torch.no_grad():
        try:
            model(inputs.contiguous(memory_format=torch.channels_last))
        except (
            RuntimeError
        ):  # any other cause shows again, unguarded, when the contiguous batch runs
            return False
    return True


@contextmanager
def evaluating(model: nn.Module, *, channels_last: bool = False) -> Iterator[None]:
    """`model` in evaluation mode; afterwards its modes and memory format are as before."""
    modes = [(module, module.training) for module in model.modules()]
    kernels = (
        [m.weight for m in model.modules() if isinstance(m, _CONVOLUTIONS)] if channels_last else []
    )
    stored = [(kernel, kernel.data) for kernel in kernels]
    model.eval()
    if channels_last:
        use_channels_last(model)
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for kernel, data in stored:
            kernel.data = data


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Everything inside draws from `seed`; afterwards the global generators are as they were.

    Seeds torch, NumPy and Python alike: a user's forward or augmentation may draw from any.
    """
    python, legacy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)


@contextmanager
def reproducible(device: torch.device) -> Iterator[None]:
    """CUDA's algorithms that give the same bits each time; the CPU's do at a fixed thread count."""
    if device.type != "cuda":
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with torch.backends.cudnn.flags(deterministic=True, benchmark=False):
            yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_only)
