"""One forward, followed: which layer reads which features, and where each layer's output goes.

A dispatch mode sees every operator, module hooks say which module called it, and a function mode keeps the few
functions whole that would otherwise fall apart into operators without a meaning of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from striate.errors import user_code
from striate.nn.functional import FUNCTIONS
from striate.reduce import shadow as rules
from striate.reduce.modes import Functions, Operators
from striate.reduce.shadow import Layout, NeedsValuesError, Shadow, Source

INPUT = "input"


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a linear layer: when, on what, and what it gave. `shadow` is None for a constant input."""

    order: int
    shadow: Shadow | None
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]


class Trace:
    """Follows one forward of `model` (in the caller's mode and device).

    `layers` maps the names of the linear layers (plain `nn.Linear` and `nn.Conv2d`) to the modules. After `run`:
    `calls` by layer; `readers`, the layers that read a layer's output with no mixing operator between;
    `escaped`, the layers whose output also goes elsewhere; `outputs`, those that reach the model's output;
    `borrowed`, those whose weights are read outside their own call.
    """

    def __init__(self, model: nn.Module, layers: Mapping[str, nn.Module]) -> None:
        self.calls: dict[str, list[Call]] = {name: [] for name in layers}
        self.readers: dict[str, list[str]] = {name: [] for name in layers}
        self.escaped: set[str] = set()
        self.outputs: set[str] = set()
        self.borrowed: set[str] = set()
        self._model = model
        self._fault: Exception | None = (
            None  # of the tracing itself: not to be taken for the model's
        )
        self._layers = layers
        self._owners = {
            id(parameter): name
            for name, layer in layers.items()
            for parameter in layer.parameters(recurse=False)
        }
        self._modules = dict(model.named_modules())
        self._stack: list[str] = []
        self._within: str | None = None  # the linear layer whose own operators run now
        self._whole = 0  # depth of functions taken as one operator
        self._used = {INPUT}
        self._order = 0
        self._shadows: MutableMapping[Tensor, Shadow] = WeakTensorKeyDictionary()
        # Storages that features were written into by way of a view; kept, lest an address is used again.
        self._written: dict[int, tuple[torch.UntypedStorage, frozenset[str]]] = {}

    def run(self, example: Tensor, layout: Layout | None) -> None:
        """Call the model on `example`, whose positions are those of the source "input".

        Raises:
            UserCodeError: the forward raises, be it for want of values on the meta device.
        """
        self._shadows[example] = Shadow(Source(INPUT, tuple(example.shape), layout))
        with ExitStack() as stack:
            for name, module in self._modules.items():
                if isinstance(module, torch.jit.ScriptModule):
                    continue  # takes no hooks
                before, after = self._hooks(name)
                # Innermost around the forward: hooks of the user's own come before and after.
                handle = module.register_forward_pre_hook(before, with_kwargs=True)
                stack.callback(handle.remove)
                handle = module.register_forward_hook(after, prepend=True, always_call=True)
                stack.callback(handle.remove)
            stack.enter_context(torch.no_grad())
            stack.enter_context(Functions(self))
            stack.enter_context(Operators(self))
            try:
                with user_code("the model's forward"):
                    out = self._model(example)
            finally:
                if self._fault is not None:
                    raise self._fault
        for shadow in self._tracked(_tensors(out)):
            self.outputs |= shadow.layers

    # What the modes and hooks call

    def _hooks(self, name: str) -> tuple[Callable[..., None], Callable[..., None]]:
        entered: list[Any] = []

        def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self._stack.append(name)
            if name in self._layers:
                entered.append(args[0] if args else kwargs.get("input"))
                self._within = name

        def after(module: nn.Module, args: tuple[Any, ...], out: Any) -> None:
            self._stack.pop()
            if name in self._layers:
                self._within = None
                given = entered.pop()
                if isinstance(given, Tensor) and isinstance(out, Tensor):
                    with self.own():
                        self._called(name, given, out)

        return before, after

    def _called(self, name: str, given: Tensor, out: Tensor) -> None:
        shadow = self._lookup(given)
        self.calls[name].append(Call(self._order, shadow, tuple(given.shape), tuple(out.shape)))
        self._order += 1
        if shadow is not None:
            for layer in shadow.layers:
                if name not in self.readers[layer]:
                    self.readers[layer].append(name)
        layout, last = None, False
        if out.ndim == 4:
            last = isinstance(self._layers[name], nn.Linear)
            sizes = (out.shape[3], out.shape[1], out.shape[2]) if last else out.shape[1:]
            layout = Layout(*sizes) if out.numel() else None
        source = Source(self._unique(name), tuple(out.shape), layout, last)
        self._shadows[out] = Shadow(source, layers=frozenset({name}))

    @contextmanager
    def own(self) -> Iterator[None]:
        """Around the tracing's own work inside the model's forward."""
        try:
            yield
        except NeedsValuesError:
            raise
        except Exception as error:
            self._fault = error
            raise

    def whole(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Run a function that counts as one operator."""
        self._whole += 1
        try:
            out = function(*args, **kwargs)
        finally:
            self._whole -= 1
        if self._within is None and not self._whole and isinstance(out, Tensor):
            with self.own():
                self._shadow_whole(function, out, self._tracked(_tensors((args, kwargs))))
        return out

    def _shadow_whole(
        self, function: Callable[..., Any], out: Tensor, shadows: list[Shadow]
    ) -> None:
        if function in FUNCTIONS and shadows:
            self._escape(shadows)
            self._shadows[out] = self._map(function.__name__, out, frozenset())
        elif len(shadows) == 1:
            self._shadows[out] = shadows[0].passed_on()
        elif shadows:
            self._shadows[out] = self._mixed("norm", out, shadows)

    def operator(
        self, func: OpOverload[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
    ) -> None:
        """Follow one operator that has just run."""
        given = _tensors((args, kwargs))
        for tensor in given:
            owner = self._owners.get(id(tensor))
            if owner is not None and owner != self._within:
                self.borrowed.add(owner)
        if self._within is not None or self._whole:
            return
        shadows = self._tracked(given)
        if not shadows or rules.makes_constant(func):
            return
        results = _tensors(out)
        if not results:
            self._escape(shadows)  # its values leave the tensors, as with .item()
            return
        found = self._rule(func, args, kwargs, given, shadows, results)
        # squeeze_ and its like change a tensor's shape and write nothing.
        writes = func._schema.is_mutable and not rules.is_shape_operation(func)
        written = _written_tensors(func, args, kwargs) if writes else []
        for tensor in written:
            after = next((s for r, s in zip(results, found, strict=True) if r is tensor), None)
            if after is not None:
                self._overwrite(tensor, after)
        for result, shadow in zip(results, found, strict=True):
            self._shadows[result] = shadow

    # The rules

    def _rule(
        self,
        func: OpOverload[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        given: list[Tensor],
        shadows: list[Shadow],
        results: list[Tensor],
    ) -> list[Shadow]:
        """The shadow of each result."""
        name = rules.operator_name(func)
        first = shadows[0]
        same = all(first.same_features(other) for other in shadows[1:])
        layers = frozenset[str]().union(*(s.layers for s in shadows))
        if name == "copy":
            copied = self._lookup(args[1])
            if copied is None:
                return [self._mixed(name, results[0], shadows)]
            return [copied.broadcast(tuple(results[0].shape))]
        if rules.is_shape_operation(func):
            moved = self._move(func, name, args, kwargs, given, shadows)
            if moved is not None:
                return moved
            if name in rules.JOINS:
                return [self._join(name, args, kwargs, shadows, layers, results[0])]
        elif rules.is_elementwise(func) and same:
            constants = [t for t in given if self._lookup(t) is None]
            commutes = all(t.numel() == 1 for t in constants)
            passed = replace(
                first, commutes=commutes and all(s.commutes for s in shadows), layers=layers
            )
            others = [self._start(name, r, None, layers) for r in results[1:]]
            return [passed.broadcast(tuple(results[0].shape)), *others]
        elif name in rules.NORMS and same:
            others = [self._start(name, r, None, layers) for r in results[1:]]
            return [first.passed_on(), *others]
        elif name in rules.WINDOWS:
            known = name not in rules.OF_ANY_SHAPE or first.is_map or results[0].ndim == 3
            made = (
                self._map(name, results[0], layers)
                if known
                else self._start(name, results[0], None, layers)
            )
            return [made, *(self._start(name, r, None, layers) for r in results[1:])]
        elif name in rules.REDUCTIONS:
            return [
                self._start(
                    name, results[0], first.reduced(args[1] if len(args) > 1 else None), layers
                )
            ]
        elif name in rules.CONVOLUTIONS:
            self._escape(shadows)
            return [self._map(name, results[0], frozenset())]
        return [self._mixed(name, result, shadows) for result in results]

    def _move(
        self,
        func: OpOverload[..., Any],
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        given: list[Tensor],
        shadows: list[Shadow],
    ) -> list[Shadow] | None:
        """A shape operation on features of one source; None where it joins several, or features choose."""
        first = shadows[0]
        if name in rules.SELECTIONS and (len(shadows) > 1 or self._lookup(args[0]) is None):
            return None
        if name in rules.JOINS and len(shadows) < len(given):
            return None
        if any(s.source is not first.source for s in shadows):
            return None
        indices = rules.reindex(func, args, kwargs, self._lookup)
        layers = frozenset[str]().union(*(s.layers for s in shadows))
        commutes = all(s.commutes for s in shadows)
        return [Shadow(first.source, index, commutes, layers) for index in indices]

    def _join(
        self,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        shadows: list[Shadow],
        layers: frozenset[str],
        result: Tensor,
    ) -> Shadow:
        """cat and stack of several sources: channels of maps make a map, anything else has no layout."""
        dim = kwargs.get("dim", args[1] if len(args) > 1 else 0)
        parts = list(args[0])
        known = [self._lookup(part) for part in parts]
        maps = all(shadow is not None and shadow.is_map for shadow in known)
        if name == "cat" and result.ndim == 4 and dim in (1, -3) and maps:
            return self._map(name, result, layers)
        names: dict[str, None] = {}
        for shadow in shadows:
            names.update(dict.fromkeys(shadow.source.mixed or (shadow.source.name,)))
        if len(shadows) < len(parts):
            names["a constant"] = None
        source = Source(self._name(name), tuple(result.shape), mixed=tuple(names))
        return Shadow(source, layers=layers)

    def _map(self, operator: str, result: Tensor, layers: frozenset[str]) -> Shadow:
        """A new map of (N, C, H, W), or (N, C, L) as one row."""
        layout = None
        if result.numel() and result.ndim == 4:
            layout = Layout(*result.shape[1:])
        elif result.numel() and result.ndim == 3:
            layout = Layout(result.shape[1], 1, result.shape[2])
        return self._start(operator, result, layout, layers)

    def _mixed(self, operator: str, result: Tensor, shadows: list[Shadow]) -> Shadow:
        """Any other operator: what it reads goes elsewhere; its result is a map only where it was given one."""
        self._escape(shadows)
        shape = tuple(result.shape)
        maps = (s.source.layout for s in shadows if len(shape) == 4 and s.is_map)
        layout = next((m for m in maps if m and shape[1:] == (m.channels, m.height, m.width)), None)
        return self._start(operator, result, layout, frozenset())

    def _start(
        self, operator: str, result: Tensor, layout: Layout | None, layers: frozenset[str]
    ) -> Shadow:
        return Shadow(Source(self._name(operator), tuple(result.shape), layout), layers=layers)

    # Writing in place

    def _overwrite(self, tensor: Tensor, after: Shadow) -> None:
        """`tensor` was written into: so were the tensors that share its memory."""
        before = self._shadows.get(tensor)
        storage = tensor.untyped_storage()
        covered = tensor.numel() * tensor.element_size() >= storage.nbytes()
        # Element by element from the same features, as `x.relu_()` and `x[:, 1] *= 2` do.
        keeps = before is not None and before.same_features(after)
        for other in list(self._shadows):
            if other is tensor or other.untyped_storage()._cdata != storage._cdata:
                continue
            old = self._shadows[other]
            if keeps:
                commutes = old.commutes and after.commutes and covered
                self._shadows[other] = Shadow(
                    old.source, old.index, commutes, old.layers | after.layers
                )
            else:
                self._shadows[other] = self._mixed("write", other, [old, after])
        if not keeps:
            _, layers = self._written.get(storage._cdata, (storage, frozenset[str]()))
            self._written[storage._cdata] = (storage, layers | after.layers)

    # Small things

    def _lookup(self, tensor: Tensor) -> Shadow | None:
        found = self._shadows.get(tensor)
        if found is None and self._written and tensor.layout == torch.strided:
            storage = self._written.get(tensor.untyped_storage()._cdata)
            if storage is not None:
                self.escaped |= storage[1]
                found = self._start("write", tensor, None, frozenset())
                self._shadows[tensor] = found
        return found

    def _tracked(self, tensors: Iterable[Tensor]) -> list[Shadow]:
        return [s for s in map(self._lookup, tensors) if s is not None]

    def _escape(self, shadows: Iterable[Shadow]) -> None:
        for shadow in shadows:
            self.escaped |= shadow.layers

    def _name(self, operator: str) -> str:
        """A module of one operator gives its own name; elsewhere the operator's follows the module's."""
        owner = self._stack[-1] if self._stack else ""
        if owner and not any(self._modules[owner].children()):
            return self._unique(owner)
        plain = operator.split("::")[-1].strip("_").removesuffix("_with_indices")
        name = f"{owner}.{plain}" if owner else plain
        return self._unique(f"{name}_1" if name in self._modules else name)

    def _unique(self, name: str) -> str:
        count, unique = 0, name
        while unique in self._used or (count and unique in self._modules):
            count += 1
            unique = f"{name}_{count}"
        self._used.add(unique)
        return unique


def _tensors(values: Any) -> list[Tensor]:
    """All tensors in nested containers, dataclasses and the outputs of `transformers` among them."""
    found: list[Tensor] = []
    for leaf in tree_leaves(values):
        if isinstance(leaf, Tensor):
            found.append(leaf)
        elif isinstance(leaf, Mapping):
            found += _tensors(list(leaf.values()))
        elif hasattr(leaf, "__dataclass_fields__") and not isinstance(leaf, type):
            found += _tensors([getattr(leaf, name) for name in leaf.__dataclass_fields__])
    return found


def _written_tensors(
    func: OpOverload[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[Tensor]:
    found = []
    for place, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[place] if place < len(args) else kwargs.get(argument.name)
            if isinstance(value, Tensor):
                found.append(value)
    return found
