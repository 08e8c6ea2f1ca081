"""Layers for models: local connectivity with as much weight sharing as asked for."""

from striate.nn import functional
from striate.nn.local import LocallyConnected2d

__all__ = ["LocallyConnected2d", "functional"]
