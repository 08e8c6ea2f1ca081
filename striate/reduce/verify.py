"""Whether a network is what its plan says, and how fast it is beside the original."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from striate.reduce.running import checked_device, evaluating, takes_channels_last


def counts(model: nn.Module) -> dict[str, int]:
    """What a network stores, counted on its tensors: a tied tensor once, buffers in the bytes only.

    >>> counts(nn.BatchNorm1d(3))  # two times 3 floats, two times 3 in buffers, one int64
    {'params': 6, 'weight_bytes': 56}
    """
    parameters = list(model.parameters())
    stored = [*parameters, *model.buffers()]
    return {
        "params": sum(tensor.numel() for tensor in parameters),
        "weight_bytes": sum(tensor.numel() * tensor.element_size() for tensor in stored),
    }


def check_counts(model: nn.Module, planned: Mapping[str, int]) -> dict[str, int]:
    """`counts(model)`, if they are what was planned; `planned` may hold further metrics.

    A difference is a fault of striate, not of the request, and raises `RuntimeError`.

    >>> check_counts(nn.Linear(3, 2), {"params": 8, "macs": 6})["params"]
    8
    """
    found = counts(model)
    wrong = [
        f"{metric} {value:,} where the plan says {planned[metric]:,}"
        for metric, value in found.items()
        if metric in planned and planned[metric] != value
    ]
    if wrong:
        raise RuntimeError(f"the built network is not the planned one: it has {'; '.join(wrong)}")
    return found


@dataclass(frozen=True)
class Latency:
    """Medians of the time of one forward, in milliseconds. `ratio` is before / after: above 1 is faster."""

    batch: int
    threads: int
    before_ms: float
    after_ms: float
    ratio: float

    def to_dict(self) -> dict[str, float | int]:
        return asdict(self)


def latency(
    before: nn.Module,
    after: nn.Module,
    example: Tensor,
    *,
    device: str | torch.device = "cpu",
    seconds: float = 1.0,
    least: int = 15,
    most: int = 500,
) -> Latency:
    """Time both networks on `example`, of shape `(batch, *shape)`, in evaluation mode, in this process.

    The two take turns, so that whatever else the machine does slows both. Each is run at least `least` times
    and at most `most`, until `seconds` have passed, after some unmeasured runs.

    >>> latency(nn.Linear(8, 8), nn.Linear(8, 2), torch.zeros(1, 8), seconds=0.01).batch
    1
    """
    place = checked_device(device)
    inputs = example.to(place)
    with ExitStack() as stack, torch.inference_mode():
        batches = []
        for model in (before, after):
            last = takes_channels_last(model, inputs)
            stack.enter_context(evaluating(model, channels_last=last))
            batches.append(inputs.contiguous(memory_format=torch.channels_last) if last else inputs)
        times: tuple[list[float], list[float]] = ([], [])
        for turn in _turns(seconds, least, most):
            for model, batch, taken in zip((before, after), batches, times, strict=True):
                spent = _time(model, batch, place)
                if turn >= 0:
                    taken.append(spent)
    old, new = (statistics.median(taken) * 1e3 for taken in times)
    return Latency(len(example), torch.get_num_threads(), old, new, old / new)


def _turns(seconds: float, least: int, most: int) -> Iterator[int]:
    """-3, -2, -1 to warm up, then 0, 1, … as long as the time lasts."""
    yield from range(-3, 0)
    end = time.perf_counter() + seconds
    for turn in range(most):
        if turn >= least and time.perf_counter() > end:
            return
        yield turn


def _time(model: nn.Module, inputs: Tensor, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    model(inputs)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began
