"""The built-in networks, by name. A network is one module with a `build` function and one line here.

`build(shape=..., classes=..., **options)` gives an `nn.Module` with fresh weights (seed torch before the call).
A builder that takes no `shape` has beside it `input_shape(**options)`, the shape of one example.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, cast

from striate.errors import RequestError
from striate.sources.names import by_likeness

if TYPE_CHECKING:
    from torch import nn

NAMES: Mapping[str, str] = {
    "article": "article",
    "digits": "digits",
    "keras-cnn": "keras_cnn",
    "lenet5": "lenet5",
    "lenet5-1998": "lenet5_1998",
    "mlp": "mlp",
}


def _module(name: str) -> object:
    if name not in NAMES:
        known = ", ".join(f"zoo:{known}" for known in by_likeness(name, NAMES))
        raise RequestError(f"MODEL zoo:{name}: no such network; expected one of {known}")
    return import_module(f"{__name__}.{NAMES[name]}")


def builder(name: str) -> Callable[..., nn.Module]:
    """The function that builds the network `name`; RequestError that lists the names where there is none.

    >>> type(builder("lenet5")()).__name__
    'Sequential'
    """
    return cast("Callable[..., nn.Module]", getattr(_module(name), "build"))  # noqa: B009


def input_shape(name: str, arguments: Mapping[str, object]) -> tuple[int, ...]:
    """The shape of one example, without the batch, of the network built with `arguments`.

    >>> input_shape("keras-cnn", {})
    (3, 32, 32)
    """
    module = _module(name)
    own = getattr(module, "input_shape", None)
    if own is not None:
        return tuple(own(**arguments))
    from inspect import signature

    from striate.sources.zoo.checks import sizes

    default = signature(builder(name)).parameters["shape"].default
    return sizes(f"zoo:{name}", "shape", arguments.get("shape", default))
