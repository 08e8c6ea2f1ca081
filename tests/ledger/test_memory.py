"""Memory as the ledger says it against what a real run of the network allocates.

The profiler notes every allocation; what an operator allocates and frees again inside itself (the blocked
layouts of its convolutions) is its own workspace and is left out, by looking only when an operator has ended.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from ledger_networks import NETWORKS, Functional, UNet
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from striate.ledger import count
from striate.ledger.capture import capture


class Attention(nn.Module):
    """A transformer's two halves, with fused attention."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(32), nn.LayerNorm(32)
        self.qkv, self.out = nn.Linear(32, 96), nn.Linear(32, 32)
        self.up, self.down = nn.Linear(32, 128), nn.Linear(128, 32)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, length, 3, 4, 8).permute(2, 0, 3, 1, 4)
        found = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
        x = x + self.out(found)
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Grouped(nn.Module):
    """Groups of heads with the same keys, masked."""

    def __init__(self, *, masked: bool) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(32, 32), nn.Linear(32, 8)
        self.masked = masked

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        q = self.query(x).view(batch, length, 8, 4).transpose(1, 2)
        k = self.key(x).view(batch, length, 2, 4).transpose(1, 2)
        mask = torch.ones(length, length, dtype=torch.bool).tril() if self.masked else None
        return F.scaled_dot_product_attention(
            q, k, k, attn_mask=mask, is_causal=not self.masked, enable_gqa=True
        )


class Dense(nn.Module):
    """Every layer sees all that were before it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(8 + 8 * n, 8, 3, padding=1) for n in range(4))
        self.norms = nn.ModuleList(nn.BatchNorm2d(8 + 8 * n) for n in range(4))

    def forward(self, x: Tensor) -> Tensor:
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = torch.cat([x, layer(F.relu(norm(x)))], 1)
        return F.adaptive_avg_pool2d(x, 1).flatten(1)


class Inplace(nn.Module):
    """Inverted bottlenecks with a residual, in-place activations and a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Sequential(nn.Conv2d(8, 48, 1), nn.BatchNorm2d(48), nn.SiLU(inplace=True))
        self.depth = nn.Conv2d(48, 48, 3, padding=1, groups=48)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(48, 48, 1), nn.Sigmoid())
        self.down = nn.Conv2d(48, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.depth(self.up(x)), inplace=True)
        return x + self.down(y * self.gate(y))


class Windows(nn.Module):
    """The three steps of this project."""

    def __init__(self) -> None:
        super().__init__()
        self.local = NETWORKS["local"][0]()

    def forward(self, x: Tensor) -> Tensor:
        return self.local(x)


NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "lenet": (NETWORKS["lenet"][0], (4, 1, 28, 28)),
    "residual": (NETWORKS["residual"][0], (2, 3, 64, 64)),
    "functional": (Functional, (4, 1, 28, 28)),
    "unet": (UNet, (2, 1, 16, 16)),
    "attention": (Attention, (2, 50, 32)),
    "dense": (Dense, (2, 8, 16, 16)),
    "inplace": (Inplace, (2, 8, 20, 20)),
    "volume": (NETWORKS["volume"][0], (2, 1, 4, 6, 8)),
    "local": (Windows, (2, 1, 9, 8)),
}
#: In evaluation mode these have operators of their own on the CPU, with workspaces.
TRAINED: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    **NETS,
    "encoder layer": (
        lambda: nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True),
        (2, 50, 32),
    ),
    "groups of heads": (lambda: Grouped(masked=False), (2, 50, 32)),
    "masked groups": (lambda: Grouped(masked=True), (2, 50, 32)),
}


def _allocated(model: nn.Module, image: Tensor, *, ends: set[str]) -> int:
    """The most bytes that are allocated at the ends of the operators of these names."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        result = model(image)
    events = sorted(
        [
            (event.start_ns(), 0, event.nbytes(), "")
            if event.name() == "[memory]"
            else (event.end_ns(), 1, 0, event.name())
            for event in found.profiler.kineto_results.events()
        ],
        key=lambda event: event[:2],
    )
    assert result.numel()
    current = most = 0
    for _, _, change, name in events:
        current += change
        if name in ends:
            most = max(most, current)
    return most


@pytest.mark.parametrize("name", NETS)
def test_the_peak_is_that_of_a_real_run_within_5_percent(name: str) -> None:
    make, shape = NETS[name]
    model, image = make().eval(), torch.randn(shape)
    names = {operator.name.partition(".")[2] for operator in capture(model, [shape]).operators}
    with torch.no_grad():
        real = _allocated(model, image, ends={f"aten::{name}" for name in names - {"empty"}})
    said = count(model, shape).totals.peak_activation_bytes - image.nbytes
    assert said == pytest.approx(real, rel=0.05)


@pytest.mark.parametrize("name", TRAINED)
def test_what_training_keeps_is_what_a_real_run_keeps_within_5_percent(name: str) -> None:
    make, shape = TRAINED[name]
    model, image = make().train(), torch.randn(shape)
    kept: dict[int, int] = {}
    known = {t.untyped_storage().data_ptr() for t in [*model.parameters(), *model.buffers(), image]}
    alive = []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        alive.append(storage)
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model(image)
    said = count(model, shape, training=True).totals.saved_bytes
    assert said == pytest.approx(sum(kept.values()), rel=0.05)
    assert output.requires_grad
