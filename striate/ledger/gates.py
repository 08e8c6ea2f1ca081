"""Limits on a network: what `--budget` asks for, and whether a ledger meets it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from striate.errors import RequestError, refuse_long

#: What a budget's key means: the metric's name in code and in JSON.
METRICS: Mapping[str, str] = {
    "params": "params",
    "macs": "macs",
    "bytes": "weight_bytes",
    "flops": "flops",
    "activation": "activation_bytes",
    "peak": "peak_activation_bytes",
    "receptive-field": "receptive_field",
}
#: The keys that `striate shrink` can meet; `striate count` judges all of `METRICS`.
SHRINK_KEYS = ("params", "macs", "bytes")

_COUNT_UNITS = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BYTE_UNITS = {
    "": 1,
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_BYTE_METRICS = frozenset({"weight_bytes", "activation_bytes", "peak_activation_bytes"})
_AMOUNT = re.compile(r"(?P<sign>[-+]?)(?P<number>\d+(?:\.\d*)?|\.\d+)\s*(?P<unit>%|[A-Za-z]*)")


@dataclass(frozen=True, slots=True)
class BudgetRequest:
    """A budget as it was asked for: an amount, or a share of a baseline that is not known yet."""

    metric: str
    text: str
    option: str = "--budget"
    amount: int | None = None
    percent: Fraction | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """A metric and the value it may not pass (for `receptive_field`: must at least reach)."""

    metric: str
    limit: int
    text: str

    @property
    def at_least(self) -> bool:
        return self.metric == "receptive_field"

    def allows(self, value: int) -> bool:
        """Whether a value meets the limit."""
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True, slots=True)
class Gate:
    """A limit that was judged. `met` is None where the value is not known well enough to tell."""

    metric: str
    limit: int
    value: int | None
    met: bool | None

    def to_dict(self) -> dict[str, object]:
        return {"metric": self.metric, "limit": self.limit, "value": self.value, "met": self.met}


def parse_budget(
    text: str, option: str = "--budget", *, allowed: Collection[str] | None = None
) -> BudgetRequest:
    """Read a budget: `5%`, `200k`, `1.5M`, `macs=30M`, `bytes=500KB`, `receptive-field=64`.

    k, M, G and T are powers of 1000, KB and MB too, KiB and MiB powers of 1024. `allowed`
    restricts the keys (`SHRINK_KEYS` for the reduction). Raises `RequestError` naming the option,
    the value and what is expected.

    >>> parse_budget("1.5M").amount
    1500000
    >>> parse_budget("bytes=500KiB").metric, parse_budget("bytes=500KiB").amount
    ('weight_bytes', 512000)
    >>> parse_budget("macs=0")
    Traceback (most recent call last):
    striate.errors.RequestError: --budget macs=0: a budget must be more than zero; give for ...
    """
    refuse_long(option, text)
    keys = tuple(METRICS) if allowed is None else tuple(key for key in METRICS if key in allowed)
    where = f"{option} {text}"
    key, separator, rest = text.strip().rpartition("=")
    key, rest = key.strip(), rest.strip()
    if not separator:
        key = "params"
    if key not in keys:
        raise RequestError(
            f"{where}: '{key}' is not a budget this command knows; expected one of "
            f"{', '.join(f'{name}=' for name in keys)} or a bare number of parameters"
        )
    metric = METRICS[key]
    found = _AMOUNT.fullmatch(rest)
    if found is None:
        raise RequestError(
            f"{where}: '{rest}' is not an amount; expected digits such as 1000000 or 1.5, "
            f"with or without a unit ({_listed_units(metric)}), for example {_example(key)}"
        )
    number = Fraction(found["number"])
    if number == 0 or found["sign"] == "-":
        raise RequestError(
            f"{where}: a budget must be more than zero; give for example {_example(key)}"
        )
    if found["unit"] == "%":
        if metric == "receptive_field":
            raise RequestError(f"{where}: a receptive field is a number of rows, for example 64")
        if number > 100:
            # What has keys of its own knows no other network to grow from.
            grown = f"; for growth, --max-growth {float(number) - 100:g}% beside --against"
            raise RequestError(
                f"{where}: more than the whole network is no budget; "
                f"give more than 0% and at most 100%{grown if allowed is None else ''}"
            )
        return BudgetRequest(metric, text, option, percent=number)
    units = _units(metric)
    if found["unit"] not in units:
        raise RequestError(
            f"{where}: unknown unit '{found['unit']}'; expected "
            f"{_listed_units(metric)}, for example {_example(key)}"
        )
    amount = number * units[found["unit"]]
    if amount.denominator != 1:
        raise RequestError(
            f"{where}: that is {float(amount):g}, not a whole number; "
            f"give for example {_example(key)}"
        )
    return BudgetRequest(metric, text, option, amount=int(amount))


def _units(metric: str) -> Mapping[str, int]:
    if metric in _BYTE_METRICS:
        return _BYTE_UNITS
    return {"": 1} if metric == "receptive_field" else _COUNT_UNITS


def _listed_units(metric: str) -> str:
    return ", ".join(name for name in _units(metric) if name) or "no unit"


def _example(key: str) -> str:
    if key == "params":
        return "5% or 200k"
    if METRICS[key] in _BYTE_METRICS:
        return f"{key}=500KB"
    return "receptive-field=64" if key == "receptive-field" else f"{key}=30M"


def resolve(request: BudgetRequest, baseline: Mapping[str, int] | None = None) -> Limit:
    """The limit in numbers; `N%` is floor(N % of the baseline's value of that metric).

    >>> resolve(parse_budget("8%"), {"params": 814_090}).limit
    65127
    """
    if request.amount is not None:
        return Limit(request.metric, request.amount, request.text)
    assert request.percent is not None
    where = f"{request.option} {request.text}"
    if baseline is None:
        raise RequestError(
            f"{where}: a share needs a network to take it of; give an amount, "
            f"for example 200k, or a baseline with --against"
        )
    value = baseline[request.metric]
    limit = int(request.percent * value / 100)
    if limit == 0:
        raise RequestError(
            f"{where}: {float(request.percent):g} % of {value:,} is less than one; ask for more"
        )
    return Limit(request.metric, limit, request.text)


def judge(
    limits: Iterable[Limit], values: Mapping[str, int | None], uncertain: Collection[str] = ()
) -> tuple[Gate, ...]:
    """Judge each limit.

    `uncertain` names metrics whose values are lower bounds (part of the network could not be
    counted): such a value can break an upper limit but never show that it is met.

    >>> judge([Limit("params", 100, "100")], {"params": 90})
    (Gate(metric='params', limit=100, value=90, met=True),)
    >>> judge([Limit("macs", 100, "macs=100")], {"macs": 90}, uncertain={"macs"})[0].met is None
    True
    """
    gates = []
    for limit in limits:
        value = values.get(limit.metric)
        met: bool | None = None if value is None else limit.allows(value)
        if met is not None and limit.metric in uncertain and met is not limit.at_least:
            met = None
        gates.append(Gate(limit.metric, limit.limit, value, met))
    return tuple(gates)
