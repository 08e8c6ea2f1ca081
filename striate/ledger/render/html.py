"""A ledger as one HTML page that needs nothing but a browser, and asks for nothing from anywhere.

Where weights, work and memory are as areas, what each idea saved as bars, every figure in a table. Without
scripts it is a page to read; with the one script that it brings (the page's policy allows no other) it can be
zoomed, searched and sorted. All figures are written here, exactly: the script shows text and computes none.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from striate.ledger.account import Ledger
from striate.ledger.compare import Difference
from striate.ledger.gates import Gate
from striate.ledger.render import areas, bars, changes
from striate.ledger.render.numbers import shape, times
from striate.ledger.render.page import environment
from striate.ledger.render.plain import all_plain
from striate.ledger.render.saved_by import KINDS
from striate.ledger.render.steps import EXAMPLE, three_steps
from striate.ledger.render.words import verdict
from striate.ledger.rows import Layer

COLUMNS = (
    "Layer", "Kind", "Takes", "Gives", "Parameters", "MACs", "Bytes of activations", "Sees",
    "Local", "Shared", "Pooled",
)  # fmt: skip


def render(
    ledger: Ledger, found: Difference | None = None, growth_gates: Sequence[Gate] = ()
) -> str:
    """The page, in ASCII. `found`: what it is compared with, and `growth_gates` what was judged of that."""
    script = (files(__package__) / "templates" / "ledger.js").read_text("utf-8")
    digest = hashlib.sha256(script.encode()).digest()
    values = all_plain(view(ledger))
    if found is not None:
        values["difference"] = all_plain(difference(found, growth_gates))
    text = (
        environment()
        .get_template("ledger.html")
        .render(
            **values,
            payload=_payload(values),
            script=Markup(script),
            digest=base64.b64encode(digest).decode(),
        )
    )
    # Whatever the encoding of standard output: the style and the script are ASCII, the rest may be referred to.
    return text.encode("ascii", "xmlcharrefreplace").decode()


def view(ledger: Ledger) -> dict[str, Any]:
    """All that the page says, as texts and positions."""
    nodes = areas.nodes(ledger)
    # What is drawn first, and all that is drawn without the script: weights, if there are any.
    first = next((i for i, frame in enumerate(nodes[0].frames) if frame is not None), 0)
    kinds = {node.kind for node in nodes}
    return {
        "name": ledger.name,
        "params": f"{ledger.totals.params:,}",
        "status": ledger.status,
        "batch": ledger.batch,
        "facts": facts(ledger),
        "difference": None,
        "gates": gates(ledger.gates),
        "notes": ledger.notes,
        "unsupported": [
            replace(entry, where=entry.where or "the model") for entry in ledger.unsupported
        ],
        "metrics": areas.METRICS,
        "aspect": areas.ASPECT,
        "first": first,
        "nodes": nodes,
        "tiles": areas.tiles(nodes, first),
        "legend": [(name, words) for name, words in KINDS.items() if name in kinds],
        "ideas": bars.of_network(ledger),
        "bars": bars.of_layers(ledger),
        "example": three_steps(ledger) if ledger.name == EXAMPLE else (),
        "columns": COLUMNS,
        "rows": [_cells(layer) for layer in ledger.layers],
        "elementwise": [
            (work.operator, f"{work.calls:,}", f"{work.elements:,}") for work in ledger.elementwise
        ],
    }


def _payload(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the script draws from; a layer's figures it reads in the table."""
    return {
        "open": areas.OPEN,
        "first": values["first"],
        "metrics": values["metrics"],
        "nodes": [
            [
                node.part.parent, node.part.label, node.part.type, node.part.row, node.kind,
                node.part.layers, node.exact if node.part.row is None else None,
                node.short, node.share, node.frames,
            ]
            for node in values["nodes"]
        ],
    }  # fmt: skip


def facts(ledger: Ledger) -> list[tuple[str, str, str]]:
    """The totals: what, how many, and what there is to say of it."""
    totals = ledger.totals
    frozen = totals.params - totals.trainable
    held = "no buffers" if not totals.buffers else f"{totals.buffers:,} elements of buffers"
    batch = "the input" if ledger.batch is None else f"a batch of {ledger.batch:,}"
    found = [
        ("Parameters", f"{totals.params:,}", f"{frozen:,} of them frozen" if frozen else ""),
        ("Stored", f"{totals.weight_bytes:,} bytes", f"parameters and {held}"),
        (
            "MACs of an example",
            f"{totals.macs_per_example:,}",
            f"of contractions; FLOPs are 2 × MACs, {totals.flops_per_example:,}",
        ),
        (
            "Connections",
            f"{totals.connections:,}",
            f"{totals.connections_inside:,} of them inside the inputs, not on padding",
        ),
        (
            "Activations",
            f"{totals.activation_bytes:,} bytes",
            f"for {batch}; at most {totals.peak_activation_bytes:,} bytes at once",
        ),
    ]
    if totals.saved_bytes is not None:
        found.append(
            ("Kept for training", f"{totals.saved_bytes:,} bytes", "from forward to backward pass")
        )
    if ledger.receptive_field is not None:
        found.append(
            ("Receptive field", sees(ledger.receptive_field), "inputs seen by a unit of the output")
        )
    return found


def gates(judged: Iterable[Gate]) -> list[tuple[str, str]]:
    """How each limit was judged: "met", "unmet" or "unknown", and in words."""
    return [
        ("unknown" if gate.met is None else "met" if gate.met else "unmet", verdict(gate))
        for gate in judged
    ]


def sees(field: dict[str, list[float]] | None) -> str:
    """A receptive field's sizes."""
    return "" if field is None else "×".join(f"{size:g}" for size in field["size"])


def difference(found: Difference, growth_gates: Sequence[Gate] = ()) -> dict[str, Any]:
    """The totals before and after, and the rows that are not the same."""
    before, after = changes.titles(found)
    rows = changes.shown(found)
    return {
        "before": before,
        "after": after,
        "totals": changes.totals(found),
        "rows": [
            (
                row.change,
                " → ".join(row.names) + row.repeated,
                " → ".join(row.kinds),
                changes.move(row.params),
                changes.move(row.macs),
            )
            for row in rows
        ],
        "repeated": changes.REPEATED if any(row.times > 1 for row in rows) else None,
        "unchanged": changes.rest(found),
        "batches": changes.batches(found),
        "gates": gates(growth_gates),
    }


def _cells(layer: Layer) -> list[str]:
    """One text a column."""
    kind_of = layer.type if layer.calls == 1 else f"{layer.type}, {layer.calls:,} calls"
    return [
        layer.name or "(model)",
        kind_of,
        shape(layer.input_shape),
        shape(layer.output_shape),
        f"{layer.params:,}",
        f"{layer.macs:,}",
        f"{layer.activation_bytes:,}",
        sees(layer.receptive_field),
        times(layer.locality_factor),
        times(layer.sharing_factor),
        times(layer.pooling_factor),
    ]
