"""Ours and its peers: each computes a local layer from weights in the layout that suits it."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from local_shapes import FLOAT, Problem, Shape
from torch import Tensor

from striate.geometry import kernel_of_position, tap_sources
from striate.nn import functional
from striate.ops import cpu, reference
from striate.ops.tables import WindowTables

OURS, KERNELS, PLAIN = "striate", "kernels alone", "plain path"
UNFOLD, GIST, COMPILED, JAX = "unfold + bmm", "gist", "compiled einsum", "JAX"

Layer = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Ready:
    """A peer that is set up for a problem.

    Attributes:
        layout: the name of how its weights lie: those of one name can be shared between peers.
        copies: that many copies of the problem's weight in its layout, each in memory of its own.
        run: one run on such a copy; what it returns is kept until the clock has stopped.
        read: a run's output, and backward both gradients, as tensors of the problem's layouts.
    """

    layout: str
    copies: Callable[[int], Sequence[Any]]
    run: Callable[[Any], Any]
    read: Callable[[Any], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Peer:
    """A way to compute a layer.

    Attributes:
        obstacle: why a shape is beyond it, or None.
        scratch: bytes that it needs beside inputs, weights and outputs.
        generated: whether its code is made for each shape, and may be wrong: what torch 2.13 makes of a depthwise
            layer's einsum aborts, backward, with a damaged heap. Such a peer first runs in a process of its own.
    """

    name: str
    obstacle: Callable[[Shape], str | None]
    scratch: Callable[[Shape, str], int]
    prepare: Callable[[Problem, str], Ready]
    generated: bool = False


def nothing(shape: Shape) -> None:
    return None


def no_scratch(shape: Shape, direction: str) -> int:
    return 0


def windows_copied(shape: Shape, direction: str) -> int:
    """All windows, again in the order of the product, and again their gradient."""
    repeated = (
        (shape.positions // shape.grid.kernels) * shape.weight_bytes if shape.share > 1 else 0
    )
    return shape.window_bytes * (2 if direction == "forward" else 4) + repeated


# ---- layers in PyTorch


def torch_copies(weight: Tensor, count: int) -> Sequence[Tensor]:
    pool = torch.empty(count, *weight.shape)
    pool[:] = weight
    return list(pool)


def torch_ready(layer: Layer, problem: Problem, direction: str) -> Ready:
    """A layer as a user calls it, without gradients or through autograd."""
    x, y_gradient = problem.x, problem.y_gradient

    def forward(weight: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            return (layer(x, weight),)

    def backward(weight: Tensor) -> tuple[Tensor, ...]:
        leaves = (x.detach().requires_grad_(), weight.detach().requires_grad_())
        out = layer(*leaves)
        return (out.detach(), *torch.autograd.grad(out, leaves, y_gradient))

    return Ready(
        "striate",
        lambda count: torch_copies(problem.weight, count),
        forward if direction == "forward" else backward,
        lambda results: results,
    )


def ours(problem: Problem, direction: str) -> Ready:
    """The public function, with all that it checks and looks up."""
    shape = problem.shape
    function = getattr(functional, f"locally_connected{len(shape.size)}d")
    options = shape.options
    return torch_ready(lambda x, weight: function(x, weight, **options), problem, direction)


def plain(problem: Problem, direction: str) -> Ready:
    grid, groups = problem.shape.grid, problem.shape.groups
    return torch_ready(
        lambda x, weight: reference.local(x, weight, None, grid, groups), problem, direction
    )


def padded(shape: Shape, x: Tensor) -> Tensor:
    amounts = [amount for pair in reversed(shape.grid.padding) for amount in pair]
    return F.pad(x, amounts) if any(amounts) else x


def window_views(shape: Shape, x: Tensor) -> Tensor:
    """(N, C, *positions, *kernel), nothing copied."""
    grid = shape.grid
    for axis in range(grid.axes):
        gap = grid.dilation[axis]
        reach = gap * (grid.kernel_size[axis] - 1) + 1
        x = x.unfold(2 + axis, reach, grid.stride[axis])[..., ::gap]
    return x


def spread(shape: Shape, weight: Tensor) -> Tensor:
    """The kernel of each position, from those of blocks."""
    if shape.share > 1:
        for axis, count in enumerate(shape.grid.output_size):
            weight = weight.repeat_interleave(shape.share, axis).narrow(axis, 0, count)
    return weight


def whole_blocks(shape: Shape) -> str | None:
    odd = any(size % shape.share for size in shape.grid.output_size)
    return "takes whole blocks only" if odd else None


def unfold_bmm(problem: Problem, direction: str) -> Ready:
    """What people write: all windows as a matrix for each kernel, and a product of matrices."""
    shape, grid = problem.shape, problem.shape.grid
    axes, share, groups = grid.axes, shape.share, shape.groups
    split = [size for count in grid.blocks for size in (count, share)]
    blocks = [3 + 2 * axis for axis in range(axes)]
    within = [4 + 2 * axis for axis in range(axes)]
    features = shape.channels // groups * shape.taps

    def columns(x: Tensor) -> Tensor:
        if axes == 2:
            return F.unfold(padded(shape, x), grid.kernel_size, grid.dilation, 0, grid.stride)
        taps = range(2 + axes, 2 + 2 * axes)
        windows = window_views(shape, padded(shape, x))
        return windows.permute(0, 1, *taps, *range(2, 2 + axes)).flatten(1, 1 + axes).flatten(2)

    def layer(x: Tensor, weight: Tensor) -> Tensor:
        windows = columns(x).reshape(-1, groups, features, *split)
        windows = windows.permute(*blocks, 1, 2, 0, *within).reshape(
            grid.kernels * groups, features, -1
        )
        y = torch.bmm(weight.reshape(grid.kernels * groups, -1, features), windows)
        y = y.reshape(*grid.blocks, shape.outputs, -1, *(share,) * axes)
        order = [axis for first in range(axes) for axis in (first, axes + 2 + first)]
        return y.permute(axes + 1, axes, *order).reshape(-1, shape.outputs, *grid.output_size)

    return torch_ready(layer, problem, direction)


def compiled_einsum(problem: Problem, direction: str) -> Ready:
    """The sum over windows as an einsum, compiled for these sizes."""
    shape, axes, groups = problem.shape, problem.shape.grid.axes, problem.shape.groups
    places, taps = "xyz"[:axes], "ijk"[:axes]
    equation = f"ngc{places}{taps},{places}goc{taps}->ngo{places}"

    def layer(x: Tensor, weight: Tensor) -> Tensor:
        windows = window_views(shape, padded(shape, x)).unflatten(1, (groups, -1))
        kernels = spread(shape, weight).unflatten(axes, (groups, -1))
        return torch.einsum(equation, windows, kernels).flatten(1, 2)

    torch.compiler.reset()
    compiled = torch.compile(layer, fullgraph=True, dynamic=False)
    return torch_ready(compiled, problem, direction)


def a_compiler(shape: Shape) -> str | None:
    named = os.environ.get("CXX")
    found = any(shutil.which(name) for name in ([named] if named else ["g++", "clang++"]))
    return None if found else "needs a C++ compiler (g++ or clang++)"


def gist_obstacle(shape: Shape) -> str | None:
    if len(shape.size) != 2:
        return "is for two dimensions"
    if shape.groups > 1:
        return "has no groups"
    return "has no dilation" if shape.dilation > 1 else None


def gist_scratch(shape: Shape, direction: str) -> int:
    """Every product of an input and a weight is stored; backward those of both gradients."""
    products = FLOAT * shape.images * shape.outputs * shape.channels * shape.positions * shape.taps
    times = 1 if direction == "forward" else 2
    return times * products + windows_copied(shape, direction)


def gist(problem: Problem, direction: str) -> Ready:
    """The LocallyConnected2d that is passed around: windows times weights, (1, O, C, Ho, Wo, taps), summed."""
    shape, grid = problem.shape, problem.shape.grid

    def layer(x: Tensor, weight: Tensor) -> Tensor:
        if shape.share > 1:
            weight = spread(shape, weight.permute(3, 4, 0, 1, 2, 5)).permute(2, 3, 4, 0, 1, 5)
        windows = window_views(shape, padded(shape, x)).contiguous().flatten(4)
        return (windows.unsqueeze(1) * weight).sum([2, -1])

    own = problem.weight.flatten(4).permute(2, 3, 0, 1, 4).unsqueeze(0).contiguous()

    def read(results: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if direction == "forward":
            return results
        y, of_x, of_weight = results
        kernels = of_weight.squeeze(0).permute(2, 3, 0, 1, 4)
        return y, of_x, kernels.unflatten(4, grid.kernel_size)

    ready = torch_ready(layer, problem, direction)
    return Ready("gist", lambda count: torch_copies(own, count), ready.run, read)


# ---- the kernels without PyTorch around them


def kernels_alone(problem: Problem, direction: str) -> Ready:
    """The compiled kernels on tables and outputs made before: no allocation, no checks of a layer's arguments."""
    shape, grid, groups = problem.shape, problem.shape.grid, problem.shape.groups
    along = [tap_sources(grid, axis) for axis in range(grid.axes)]
    own = None if shape.share == 1 else kernel_of_position(grid)
    windows = cpu.Windows(WindowTables.from_axes(grid.input_size, along, own))
    x, y_gradient = problem.x, problem.y_gradient
    y, of_x = torch.empty_like(y_gradient), torch.empty_like(x)
    of_weight = torch.empty_like(problem.weight) if direction == "backward" else torch.empty(0)

    def run(weight: Tensor) -> tuple[Tensor, ...]:
        cpu.forward(windows, x, weight, None, y, groups=groups)
        if direction == "forward":
            return (y,)
        cpu.input_gradient(windows, y_gradient, weight, of_x, groups=groups)
        cpu.weight_gradient(windows, y_gradient, x, of_weight, groups=groups)
        return y, of_x, of_weight

    return Ready(
        "striate", lambda count: torch_copies(problem.weight, count), run, lambda results: results
    )


def kernels_there(shape: Shape) -> str | None:
    missing = cpu.missing()
    return None if missing is None else f"is not there: {missing}"


# ---- JAX


def jax_obstacle(shape: Shape) -> str | None:
    if importlib.util.find_spec("jax") is None:
        return "is not installed"
    return "has no groups" if shape.groups > 1 else None


def jax_local(problem: Problem, direction: str) -> Ready:
    import local_jax

    return local_jax.ready(problem, direction)


#: The layer, in the order of the table's columns: ours twice, then the others.
PEERS = (
    Peer(OURS, nothing, no_scratch, ours),
    Peer(KERNELS, kernels_there, no_scratch, kernels_alone),
    Peer(UNFOLD, whole_blocks, windows_copied, unfold_bmm),
    Peer(GIST, gist_obstacle, gist_scratch, gist),
    Peer(COMPILED, a_compiler, windows_copied, compiled_einsum, generated=True),
    Peer(JAX, jax_obstacle, windows_copied, jax_local),
    Peer(PLAIN, nothing, windows_copied, plain),
)
