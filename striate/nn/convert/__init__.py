"""Weights from elsewhere into locally connected layers and back, and between degrees of sharing."""

from striate.nn.convert.adapters import from_gist, from_jax, from_keras
from striate.nn.convert.conv import from_conv, to_conv
from striate.nn.convert.linear import from_linear
from striate.nn.convert.low_rank import to_low_rank
from striate.nn.convert.sharing import lift, project

__all__ = [
    "from_conv",
    "from_gist",
    "from_jax",
    "from_keras",
    "from_linear",
    "lift",
    "project",
    "to_conv",
    "to_low_rank",
]
