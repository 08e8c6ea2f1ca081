"""A ledger as the JSON document `striate.ledger/1`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from striate.version import __version__

if TYPE_CHECKING:
    from striate.ledger.account import Ledger

SCHEMA = "striate.ledger/1"


def document(ledger: Ledger) -> dict[str, Any]:
    """Plain data, every field of the schema; null where something is not known or means nothing."""
    return {
        "schema": SCHEMA,
        "striate": __version__,
        "status": ledger.status,
        "unsupported": [entry.to_dict() for entry in ledger.unsupported],
        "batch": ledger.batch,
        "totals": ledger.totals.to_dict(),
        "ideas": ledger.ideas.to_dict(),
        "receptive_field": ledger.receptive_field,
        "layers": [layer.to_dict() for layer in ledger.layers],
        "elementwise": [work.to_dict() for work in ledger.elementwise],
        "containers": [container.to_dict() for container in ledger.containers],
        "gates": [gate.to_dict() for gate in ledger.gates],
        "notes": list(ledger.notes),
    }


def render(ledger: Ledger, **more: object) -> str:
    """The document as text, with `more` at its end."""
    return json.dumps({**document(ledger), **more}, indent=2, ensure_ascii=False, allow_nan=False)
