"""A ledger as one HTML page that needs nothing but a browser, and asks for nothing from anywhere.

Where weights, work and memory are as areas, what each idea saved as bars, every figure in a table. Without
scripts it is a page to read; with the one script that it brings (the page's policy allows no other) it can be
zoomed, searched and sorted. All figures are written here, exactly: the script shows text and computes none.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from math import sqrt
from typing import Any

from markupsafe import Markup

from striate.ledger.account import Ledger
from striate.ledger.compare import Difference
from striate.ledger.gates import Gate
from striate.ledger.render.logarithmic import Scale
from striate.ledger.render.modules import Part, tree
from striate.ledger.render.numbers import factor, shape, short
from striate.ledger.render.page import environment
from striate.ledger.render.plain import all_plain
from striate.ledger.render.saved_by import KINDS, kind, steps, under_weights
from striate.ledger.render.treemap import Rectangle, squarified
from striate.ledger.render.words import TOTAL_NAMES, growth, move, unchanged, verdict
from striate.ledger.rows import Layer

#: What areas can be: the field of a part, its name, its unit.
METRICS = (
    ("params", "Weights", "parameters"),
    ("macs", "Work", "MACs"),
    ("activation_bytes", "Memory", "bytes of activations"),
)
#: Width over height of the frame of the areas, on wide screens.
ASPECT = 1.6
#: From this part of the frame on, a module is drawn as its parts.
OPEN = 0.05
#: This many layers have their bars shown at once, those that the ideas saved most in; the others on demand.
MOST_BARS = 12
COLUMNS = (
    "Layer", "Kind", "Takes", "Gives", "Parameters", "MACs", "Bytes of activations", "Sees",
    "Local", "Shared", "Pooled",
)  # fmt: skip


def render(
    ledger: Ledger, found: Difference | None = None, growth_gates: Sequence[Gate] = ()
) -> str:
    """The page, in ASCII. `found`: what it is compared with, and `growth_gates` what was judged of that."""
    engine = environment()
    source, _, _ = engine.loader.get_source(engine, "ledger.js")  # type: ignore[union-attr]
    digest = hashlib.sha256(source.encode()).digest()
    values = all_plain(view(ledger))
    if found is not None:
        values["difference"] = all_plain(difference(found, growth_gates))
    text = engine.get_template("ledger.html").render(
        **values,
        payload=_payload(values), script=Markup(source), digest=base64.b64encode(digest).decode()
    )
    # Whatever the encoding of standard output: the style and the script are ASCII, the rest may be referred to.
    return text.encode("ascii", "xmlcharrefreplace").decode()


def view(ledger: Ledger) -> dict[str, Any]:
    """All that the page says, as texts and positions."""
    parts = tree(ledger)
    kinds = [kind(layer) for layer in ledger.layers]
    nodes = _nodes(parts, kinds)
    # What is drawn first, and all that is drawn without the script: weights, if there are any.
    first = next((i for i in range(len(METRICS)) if nodes[0]["frame"][i]), 0)
    return {
        "name": ledger.name,
        "params": f"{ledger.totals.params:,}",
        "status": ledger.status,
        "batch": ledger.batch,
        "facts": facts(ledger),
        "difference": None,
        "gates": gates(ledger.gates),
        "notes": list(ledger.notes),
        "unsupported": [
            {**entry.to_dict(), "where": entry.where or "(model)"} for entry in ledger.unsupported
        ],
        "metrics": METRICS,
        "aspect": ASPECT,
        "nodes": nodes,
        "tiles": tiles(nodes, first),
        "first": first,
        "open": OPEN,
        "legend": [(name, words) for name, words in KINDS.items() if name in kinds],
        "ideas": network_bars(ledger),
        "bars": _layer_bars(ledger),
        "columns": COLUMNS,
        "rows": [_cells(layer) for layer in ledger.layers],
        "elementwise": [
            (work.operator, f"{work.calls:,}", f"{work.elements:,}") for work in ledger.elementwise
        ],
    }


def _payload(values: dict[str, Any]) -> dict[str, Any]:
    """What the script draws from; a layer's figures it reads in the table."""
    return {
        "open": values["open"],
        "first": values["first"],
        "metrics": values["metrics"],
        "nodes": [
            [
                node["parent"], node["label"], node["type"], node["row"], node["kind"],
                node["layers"], node["exact"] if node["row"] is None else None,
                node["short"], node["share"], node["frame"],
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


def times(value: int | float | None) -> str:
    """By how much an idea divides."""
    return "" if value is None else f"÷{factor(value)}"


def difference(found: Difference, growth_gates: Sequence[Gate] = ()) -> dict[str, Any]:
    """The totals before and after, and the rows that are not the same."""
    return {
        "before": found.before.name,
        "totals": [
            (TOTAL_NAMES[name], f"{before:,}", f"{after:,}", growth(before, after))
            for name, (before, after) in found.totals.items()
        ],
        "rows": [
            (
                row.change,
                move(row, lambda layer: layer.name or "(model)"),
                move(row, lambda layer: layer.type),
                move(row, lambda layer: f"{layer.params:,}"),
                move(row, lambda layer: f"{layer.macs:,}"),
            )
            for row in found.changed
        ],
        "unchanged": unchanged(found),
        "batches": None
        if found.before.batch == found.after.batch
        else f"{found.before.batch} and {found.after.batch}",
        "gates": gates(growth_gates),
    }


# -- areas ---------------------------------------------------------------------------------------


def _nodes(parts: Sequence[Part], kinds: Sequence[str]) -> list[dict[str, Any]]:
    """The parts with their place in the rectangle of the part that they are in, one for each metric."""
    below: list[list[int]] = [[] for _ in parts]
    for place, part in enumerate(parts):
        if part.parent is not None:
            below[part.parent].append(place)
    everything = parts[0]
    found: list[dict[str, Any]] = [
        {
            "parent": part.parent,
            "label": part.label,
            "name": part.name,
            "type": part.type,
            "row": part.row,
            "kind": None if part.row is None else kinds[part.row],
            "layers": part.layers,
            "exact": [f"{getattr(part, metric):,}" for metric, _, _ in METRICS],
            "short": [short(getattr(part, metric)) for metric, _, _ in METRICS],
            "share": [
                share(getattr(part, metric), getattr(everything, metric)) for metric, _, _ in METRICS
            ],
            "frame": [],
        }
        for part in parts
    ]
    for metric, _, _ in METRICS:
        frames: list[Rectangle | None] = [None] * len(parts)
        if getattr(everything, metric):
            frames[0] = Rectangle(0.0, 0.0, 1.0, 1.0)
        aspects = [ASPECT] * len(parts)
        for place, inside in enumerate(below):
            if frames[place] is None or not inside:
                continue
            # It is seen in its place among the others, and on its own in the whole frame: half way between.
            seen = sqrt(aspects[place] * ASPECT)
            tiles = squarified([getattr(parts[i], metric) for i in inside], seen)
            for i, tile in zip(inside, tiles, strict=True):
                frames[i] = tile
                if tile is not None and tile.height:
                    aspects[i] = min(20.0, max(0.05, aspects[place] * tile.width / tile.height))
        for node, frame in zip(found, frames, strict=True):
            node["frame"].append(
                None
                if frame is None
                else [round(x, 5) for x in (frame.left, frame.top, frame.width, frame.height)]
            )
    return found


def tiles(nodes: Sequence[dict[str, Any]], metric: int) -> list[dict[str, Any]]:
    """What the whole network looks like: a tile a layer, and over those of a small module one for its name."""
    frames: list[tuple[float, float, float, float] | None] = []
    closed: list[bool] = []
    found = []
    for node in nodes:
        parent, own = node["parent"], node["frame"][metric]
        around = (0.0, 0.0, 1.0, 1.0) if parent is None else frames[parent]
        if own is None or around is None:
            frames.append(None)
            closed.append(False)
            continue
        left, top, width, height = around
        frame = (left + own[0] * width, top + own[1] * height, own[2] * width, own[3] * height)
        inside = parent is not None and closed[parent]
        leaf = node["row"] is not None
        shut = inside or (not leaf and frame[2] * frame[3] < OPEN)
        frames.append(frame)
        closed.append(shut)
        if inside and not leaf or parent is None and not shut:
            continue
        named = not inside and (leaf or shut)
        found.append(
            {
                "look": _look(node["kind"], inside, shut),
                "label": node["name"] or node["label"] if named else None,
                "figure": f"{node['short'][metric]} · {node['share'][metric]}",
                "frame": [_percent(side) for side in frame],
            }
        )
    return found


def _look(kind_of: str | None, inside: bool, shut: bool) -> str:
    """The classes of a tile: of a layer, of a module that is shut, or the frame of one that is open."""
    if kind_of is None:
        return "tile group" if shut else "frame"
    return f"tile {kind_of} within" if inside else f"tile {kind_of}"


def share(value: int, whole: int) -> str:
    """How much of the whole.

    >>> share(3, 4), share(1, 30), share(1, 10**6), share(0, 0)
    ('75 %', '3.3 %', '< 0.1 %', '0 %')
    """
    if not value:
        return "0 %"
    part = 100 * (value / whole)
    if part < 0.1:
        return "< 0.1 %"
    return f"{part:.0f} %" if part >= 10 else f"{part:.1f} %"


# -- bars ----------------------------------------------------------------------------------------


def network_bars(ledger: Ledger) -> dict[str, Any] | None:
    """The steps of the network as bars on a log scale; None where no layer has connections."""
    found = steps(ledger)
    if not found:
        return None
    scale = Scale.up_to(step.weights or 1 for step in found)
    return {
        "total": times(ledger.ideas.total.factor),
        "times": factor(ledger.ideas.total.factor),
        "first": next(f"{step.weights:,}" for step in found if step.weights is not None),
        "last": f"{found[-1].weights:,}",
        "steps": [
            {
                "label": step.label,
                "weights": None if step.weights is None else f"{step.weights:,}",
                "factor": times(step.factor),
                "why": step.why or "a size depends on a pooling in a way that is not followed",
                "width": _percent(scale.part(step.weights or 1)),
            }
            for step in found
        ],
        "ticks": _ticks(scale),
    }


def _layer_bars(ledger: Ledger) -> dict[str, Any]:
    layers = under_weights(ledger.layers)
    scale = Scale.up_to(max(layer.dense_params or 1, layer.weights) for layer in layers)
    found = [_layer_bar(layer, scale) for layer in layers]
    saved = [(layer.dense_params or 0) - layer.weights for layer in layers]
    leading = sorted(range(len(found)), key=lambda i: -saved[i])[:MOST_BARS]
    return {
        "ticks": _ticks(scale),
        "leading": [found[i] for i in sorted(leading)],
        "others": [found[i] for i in range(len(found)) if i not in set(leading)],
    }


def _layer_bar(layer: Layer, scale: Scale) -> dict[str, Any]:
    counts = (layer.dense_params or 0, layer.connections or 0, layer.weights)
    return {
        "name": layer.name or "(model)",
        "type": layer.type,
        "counts": [f"{count:,}" for count in counts],
        "widths": [_percent(scale.part(count)) for count in counts],
        "factors": [times(layer.locality_factor), times(layer.sharing_factor)],
    }


def _ticks(scale: Scale) -> list[tuple[float, int]]:
    return [(_percent(exponent / scale.decades), exponent) for exponent in scale.ticks()]


def _percent(part: float) -> float:
    return round(100 * part, 2)


# -- rows ----------------------------------------------------------------------------------------


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
