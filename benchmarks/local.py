"""Locally connected layers against the bound of the machine and against unfold + bmm.

    python benchmarks/local.py [--threads N] [--rounds N] [--only A,B] [--direction forward|backward]

The bound of a shape is the larger of bytes / bandwidth and FLOPs / peak, both measured here, in the same minutes:
bytes are those of input, weight and output, each once; FLOPs those of the taps that fall on the input. Results are
checked against each other first. Ours and the rival run in turns; a ratio is of the two runs of one turn, and what is
printed is its median and the range of its middle half. Weights rotate through more memory than the last cache holds
(`--rotate`, in MB), so none is found in it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from striate.ops import cpu
from striate.ops.tables import WindowTables

Clock = Callable[[], float]


@dataclass(frozen=True)
class Shape:
    """A two-dimensional layer with stride 1, a kernel to each position."""

    name: str
    images: int
    channels: int
    size: int
    outputs: int
    kernel: int
    padding: tuple[int, int]

    @property
    def output_size(self) -> int:
        return self.size + sum(self.padding) - self.kernel + 1


SHAPES = (
    Shape("A", 1, 1, 1000, 1, 10, (4, 5)),
    Shape("B", 8, 16, 63, 16, 9, (0, 0)),
    Shape("C", 16, 8, 28, 24, 5, (0, 0)),
    Shape("D", 32, 1024, 7, 256, 3, (1, 1)),
    Shape("E", 128, 3, 32, 64, 3, (1, 1)),
    Shape("F", 32, 64, 16, 64, 3, (1, 1)),
    Shape("G", 1, 64, 16, 64, 3, (1, 1)),
)


def tables_of(shape: Shape) -> WindowTables:
    taps = np.arange(shape.output_size)[:, None] + np.arange(shape.kernel) - shape.padding[0]
    along = np.where((taps >= 0) & (taps < shape.size), taps, -1)
    return WindowTables.from_axes([shape.size, shape.size], [along, along])


def unfold_bmm(shape: Shape, x: Tensor, weight: Tensor) -> Tensor:
    """What people write: all windows as a matrix for each position, and a product of matrices."""
    low, high = shape.padding
    windows = F.unfold(F.pad(x, (low, high, low, high)), shape.kernel)  # (N, C * taps, P)
    y = torch.bmm(weight.flatten(2), windows.permute(2, 1, 0))  # (P, O, N)
    side = shape.output_size
    return y.permute(2, 1, 0).reshape(shape.images, shape.outputs, side, side)


@dataclass(frozen=True)
class Machine:
    bandwidth: float  # bytes per second
    peak: float  # FLOPs per second


def best_seconds(run: Callable[[], object], clock: Clock, rounds: int = 5) -> float:
    times = []
    for _ in range(rounds):
        start = clock()
        run()
        times.append(clock() - start)
    return min(times)


def measure_machine(clock: Clock) -> Machine:
    """Reading from memory (a sum) and multiplying matrices, by torch, with the threads that it is given."""
    large = torch.ones(1 << 27)
    square = torch.ones(1024, 1024)
    return Machine(
        large.numel() * 4 / best_seconds(large.sum, clock),
        2 * 1024**3 / best_seconds(lambda: square @ square, clock, 12),
    )


@dataclass(frozen=True)
class Result:
    shape: Shape
    seconds: list[float]
    rival: list[float]
    bound: float
    limit: str


def bound_of(
    shape: Shape, tables: WindowTables, machine: Machine, backward: bool
) -> tuple[float, str]:
    inside = int((tables.offsets >= 0).sum(1)[tables.pattern].sum())
    flops = 2 * inside * shape.channels * shape.outputs * shape.images
    weights = tables.positions * tables.taps * shape.channels * shape.outputs
    maps = shape.images * (shape.channels * tables.inputs + shape.outputs * tables.positions)
    moved = 4 * (weights + maps)
    if backward:  # both gradients, each with a read of the weight's size or a write of it
        flops, moved = 2 * flops, 2 * moved
    by_bytes, by_flops = moved / machine.bandwidth, flops / machine.peak
    return max(by_bytes, by_flops), "memory" if by_bytes > by_flops else "arithmetic"


def measure(
    shape: Shape,
    machine: Machine,
    rounds: int,
    rotate: int,
    threads: int,
    backward: bool,
    order: str,
    clock: Clock,
) -> Result:
    tables = tables_of(shape)
    windows = cpu.Windows(tables)
    weight_shape = (tables.positions, shape.outputs, shape.channels, tables.taps)
    copies = max(1, min(16, -(-rotate * 1_000_000 // (4 * prod(weight_shape)))))
    weights = [torch.randn(weight_shape) / 30 for _ in range(copies)]
    x = torch.randn(shape.images, shape.channels, shape.size, shape.size)
    side = shape.output_size
    y = torch.empty(shape.images, shape.outputs, side, side)
    gy = torch.randn_like(y)
    gx, gw = torch.empty_like(x), torch.empty(weight_shape)

    def ours(weight: Tensor) -> None:
        if backward:
            cpu.input_gradient(windows, gy, weight, gx, threads=threads, order=order)
            cpu.weight_gradient(windows, gy, x, gw, threads=threads)
        else:
            cpu.forward(windows, x, weight, None, y, threads=threads, order=order)

    def rival(weight: Tensor) -> list[Tensor]:
        if not backward:
            return [unfold_bmm(shape, x, weight)]
        leaves = [x.detach().requires_grad_(), weight.detach().requires_grad_()]
        out = unfold_bmm(shape, *leaves)
        return list(torch.autograd.grad(out, leaves, gy))

    ours(weights[0])
    for mine, theirs in zip([gx, gw] if backward else [y], rival(weights[0]), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-3 * float(theirs.abs().max()))
    mine_s, theirs_s = [], []
    for turn in range(rounds):
        weight = weights[turn % copies]
        for run, times in ((ours, mine_s), (rival, theirs_s)):
            start = clock()
            run(weight)
            times.append(clock() - start)
    bound, limit = bound_of(shape, tables, machine, backward)
    return Result(shape, mine_s, theirs_s, bound, limit)


def middle(values: list[float]) -> str:
    low, _, high = statistics.quantiles(values, n=4)
    return f"{statistics.median(values):6.2f} ({low:.2f}–{high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=16)
    parser.add_argument("--rotate", type=int, default=1100)
    parser.add_argument("--only", default="")
    parser.add_argument("--order", default="choose")
    parser.add_argument("--direction", choices=("forward", "backward"), default="forward")
    parser.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="cpu: time of the processor, for one thread on a machine that others use too",
    )
    options = parser.parse_args()
    clock: Clock = time.perf_counter if options.clock == "wall" else time.process_time
    torch.set_num_threads(options.threads)
    backward = options.direction == "backward"
    ratios = []
    print(f"{options.direction}, {options.threads} threads, {cpu.instructions()}")
    print("shape     ms   bound ms  limit       times the bound        rival / ours")
    for shape in SHAPES:
        if options.only and shape.name not in options.only.split(","):
            continue
        machine = measure_machine(clock)
        result = measure(
            shape,
            machine,
            options.rounds,
            options.rotate,
            options.threads,
            backward,
            options.order,
            clock,
        )
        times = [seconds / result.bound for seconds in result.seconds]
        median = statistics.median(result.seconds)
        ratios.append(max(1.0, statistics.median(times)))
        print(
            f"{shape.name:5} {median * 1e3:8.2f} {result.bound * 1e3:8.2f}   {result.limit:10} "
            f"{middle(times):22} {middle([other / median for other in result.rival])}   "
            f"[{machine.bandwidth / 1e9:.1f} GB/s, {machine.peak / 1e9:.0f} GFLOP/s]",
            flush=True,
        )
    print(f"geometric mean of the times over the bound: {statistics.geometric_mean(ratios):.2f}")


if __name__ == "__main__":
    main()
