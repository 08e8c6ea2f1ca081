"""Multiply-adds by formulas written down by hand, and what each peer counts beside or instead of them.

Nothing here is striate's: hooks see the shapes of one real forward, and each kind of layer has its formula. A peer's
account is a number of times that it counts each of the terms; where the sum is its figure to the last unit, the account
is why it is right or wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import ceil, prod
from typing import Any

import torch
from ledger_peers import Shape
from torch import Tensor, nn

#: What a term is, in the words of the table.
TERMS: Mapping[str, str] = {
    "convolutions": "convolutions",
    "linear": "linear layers",
    "projections": "the projections of `nn.MultiheadAttention`",
    "products": "attention products",
    "convolution biases": "an addition per output for biases of convolutions",
    "linear biases": "an addition per output for biases of linear layers",
    "split biases": "the biases of linear layers on inputs that are not contiguous",
    "projection biases": "an addition per output for biases of the attention's projections",
    "scaling": "the scaling of queries",
    "attention softmax": "an operation per score for the attention's softmax",
    "linear once": "linear layers once an example instead of once a position",
    "linear biases once": "their biases once an example",
    "batch norm weights": "the weights of BatchNorm once an example",
    "layer norm weights": "the weights of LayerNorm once an example",
    "batch norm": "elements into BatchNorm",
    "layer norm": "elements into LayerNorm",
    "derived norm": "elements into subclasses of LayerNorm",
    "relu": "elements into ReLU",
    "relu6": "elements into ReLU6",
    "gelu": "elements into GELU",
    "silu": "elements into SiLU",
    "pooling": "elements into pooling",
    "global pooling": "elements into adaptive pooling",
    "maxima": "side of the window − 1 per output of max pooling",
    "averages": "side of the window + 1 per output of average pooling",
    "global averages": "area of the window + 1 per output of adaptive pooling",
}
#: What a multiply-add of a contraction is: these terms, once each.
EXACT: Mapping[str, int] = {"convolutions": 1, "linear": 1, "projections": 1, "products": 1}

#: The two kinds of attention products; together "products".
HALVES: Mapping[str, str] = {
    "fused products": "attention products in PyTorch's fused operators",
    "written products": "attention products written with `@`",
}

_BIASES = {"convolution biases": 1, "linear biases": 1}
ACCOUNTS: Mapping[str, Mapping[str, int]] = {
    "striate": EXACT,
    "torchinfo": {
        "convolutions": 1, "convolution biases": 1, "linear once": 1, "linear biases once": 1,
        "batch norm weights": 1, "layer norm weights": 1,
    },
    "fvcore": {
        "convolutions": 1, "linear": 1, "projections": 1, "written products": 1,
        "batch norm": 2, "layer norm": 5, "derived norm": 5, "global pooling": 1,
    },
    "ptflops": {
        "convolutions": 1, "linear": 1, "projections": 1, "fused products": 1, **_BIASES, "projection biases": 1,
        "scaling": 1, "attention softmax": 1, "batch norm": 2, "layer norm": 1, "relu": 2, "relu6": 1, "gelu": 2,
        "silu": 1, "pooling": 2, "global pooling": 2,
    },
    "ptflops, aten": {
        "convolutions": 1, "linear": 1, "projections": 1, "written products": 1, **_BIASES, "split biases": -1,
        "projection biases": 1,
    },
    "calflops": {"convolutions": 1, "linear": 1, "projections": 1},
    "torchscan": {
        "convolutions": 1, "linear": 1, "batch norm": 2, "maxima": 1, "averages": 1, "global averages": 1,
    },
    "torch's FlopCounterMode": {"convolutions": 1, "linear": 1, "written products": 1},
}  # fmt: skip


def terms(network: nn.Module, shape: Shape) -> Counter[str]:
    """Each term's size for one forward of `network`; attention must be `nn.MultiheadAttention` or Swin's windows."""
    found: Counter[str] = Counter()
    inside = {
        child
        for module in network.modules()
        if isinstance(module, nn.MultiheadAttention)
        for child in module.modules()
    }

    def see(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(module, nn.MultiheadAttention) or module not in inside:
            found.update(_of(module, inputs, output))

    handles = [module.register_forward_hook(see) for module in network.modules()]
    try:
        with torch.no_grad():
            network(torch.zeros(shape))
    finally:
        for handle in handles:
            handle.remove()
    found["products"] = found["fused products"] + found["written products"]
    return found


def total(account: Mapping[str, int], sizes: Mapping[str, int]) -> int:
    return sum(times * sizes.get(term, 0) for term, times in account.items())


def _of(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Mapping[str, int]:
    data = inputs[0]
    match module:
        case nn.Conv2d():
            taps = module.in_channels // module.groups * prod(module.kernel_size)
            return {
                "convolutions": output.numel() * taps,
                "convolution biases": 0 if module.bias is None else output.numel(),
            }
        case nn.Linear():
            return _linear(module, data, output)
        case nn.MultiheadAttention():
            return _attention(module, data)
        case nn.BatchNorm2d():
            return {"batch norm": data.numel(), "batch norm weights": 2 * module.num_features}
        case nn.LayerNorm():
            kind = "layer norm" if type(module) is nn.LayerNorm else "derived norm"
            return {kind: data.numel(), "layer norm weights": 2 * prod(module.normalized_shape)}
        case nn.ReLU6():
            return {"relu6": data.numel()}
        case nn.ReLU():
            return {"relu": data.numel()}
        case nn.GELU():
            return {"gelu": data.numel()}
        case nn.SiLU():
            return {"silu": data.numel()}
        case nn.MaxPool2d():
            return {"pooling": data.numel(), "maxima": output.numel() * (_side(module) - 1)}
        case nn.AvgPool2d():
            return {"pooling": data.numel(), "averages": output.numel() * (_side(module) + 1)}
        case nn.AdaptiveAvgPool2d():
            area = prod(
                before // after
                for before, after in zip(data.shape[2:], output.shape[2:], strict=True)
            )
            return {
                "global pooling": data.numel(),
                "global averages": output.numel() * (area + 1),
            }
    if type(module).__name__ == "WindowAttention":
        # Each of the 49 positions of a window meets each other one, twice: as key and as value.
        batch, height, width, channels = data.shape
        windows = batch * ceil(height / 7) * ceil(width / 7)
        return {"written products": 2 * windows * 49 * 49 * channels}
    return {}


def _side(module: nn.MaxPool2d | nn.AvgPool2d) -> int:
    assert isinstance(module.kernel_size, int)
    return module.kernel_size


def _linear(module: nn.Linear, data: Tensor, output: Tensor) -> Mapping[str, int]:
    biases = 0 if module.bias is None else output.numel()
    examples = len(data)
    return {
        "linear": output.numel() * module.in_features,
        "linear biases": biases,
        "split biases": 0 if data.is_contiguous() else biases,
        "linear once": examples * module.weight.numel(),
        "linear biases once": 0 if module.bias is None else examples * module.out_features,
    }


def _attention(module: nn.MultiheadAttention, data: Tensor) -> Mapping[str, int]:
    """Of tokens on themselves: (N, L, E)."""
    examples, length, width = data.shape
    positions, pairs = examples * length, examples * length * length
    return {
        "projections": 4 * positions * width * width,
        "fused products": 2 * pairs * width,
        "projection biases": 4 * positions * width,
        "scaling": positions * width,
        "attention softmax": module.num_heads * pairs,
    }
