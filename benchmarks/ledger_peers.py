"""What people ask today how large a network is: each peer's own default call, and what it says in full."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

import striate

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Counted:
    """Parameters and multiply-adds for one example, None where the peer gives none; whether it says of itself that
    something was left out."""

    params: int | None
    macs: int | None
    warned: bool = False


@dataclass(frozen=True)
class Peer:
    """`count` takes a built network in evaluation mode, which must not be copied, and the shape of a batch of one."""

    name: str
    package: str
    count: Callable[[nn.Module, Shape], Counted]

    def version(self) -> str | None:
        """None where it is not installed."""
        try:
            return importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            return None

    def obstacle(self) -> str | None:
        """Why it cannot be asked here, or None."""
        if self.package == OURS:
            return None
        if self.version() is None:
            return "is not installed"
        try:
            importlib.import_module(self.package)
        except Exception as error:  # whatever a package raises when imported is the answer
            return f"cannot be imported: {type(error).__name__}: {error}"
        return None


def _striate(network: nn.Module, shape: Shape) -> Counted:
    ledger = striate.count(network, shape)
    return Counted(ledger.totals.params, ledger.totals.macs, "macs" in ledger.uncertain)


def _torchinfo(network: nn.Module, shape: Shape) -> Counted:
    import torchinfo

    found = torchinfo.summary(network, input_size=shape, verbose=0)
    return Counted(found.total_params, found.total_mult_adds)


def _fvcore(network: nn.Module, shape: Shape) -> Counted:
    from fvcore.nn import FlopCountAnalysis, parameter_count

    analysis = FlopCountAnalysis(network, torch.zeros(shape))
    macs = int(analysis.total())
    return Counted(parameter_count(network)[""], macs, bool(analysis.unsupported_ops()))


def _ptflops(backend: str) -> Callable[[nn.Module, Shape], Counted]:
    def count(network: nn.Module, shape: Shape) -> Counted:
        from ptflops import get_model_complexity_info

        macs, params = get_model_complexity_info(
            network, shape[1:], as_strings=False, print_per_layer_stat=False, backend=backend
        )
        return Counted(params, macs)

    return count


def _calflops(network: nn.Module, shape: Shape) -> Counted:
    from calflops import calculate_flops

    _, macs, params = calculate_flops(
        network, input_shape=shape, output_as_string=False, print_results=False
    )
    return Counted(params, macs)


def _torchscan(network: nn.Module, shape: Shape) -> Counted:
    from torchscan import crawl_module

    totals = crawl_module(network, shape[1:])["totals"]
    macs = totals["macs"]
    return Counted(
        totals["parameters"]["known_value"], macs["known_value"], macs["status"] != "complete"
    )


def _torch(network: nn.Module, shape: Shape) -> Counted:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(shape))
    return Counted(None, counter.get_total_flops() // 2)


OURS = "striate"
PEERS = (
    Peer(OURS, OURS, _striate),
    Peer("torchinfo", "torchinfo", _torchinfo),
    Peer("fvcore", "fvcore", _fvcore),
    Peer("ptflops", "ptflops", _ptflops("pytorch")),
    Peer("ptflops, aten", "ptflops", _ptflops("aten")),
    Peer("calflops", "calflops", _calflops),
    Peer("torchscan", "torchscan", _torchscan),
    Peer("torch's FlopCounterMode", "torch", _torch),
)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Peers print and warn, some of them at every call."""
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def restore(network: nn.Module) -> None:
    """Take away the hooks that a peer has left behind, so that the next one is not slowed down by them."""
    for module in network.modules():
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
