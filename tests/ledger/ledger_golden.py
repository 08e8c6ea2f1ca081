"""Writes the golden ledgers anew: `python tests/ledger/ledger_golden.py`. Read the difference before you commit it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

FOLDER = Path(__file__).with_name("golden")


def document(name: str) -> dict[str, object]:
    """The ledger of one of the networks, without what changes from version to version."""
    from ledger_networks import NETWORKS

    from striate.ledger import count

    make, inputs = NETWORKS[name]
    found = count(make(), *inputs, name=name).to_dict()
    found.pop("striate")
    return found


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    from ledger_networks import NETWORKS

    FOLDER.mkdir(exist_ok=True)
    for known in NETWORKS:
        text = json.dumps(document(known), indent=1)
        (FOLDER / f"{known}.json").write_text(text + "\n")
