"""Integers only, no torch: windows along an axis, the grids of local layers and their tables, the three ideas."""

from striate.geometry.grid import (
    PADDING_MODES,
    LocalGrid,
    check_fits,
    local_grid,
    transposed_grid,
)
from striate.geometry.sharing import SharingMap
from striate.geometry.tables import input_of_tap, kernel_of_position, tap_sources
from striate.geometry.three_ideas import (
    Setting,
    SettingError,
    ThreeIdeas,
    seconds_to_read,
    three_ideas,
    weight_bytes,
)
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
    "Setting",
    "SettingError",
    "SharingMap",
    "ThreeIdeas",
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
    "seconds_to_read",
    "span",
    "tap_sources",
    "taps_inside",
    "three_ideas",
    "transposed_grid",
    "weight_bytes",
    "window",
]
