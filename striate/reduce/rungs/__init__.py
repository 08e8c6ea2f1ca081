"""The rungs of the ladder: each is one file, and this one lists them and the sequences that are tried."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from itertools import islice
from typing import Any

from striate.errors import RequestError
from striate.reduce.rungs.compose import Rung
from striate.reduce.rungs.dense import Dense
from striate.reduce.rungs.local import Grid, Local
from striate.reduce.rungs.low_rank import LowRank
from striate.reduce.rungs.pooled import Pooled
from striate.reduce.rungs.shared import Blocked, Shared
from striate.reduce.rungs.split import Split
from striate.reduce.rungs.stage import MOST_FEATURES, Counts, Front, Place, Room

FRONTS: tuple[Any, ...] = (Pooled, Split)
HEADS: tuple[Any, ...] = (Dense, LowRank, Local, Blocked, Shared)
# Behind a front stage units are not put on a grid: the map is small by then.
HEADS_BEHIND: tuple[Any, ...] = (Dense, LowRank)
DENSE = Rung((Dense(),))
# Rungs of one structure at one site that are fitted and compared; more of them differ little.
MOST_ALIKE = 14

_COSTS: tuple[Callable[[Counts, Place], int], ...] = (
    lambda counts, place: counts.params,
    lambda counts, place: counts.macs,
    lambda counts, place: counts.stored(place.itemsize),
)


def propose(place: Place, room: Room) -> list[Rung]:
    """The rungs worth fitting at a place: the unchanged one, those that fit the room, and the smallest of all."""
    found: dict[Rung, Counts] = {DENSE: DENSE.counts(place)} if place.patch is None else {}
    passed: dict[Rung, Counts] = {}
    alike: dict[tuple[str, ...], int] = defaultdict(int)
    for rung in _sequences(place, room):
        if rung in found:
            continue
        counts = rung.counts(place)
        if room.holds(counts, place.itemsize) and alike[rung.kinds] < MOST_ALIKE:
            alike[rung.kinds] += 1
            found[rung] = counts
        else:
            passed[rung] = counts
    everything = {**passed, **found}
    for cost in _COSTS:
        if everything:
            least = min(everything, key=lambda rung: cost(everything[rung], place))
            found.setdefault(least, everything[least])
    return list(found)


def _sequences(place: Place, room: Room) -> Iterator[Rung]:
    if place.inputs <= MOST_FEATURES:
        for head in HEADS:
            for stage in head.propose(place, room):
                yield Rung((stage,))
    if place.layout is None:
        return
    for pooled in Pooled.propose(place, room):
        yield from _behind((pooled,), place, room)
    if place.inputs <= MOST_FEATURES:
        for split in Split.propose(place, room):
            yield from _behind((split,), place, room)
    for pooled in islice(Pooled.propose(place, room), 2):
        for split in islice(Split.propose(pooled.after(place), room), 2):
            yield from _behind((pooled, split), place, room)


def _behind(fronts: tuple[Front, ...], place: Place, room: Room) -> Iterator[Rung]:
    used, inner = Counts(0, 0), place
    for front in fronts:
        used += front.counts(inner)
        inner = front.after(inner)
    # Behind a pool of a map that is too large itself, every window and mode has a Gram matrix of its own.
    if inner.inputs > (MOST_FEATURES if place.inputs <= MOST_FEATURES else MOST_FEATURES // 4):
        return
    left = Room(
        room.params - used.params,
        room.macs - used.macs,
        room.bytes - used.stored(place.itemsize),
    )
    for head in HEADS_BEHIND:
        stages = list(islice(head.propose(inner, left), 3))
        yield from (Rung((*fronts, stage)) for stage in stages)


def widest(rung: Rung, place: Place, room: Room) -> Rung:
    """The rung with the largest rank that fits the room and still saves weights, where its head has a rank."""
    if not isinstance(rung.head, LowRank):
        return rung
    inner = rung.at_head(place)
    best, low, high = rung, rung.head.rank, LowRank.largest(inner)
    while low <= high:
        middle = (low + high) // 2
        grown = Rung((*rung.fronts, LowRank(middle)))
        if room.holds(grown.counts(place), place.itemsize):
            best, low = grown, middle + 1
        else:
            high = middle - 1
    return best


_KINDS: dict[str, type] = {stage.kind: stage for stage in (*FRONTS, *HEADS)}


def rung_from_dict(document: Mapping[str, Any]) -> Rung:
    """Read a rung as `Rung.to_dict` writes it; anything else is a `RequestError`."""
    try:
        stages = tuple(_stage(stage) for stage in document["stages"])
    except RequestError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RequestError(f"plan: rung {document!r} cannot be read: {error}") from error
    if not (
        stages
        and isinstance(stages[-1], HEADS)
        and all(isinstance(stage, FRONTS) for stage in stages[:-1])
    ):
        raise RequestError(
            f"plan: rung {document!r} cannot be built: expected any number of "
            f"{', '.join(stage.kind for stage in FRONTS)}, then one of {', '.join(stage.kind for stage in HEADS)}"
        )
    return Rung(stages)


def _stage(document: Mapping[str, Any]) -> Any:
    values = dict(document)
    kind = values.pop("kind")
    if kind not in _KINDS:
        raise RequestError(f"plan: unknown rung kind {kind!r}; expected one of {', '.join(_KINDS)}")
    if "grid" in values:
        values["grid"] = Grid(**{name: _frozen(value) for name, value in values["grid"].items()})
    return _KINDS[kind](
        **{field.name: _frozen(values[field.name]) for field in fields(_KINDS[kind])}
    )


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
