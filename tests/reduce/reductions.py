"""What the tests of the reduction share: evidence from rows, places and rungs of every kind, small networks."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, prod
from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn

from striate.reduce.collect import Answer, Collector
from striate.reduce.moments import Evidence, Moments
from striate.reduce.rungs.compose import Rung
from striate.reduce.rungs.dense import Dense
from striate.reduce.rungs.local import Grid, Local
from striate.reduce.rungs.low_rank import LowRank
from striate.reduce.rungs.pooled import Pooled
from striate.reduce.rungs.shared import Blocked, Shared
from striate.reduce.rungs.split import Split
from striate.reduce.rungs.stage import Fit, Patch, Place
from striate.reduce.sites import Layout

# Rows


def images(count: int, layout: Layout, seed: int = 0, smooth: bool = True) -> Tensor:
    """Float64 maps whose neighbouring positions and channels are alike, as in pictures; with an offset."""
    generator = torch.Generator().manual_seed(seed)
    shape = (count, layout.channels, layout.height + 2, layout.width + 2)
    noise = torch.randn(shape, generator=generator, dtype=torch.float64)
    if not smooth:
        return noise[:, :, 1:-1, 1:-1].clone()
    mixing = torch.randn(layout.channels, layout.channels, generator=generator, dtype=torch.float64)
    noise = torch.einsum("nchw,dc->ndhw", noise, mixing + 2 * torch.eye(layout.channels))
    return F.avg_pool2d(noise, 3, 1) * 3 + 0.5


def dense_targets(
    x: Tensor, outputs: int, seed: int = 0, bias: bool = True
) -> tuple[Tensor, Tensor | None, Tensor]:
    """A dense layer's weight, bias and answers to flat rows."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(outputs, x.shape[1], generator=generator, dtype=torch.float64)
    weight /= x.shape[1] ** 0.5
    offset = torch.randn(outputs, generator=generator, dtype=torch.float64) if bias else None
    return weight, offset, x @ weight.T + (0 if offset is None else offset)


def evidence_for(
    rung: Rung, place: Place, x: Tensor, y: Tensor, index: Tensor | None = None
) -> Evidence:
    """What the collector gathers for a rung from flat rows (or from a convolution's inputs and outputs)."""
    front = rung.collected_behind(place)
    where = None if index is None else tuple(index.tolist())
    collector = Collector(place, where, [] if front is None else [front], plain=front is None)
    for start in range(0, len(x), 97):
        collector.add(
            x[start : start + 97],
            Answer.of(y[start : start + 97], start, maps=place.patch is not None),
        )
    return collector.evidence(front)


def held_out(rows: Tensor) -> Tensor:
    """Of rows that are examples, those that the collector keeps to judge a fit by."""
    return rows[torch.arange(len(rows)) % 5 == 4]


def fitted(
    rung: Rung, place: Place, evidence: Evidence, index: Tensor | None = None
) -> tuple[nn.Module, Fit]:
    module = rung.build(place, index).double().eval().requires_grad_(False)
    return module, rung.fit(module, place, evidence)


def replaced(
    rung: Rung, place: Place, weight: Tensor, bias: Tensor | None, index: Tensor | None = None
) -> tuple[nn.Module, Fit]:
    """A rung with the weights of a dense layer carried over plainly."""
    ordered = weight if index is None else weight[:, index]
    return fitted(rung, place, Evidence(Moments.white(ordered, bias)), index)


def answers(module: nn.Module, found: Fit, rung: Rung, place: Place, x: Tensor) -> Tensor:
    """A module's outputs in the order of the original's units."""
    out: Tensor = module(x)
    if rung.reorders and not rung.needs_table(place):
        assert found.slots is not None
        out = out[:, found.slots]
    return out


def error(y: Tensor, other: Tensor) -> float:
    """|error|^2 / |centred target|^2."""
    return float((y - other).square().sum() / (y - y.mean(0)).square().sum())


def as_matrix(module: nn.Module, inputs: int) -> tuple[Tensor, Tensor]:
    """The weight and bias of a module that is an affine map of flat inputs."""
    bias = module(torch.zeros(1, inputs, dtype=torch.float64))[0]
    return (module(torch.eye(inputs, dtype=torch.float64)) - bias).T, bias


# Places and rungs of every kind


