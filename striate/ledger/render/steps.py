"""The field's standard example in words: full connection, local windows, one shared kernel, pooling."""

from __future__ import annotations

from striate.ledger.account import Ledger
from striate.ledger.render.numbers import factor, power

#: The network whose ledger these words are about.
EXAMPLE = "zoo:article"


def three_steps(ledger: Ledger) -> tuple[str, ...]:
    """One sentence a step, from the rows of the ledger of `zoo:article`.

    Raises `ValueError` for a ledger that is not one local layer and one pooling.
    """
    if len(ledger.layers) != 2 or ledger.layers[0].connections is None:
        raise ValueError(
            f"three_steps: the ledger of {ledger.name} has {len(ledger.layers)} layers; "
            "expected the local layer and the pooling of zoo:article"
        )
    local, pool = ledger.layers
    sizes, left = (local.input_shape or ())[-2:], (pool.output_shape or ())[-2:]
    units, kept = sizes[0] * sizes[1], left[0] * left[1]
    field = local.receptive_field
    assert field is not None
    assert local.connections is not None
    assert local.dense_params is not None
    window = "×".join(f"{side:g}" for side in field["size"])
    share = f"1/{factor(local.locality_factor)}"
    return (
        f"Fully connected: an image of {sizes[0]}×{sizes[1]} and as many hidden units have "
        f"{power(local.dense_params)} weights.",
        f"Local: when each unit sees a window of {window}, {power(local.connections)} are left, "
        f"{share} of them ({factor(local.locality_factor)} times fewer).",
        f"Shared: with one kernel for all units, {power(local.weights)} are left, "
        f"{factor(local.sharing_factor)} times fewer again.",
        f"Pooled: taking {_window(sizes, left)} units together leaves {left[0]}×{left[1]} = "
        f"{kept:,} of {units:,} units, so a dense layer downstream needs "
        f"{factor(pool.pooling_factor)} times fewer weights.",
        'The popular text calls the first step "a thousandth": in its numbers (1000×1000, windows '
        "of 10×10) it should read 1/10,000.",
    )


def _window(before: tuple[int, ...], after: tuple[int, ...]) -> str:
    return "×".join(str(b // a) for b, a in zip(before, after, strict=True))
