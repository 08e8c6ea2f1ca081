"""What a saved state says of a layer's sharing beside its tensors, whose shapes only count the kernels.

`state_dict` keeps it in the metadata that torch saves with a state, so the tensors stay the same: a state without it,
older or from safetensors, loads as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

from striate.geometry import LocalGrid

#: Under which a module's metadata holds the record, beside torch's own "version".
KEY = "sharing"


def record(grid: LocalGrid) -> dict[str, object]:
    """Who shares a kernel, in types that `torch.load(weights_only=True)` reads.

    A map's numbers are not among it: they are saved as the buffer `sharing_map`.

    >>> from striate.geometry import local_grid
    >>> record(local_grid((6, 5), 2, share=(2, "all")))
    {'share': (2, 'all'), 'positions': (5, 4)}
    """
    share: object = "map"
    if grid.sharing is None:
        share = tuple(
            "all" if count == 1 else block
            for block, count in zip(grid.share, grid.blocks, strict=True)
        )
    return {"share": share, "positions": grid.output_size}


def mismatch(saved: Mapping[str, object], grid: LocalGrid) -> str | None:
    """Why kernels saved with a record stand elsewhere than a grid's, or None where they don't.

    Along an axis that shares throughout a layer may have another size, as a convolution may.

    >>> from striate.geometry import local_grid
    >>> mismatch(record(local_grid(6, 2, axes=1, share=3)), local_grid(6, 2, axes=1, share=4))
    'share=(3,) on (5,) positions was saved, and the layer has share=(4,) on (5,) positions'
    """
    ours = record(grid)
    if _kernels(saved) == _kernels(ours):
        return None
    was, has = (f"share={one['share']!r} on {one['positions']} positions" for one in (saved, ours))
    return f"{was} was saved, and the layer has {has}"


def _kernels(one: Mapping[str, object]) -> object:
    share, positions = one["share"], one["positions"]
    if not (isinstance(share, tuple) and isinstance(positions, tuple)):
        return share
    return tuple(
        "all" if block == "all" else (block, count)
        for block, count in zip(share, positions, strict=False)
    )
