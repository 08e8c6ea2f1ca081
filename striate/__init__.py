"""striate: smaller vision networks by local connectivity, weight sharing and pooling.

Everything here is imported when it is first used, so that `import striate` is quick and asks for nothing that is
not installed.

>>> import striate
>>> striate.count.__module__.startswith("striate.")
True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from striate.version import __version__

if TYPE_CHECKING:
    from striate import nn
    from striate.jobs.api import ShrinkResult, apply, plan, shrink
    from striate.jobs.load import load
    from striate.ledger import Ledger, count
    from striate.nn.convert.rungs import lift, project
    from striate.reduce.plan import Plan

_HOMES = {
    "Ledger": "striate.ledger",
    "Plan": "striate.reduce.plan",
    "ShrinkResult": "striate.jobs.api",
    "apply": "striate.jobs.api",
    "count": "striate.ledger",
    "lift": "striate.nn.convert.rungs",
    "load": "striate.jobs.load",
    "plan": "striate.jobs.api",
    "project": "striate.nn.convert.rungs",
    "shrink": "striate.jobs.api",
}

__all__ = [
    "Ledger",
    "Plan",
    "ShrinkResult",
    "__version__",
    "apply",
    "count",
    "lift",
    "load",
    "nn",
    "plan",
    "project",
    "shrink",
]


def __getattr__(name: str) -> Any:
    if name == "nn":
        return import_module("striate.nn")
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'striate' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