def grid_of(
    layout: Layout,
    outputs: int,
    window: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    more: int = 0,
) -> Grid:
    """A grid over a map with just enough channels for the outputs, and `more`."""
    sides = (layout.height, layout.width)
    size = tuple(
        (side + 2 * pad - span) // step + 1
        for side, span, step, pad in zip(sides, window, stride, padding, strict=True)
    )
    return Grid(ceil(outputs / prod(size)) + more, (size[0], size[1]), window, stride, padding)


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    return Layout(draw(st.integers(1, 5)), draw(st.integers(1, 7)), draw(st.integers(1, 7)))


@st.composite
def places(draw: st.DrawFn, layout: Layout | None = None) -> Place:
    """A dense layer over a map of any size, odd ones included."""
    layout = layout or draw(layouts())
    return Place(
        inputs=layout.size,
        outputs=draw(st.integers(1, 13)),
        bias=draw(st.booleans()),
        layout=layout,
        ordered=draw(st.booleans()),
        foldable=draw(st.booleans()),
        itemsize=draw(st.sampled_from([2, 4, 8])),
    )


@st.composite
def pools(draw: st.DrawFn, layout: Layout) -> Pooled:
    """Plain windows (overlapping, with gaps, not covering) and uneven ones; average and maximum."""
    mode = draw(st.sampled_from(["avg", "max"]))
    sides = (layout.height, layout.width)
    if draw(st.booleans()):
        size = tuple(draw(st.integers(1, side)) for side in sides)
        return Pooled(mode, (size[0], size[1]))
    window = tuple(draw(st.integers(1, side)) for side in sides)
    stride = tuple(draw(st.integers(1, 4)) for _ in sides)
    size = tuple(
        (side - span) // step + 1 for side, span, step in zip(sides, window, stride, strict=True)
    )
    return Pooled(mode, (size[0], size[1]), (window[0], window[1]), (stride[0], stride[1]))


@st.composite
def grids_on(draw: st.DrawFn, layout: Layout, outputs: int) -> Grid:
    axes = []
    for side in (layout.height, layout.width):
        padding = draw(st.integers(0, 2))
        window = draw(st.integers(padding + 1, max(padding + 1, side)))
        if window > side + 2 * padding:
            window, padding = side, 0
        axes.append((window, draw(st.integers(1, 3)), padding))
    (rows, row_step, row_pad), (columns, column_step, column_pad) = axes
    return grid_of(
        layout,
        outputs,
        (rows, columns),
        (row_step, column_step),
        (row_pad, column_pad),
        more=draw(st.integers(0, 1)),
    )


@st.composite
def rungs_at(draw: st.DrawFn, place: Place, kinds: tuple[str, ...] | None = None) -> Rung:
    """Any front stages, then any head that can stand there."""
    stages: list[Any] = []
    inner = place
    for kind in draw(st.lists(st.sampled_from(["pooled", "split"]), max_size=3, unique=True)):
        assert inner.layout is not None
        if kind == "pooled":
            stages.append(draw(pools(inner.layout)))
        else:
            stages.append(Split(draw(st.integers(1, inner.layout.channels))))
        inner = stages[-1].after(inner)
    head = draw(st.sampled_from(kinds or ("dense", "low-rank", "local", "blocked", "shared")))
    if head == "dense":
        stages.append(Dense())
    elif head == "low-rank":
        stages.append(LowRank(draw(st.integers(1, min(inner.inputs, inner.outputs)))))
    else:
        assert inner.layout is not None
        grid = draw(grids_on(inner.layout, inner.outputs))
        if head == "local":
            stages.append(Local(grid))
        elif head == "shared":
            stages.append(Shared(grid))
        else:
            stages.append(Blocked(grid, draw(st.integers(1, 4))))
    return Rung(tuple(stages))


@st.composite
def placed_rungs(draw: st.DrawFn) -> tuple[Place, Rung]:
    place = draw(places())
    return place, draw(rungs_at(place))


@st.composite
def conv_places(draw: st.DrawFn) -> tuple[Place, nn.Conv2d, tuple[int, int]]:
    """A convolution of any geometry, and the size of its input."""
    same = draw(st.booleans())
    kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    dilation = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    size = (draw(st.integers(8, 11)), draw(st.integers(8, 11)))
    stride = (1, 1) if same else (draw(st.integers(1, 3)), draw(st.integers(1, 2)))
    padding = "same" if same else (draw(st.integers(0, 2)), draw(st.integers(0, 2)))
    conv = nn.Conv2d(
        draw(st.integers(1, 4)),
        draw(st.integers(1, 6)),
        kernel,
        stride,
        padding,
        dilation,
        bias=draw(st.booleans()),
        padding_mode=draw(st.sampled_from(["zeros", "circular", "reflect", "replicate"])),
    )
    return conv_place(conv, size), conv, size


