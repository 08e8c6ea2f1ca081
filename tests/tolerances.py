"""How far two right computations of the same contraction may lie apart, by dtype: the only such table.

Both sides of a comparison round; the sums here have at most a few thousand terms of size one.
"""

from __future__ import annotations

from typing import TypedDict

import torch


class Tolerance(TypedDict):
    rtol: float
    atol: float


CLOSE: dict[torch.dtype, Tolerance] = {
    torch.float64: {"rtol": 1e-10, "atol": 1e-10},
    torch.float32: {"rtol": 1e-4, "atol": 1e-4},
    torch.float16: {"rtol": 1e-2, "atol": 1e-2},
    torch.bfloat16: {"rtol": 5e-2, "atol": 5e-2},
}
