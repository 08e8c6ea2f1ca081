"""Which rows of a ledger are shown, and how: to a depth, repeated blocks once, in some order, by name or kind."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import pairwise

from striate.errors import RequestError
from striate.ledger.account import Container, Ledger
from striate.ledger.ideas import ratio
from striate.ledger.rows import Layer

#: What rows can be sorted by, the most first, and the field of `Layer` that it is.
ORDERS: Mapping[str, str] = {
    "params": "params",
    "macs": "macs",
    "activation": "activation_bytes",
    "elementwise": "elementwise",
    "saved": "saved_bytes",
}
#: The longest block, in rows, that is looked for.
_LONGEST = 64


@dataclass(frozen=True, slots=True)
class View:
    """What is asked for. `depth`: how many parts of a name are told apart, all where None; `sort`: one of
    `ORDERS`, else as they ran; `pattern`: names or kinds with * and ?, whatever their case; `folded`: whether
    repeated blocks are shown once."""

    depth: int | None = None
    sort: str | None = None
    pattern: str | None = None
    folded: bool = True

    def __post_init__(self) -> None:
        if self.depth is not None and self.depth < 0:
            raise RequestError(
                f"--depth {self.depth}: expected 0 (the whole network in one row) or more"
            )
        if self.sort is not None and self.sort not in ORDERS:
            raise RequestError(f"--sort {self.sort}: expected one of {', '.join(ORDERS)}")

    @property
    def plain(self) -> bool:
        """Whether nothing was asked for."""
        return self == View()


@dataclass(frozen=True, slots=True)
class Line:
    """A row as it is shown; `times` layers are like it, of which it gives the figures of one."""

    layer: Layer
    times: int = 1


@dataclass(frozen=True, slots=True)
class Selection:
    """The rows to show; how many hold nothing and are left out; of how many a `pattern` chose."""

    lines: tuple[Line, ...]
    left_out: int
    pattern: str | None
    of: int


def select(ledger: Ledger, view: View, extra: Collection[str] = ()) -> Selection:
    """The rows to show. Those that hold nothing are left out, unless a pattern asks for them: they have neither
    weights nor contractions nor pooling (`Layer.matters`), nor anything of `extra`, some of `ORDERS`.
    """
    if view.sort == "saved" and ledger.totals.saved_bytes is None:
        raise RequestError("--sort saved: not known; give --training too")
    rows: Sequence[Layer] = ledger.layers
    if view.depth is not None:
        rows = _to_depth(ledger, view.depth)
    if view.pattern is not None:
        shown = [layer for layer in rows if _matches(layer, view.pattern)]
    else:
        fields = [ORDERS[key] for key in extra]
        shown = [
            layer
            for layer in rows
            if layer.matters or any(getattr(layer, field) for field in fields)
        ]
    left_out = 0 if view.pattern is not None else len(rows) - len(shown)
    if view.sort is not None:
        order = ORDERS[view.sort]
        ordered = sorted(shown, key=lambda layer: -(getattr(layer, order) or 0))
        found = tuple(Line(layer) for layer in ordered)
    elif view.folded:
        found = tuple(_folded(shown))
    else:
        found = tuple(Line(layer) for layer in shown)
    return Selection(found, left_out, view.pattern, len(rows))


def lines(ledger: Ledger, view: View) -> tuple[Line, ...]:
    """The rows of `select`.

    >>> from torch import nn
    >>> from striate.ledger import count
    >>> blocks = [nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)) for _ in range(12)]
    >>> found = count(nn.Sequential(*blocks, nn.Linear(4, 2)), (1, 4))
    >>> [(line.layer.name, line.times) for line in lines(found, View())]
    [('0-11.0', 12), ('0-11.2', 12), ('12', 1)]
    >>> [(line.layer.name, line.layer.params, line.times) for line in lines(found, View(depth=1))]
    [('0-11', 40, 12), ('12', 10, 1)]
    """
    return select(ledger, view).lines


def _matches(layer: Layer, pattern: str) -> bool:
    wanted = pattern.lower()
    return any(fnmatchcase(text.lower(), wanted) for text in (layer.name, layer.type))


# -- to a depth --------------------------------------------------------------------------------


def _to_depth(ledger: Ledger, depth: int) -> list[Layer]:
    """The rows of each module at that depth in one, in the order in which they first ran."""
    groups: dict[str, list[Layer]] = {}
    for layer in ledger.layers:
        groups.setdefault(".".join(_parts(layer.name)[:depth]), []).append(layer)
    modules = {container.name: container for container in ledger.containers}
    return [
        members[0]
        if [m.name for m in members] == [name]
        else _sum(name, modules.get(name), members)
        for name, members in groups.items()
    ]


def _parts(name: str) -> list[str]:
    """A pooling that a module calls as a function, `features:max_pool2d`, is a part of the module."""
    module, colon, function = name.partition(":")
    return [*(module.split(".") if module else []), *([colon + function] if colon else [])]


def _sum(name: str, module: Container | None, members: Sequence[Layer]) -> Layer:
    connected = [layer for layer in members if layer.connections is not None]
    pooled = [layer for layer in members if layer.pooling_factor is not None]

    def total(field: str, of: Iterable[Layer] = members) -> int:
        return sum(getattr(layer, field) or 0 for layer in of)

    def known(field: str) -> int | None:
        return total(field, connected) if connected else None

    dense, connections = known("dense_params"), known("connections")
    weights = total("weights", connected)
    names = {layer.name for layer in members}
    return Layer(
        name=name,
        type=members[0].type if module is None else module.type,
        input_shape=None if module is None else module.input_shape,
        output_shape=None if module is None else module.output_shape,
        params=total("params"),
        weights=total("weights"),
        bias=total("bias"),
        connections=connections,
        connections_inside=known("connections_inside"),
        connections_with_bias=known("connections_with_bias"),
        dense_params=dense,
        locality_factor=ratio(dense or 0, connections or 0),
        sharing_factor=ratio(connections or 0, weights),
        pooling_factor=pooled[0].pooling_factor if len(pooled) == 1 else None,
        macs=total("macs"),
        flops=total("flops"),
        activation_bytes=total("activation_bytes"),
        receptive_field=members[-1].receptive_field,
        shared_with=tuple(
            other
            for other in dict.fromkeys(o for layer in members for o in layer.shared_with)
            if other not in names
        ),
        calls=max(layer.calls for layer in members),
        elementwise=total("elementwise"),
        saved_bytes=None if members[0].saved_bytes is None else total("saved_bytes"),
    )


# -- repeated blocks once ----------------------------------------------------------------------

NUMBER = re.compile(r"\d+")


def _folded(rows: Sequence[Layer]) -> Iterator[Line]:
    """Where a block of rows comes again and again, alike but for one number in the names, it is shown once."""
    keys = [_key(layer) for layer in rows]
    numbers = [tuple(map(int, NUMBER.findall(layer.name))) for layer in rows]
    start = 0
    while start < len(rows):
        length, times = max(
            (
                (length, _repeats(keys, numbers, start, length))
                for length in range(1, min(_LONGEST, (len(rows) - start) // 2) + 1)
            ),
            # As few lines as can be; of those, the shortest block.
            key=lambda found: (found[0] * (found[1] - 1), -found[0]),
            default=(1, 1),
        )
        if length * (times - 1) < 2:
            yield Line(rows[start])
            start += 1
            continue
        for row in range(start, start + length):
            block = [rows[row + repeat * length] for repeat in range(times)]
            same = all(layer.receptive_field == block[0].receptive_field for layer in block)
            field = block[0].receptive_field if same else None
            name = spanned([layer.name for layer in block])
            yield Line(replace(block[0], name=name, receptive_field=field), times)
        start += length * times


def _key(layer: Layer) -> object:
    alike = replace(layer, name=NUMBER.sub("#", layer.name), receptive_field=None, shared_with=())
    return alike, bool(layer.shared_with)


def _repeats(
    keys: Sequence[object], numbers: Sequence[tuple[int, ...]], start: int, length: int
) -> int:
    """How often the block of that length comes, told apart by the same number in all its names."""
    place: int | None = None
    times = 1
    while start + (times + 1) * length <= len(keys):
        for row in range(start, start + length):
            other = row + times * length
            if keys[row] != keys[other]:
                return times
            apart = [
                index
                for index, (a, b) in enumerate(zip(numbers[row], numbers[other], strict=True))
                if a != b
            ]
            if len(apart) != 1 or (place is not None and apart[0] != place):
                return times
            place = apart[0]
        times += 1
    return times


def spanned(names: Sequence[str]) -> str:
    """Names that differ in one number as one: `0-11` where each number follows the one before, else `0…22`.

    >>> spanned(["a.3.b", "a.4.b", "a.5.b"]), spanned(["a.0", "a.2"]), spanned(["a.0"])
    ('a.3-5.b', 'a.0…2', 'a.0')
    """
    first = names[0]
    found = [list(NUMBER.finditer(name)) for name in names]
    for place, match in enumerate(found[0]):
        texts = [each[place][0] for each in found]
        if len(set(texts)) > 1:
            numbers = [int(text) for text in texts]
            mark = "-" if all(b - a == 1 for a, b in pairwise(numbers)) else "…"
            return f"{first[: match.start()]}{numbers[0]}{mark}{numbers[-1]}{first[match.end() :]}"
    return first
