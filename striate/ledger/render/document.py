"""A ledger as the JSON document `striate.ledger/1`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
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


def render(ledger: Ledger) -> str:
    """The document as text."""
    return written(document(ledger))


def written(found: Mapping[str, Any]) -> str:
    """A document as text: names readable, but what a terminal or a decoder would stumble over as JSON's escapes.

    >>> print(written({"name": "größe\\u202e\\ud800"}))
    {
      "name": "größe\\u202e\\ud800"
    }
    """
    text = json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False)
    return _NOT_PLAIN.sub(lambda sign: _escaped(sign[0]), text)


#: What may not be seen, or not be encoded: JSON itself escapes the control characters of ASCII.
_NOT_PLAIN = re.compile(r"[^\n -~]")


def _escaped(sign: str) -> str:
    return sign if sign.isprintable() else json.dumps(sign)[1:-1]
