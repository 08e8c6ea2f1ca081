"""A plan: one rung for each site, as pure data. It can be written, read, compared and applied to a network again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from striate.errors import RequestError
from striate.reduce.plan_check import check_decision
from striate.reduce.rungs import rung_from_dict
from striate.reduce.rungs.compose import Rung
from striate.reduce.rungs.stage import Json, Patch, Place
from striate.reduce.sites import Layout

SCHEMA = "striate.plan/1"


@dataclass(frozen=True)
class Decision:
    """The rung chosen at one site, and what building it needs.

    `index`: where the map's positions stand among the flat inputs, None where they are in order. `reader`: the
    layer that reads the outputs in their new order, when the rung reorders them and no table undoes that.
    `residual` and `harm` are those measured with this change alone.
    """

    site: str
    rung: Rung
    place: Place
    params_before: int
    params_after: int
    residual: float | None = None
    harm: float | None = None
    index: tuple[int, ...] | None = None
    reader: str | None = None

    @property
    def from_label(self) -> str:
        return "dense" if self.place.patch is None else "convolution"


@dataclass(frozen=True)
class Plan:
    """Decisions in the order in which the network runs; sites that are not named stay as they are.

    `refitted`: unchanged linear layers whose weights are fitted again, because what they read changed.
    """

    decisions: tuple[Decision, ...]
    refitted: tuple[str, ...]
    params: int
    macs: int
    weight_bytes: int

    @property
    def structure(self) -> str:
        """What is done where, without sizes: plans of one structure differ in numbers only."""
        return "; ".join(
            f"{decision.site}: {'+'.join(decision.rung.kinds)}" for decision in self.decisions
        )

    @property
    def label(self) -> str:
        return "; ".join(f"{decision.site}: {decision.rung.label()}" for decision in self.decisions)

    @property
    def permuted(self) -> tuple[str, ...]:
        """Layers whose inputs come in a new order."""
        return tuple(decision.reader for decision in self.decisions if decision.reader is not None)

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(kind for decision in self.decisions for kind in decision.rung.kinds)

    def to_dict(self) -> Json:
        from striate.version import __version__

        return {
            "schema": SCHEMA,
            "striate": __version__,
            "params": self.params,
            "macs": self.macs,
            "weight_bytes": self.weight_bytes,
            "refitted": list(self.refitted),
            "permuted": list(self.permuted),
            "sites": [_decision_to_dict(decision) for decision in self.decisions],
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Plan:
        """Read what `to_dict` wrote; anything else is a `RequestError`."""
        if not isinstance(document, Mapping):
            raise RequestError(
                f"plan: a {type(document).__name__}; expected the JSON object of a plan"
            )
        if document.get("schema") != SCHEMA:
            raise RequestError(f"plan: schema {document.get('schema')!r}; expected {SCHEMA!r}")
        refitted = document.get("refitted")
        if not isinstance(refitted, list) or not all(isinstance(name, str) for name in refitted):
            raise RequestError(f"plan: refitted is {refitted!r}; expected a list of layers' names")
        try:
            return cls(
                decisions=tuple(_decision_from_dict(site) for site in document["sites"]),
                refitted=tuple(refitted),
                params=int(document["params"]),
                macs=int(document["macs"]),
                weight_bytes=int(document["weight_bytes"]),
            )
        except RequestError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RequestError(f"plan: the document lacks or garbles {error}") from error


def _decision_to_dict(decision: Decision) -> Json:
    place = decision.place
    return {
        "name": decision.site,
        "rung": decision.rung.to_dict(),
        "place": {
            "inputs": place.inputs,
            "outputs": place.outputs,
            "bias": place.bias,
            "rows": place.rows,
            "ordered": place.ordered,
            "foldable": place.foldable,
            "itemsize": place.itemsize,
            "layout": None if place.layout is None else _plain(place.layout),
            "patch": None if place.patch is None else _plain(place.patch),
        },
        "params_before": decision.params_before,
        "params_after": decision.params_after,
        "residual": decision.residual,
        "harm": decision.harm,
        "index": None if decision.index is None else list(decision.index),
        "reader": decision.reader,
    }


def _plain(value: Layout | Patch) -> Json:
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _decision_from_dict(document: Mapping[str, Any]) -> Decision:
    place = dict(document["place"])
    if place["layout"] is not None:
        place["layout"] = Layout(**place["layout"])
    if place["patch"] is not None:
        place["patch"] = Patch(**_frozen(place["patch"]))
    built, rung = Place(**place), rung_from_dict(document["rung"])
    index = document["index"]
    index = tuple(index) if isinstance(index, list) else index
    check_decision(document["name"], rung, built, index, document["reader"])
    return Decision(
        site=document["name"],
        rung=rung,
        place=built,
        params_before=int(document["params_before"]),
        params_after=int(document["params_after"]),
        residual=document["residual"],
        harm=document["harm"],
        index=index,
        reader=document["reader"],
    )


def _frozen(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
