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
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from striate.ops import cpu
from striate.reduce.latency import backend_of, timed
from striate.reduce.rungs.compose import Rung
from striate.reduce.rungs.dense import Dense
from striate.reduce.rungs.local import Grid, Local
from striate.reduce.rungs.low_rank import LowRank
from striate.reduce.rungs.pooled import Pooled
from striate.reduce.rungs.shared import Blocked, Shared
from striate.reduce.rungs.split import Split
from striate.reduce.rungs.stage import Place
from striate.reduce.sites import Layout
from striate.sources.zoo import keras_cnn, mlp

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
    # Whose `fc1` it is, and what that network takes.
    network: Callable[[], nn.Module] | None = None
    example: tuple[int, ...] = ()

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
        mlp.build,
        (1, 28, 28),
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
        keras_cnn.build,
        (3, 32, 32),
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
    if isinstance(units, Tensor):
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


def in_network(site: Site, module: nn.Module, dense: nn.Linear) -> tuple[nn.Module, nn.Module]:
    """The site's network with the dense layer, and a copy with `module` in its place."""
    assert site.network is not None
    before = site.network().eval().requires_grad_(False)
    after = copy.deepcopy(before)
    before.set_submodule("fc1", dense)
    after.set_submodule("fc1", module)
    return before, after


def compare(before: nn.Module, after: nn.Module, x: Tensor, seconds: float) -> str:
    """A cell of the table, once the two have been checked to compute the same."""
    ours, theirs = after(x), before(x)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3 * float(theirs.abs().max()))
    pair = timed(lambda: before(x), lambda: after(x), len(x), seconds=seconds)
    low, high = pair.middle_half
    return f"{pair.before_ms:.3f} → {pair.after_ms:.3f} ms, {pair.ratio:.2f} ({low:.2f}–{high:.2f})"


@torch.inference_mode()
def rows(site: Site, batches: list[int], seconds: float) -> Iterator[str]:
    """The lines of a site: each rung alone, then the local ones in the site's network."""
    for rung, place, more in site.rungs():
        module = build(rung, place)
        dense = same_dense(module, place)
        xs = [torch.randn(batch, place.inputs) for batch in batches]
        cells = [compare(dense, module, x, seconds) for x in xs]
        share = parameters(module) / parameters(dense)
        by = (backend_of(module, lambda: module(xs[0])) or "torch").split(":")[0]  # noqa: B023
        name = f"{site.name}, {place.inputs} → {place.outputs}"
        yield line(name, rung.label() + more, f"{100 * share:.1f} %", by, *cells)
        if site.network is not None and not more and rung.kinds[0] in ("local", "blocked"):
            before, after = in_network(site, module, dense)
            xs = [torch.randn(batch, *site.example) for batch in batches]
            cells = [compare(before, after, x, seconds) for x in xs]
            share = parameters(after) / parameters(before)
            yield line("the whole network", rung.label(), f"{100 * share:.1f} %", by, *cells)


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


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
    threads = f"{options.threads} thread{'s' if options.threads > 1 else ''}"
    print(f"torch {torch.__version__}, {threads}, {kernels}\n")
    heads = [f"batch {batch}: dense → rung, times as fast" for batch in batches]
    print(line("dense layer", "rung in its place", "weights", "by", *heads))
    print("|---" * (4 + len(batches)) + "|")
    for site in SITES:
        if not options.only or site.name in options.only.split(","):
            for text in rows(site, batches, options.seconds):
                print(text, flush=True)


if __name__ == "__main__":
    main()