def conv_place(conv: nn.Conv2d, size: tuple[int, int]) -> Place:
    rows, columns = conv(torch.zeros(1, conv.in_channels, *size, dtype=conv.weight.dtype)).shape[2:]
    kernel, stride, dilation = conv.kernel_size, conv.stride, conv.dilation
    patch = Patch(
        conv.in_channels,
        (kernel[0], kernel[1]),
        (stride[0], stride[1]),
        conv.padding if isinstance(conv.padding, str) else (conv.padding[0], conv.padding[1]),
        (dilation[0], dilation[1]),
        conv.padding_mode,
        rows * columns,
    )
    inputs = conv.weight[0].numel()
    return Place(inputs, conv.out_channels, conv.bias is not None, patch=patch, rows=rows * columns)


def plain(place: Place) -> Place:
    """The place with the features in order and outputs that may be reordered."""
    return replace(place, ordered=True, foldable=True)


# Networks


class Permuted(nn.Module):
    """A forward of functions that flattens rows, columns, channels: the dense layer sees its map out of order."""

    def __init__(
        self,
        channels: int = 8,
        side: int = 8,
        hidden: int = 32,
        classes: int = 5,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, channels, 3, padding=1, bias=bias)
        self.fc1 = nn.Linear(channels * (side // 2) ** 2, hidden, bias=bias)
        self.fc2 = nn.Linear(hidden, classes, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv(x)), 2)
        x = x.permute(0, 2, 3, 1).reshape(len(x), -1)
        return self.fc2(F.relu(self.fc1(x)))  # type: ignore[no-any-return]


class Viewed(nn.Module):
    """Batch normalisation, a view, a head of two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(2, 6, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU()
        )
        self.head = nn.ModuleDict({"one": nn.Linear(6 * 4 * 5, 24), "two": nn.Linear(24, 7)})

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        x = x.view(x.size(0), -1)
        return self.head["two"](torch.tanh(self.head["one"](x)))  # type: ignore[no-any-return]


class Tokens(nn.Module):
    """Rows of the picture as tokens: a layer that runs at each of them, then one over all."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 12)
        self.out = nn.Linear(8 * 12, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.embed(x.flatten(1, 2)))
        return self.out(x.flatten(1))  # type: ignore[no-any-return]


def network(name: str, seed: int = 0) -> tuple[nn.Module, tuple[int, ...], Layout | None]:
    """A network in evaluation mode, its input's shape, and the layout that flat inputs have."""
    torch.manual_seed(seed)
    square: tuple[int, ...] = (1, 8, 8)
    made: dict[str, tuple[Any, tuple[int, ...], Layout | None]] = {
        "permuted": (Permuted, square, None),
        "bias-free": (lambda: Permuted(bias=False), square, None),
        "float64": (lambda: Permuted().double(), square, None),
        "viewed": (Viewed, (2, 7, 9), None),
        "tokens": (Tokens, square, None),
        "flattened": (
            lambda: nn.Sequential(
                nn.Conv2d(1, 4, 3, dilation=2, padding="same", padding_mode="circular"),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2),
                nn.Flatten(),
                nn.Linear(64, 32),
                nn.ReLU(inplace=True),
                nn.Dropout(0.5),
                nn.Linear(32, 16),
                nn.ReLU(inplace=True),
                nn.Linear(16, 5),
            ),
            square,
            None,
        ),
        "mlp": (
            lambda: nn.Sequential(nn.Linear(64, 36), nn.ReLU(), nn.Linear(36, 5)),
            (64,),
            Layout(1, 8, 8),
        ),
        "no map": (
            lambda: nn.Sequential(nn.Linear(20, 16), nn.Sigmoid(), nn.Linear(16, 5)),
            (20,),
            None,
        ),
    }
    build, shape, layout = made[name]
    return build().eval(), shape, layout


NETWORKS = ("permuted", "bias-free", "float64", "viewed", "tokens", "flattened", "mlp", "no map")


def inputs_for(model: nn.Module, shape: tuple[int, ...], count: int, seed: int = 0) -> Tensor:
    """Smooth inputs of the model's own type."""
    layout = Layout(*shape) if len(shape) == 3 else Layout(1, 1, shape[0])
    dtype = next(model.parameters()).dtype
    return images(count, layout, seed=seed).reshape(count, *shape).to(dtype).contiguous()
