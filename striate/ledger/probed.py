"""What came of checking a ledger's receptive fields: which inputs are said to be seen, and which were."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

#: (start, stop) along each axis of the input behind the channels.
Box: TypeAlias = tuple[tuple[int, int], ...]

AGREES = "agrees"
SMALLER = "smaller"
DIFFERS = "differs"
NOTHING = "nothing seen"
UNKNOWN = "not claimed"


@dataclass(frozen=True, slots=True)
class Probed:
    """What the unit in the middle of a layer's output is said to see of the input, and what it was seen to.

    `claimed` ends at the border of the image; None where the ledger claims no field. `seen` holds every input
    with a gradient; None where there was none.
    """

    name: str
    type: str
    claimed: Box | None
    seen: Box | None

    @property
    def outcome(self) -> str:
        """ "agrees", "smaller" (seen inside of what is claimed: a path can be dead), "differs" (seen outside: a
        fault of striate), "nothing seen" or "not claimed".

        >>> Probed("", "Conv2d", ((0, 3),), ((0, 2),)).outcome
        'smaller'
        """
        if self.claimed is None:
            return UNKNOWN
        if self.seen is None:
            return NOTHING
        if self.seen == self.claimed:
            return AGREES
        inside = all(
            low <= start and stop <= high
            for (low, high), (start, stop) in zip(self.claimed, self.seen, strict=True)
        )
        return SMALLER if inside else DIFFERS

    def to_dict(self) -> dict[str, object]:
        return {
            "name": self.name,
            "type": self.type,
            "claimed": _listed(self.claimed),
            "seen": _listed(self.seen),
            "outcome": self.outcome,
        }


@dataclass(frozen=True, slots=True)
class Probe:
    """A row for each layer with contractions or poolings, and one for the network's output."""

    rows: tuple[Probed, ...]
    output: Probed

    @property
    def faults(self) -> tuple[Probed, ...]:
        """Rows that saw inputs outside of what the ledger claims."""
        return tuple(row for row in (*self.rows, self.output) if row.outcome == DIFFERS)

    def to_dict(self) -> dict[str, object]:
        return {"layers": [row.to_dict() for row in self.rows], "output": self.output.to_dict()}


def _listed(box: Box | None) -> list[list[int]] | None:
    return None if box is None else [list(span) for span in box]
