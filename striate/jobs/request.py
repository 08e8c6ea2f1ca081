"""What `striate shrink` is asked for: checked values in, the `run.json` document out."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from striate.errors import RequestError
from striate.ledger.gates import SHRINK_KEYS, BudgetRequest, parse_budget
from striate.version import __version__

Precision = Literal["32-true", "bf16-mixed"]
EXPORTS = ("onnx",)

# What may differ between the command that began a run and the one that goes on with it.
_FREE = frozenset({"schema", "striate", "command", "versions", "threads"})


@dataclass(frozen=True)
class Settings:
    """How a network is to be shrunk, whatever names it and the data.

    `epochs` of fine-tuning in all, the finalists' race included; `pretrain` epochs train the network
    first; `batch_size` of training, None for the recipes' own.

    >>> Settings(budget=("5%", "macs=30M"), epochs=0).budget
    ('5%', 'macs=30M')
    >>> Settings(budget=("5%",), epochs=-1)
    Traceback (most recent call last):
    striate.errors.RequestError: --epochs -1: expected a whole number from 0 on
    """

    budget: tuple[str, ...]
    epochs: int = 10
    pretrain: int = 0
    batch_size: int | None = None
    seed: int = 0
    device: str = "cpu"
    precision: Precision = "32-true"
    export: tuple[str, ...] = ()
    accept_baseline: bool = False

    def __post_init__(self) -> None:
        if not self.budget:
            raise RequestError(
                "--budget is missing: say how small the network must become, for example --budget 5%"
            )
        self.budgets()
        for option, value, least, most in (
            ("--epochs", self.epochs, 0, 10**6),
            ("--pretrain", self.pretrain, 0, 10**6),
            ("--batch-size", self.batch_size, 2, 10**6),
            ("--seed", self.seed, 0, 2**63 - 1),
        ):
            if value is not None and not least <= value <= most:
                raise RequestError(f"{option} {value}: expected a whole number from {least} on")
        if self.precision not in get_args(Precision):
            raise RequestError(
                f"--precision {self.precision}: expected {' or '.join(get_args(Precision))}"
            )
        for name in self.export:
            if name not in EXPORTS:
                raise RequestError(f"--export {name}: expected {' or '.join(EXPORTS)}")

    def budgets(self) -> tuple[BudgetRequest, ...]:
        """The budgets, parsed."""
        return tuple(parse_budget(text, allowed=SHRINK_KEYS) for text in self.budget)


@dataclass(frozen=True)
class ShrinkRequest:
    """A shrink as named on a command line. What is None was not given."""

    model: str
    data: str
    settings: Settings
    model_args: Mapping[str, object] = field(default_factory=dict)
    weights: str | None = None
    weights_key: str | None = None
    val: str | None = None
    split: str | None = None
    size: str | None = None
    mean: str | None = None
    std: str | None = None
    channels: str | None = None
    layout: str | None = None
    transform: str | None = None
    augment: str = "none"

    def __post_init__(self) -> None:
        if self.weights_key is not None and self.weights is None:
            raise RequestError(
                f"--weights-key {self.weights_key}: says what to take from --weights, which is missing"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `run.json`, on one level."""
        document: dict[str, Any] = asdict(self)
        settings: dict[str, Any] = document.pop("settings")
        return document | settings


def environment() -> dict[str, Any]:
    """The versions and the thread count that a result's last bits depend on."""
    import numpy
    import torch

    return {
        "versions": {
            "striate": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": numpy.__version__,
        },
        "threads": torch.get_num_threads(),
    }


def check_same(before: Mapping[str, Any], now: Mapping[str, Any], path: object) -> list[str]:
    """Raise `RequestError` unless `now` asks for what the run at `path` was begun with.

    Both are `run.json` documents. Gives notes on what may change the last bits.

    >>> check_same({"seed": 0, "threads": 2}, {"seed": 0, "threads": 2}, "run")
    []
    >>> check_same({"seed": 0}, {"seed": 1}, "run")
    Traceback (most recent call last):
    striate.errors.RequestError: --resume run: the run was begun with seed 0, and this asks for 1; ...
    """
    now = json.loads(json.dumps(now))
    for key in (*now, *(key for key in before if key not in now)):
        if key in _FREE:
            continue
        old, new = before.get(key), now.get(key)
        if old != new:
            raise RequestError(
                f"--resume {path}: the run was begun with {key} {_shown(old)}, and this asks for "
                f"{_shown(new)}; give the options it was begun with, or another --out"
            )
    notes = []
    for key in ("versions", "threads"):
        if before.get(key) != now.get(key):
            notes.append(
                f"the run was begun with {key} {_shown(before.get(key))}, and goes on with "
                f"{_shown(now.get(key))}: the result's last bits may differ"
            )
    return notes


def _shown(value: object) -> str:
    if value is None:
        return "not given"
    if isinstance(value, Mapping):
        text = "; ".join(f"{key} {_shown(item)}" for key, item in value.items()) or "none"
    elif isinstance(value, list):
        text = ", ".join(map(str, value)) or "none"
    else:
        text = str(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
