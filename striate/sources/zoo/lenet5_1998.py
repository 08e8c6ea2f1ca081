"""LeNet-5 as it was published: trainable subsampling, a partial table of connections, radial basis units.

LeCun, Bottou, Bengio, Haffner: Gradient-Based Learning Applied to Document Recognition, Proceedings of
the IEEE 86 (11), 1998, section II.B and Table I.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: Table I: for each map of C3, the maps of S2 that it sees.
TABLE: tuple[tuple[int, ...], ...] = (
    *(tuple(sorted((first + step) % 6 for step in range(3))) for first in range(6)),
    *(tuple(sorted((first + step) % 6 for step in range(4))) for first in range(6)),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)  # fmt: skip


def input_shape() -> tuple[int, int, int]:
    """The shape of one example, without the batch."""
    return (1, 32, 32)


def build() -> nn.Sequential:
    """C1, S2, C3, S4, C5, F6 and the output: `(N, 1, 32, 32)` to `(N, 10)` logits, 60,000 parameters.

    >>> sum(p.numel() for p in build().parameters())
    60000
    """
    return nn.Sequential(
        OrderedDict(
            c1=nn.Conv2d(1, 6, 5),
            a1=Squash(),
            s2=Subsampling(6),
            c3=PartialConv2d(TABLE, 5),
            a3=Squash(),
            s4=Subsampling(16),
            c5=nn.Conv2d(16, 120, 5),
            a5=Squash(),
            flatten=nn.Flatten(),
            f6=nn.Linear(120, 84),
            a6=Squash(),
            output=RadialBasis(84, 10),
        )
    )


class Squash(nn.Module):
    """1.7159 tanh(2/3 x), of appendix A."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(x * (2 / 3))


class Subsampling(nn.Module):
    """The sum of each 2x2 window, times a coefficient and plus a bias that each map has its own of; squashed."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((maps, 1, 1, 1), 0.25))
        self.bias = nn.Parameter(torch.zeros(maps))
        self.squash = Squash()

    def forward(self, x: Tensor) -> Tensor:
        maps = self.weight.shape[0]
        window = self.weight.expand(maps, 1, 2, 2)
        y: Tensor = self.squash(F.conv2d(x, window, self.bias, stride=2, groups=maps))
        return y


class PartialConv2d(nn.Module):
    """A convolution whose output maps each see some of the input's maps: one `nn.Conv2d` a map."""

    def __init__(self, table: tuple[tuple[int, ...], ...], kernel_size: int) -> None:
        super().__init__()
        self.table = table
        self.maps = nn.ModuleList(nn.Conv2d(len(seen), 1, kernel_size) for seen in table)

    def forward(self, x: Tensor) -> Tensor:
        parts = zip(self.maps, self.table, strict=True)
        return torch.cat([layer(x[:, list(seen)]) for layer, seen in parts], 1)


class RadialBasis(nn.Module):
    """Minus the squared distance to the code of each class, equation 7.

    The codes are fixed, of -1 and +1. The paper drew them as 7x12 pictures of the characters; here they
    are at random, the same each time.
    """

    codes: Tensor

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1998)
        signs = torch.randint(2, (classes, inputs), generator=generator)
        self.register_buffer("codes", 2.0 * signs - 1.0)

    def forward(self, x: Tensor) -> Tensor:
        return -(x[:, None] - self.codes).square().sum(-1)
