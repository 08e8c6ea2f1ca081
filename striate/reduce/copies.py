"""Copies of a model to try things on, so that the user's own is never touched."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from striate.errors import RequestError


def copied(model: nn.Module, meta: bool = False) -> nn.Module:
    """A copy in the same modes; on the meta device no memory is taken."""
    twins: dict[int, object] = {}
    for module in model.modules():
        own = [*module.parameters(False), *module.buffers(False), *vars(module).values()]
        for tensor in own:
            if not isinstance(tensor, Tensor) or id(tensor) in twins:
                continue
            if meta:
                twin: Tensor = tensor.detach().to("meta")
                if isinstance(tensor, nn.Parameter):
                    twin = nn.Parameter(twin, tensor.requires_grad)
                twins[id(tensor)] = twin
            elif not tensor.is_leaf:
                # A result kept as an attribute (weight_norm's weight): deepcopy refuses those.
                twins[id(tensor)] = tensor.detach().clone()
    try:
        whole: nn.Module = copy.deepcopy(model, twins)
    except Exception as error:
        raise RequestError(
            f"model: {type(model).__name__} cannot be copied (copy.deepcopy raised {type(error).__name__}: {error}); "
            f"give a model that can, for striate never changes yours in place"
        ) from error
    return whole


@contextmanager
def random_states_kept(device: torch.device) -> Iterator[None]:
    python, numpy = random.getstate(), np.random.get_state()
    devices = [device] if device.type not in ("cpu", "meta") else []
    with torch.random.fork_rng(devices, device_type=devices[0].type if devices else "cuda"):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
