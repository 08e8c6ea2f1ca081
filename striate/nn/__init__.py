"""Layers for models: local connectivity with as much weight sharing as asked for."""

from striate.nn import convert, functional
from striate.nn.local import (
    LazyLocallyConnected1d,
    LazyLocallyConnected2d,
    LazyLocallyConnected3d,
    LocallyConnected1d,
    LocallyConnected2d,
    LocallyConnected3d,
)
from striate.nn.low_rank import LazyLowRankLocallyConnected2d, LowRankLocallyConnected2d
from striate.nn.transposed import (
    LazyLocallyConnectedTranspose1d,
    LazyLocallyConnectedTranspose2d,
    LazyLocallyConnectedTranspose3d,
    LocallyConnectedTranspose1d,
    LocallyConnectedTranspose2d,
    LocallyConnectedTranspose3d,
)

__all__ = [
    "LazyLocallyConnected1d",
    "LazyLocallyConnected2d",
    "LazyLocallyConnected3d",
    "LazyLocallyConnectedTranspose1d",
    "LazyLocallyConnectedTranspose2d",
    "LazyLocallyConnectedTranspose3d",
    "LazyLowRankLocallyConnected2d",
    "LocallyConnected1d",
    "LocallyConnected2d",
    "LocallyConnected3d",
    "LocallyConnectedTranspose1d",
    "LocallyConnectedTranspose2d",
    "LocallyConnectedTranspose3d",
    "LowRankLocallyConnected2d",
    "convert",
    "functional",
]
