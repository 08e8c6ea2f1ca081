"""The operators as PyTorch's other mechanisms see them, on the compiled kernels where there are some."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from striate.geometry import SharingMap, local_grid, transposed_grid
from striate.nn import LocallyConnected2d, LocallyConnectedTranspose2d
from striate.ops import cpu, on_grid, reference, routes
from striate.ops import local as operators
from striate.ops.on_grid import Layer
from tests.grids import grids
from tests.tolerances import CLOSE

needs_kernels = pytest.mark.skipif(cpu.library() is None, reason=cpu.missing() or "")
pytestmark = needs_kernels
