"""`jax.lax.conv_general_dilated_local`, where JAX is installed. Channels last, as Flax's ConvLocal calls it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import torch
from local_peers import Ready
from local_shapes import Problem
from torch import Tensor

jax.config.update("jax_platforms", "cpu")


def ready(problem: Problem, direction: str) -> Ready:
    shape, grid = problem.shape, problem.shape.grid
    axes = grid.axes
    letters = "DHW"[3 - axes :]
    numbers = (f"N{letters}C", f"{letters}IO", f"N{letters}C")

    def layer(x: Any, weight: Any) -> Any:
        if shape.share > 1:
            for axis, count in enumerate(grid.output_size):
                weight = weight.repeat(shape.share, axis)
                weight = jax.lax.slice_in_dim(weight, 0, count, axis=axis)
        return jax.lax.conv_general_dilated_local(
            x, weight, grid.stride, grid.padding, grid.kernel_size,
            rhs_dilation=grid.dilation, dimension_numbers=numbers,
        )  # fmt: skip

    def both(x: Any, weight: Any, y_gradient: Any) -> Any:
        y, gradients = jax.vjp(layer, x, weight)
        return (y, *gradients(y_gradient))

    x = jax.device_put(_channels_last(problem.x))
    y_gradient = jax.device_put(_channels_last(problem.y_gradient))
    forward, backward = jax.jit(layer), jax.jit(both)

    def run(weight: Any) -> tuple[Any, ...]:
        if direction == "forward":
            return (jax.block_until_ready(forward(x, weight)),)
        return tuple(jax.block_until_ready(backward(x, weight, y_gradient)))

    # (*blocks, C * taps, O), the features of a window with the channel first.
    own = problem.weight.flatten(axes + 1).transpose(-1, -2).contiguous().numpy()

    def copies(count: int) -> Sequence[Any]:
        pool = np.empty((count, *own.shape), own.dtype)
        pool[:] = own
        return [jax.device_put(one) for one in pool]

    def read(results: tuple[Any, ...]) -> tuple[Tensor, ...]:
        tensors = [torch.from_numpy(np.array(result)) for result in results]
        maps = [tensor.movedim(-1, 1) for tensor in tensors[:2]]
        kernels = [tensor.transpose(-1, -2).reshape(shape.weight_shape) for tensor in tensors[2:]]
        return (*maps, *kernels)

    return Ready("jax", copies, run, read)


def _channels_last(tensor: Tensor) -> np.ndarray[Any, Any]:
    return tensor.movedim(1, -1).contiguous().numpy()
