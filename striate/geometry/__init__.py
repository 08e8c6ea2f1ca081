"""Integers only, no torch: windows along an axis, the grids of local layers, and their tables."""

from striate.geometry.grid import (
    PADDING_MODES,
    LocalGrid,
    check_fits,
    local_grid,
    transposed_grid,
)
from striate.geometry.sharing import SharingMap
from striate.geometry.tables import input_of_tap, kernel_of_position, tap_sources
from striate.geometry.windows import (
    ReceptiveField,
    adaptive_windows,
    block_count,
    integer,
    output_size,
    padding_sources,
    pair,
    per_axis,
    same_padding,
    span,
    taps_inside,
    window,
)

__all__ = [
    "PADDING_MODES",
    "LocalGrid",
    "ReceptiveField",
    "SharingMap",
    "adaptive_windows",
    "block_count",
    "check_fits",
    "input_of_tap",
    "integer",
    "kernel_of_position",
    "local_grid",
    "output_size",
    "padding_sources",
    "pair",
    "per_axis",
    "same_padding",
    "span",
    "tap_sources",
    "taps_inside",
    "transposed_grid",
    "window",
]
