"""The network before and after, layer by layer, with weights as areas: the geometry, without the drawing.

All squares of a picture share one scale: area is proportional to the number of weights. A layer that became several
(a low-rank pair, say) is one square cut into slices, so that its area still is its weights.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from striate.report.documents import Node

LARGEST = 148.0
"""Side of the largest square, in CSS pixels: two stand side by side on a 360 pixel screen."""
SMALLEST = 2.0
"""A layer with fewer weights than this shows is drawn as a dot of this side, so that none vanishes."""
MOST_ROWS = 14
"""Above this many rows, runs of unchanged layers are drawn as one."""


@dataclass(frozen=True)
class Slice:
    label: str
    offset: float
    width: float


@dataclass(frozen=True)
class Square:
    weights: int
    side: float
    slices: tuple[Slice, ...]


@dataclass(frozen=True)
class Row:
    """A layer, or a run of unchanged ones: `before` and `after` on the common scale."""

    name: str
    kind: str
    before: Square
    after: Square
    changed: bool
    ideas: tuple[str, ...] = ()
    detail: str = ""
    refitted: bool = False


@dataclass(frozen=True)
class Picture:
    rows: tuple[Row, ...]
    input: str
    output: str
    dots: bool
    """Whether some layer is too small for its area to be drawn true."""


@dataclass(frozen=True)
class _Layer:
    name: str
    kind: str
    before: int
    parts: tuple[tuple[str, int], ...]
    changed: bool
    ideas: tuple[str, ...] = ()
    detail: str = ""
    refitted: bool = False

    @property
    def after(self) -> int:
        return sum(weights for _, weights in self.parts)


def draw(
    ledger: Node | None,
    changes: Sequence[Node],
    before: int,
    after: int | None,
    shapes: Mapping[str, str] = MappingProxyType({}),
    refitted: Collection[str] = (),
) -> Picture | None:
    """The picture, from the ledger of the shrunk network and the list of changed layers.

    `before` and `after` are the totals; weights that neither list accounts for get a row of their own, so that the
    areas always add up to them; `shapes` says what the original's layers take
    and give, `refitted` which layers kept their shape and got other weights. None if there is nothing to draw.
    """
    if ledger is None and not changes:
        return None
    layers = _rest(
        _layers(ledger, changes, shapes, refitted), before, before if after is None else after
    )
    layers = [layer for layer in layers if layer.before or layer.after]
    if not layers:
        return None
    if len(layers) > MOST_ROWS:
        layers = _folded(layers)
    scale = LARGEST / math.sqrt(max(max(layer.before, layer.after) for layer in layers))
    rows = tuple(
        Row(
            name=layer.name,
            kind=layer.kind,
            before=_square(((layer.name, layer.before),) if layer.changed else layer.parts, scale),
            after=_square(layer.parts, scale),
            changed=layer.changed,
            ideas=layer.ideas,
            detail=layer.detail,
            refitted=layer.refitted,
        )
        for layer in layers
    )
    squares = [square for row in rows for square in (row.before, row.after) if square.weights]
    first, last = _ends(ledger)
    return Picture(
        rows, first, last, dots=any(scale * math.sqrt(s.weights) < SMALLEST for s in squares)
    )


def described(change: Node, shapes: Mapping[str, str]) -> str:
    """What a changed layer was, with its shapes if they are known."""
    before, shape = change.text("from") or "", shapes.get(change.text("name") or "")
    return f"{before} {shape}" if shape else before


def _layers(
    ledger: Node | None,
    changes: Sequence[Node],
    shapes: Mapping[str, str],
    refitted: Collection[str],
) -> list[_Layer]:
    changed = {change.text("name") or "": change for change in changes if _is_change(change)}
    layers: list[_Layer] = []
    parts: dict[str, list[tuple[str, int]]] = {name: [] for name in changed}
    places: dict[str, int] = {}
    for row in ledger.nodes("layers") if ledger else ():
        name, kind = row.text("name") or "", row.text("type") or ""
        # A tied tensor is counted, and drawn, where it stands first.
        weights = 0 if row.raw("shared_with") else row.integer("params") or 0
        site = next((s for s in changed if name == s or name.startswith(f"{s}.")), None)
        if site is None:
            if weights:
                again = name in refitted
                part = ((name, weights),)
                layers.append(_Layer(name, kind, weights, part, changed=False, refitted=again))
            continue
        places.setdefault(site, len(layers))
        if weights:
            parts[site].append((f"{name} {kind}", weights))
    # A site that the ledger does not show (or no ledger) comes in the order of the list of changes.
    for name in changed:
        places.setdefault(name, len(layers))
    # From the back, so that the places in front stay right; sites side by side have the same one.
    for name in reversed(sorted(places, key=places.__getitem__)):
        change = changed[name]
        held = tuple(parts[name]) or ((name, change.integer("params_after") or 0),)
        layers.insert(
            places[name],
            _Layer(
                name,
                change.text("to") or "",
                change.integer("params_before") or 0,
                held,
                changed=True,
                ideas=change.texts("ideas"),
                detail=described(change, shapes),
            ),
        )
    return layers


def _is_change(change: Node) -> bool:
    return bool(change.raw("from") != change.raw("to"))


def _rest(layers: list[_Layer], before: int, after: int) -> list[_Layer]:
    """Add what the layers lack of the totals as a row of its own."""
    lacking = before - sum(layer.before for layer in layers)
    lacking_after = after - sum(layer.after for layer in layers)
    if lacking <= 0 and lacking_after <= 0:
        return layers
    name = "all other layers" if layers else "the whole network"
    rest = _Layer(
        name,
        "",
        max(lacking, 0),
        ((name, max(lacking_after, 0)),),
        changed=lacking != lacking_after,
    )
    return [*layers, rest]


def _folded(layers: list[_Layer]) -> list[_Layer]:
    """Runs of unchanged layers as one row each, cut into a slice a layer."""
    out: list[_Layer] = []
    run: list[_Layer] = []
    for layer in [*layers, None]:
        if layer is not None and not (layer.changed or layer.refitted):
            run.append(layer)
            continue
        if len(run) > 2:
            parts = tuple(part for member in run for part in member.parts)
            name = f"{run[0].name} … {run[-1].name}"
            weights = sum(member.before for member in run)
            out.append(_Layer(name, f"{len(run)} layers", weights, parts, changed=False))
        else:
            out.extend(run)
        run = []
        if layer is not None:
            out.append(layer)
    return out


def _square(parts: Sequence[tuple[str, int]], scale: float) -> Square:
    weights = sum(n for _, n in parts)
    if weights == 0:
        return Square(0, 0.0, ())
    side = max(SMALLEST, scale * math.sqrt(weights))
    slices, offset = [], 0.0
    for label, n in parts:
        width = side * n / weights
        slices.append(Slice(f"{label}: {n:,}", round(offset, 2), round(width, 2)))
        offset += width
    return Square(weights, round(side, 2), tuple(slices))


def _ends(ledger: Node | None) -> tuple[str, str]:
    rows = ledger.nodes("layers") if ledger else ()
    if not rows:
        return "", ""
    return shape(rows[0].raw("input_shape")), shape(rows[-1].raw("output_shape"))


def shape(sizes: object, batch: bool = True) -> str:
    """A shape as people write it, without its batch dimension if it has one.

    >>> shape([2, 1, 28, 28])
    '1×28×28'
    """
    if not isinstance(sizes, list) or not all(isinstance(size, int) for size in sizes):
        return ""
    return "×".join(str(size) for size in sizes[1 if batch else 0 :])
