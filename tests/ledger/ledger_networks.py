"""Small networks whose ledgers are held by the golden files: name -> (module, inputs)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.nn import LocallyConnected2d


class Residual(nn.Module):
    """Two convolutions and a shortcut that a 1x1 convolution fits to them."""

    def __init__(self, channels: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Conv2d(channels, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class Functional(nn.Module):
    """Pooling, flattening and activations as functions, one layer called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.dense = nn.Linear(256, 32)
        self.again = nn.Linear(32, 32)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.dense(x.flatten(1)))
        return self.again(F.relu(self.again(x)))


class Distances(nn.Module):
    """Pairwise distances, which no rule is known for, between two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = nn.Linear(3, 4), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.before(x)
        z: Tensor = self.after(torch.cdist(y, y, p=1.0))
        return z


class UNet(nn.Module):
    """A branch around a pooling: without the pooling its parts do not fit together."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(1, 4, 3, padding=1)
        self.middle = nn.Conv2d(4, 8, 3, padding=1)
        self.up = nn.ConvTranspose2d(8, 4, 2, 2)
        self.out = nn.Conv2d(8, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        left = self.down(x)
        right = self.up(self.middle(F.max_pool2d(left, 2)))
        return self.out(torch.cat([right, left], 1))


class Tied(nn.Module):
    """An embedding whose table is also the output layer's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 4)
        self.output = nn.Linear(4, 11, bias=False)
        self.output.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.output(self.embedding(tokens))


class Gate(nn.Module):
    """Channels scaled by what a global mean says (squeeze and excitation)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.narrow, self.widen = nn.Linear(4, 2), nn.Linear(2, 4)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        scale = self.widen(F.relu(self.narrow(x.mean((2, 3))))).sigmoid()
        return self.head((x * scale[:, :, None, None]).mean((2, 3)))


def _local() -> nn.Module:
    return nn.Sequential(
        LocallyConnected2d(1, 3, 3, (9, 8), padding=1, share=(2, "all")),
        nn.ReLU(),
        nn.AvgPool2d(2, ceil_mode=True),
        LocallyConnected2d(3, 4, (2, 3), (5, 4), bias="channel"),
        nn.Flatten(),
        nn.Linear(32, 2, bias=False),
    )


def _paddings() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 4, padding="same", groups=2),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
        nn.ZeroPad2d((1, 2, 0, 1)),
        nn.Conv2d(4, 2, 3, stride=2, dilation=2),
    )


def _normed() -> nn.Module:
    return nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Conv1d(3, 4, 3)),
        nn.GroupNorm(2, 4),
        nn.GELU(),
        nn.MaxPool1d(2),
        nn.Flatten(),
        nn.utils.parametrizations.spectral_norm(nn.Linear(16, 3)),
    )


def _volume() -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(1, 2, 3, padding=1),
        nn.MaxPool3d(2),
        nn.ConvTranspose3d(2, 1, 3, stride=2, padding=1, output_padding=1),
        nn.AdaptiveAvgPool3d(1),
    )


def _lenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


def _residual() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 7, 2, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
        Residual(8, 8, 1),
        Residual(8, 16, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
    )


Maker = Callable[[], nn.Module]
NETWORKS: dict[str, tuple[Maker, tuple[Any, ...]]] = {
    "lenet": (_lenet, ((2, 1, 28, 28),)),
    "residual": (_residual, ((1, 3, 64, 64),)),
    "functional": (Functional, ((4, 1, 28, 28),)),
    "unet": (UNet, ((1, 1, 16, 16),)),
    "tied": (Tied, (torch.zeros(2, 3, dtype=torch.long),)),
    "gate": (Gate, ((2, 3, 8, 8),)),
    "local": (_local, ((2, 1, 9, 8),)),
    "paddings": (_paddings, ((1, 2, 8, 9),)),
    "normed": (_normed, ((2, 3, 10),)),
    "volume": (_volume, ((1, 1, 4, 6, 8),)),
    "encoder": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), ((2, 5, 8),)),
    "lstm": (lambda: nn.LSTM(4, 5, batch_first=True), ((2, 7, 4),)),
    "distances": (Distances, ((2, 6, 3),)),
    "bilinear": (
        lambda: nn.ModuleDict({"both": nn.Bilinear(3, 4, 2)})["both"],
        ((2, 3), (2, 4)),
    ),
}
