"""Dense layers against what `striate shrink` puts in their place, forward, on one example and on more.

    python benchmarks/rungs.py [--threads N] [--seconds S] [--only mlp,cnn,vgg] [--batches 1,32]

The modules are those of the rungs themselves. Each dense layer first gets the weights with which it computes just what
its replacement does, and is checked to: nothing else about the two differs. They then run in turns, as in the report of
a shrink; a ratio is of the two times of one turn, above 1 the replacement is the faster, and what is printed is the
median and the range of the middle half. The weights of both stay in whatever cache holds them. That is kind to the
dense layer, which is the larger.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from striate.nn.layer import LocalLayer
from striate.ops import cpu
from striate.reduce.latency import Pair, timed
from striate.reduce.rungs.compose import Rung
from striate.reduce.rungs.dense import Dense
from striate.reduce.rungs.local import Grid, Local
from striate.reduce.rungs.low_rank import LowRank
from striate.reduce.rungs.pooled import Pooled
from striate.reduce.rungs.shared import Blocked, Shared
from striate.reduce.rungs.split import Split
from striate.reduce.rungs.stage import Place
from striate.reduce.sites import Layout

# Rows of the identity that go through a replacement at once.
_AT_ONCE = 512


@dataclass(frozen=True)
class Site:
    """A dense layer on a map, the grid that its outputs are put on, and other rungs that fit there."""

    name: str
    layout: tuple[int, int, int]
    outputs: int
    grid: Grid
    share: int
    others: tuple[Rung, ...]

    @property
    def place(self) -> Place:
        channels, height, width = self.layout
        return Place(channels * height * width, self.outputs, True, Layout(*self.layout))

    def rungs(self) -> Iterator[tuple[Rung, Place, str]]:
        """A rung, its place and what its label does not say."""
        place = self.place
        yield Rung((Local(self.grid),)), place, ""
        tables = replace(place, ordered=False, foldable=False)
        yield Rung((Local(self.grid),)), tables, ", tables at both ends"
        yield Rung((Blocked(self.grid, self.share),)), place, ""
        yield Rung((Shared(self.grid),)), place, ""
        for rung in self.others:
            yield rung, place, ""


def _grid(channels: int, side: int, window: int, stride: int, padding: int = 0) -> Grid:
    return Grid(channels, (side, side), (window, window), (stride, stride), (padding, padding))


SITES = (
    Site(
        "mlp",  # the hidden layer of zoo:mlp
        (1, 28, 28),
        1024,
        _grid(16, 8, 7, 3),
        4,
        (
            Rung((LowRank(29),)),
            Rung((Pooled("avg", (14, 14), (2, 2), (2, 2)), Dense())),
        ),
    ),
    Site(
        "cnn",  # the first dense layer of zoo:keras-cnn
        (64, 6, 6),
        512,
        _grid(32, 4, 3, 1),
        2,
        (
            Rung((LowRank(85),)),
            Rung((Pooled("avg", (3, 3), (2, 2), (2, 2)), Dense())),
            Rung((Split(16), Dense())),
        ),
    ),
    Site(
        "vgg",  # the first dense layer of VGG-16
        (512, 7, 7),
        4096,
        _grid(84, 7, 3, 1, 1),
        2,
        (
            Rung((LowRank(256),)),
            Rung((Pooled("avg", (4, 4)), Dense())),
            Rung((Split(64), Dense())),
        ),
    ),
)


def build(rung: Rung, place: Place) -> nn.Module:
    """The rung's module with random weights and, where the place needs them, random tables."""
    index = None if place.ordered else torch.randperm(place.inputs)
    module = rung.build(place, index).eval().requires_grad_(False)
    units = getattr(module, "units", None)
    if units is not None:
        units.copy_(
            torch.randperm(rung.layout.channels * rung.layout.height * rung.layout.width)[
                : len(units)
            ]
        )
    return module


def same_dense(module: nn.Module, place: Place) -> nn.Linear:
    """The dense layer that computes what `module` does, read off the identity."""
    dense = nn.Linear(place.inputs, place.outputs).eval().requires_grad_(False)
    zero = module(torch.zeros(1, place.inputs))[0]
    dense.bias.copy_(zero)
    for start in range(0, place.inputs, _AT_ONCE):
        rows = torch.zeros(min(_AT_ONCE, place.inputs - start), place.inputs)
        rows[torch.arange(len(rows)), start + torch.arange(len(rows))] = 1
        dense.weight[:, start : start + len(rows)] = (module(rows) - zero).T
    return dense


def check(module: nn.Module, dense: nn.Linear, x: Tensor) -> None:
    ours, theirs = module(x), dense(x)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3 * float(theirs.abs().max()))


def backend(module: nn.Module, x: Tensor) -> str:
    """What computes the local layer in `module`; "" if it has none."""
    from striate.reduce.latency import _backend

    return (_backend(module, lambda: module(x)) or "").split(":")[0]


def shown(pair: Pair) -> str:
    low, high = pair.middle_half
    return f"{pair.before_ms:.3f} → {pair.after_ms:.3f} ms, {pair.ratio:.2f} ({low:.2f}–{high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--only", default="")
    parser.add_argument("--batches", default="1,32")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    batches = [int(batch) for batch in options.batches.split(",")]
    missing = cpu.missing()
    kernels = f"kernels {cpu.instructions()}" if missing is None else f"no kernels: {missing}"
    print(f"torch {torch.__version__}, {options.threads} threads, {kernels}\n")
    heads = [f"batch {batch}: dense → rung, times as fast" for batch in batches]
    print("| site | rung | weights | backend | " + " | ".join(heads) + " |")
    print("|---" * (4 + len(batches)) + "|")
    for site in SITES:
        if options.only and site.name not in options.only.split(","):
            continue
        for rung, place, more in site.rungs():
            row(site, rung, place, more, batches, options.seconds)


@torch.inference_mode()
def row(
    site: Site, rung: Rung, place: Place, more: str, batches: list[int], seconds: float
) -> None:
    module = build(rung, place)
    dense = same_dense(module, place)
    cells = []
    for batch in batches:
        x = torch.randn(batch, place.inputs)
        check(module, dense, x)
        pair = timed(lambda: dense(x), lambda: module(x), batch, seconds=seconds)  # noqa: B023
        cells.append(shown(pair))
    share = sum(p.numel() for p in module.parameters()) / sum(p.numel() for p in dense.parameters())
    name = f"{site.name} {place.inputs} → {place.outputs}"
    print(
        f"| {name} | {rung.label()}{more} | {100 * share:.1f} % | {backend(module, x)} | "
        + " | ".join(cells)
        + " |",
        flush=True,
    )


if __name__ == "__main__":
    main()
