"""A ledger's rows as the tree of modules that their dotted names spell."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import pairwise

from striate.ledger.account import Ledger
from striate.ledger.rows import Layer


@dataclass(frozen=True, slots=True)
class Part:
    """A layer (`row` is its place in the ledger) or a module with parts below it (`row` is None)."""

    name: str
    #: The name as its parent sees it.
    label: str
    type: str
    #: Its place in the tree's list; None for the whole network.
    parent: int | None
    row: int | None
    layers: int
    params: int
    macs: int
    activation_bytes: int


def tree(ledger: Ledger) -> list[Part]:
    """The network, then its parts, each before those below it; layers are in the order of the ledger.

    A module with parameters or operators of its own has a row and parts: its row is then a part of it
    that has its name. A pooling called as a function (`parent:kind`) is a part of `parent`.

    >>> from torch import nn
    >>> from striate.ledger import count
    >>> net = nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.Linear(3, 2)))
    >>> [(part.name, part.params) for part in tree(count(net, (1, 4)))]
    [('', 23), ('0', 15), ('1', 8), ('1.0', 8)]
    """
    types = {container.name: container.type for container in ledger.containers}
    names = {layer.name for layer in ledger.layers} | types.keys()
    above = [list(_above(layer, names)) for layer in ledger.layers]
    inner = {name for chain in above for name in chain} | {""}
    below: dict[str, list[str | int]] = {name: [] for name in inner}
    placed = {""}
    for row, (layer, chain) in enumerate(zip(ledger.layers, above, strict=True)):
        home = [layer.name, *chain] if layer.name in inner else chain
        below[home[0]].append(row)
        for name, holder in pairwise(home):
            if name in placed:
                break
            placed.add(name)
            below[holder].append(name)
    order: list[tuple[str | int, int | None]] = []
    waiting: list[tuple[str | int, int | None]] = [("", None)]
    while waiting:
        entry, parent = waiting.pop()
        if isinstance(entry, str):
            waiting.extend((part, len(order)) for part in reversed(below[entry]))
        order.append((entry, parent))
    sums = _sums(ledger, order)
    found: list[Part] = []
    for (entry, parent), counts in zip(order, sums, strict=True):
        above_it = "" if parent is None else found[parent].name
        if isinstance(entry, int):
            layer = ledger.layers[entry]
            found.append(
                Part(layer.name, _label(layer.name, above_it), layer.type, parent, entry, *counts)
            )
        else:
            label = ledger.name if parent is None else _label(entry, above_it)
            found.append(Part(entry, label, types.get(entry, ""), parent, None, *counts))
    return found


def _above(layer: Layer, names: Collection[str]) -> Iterable[str]:
    """The modules that a row is in, the innermost first, the whole network ("") last."""
    name = layer.name
    holder, colon, kind = name.rpartition(":")
    # A module may have a colon in its name, too; only a pooling's row is called after its kind.
    if colon and holder in names and kind.partition(".")[0] == layer.type:
        yield holder
        name = holder
    while name:
        name = name.rpartition(".")[0]
        yield name


def _label(name: str, holder: str) -> str:
    if name == holder:
        return "(itself)" if name else "(model)"
    return name[len(holder) :].removeprefix(".") if holder else name


def _sums(
    ledger: Ledger, order: list[tuple[str | int, int | None]]
) -> list[tuple[int, int, int, int]]:
    """Layers, parameters, MACs and bytes of activations of each part and all below it."""
    sums = [[0, 0, 0, 0] for _ in order]
    for place in reversed(range(len(order))):
        entry, parent = order[place]
        if isinstance(entry, int):
            layer = ledger.layers[entry]
            sums[place] = [1, layer.params, layer.macs, layer.activation_bytes]
        if parent is not None:
            sums[parent] = [a + b for a, b in zip(sums[parent], sums[place], strict=True)]
    return [(a, b, c, d) for a, b, c, d in sums]
