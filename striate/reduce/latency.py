"""How fast a network is beside the original, and each changed layer beside the one it replaces.

Both are run as they are (`striate.load` gives the same network), in evaluation mode without gradients, in turns: what
else the machine does slows both, and each finds the caches as the other left them. A ratio is of the two times of
one turn; above 1 the second network is the faster one.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from striate.nn.layer import LocalLayer
from striate.reduce.running import checked_device, evaluating

#: The larger batch is the largest of these that the original is expected to answer in `_PASS` milliseconds.
_BATCHES = (32, 8, 2)
_PASS = 500.0


@dataclass(frozen=True)
class Pair:
    """Two things timed in turns: median milliseconds of each, and the ratio before / after of a turn.

    `ratio` is the median over the turns, `middle_half` the range of the middle half of them.
    """

    batch: int
    before_ms: float
    after_ms: float
    ratio: float
    middle_half: tuple[float, float]
    turns: int


@dataclass(frozen=True)
class LayerPair(Pair):
    """A layer of the original beside what stands in its place; `backend` of the local layers in that, if any."""

    name: str
    backend: str | None


@dataclass(frozen=True)
class Latency(Pair):
    """Two networks on one example, beside that on a larger batch, and layer by layer on one example.

    `backend` says what computes the second network's local layers, and why; None where it has none.
    """

    threads: int
    device: str
    dtype: str
    backend: str | None
    larger: Pair | None
    layers: tuple[LayerPair, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def latency(
    before: nn.Module,
    after: nn.Module,
    examples: Tensor,
    sites: Sequence[str] = (),
    *,
    device: str | torch.device = "cpu",
    seconds: float = 1.0,
) -> Latency:
    """Time two networks on one of `examples`, (n, *shape), on a larger batch, and their modules at `sites`.

    `seconds` is for each of the two batches; the sites share as much. Networks and examples are on `device`.

    >>> found = latency(nn.Linear(8, 8), nn.Linear(8, 2), torch.zeros(2, 8), seconds=0.01)
    >>> found.batch, found.larger.batch, found.dtype, found.backend
    (1, 32, 'float32', None)
    """
    place = checked_device(device)
    examples = examples.to(place)
    one = examples[:1]
    with ExitStack() as stack, torch.inference_mode():
        for model in (before, after):
            stack.enter_context(evaluating(model))
        single = timed(lambda: before(one), lambda: after(one), 1, seconds=seconds, device=place)
        size = next((n for n in _BATCHES if n * single.before_ms <= _PASS), None)
        larger = None
        if size is not None:
            many = examples[torch.arange(size, device=place) % len(examples)]
            larger = timed(
                lambda: before(many), lambda: after(many), size, seconds=seconds, device=place
            )
        backend = backend_of(after, lambda: after(one))
        layers = tuple(_layers(before, after, one, sites, seconds / max(1, len(sites)), place))
    return Latency(
        **vars(single),
        threads=torch.get_num_threads(),
        device=str(place),
        dtype=str(examples.dtype).removeprefix("torch."),
        backend=backend,
        larger=larger,
        layers=layers,
    )


def timed(
    before: Callable[[], object],
    after: Callable[[], object],
    batch: int,
    *,
    seconds: float = 1.0,
    least: int = 15,
    most: int = 1000,
    device: torch.device | None = None,
) -> Pair:
    """Time two calls in turns: at least `least` and at most `most`, until `seconds` have passed.

    The first turns do not count: what is made once is made there.

    >>> timed(lambda: sum(range(3000)), lambda: None, 1, seconds=0.01).ratio > 1
    True
    """
    times: tuple[list[float], list[float]] = ([], [])
    calls = ((before, times[0]), (after, times[1]))
    for turn in _turns(seconds, least, most):
        for call, taken in calls:
            spent = _time(call, device)
            if turn >= 0:
                taken.append(spent)
    ratios = [old / new for old, new in zip(*times, strict=True)]
    low, ratio, high = statistics.quantiles(ratios, n=4, method="inclusive")
    old, new = (statistics.median(taken) * 1e3 for taken in times)
    return Pair(batch, old, new, ratio, (low, high), len(ratios))


def _turns(seconds: float, least: int, most: int) -> Iterator[int]:
    """-3, -2, -1 to warm up, then 0, 1, … as long as the time lasts."""
    yield from range(-3, 0)
    end = time.perf_counter() + seconds
    for turn in range(most):
        if turn >= least and time.perf_counter() > end:
            return
        yield turn


def _time(call: Callable[[], object], device: torch.device | None) -> float:
    cuda = device is not None and device.type == "cuda"
    if cuda:
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    call()
    if cuda:
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def _layers(
    before: nn.Module,
    after: nn.Module,
    one: Tensor,
    sites: Sequence[str],
    seconds: float,
    device: torch.device,
) -> Iterator[LayerPair]:
    """Each site's module before and after, on what the two networks give it (its first call, if it has several)."""
    old, new = (_called(model, sites, one) for model in (before, after))
    for name in sites:
        if name not in old or name not in new:  # a part that this example does not pass
            continue
        pair = timed(old[name], new[name], 1, seconds=seconds, device=device)
        backend = backend_of(after.get_submodule(name), new[name])
        yield LayerPair(**vars(pair), name=name, backend=backend)


def _called(model: nn.Module, names: Sequence[str], one: Tensor) -> dict[str, Callable[[], object]]:
    """The first call of each module in a forward, to be made again."""
    calls: dict[str, Callable[[], object]] = {}

    def keep(name: str, module: nn.Module, args: Any, kwargs: Any) -> None:
        calls.setdefault(name, lambda: module(*args, **kwargs))

    with ExitStack() as stack:
        for name in names:
            handle = model.get_submodule(name).register_forward_pre_hook(
                lambda module, args, kwargs, name=name: keep(name, module, args, kwargs),
                with_kwargs=True,
            )
            stack.callback(handle.remove)
        model(one)
    return calls


def backend_of(model: nn.Module, run: Callable[[], object]) -> str | None:
    """What computes the local layers of `model`, as `run` calls them; each answer once."""
    found: dict[str, None] = {}

    def ask(layer: nn.Module, args: tuple[Any, ...]) -> None:
        assert isinstance(layer, LocalLayer)
        found[str(layer.backend(args[0]))] = None

    with ExitStack() as stack:
        for layer in model.modules():
            if isinstance(layer, LocalLayer):
                stack.callback(layer.register_forward_pre_hook(ask).remove)
        run()
    return "; ".join(found) or None
