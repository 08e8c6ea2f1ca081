"""Models as named on a command line: `zoo:NAME`, `package.module:factory`, `path/to/file.py:factory`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import nn
from torch.nn.parameter import UninitializedParameter

from striate.errors import RequestError
from striate.sources import zoo
from striate.sources.imports import load_callable, running
from striate.sources.names import by_likeness, listing
from striate.sources.weights import refuse_non_finite

#: Files that hold a whole network. `striate count` takes them, nothing else does.
FILES = (".onnx", ".pt2")
_FORMS = "zoo:NAME, package.module:factory or path/to/file.py:factory"


@dataclass(frozen=True)
class ModelSource:
    """A model that can be built, any number of times.

    `arguments` are those the factory is called with, for the zoo with `shape` and `classes` filled in;
    `input_shape` is the shape of one example where the zoo knows it.
    """

    text: str
    arguments: Mapping[str, object]
    is_zoo: bool
    input_shape: tuple[int, ...] | None
    factory: Callable[..., object] = field(repr=False, compare=False)

    def build(self, notes: list[str] | None = None) -> nn.Module:
        """A new module, with the weights its factory gives it (random ones follow torch's seed).

        What the user should know of it is added to `notes`.
        Raises RequestError where the factory returns no module, or weights that are NaN, Inf or not there yet;
        UserCodeError where it raises.
        """
        if self.is_zoo:
            built = self.factory(**self.arguments)
        else:
            with running(f"MODEL {self.text}: the factory"):
                built = self.factory(**_with_config(self.factory, self.arguments))
        if not isinstance(built, nn.Module):
            hint = "; name the function that builds it" if isinstance(built, type) else ""
            raise RequestError(
                f"MODEL {self.text}: the factory returned a {type(built).__name__}, expected a"
                f" torch.nn.Module{hint}"
            )
        named = built.named_parameters()
        lazy = [name for name, weight in named if isinstance(weight, UninitializedParameter)]
        if lazy:
            raise RequestError(
                f"MODEL {self.text}: {listing(lazy)} have no shape yet (lazy modules); run the model once"
                " in the factory"
            )
        refuse_non_finite(built, f"MODEL {self.text}")
        model, was_compiled = uncompiled(built)
        if was_compiled and notes is not None:
            notes.append(COMPILED)
        return model


COMPILED = (
    "the model was compiled by torch.compile; striate works on the network inside, uncompiled"
)


def uncompiled(model: nn.Module) -> tuple[nn.Module, bool]:
    """The network that `torch.compile(model)` wrapped, and whether there was a wrapper.

    >>> net = nn.Linear(2, 2)
    >>> uncompiled(net) == (net, False)
    True
    """
    inner = model
    # The class is not imported: that takes a second, and where a model is compiled its name is enough.
    while type(inner).__name__ == "OptimizedModule" and isinstance(inner._orig_mod, nn.Module):
        inner = inner._orig_mod
    return inner, inner is not model


def resolve(
    text: str,
    arguments: Mapping[str, object] | None = None,
    *,
    shape: tuple[int, ...] | None = None,
    classes: int | None = None,
) -> ModelSource:
    """The model that `text` names, to be built with `arguments` (those of `--model-arg`).

    `shape`, of one example, and `classes` come from the data; a zoo network takes them where `arguments` do not
    say otherwise. Raises RequestError for an unknown name, form or argument, UserCodeError where importing the
    user's module raises.

    >>> resolve("zoo:mlp", {"hidden": 16}, shape=(1, 8, 8), classes=3).build().fc1
    Linear(in_features=64, out_features=16, bias=True)
    """
    given = dict(arguments or {})
    prefix, separator, name = text.partition(":")
    if prefix == "zoo":
        if not name:
            raise RequestError(f"MODEL {text}: name a network: {_zoo_names('')}")
        build = zoo.builder(name)
        takes = inspect.signature(build).parameters
        offered = {"shape": shape, "classes": classes}
        for key, value in offered.items():
            if value is not None and key in takes:
                given.setdefault(key, value)
        _check_arguments(text, build, given)
        return ModelSource(text, given, True, zoo.input_shape(name, given), build)
    if text.lower().endswith(FILES):
        raise RequestError(
            f"MODEL {text}: a network from a file can only be counted (striate count); name the function that"
            " builds it, and give its weights with --weights"
        )
    if not separator and not text.endswith(".py"):
        known = zoo.NAMES
        hint = f"; did you mean zoo:{text}?" if text in known else "."
        raise RequestError(f"MODEL {text}: expected {_FORMS}{hint} The zoo has {_zoo_names(text)}")
    factory = load_callable(text, "MODEL")
    if isinstance(factory, nn.Module):
        raise RequestError(
            f"MODEL {text}: is a module already; name a function that returns it, so that it can be"
            " built again"
        )
    _check_arguments(text, factory, given)
    return ModelSource(text, given, False, None, factory)


def _zoo_names(like: str) -> str:
    return ", ".join(f"zoo:{name}" for name in by_likeness(like, zoo.NAMES))


def _with_config(
    factory: Callable[..., object], arguments: Mapping[str, object]
) -> dict[str, object]:
    """The arguments, with a mapping `config` made into the factory's `config_class`, as `transformers` has it."""
    given = dict(arguments)
    config_class = getattr(factory, "config_class", None)
    config = given.get("config")
    if config_class is not None and isinstance(config, Mapping):
        given["config"] = config_class(**config)
    return given


def _check_arguments(
    text: str, factory: Callable[..., object], arguments: Mapping[str, object]
) -> None:
    """RequestError where the factory cannot be called so, before anything runs."""
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):  # built-in callables may not tell
        return
    try:
        signature.bind(**arguments)
    except TypeError as error:
        options = [
            name
            for name, parameter in signature.parameters.items()
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        ]
        unknown = [name for name in arguments if name not in options]
        likely = by_likeness(unknown[0], options) if unknown else options
        said = " ".join(f"--model-arg {name}" for name in unknown) or f"MODEL {text}"
        raise RequestError(
            f"{said}: {text} cannot be called so ({error}); it takes {listing(likely, 9) or 'nothing'}"
        ) from None
