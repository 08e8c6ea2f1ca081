"""Random local layers given by tables, and what they compute in float64 by gathering every window."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from striate.ops.tables import WindowTables

MODES: dict[str, Any] = {
    "zeros": "constant",
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
}


def axis_table(
    size: int, kernel: int, stride: int, dilation: int, pad: int, mode: str
) -> np.ndarray:
    """(outputs, taps) along one axis, by padding the indices themselves as numpy pads."""
    indices = np.arange(size)
    options: dict[str, Any] = {"constant_values": -1} if mode == "zeros" else {}
    indices = np.pad(indices, pad, mode=MODES[mode], **options)
    starts = range(0, len(indices) - dilation * (kernel - 1), stride)
    return np.array(
        [indices[start : start + dilation * kernel : dilation][:kernel] for start in starts]
    )


@dataclass(frozen=True)
class Problem:
    """A layer and the counts around it."""

    tables: WindowTables
    images: int
    channels: int
    outputs: int
    groups: int
    bias: str

    def tensors(self, seed: int = 0) -> tuple[Tensor, Tensor, Tensor | None]:
        """x (N, C, L), weight (K, O, C/groups, T) and the bias, float32."""
        generator = torch.Generator().manual_seed(seed)
        tables, outputs = self.tables, self.outputs

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        shapes = {"none": None, "channel": (outputs,), "kernel": (tables.kernels, outputs)}
        bias = shapes[self.bias]
        return (
            draw(self.images, self.channels, tables.inputs),
            draw(tables.kernels, outputs, self.channels // self.groups, tables.taps),
            None if bias is None else draw(*bias),
        )

    def y_gradient(self) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        return torch.randn(self.images, self.outputs, self.tables.positions, generator=generator)


def expected(problem: Problem, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(N, O, P) of tensors of any real type, in that type; autograd goes through it."""
    tables, groups = problem.tables, problem.groups
    table = torch.from_numpy(tables.full())
    kernel = torch.from_numpy(
        np.arange(tables.positions) if tables.kernel is None else tables.kernel.astype(np.int64)
    )
    padded = torch.cat([x, x.new_zeros(*x.shape[:2], 1)], 2)  # index -1 is the zero
    windows = padded[:, :, table].unflatten(1, (groups, -1))
    weights = weight[kernel].unflatten(1, (groups, -1))
    y = torch.einsum("ngcpt,pgoct->ngop", windows, weights).flatten(1, 2)
    if bias is None:
        return y
    return y + (bias[:, None] if bias.dim() == 1 else bias[kernel].T)


@st.composite
def problems(draw: st.DrawFn, images: st.SearchStrategy[int] | None = None) -> Problem:
    """Layers of one to three axes with every kind of padding, stride and sharing."""
    axes = draw(st.integers(1, 3))
    largest = {1: 40, 2: 9, 3: 5}[axes]
    sizes, alongs = [], []
    for _ in range(axes):
        size = draw(st.integers(1, largest))
        kernel = draw(st.integers(1, {1: 20, 2: 5, 3: 3}[axes]))
        dilation = draw(st.integers(1, 2))
        mode = draw(st.sampled_from(list(MODES)))
        reach = dilation * (kernel - 1) + 1
        least = max(0, -((size - reach) // 2))
        most = size - 1 if mode == "reflect" else size if mode == "circular" else least + 2
        if least > most:
            mode, most = "zeros", least + 2
        pad = draw(st.integers(least, max(least, min(most, least + 2))))
        alongs.append(axis_table(size, kernel, draw(st.integers(1, 3)), dilation, pad, mode))
        sizes.append(size)
    positions = prod(len(table) for table in alongs)
    sharing = draw(st.sampled_from(["own", "one", "blocks", "map"]))
    numbers = {
        "own": None,
        "one": np.zeros(positions, int),
        "blocks": np.arange(positions) // draw(st.integers(1, 7)),
        # Numbers without a position are allowed: their gradient is zero.
        "map": np.random.default_rng(draw(st.integers(0, 9))).integers(0, 4, positions),
    }[sharing]
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    return Problem(
        WindowTables.from_axes(sizes, alongs, numbers),
        draw(
            images if images is not None else st.sampled_from([0, 1, 2, 3, 5, 7, 8, 16, 17, 33, 70])
        ),
        groups * draw(st.integers(1, 5)),
        groups * draw(st.sampled_from([1, 2, 3, 4, 7, 13, 26, 40])),
        groups,
        draw(st.sampled_from(["none", "channel", "kernel"])),
    )
