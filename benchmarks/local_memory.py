"""The most memory that a run takes beside its inputs, weights and outputs, by the system's count, in fresh processes.

Each measurement is a process of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import resident
import torch
from local_peers import PEERS
from local_process import in_a_process
from local_shapes import Problem, Shape

from striate import nn

#: So that libraries, threads and the autograd engine are there before memory is counted.
_SMALL = Shape("small", 4, 8, (40, 40), 8, 3)


def of_peers(
    shape: Shape, direction: str, names: Sequence[str], threads: int
) -> Iterator[dict[str, Any]]:
    """A row for each of the peers (layers in PyTorch) that can do the shape."""
    for peer in PEERS:
        if peer.name in names and peer.obstacle(shape) is None:
            first, again = in_a_process(threads, _extra, peer.name, shape, direction)
            yield {
                "kind": "memory",
                "shape": shape.name,
                "direction": direction,
                "peer": peer.name,
                "extra": first,
                "again": again,
                "tensors": shape.tensor_bytes(direction),
            }


def of_article(direction: str, threads: int, size: int = 1000, kernel: int = 10) -> dict[str, Any]:
    """The whole process, libraries and all, that makes a `LocallyConnected2d` of 1000×1000 and runs it once."""
    weights, peak = in_a_process(threads, _article, size, kernel, direction)
    return {"kind": "article", "direction": direction, "weights": weights, "peak": peak}


def _extra(name: str, shape: Shape, direction: str) -> tuple[int, int]:
    """Of the first run, in which a layer's tables are made, and of the next, with what the first has kept."""
    resident.give_back_at_once()
    prepare = next(peer.prepare for peer in PEERS if peer.name == name)
    small = Problem.of(_SMALL)
    prepare(small, direction).run(small.weight)
    problem = Problem.of(shape)
    ready = prepare(problem, direction)
    resident.settle()
    before = resident.kilobytes("VmRSS")
    first = resident.peak_of(lambda: ready.run(problem.weight)) - before
    again = resident.peak_of(lambda: ready.run(problem.weight)) - before
    outputs = shape.output_bytes
    if direction == "backward":
        outputs += shape.input_bytes + shape.weight_bytes
    return max(0, 1024 * first - outputs), max(0, 1024 * again - outputs)


def _article(size: int, kernel: int, direction: str) -> tuple[int, int]:
    layer = nn.LocallyConnected2d(1, 1, kernel, input_size=(size, size), padding="same")
    x = torch.randn(1, 1, size, size)
    if direction == "forward":
        with torch.no_grad():
            layer(x)
    else:
        layer(x).sum().backward()
        assert layer.weight.grad is not None
    return layer.weight.numel() * layer.weight.element_size(), 1024 * resident.kilobytes("VmHWM")
