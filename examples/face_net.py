"""A face network with local layers: as people write it with unfold, and with `striate.nn`, side by side.

The network is DeepFace at reduced size (Taigman, Yang, Ranzato and Wolf, "DeepFace: closing the gap to
human-level performance in face verification", CVPR 2014): a convolution, a max pool, a convolution, three
locally connected layers, L4 to L6, as eyes and mouths need other filters than foreheads, then two dense
layers. PyTorch has no such layer. What is used instead is `Unfolded`, below: unfold the windows, multiply
each with the kernels of its position, sum. `einsum` in place of product and sum is the better way to say
the same; both are compared.

    python examples/face_net.py            # all of it
    python examples/face_net.py --small    # a smaller picture, fewer rounds

It checks that all three compute the same from the same weights, then prints time and memory.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time

import torch
from torch import Tensor, nn

from striate.nn import LocallyConnected2d
from striate.nn.convert import from_gist

CHANNELS, PEOPLE, BATCHES = 16, 100, (1, 32)
WAYS = ("product", "einsum", "striate")


class Unfolded(nn.Module):
    """Before: a locally connected layer made of tensor operations, (N, C, H, W) to (N, O, Ho, Wo)."""

    def __init__(self, channels: int, outputs: int, size: int, kernel: int, stride: int, way: str):
        super().__init__()
        self.kernel_size, self.stride, self.input_size, self.way = kernel, stride, size, way
        side = (size - kernel) // stride + 1
        bound = (channels * kernel * kernel) ** -0.5
        self.weight = nn.Parameter(torch.empty(1, outputs, channels, side, side, kernel**2))
        self.bias = nn.Parameter(torch.empty(1, outputs, side, side))
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        windows = x.unfold(2, self.kernel_size, self.stride).unfold(
            3, self.kernel_size, self.stride
        )
        windows = windows.flatten(4)  # (N, C, Ho, Wo, k*k)
        if self.way == "einsum":
            return torch.einsum("nchwk,ochwk->nohw", windows, self.weight[0]) + self.bias
        return (windows[:, None] * self.weight).sum([2, -1]) + self.bias


def local(channels: int, outputs: int, size: int, kernel: int, stride: int, way: str) -> nn.Module:
    """One local layer, before or after."""
    if way == "striate":
        return LocallyConnected2d(channels, outputs, kernel, input_size=(size, size), stride=stride)
    return Unfolded(channels, outputs, size, kernel, stride, way)


def face_net(size: int, way: str) -> nn.Sequential:
    """The network for pictures (N, 3, size, size); `way` is one of `WAYS`."""
    c = CHANNELS
    pooled = (size - 4 - 3) // 2 + 1
    sides = [pooled - 4]  # what L4, L5 and L6 see
    for kernel, stride in ((5, 1), (5, 2), (3, 1)):
        sides.append((sides[-1] - kernel) // stride + 1)
    return nn.Sequential(
        *(nn.Conv2d(3, c, 5), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(c, c, 5), nn.ReLU()),
        *(local(c, c, sides[0], 5, 1, way), nn.ReLU()),  # L4
        *(local(c, c, sides[1], 5, 2, way), nn.ReLU()),  # L5
        *(local(c, c, sides[2], 3, 1, way), nn.ReLU()),  # L6
        *(nn.Flatten(), nn.Linear(c * sides[3] ** 2, 256), nn.ReLU(), nn.Linear(256, PEOPLE)),
    )


def rewritten(before: nn.Sequential) -> nn.Sequential:
    """The same network with `striate.nn` layers; the weights are carried over."""
    return nn.Sequential(
        *(
            from_gist(
                layer.weight,
                layer.bias,
                kernel_size=layer.kernel_size,
                input_size=(layer.input_size, layer.input_size),
                stride=layer.stride,
            )
            if isinstance(layer, Unfolded)
            else layer
            for layer in before
        )
    )


def step(network: nn.Module, pictures: Tensor, backward: bool) -> None:
    """One call, or one call and its gradients."""
    if not backward:
        with torch.no_grad():
            network(pictures)
        return
    network.zero_grad()
    network(pictures).square().mean().backward()


def seconds(
    networks: dict[str, nn.Module], pictures: Tensor, backward: bool, rounds: int
) -> dict[str, list[float]]:
    """The times of each network; they take turns, so that what else the machine does hits all alike."""
    times: dict[str, list[float]] = {way: [] for way in networks}
    for turn in range(rounds + 1):
        for way, network in networks.items():
            start = time.perf_counter()
            step(network, pictures, backward)
            if turn:  # the first one warms up
                times[way].append(time.perf_counter() - start)
    return times


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def extra_memory(size: int, way: str, batch: int, backward: bool) -> float:
    """MiB by which a step raises the peak above network and pictures; only true in a fresh process."""
    network, pictures = face_net(size, way), torch.rand(batch, 3, size, size)
    before = peak_mib()
    step(network, pictures, backward)
    return peak_mib() - before


def extra_memory_of_fresh_process(*arguments: object) -> float:
    words = [sys.executable, __file__, "--memory", *map(str, arguments)]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def compare(size: int, rounds: int) -> None:
    # Memory first: Linux counts the peak of the process that starts another one to the new one too.
    memory = {
        (way, backward): extra_memory_of_fresh_process(size, way, max(BATCHES), int(backward))
        for way in WAYS
        for backward in (False, True)
    }

    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {way: face_net(size, way) for way in WAYS[:2]}
    networks["einsum"].load_state_dict(networks["product"].state_dict())
    networks["striate"] = rewritten(networks["product"])
    pictures = torch.rand(max(BATCHES), 3, size, size)
    with torch.no_grad():
        expected = networks["product"](pictures)
        for network in networks.values():
            torch.testing.assert_close(network(pictures), expected, rtol=1e-4, atol=1e-5)
    count = sum(p.numel() for p in networks["striate"].parameters())
    where = {
        layer.backend(torch.rand(1, layer.in_channels, *layer.input_size))
        for layer in networks["striate"]
        if isinstance(layer, LocallyConnected2d)
    }
    print(
        f"{size}x{size} pictures, {count:,} parameters, {torch.get_num_threads()} thread(s) of torch"
    )
    print("same outputs from the same weights: yes;  backend:", *(b.name for b in where))
    print(
        f"\n{'':26}{'time of a step, ms':>30}  {'times faster than':>32}  {'extra memory, MiB':>30}"
    )
    print(f"{'':26}" + ("".join(f"{way:>10}" for way in WAYS)), end="  ")
    print("".join(f"{way:>16}" for way in WAYS[:2]) + "  " + "".join(f"{way:>10}" for way in WAYS))
    for batch in BATCHES:
        for backward in (False, True):
            times = seconds(networks, pictures[:batch], backward, rounds)
            line = f"batch {batch:2}, {'forward+backward' if backward else 'forward':17}"
            line += "".join(f"{statistics.median(times[way]) * 1e3:10.1f}" for way in WAYS) + "  "
            for way in WAYS[:2]:
                ratios = sorted(a / b for a, b in zip(times[way], times["striate"], strict=True))
                spread = f"({ratios[0]:.1f}-{ratios[-1]:.1f})"
                line += f"{statistics.median(ratios):5.1f} {spread:>10}"
            if batch == max(BATCHES):
                line += "  " + "".join(f"{memory[way, backward]:10.1f}" for way in WAYS)
            print(line)
    print(
        "\nTimes are medians; ratios are medians of pairs of neighbouring turns, with the least and the"
    )
    print(
        f"largest of {rounds}. Extra memory is the rise of the peak in a step, activations and gradients too."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="DeepFace, small, with unfold and with striate.nn")
    parser.add_argument("--small", action="store_true", help="a smaller picture, fewer rounds")
    parser.add_argument("--memory", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        size, way, batch, backward = options.memory
        print(extra_memory(int(size), way, int(batch), backward == "1"))
    elif options.small:
        compare(size=48, rounds=2)
    else:
        compare(size=64, rounds=5)


if __name__ == "__main__":
    main()
