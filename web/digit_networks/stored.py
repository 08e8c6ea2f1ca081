"""Networks as text: parameters in base64 of little-endian float16, and back into striate's layers."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from digit_networks.data import inputs
from digit_networks.fitting import logits
from digit_networks.networks import Network, Wiring


def packed(network: Network) -> dict[str, dict[str, Any]]:
    """Each parameter's shape and values, in C order; the values must be float16's already."""
    tensors = {}
    for name, parameter in network.state_dict().items():
        values = parameter.numpy().astype("<f2")
        if not np.array_equal(values.astype(np.float32), parameter.numpy()):
            raise ValueError(
                f"packed: {name} is not rounded to float16; round the network before it is evaluated"
            )
        tensors[name] = {
            "shape": list(values.shape),
            "float16": base64.b64encode(values.tobytes()).decode(),
        }
    return tensors


def unpacked(tensor: dict[str, Any]) -> Tensor:
    """A stored parameter in float32."""
    values = np.frombuffer(base64.b64decode(tensor["float16"]), dtype="<f2")
    return torch.tensor(values.reshape(tensor["shape"]).astype(np.float32))


def wiring(entry: dict[str, Any]) -> Wiring:
    """The shape of an entry of `variants` or `sharing`."""
    hidden, pool = entry["hidden"], entry["pool"]
    return Wiring(
        entry["name"],
        "dense" if hidden["kind"] == "dense" else hidden["share"],
        hidden["maps"],
        kernel=hidden["kernel"],
        pool=pool,
        pool_kind=entry["pool_kind"] or "max",
    )


def network(entry: dict[str, Any]) -> Network:
    """The network of an entry, its stored parameters in striate's layers."""
    built = Network(wiring(entry))
    built.load_state_dict({name: unpacked(tensor) for name, tensor in entry["tensors"].items()})
    return built


def outputs(entry: dict[str, Any], images: NDArray[np.integer]) -> Tensor:
    """The logits (N, 10) in float64 for images (N, 8, 8) of integers from 0 to 16: what the page's own forward is
    compared with."""
    return logits(network(entry), inputs(images))
