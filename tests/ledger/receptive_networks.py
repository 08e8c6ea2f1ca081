"""Modules to build random networks from, each on maps (batch, channels, rows, columns) in and out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Do(nn.Module):
    """A function without weights."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Residual(nn.Module):
    def __init__(self, *inner: nn.Module) -> None:
        super().__init__()
        self.inner = nn.Sequential(*inner)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


class Branches(nn.Module):
    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class ChannelsLast(nn.Module):
    """A norm and two dense layers over channels, as in a ConvNeXt block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.up, self.down = nn.Linear(channels, 2 * channels), nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = x.permute(0, 2, 3, 1)
        return x + self.down(F.gelu(self.up(self.norm(y)))).permute(0, 3, 1, 2)


class Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dense = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.dense(F.adaptive_avg_pool2d(x, 1)).sigmoid()


class Attention(nn.Module):
    """Over the positions of `window` x `window` squares; over all of them without one."""

    def __init__(self, channels: int, window: int | None = None, fused: bool = False) -> None:
        super().__init__()
        self.window, self.fused = window, fused
        self.qkv, self.out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        a, b = (self.window, self.window) if self.window else (h, w)
        y = x.reshape(n, c, h // a, a, w // b, b).permute(0, 2, 4, 3, 5, 1).reshape(-1, a * b, c)
        q, k, v = self.qkv(y).chunk(3, -1)
        if self.fused:
            y = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        else:
            y = torch.einsum("bij,bjc->bic", (q @ k.transpose(1, 2) / c).softmax(-1), v)
        y = self.out(y).view(n, h // a, w // b, a, b, c)
        return y.permute(0, 5, 1, 3, 2, 4).reshape(n, c, h, w)


class TokenMixer(nn.Module):
    """A dense layer over all positions, as in an MLP-Mixer."""

    def __init__(self, positions: int) -> None:
        super().__init__()
        self.dense = nn.Linear(positions, positions)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(x.flatten(2)).view_as(x)


class Unfold(nn.Module):
    """A convolution written as an unfolding and a matrix product."""

    def __init__(
        self, channels: int, kernel: int, dilation: int, padding: int, stride: int
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, channels * kernel**2))
        self.window = {"dilation": dilation, "padding": padding, "stride": stride}
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        sides = [
            (side + 2 * self.window["padding"] - self.window["dilation"] * (self.kernel - 1) - 1)
            // self.window["stride"]
            + 1
            for side in x.shape[2:]
        ]
        y = self.weight @ F.unfold(x, self.kernel, **self.window)
        return y.view(x.shape[0], -1, *sides)


class ClassToken(nn.Module):
    """A small vision transformer: the class token's answer."""

    def __init__(self, channels: int, positions: int, blocks: int = 1) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, channels))
        self.positions = nn.Parameter(torch.zeros(1, positions + 1, channels))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(channels, 2, 8, 0.0, batch_first=True, norm_first=True)
            for _ in range(blocks)
        )
        self.norm, self.head = nn.LayerNorm(channels), nn.Linear(channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = x.flatten(2).transpose(1, 2)
        y = torch.cat([self.token.expand(len(y), -1, -1), y], 1) + self.positions
        for block in self.blocks:
            y = block(y)
        return self.head(self.norm(y)[:, 0])


def alive(model: nn.Module, seed: int = 0) -> nn.Module:
    """In float64 with positive weights: nothing cancels."""
    generator = torch.Generator().manual_seed(seed)
    model = model.double().eval()
    for parameter in model.parameters():
        with torch.no_grad():
            fan = max(1, parameter[0].numel()) if parameter.ndim > 1 else 1
            values = torch.rand(parameter.shape, generator=generator, dtype=torch.double)
            parameter.copy_((values + 0.5) / fan)
    return model
