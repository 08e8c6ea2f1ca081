"""The modes and hooks that turn one forward pass into the plain records of `ledger.graph`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from striate.errors import RequestError
from striate.ledger.capture.inputs import tensors
from striate.ledger.capture.opened import OPENED
from striate.ledger.capture.shapes import quick
from striate.ledger.graph import Argument, Call, Graph, Module, Operator, Parameter, Tensor
from striate.nn.functional import FUNCTIONS

#: Functions recorded as one operator, whatever they are made of inside.
_WHOLE: Mapping[Callable[..., Any], str] = {
    **{function: f"striate.{function.__name__}" for function in FUNCTIONS},
    torch.nn.functional.pad: "striate.pad",
    torch.nn.functional.local_response_norm: "striate.local_response_norm",
    # On meta it would be taken apart, with scores between that no device keeps.
    torch.nn.functional.scaled_dot_product_attention: "striate.scaled_dot_product_attention",
    torch.ops.aten.scaled_dot_product_attention.default: "striate.scaled_dot_product_attention",
}


#: Storages that are looked at together.
_NEW = 256


class Recorder:
    """Collects operators and module calls while its modes are entered."""

    def __init__(self, original: nn.Module, twin: nn.Module, *, on_meta: bool) -> None:
        self.on_meta = on_meta
        self._original = original
        self.graph_inputs: list[Tensor] = []
        self.hidden = 0
        self._calls: list[Call] = []
        self._stack: list[int] = []
        self._operators: list[Operator] = []
        self._ids = 0
        self._storages: dict[int, tuple[int, StorageWeakRef]] = {}
        self._old: dict[int, tuple[int, StorageWeakRef]] = {}
        self._permanent: dict[int, int] = {}
        self._persistent: dict[int, Tensor] = {}
        self._function_mode = _FunctionMode(self)
        self._dispatch_mode = _DispatchMode(self)
        self._modules, indices = _modules(original)
        self._packed = tuple(
            indices[name] for name, module in original.named_modules() if _packs(module)
        )
        # Both trees have the same modules at the same names.
        for name, module in twin.named_modules():
            self._watch(module, indices[name])
        self.parameters = self._registered(twin, "_parameters", indices)
        self.buffers = self._registered(twin, "_buffers", indices)

    def __enter__(self) -> Recorder:
        self._function_mode.__enter__()
        self._dispatch_mode.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self._dispatch_mode.__exit__(*details)
        self._function_mode.__exit__(*details)

    def graph(self, outputs: tuple[Tensor, ...], batch: int | None) -> Graph:
        return Graph(
            modules=self._modules,
            calls=tuple(self._calls),
            operators=tuple(self._operators),
            parameters=self.parameters,
            buffers=self.buffers,
            inputs=tuple(self.graph_inputs),
            outputs=outputs,
            batch=batch,
            packed=self._packed,
        )

    def place(self) -> str:
        """Where the forward was when it stopped, for an error's text."""
        if not self._stack:
            return ""
        call = self._calls[self._stack[-1]]
        module = self._modules[call.module]
        shape = call.input_shape
        given = "no tensor" if shape is None else "x".join(map(str, shape)) or "a single number"
        settings = _settings(self._original.get_submodule(module.name)) if module.leaf else ""
        what = f"{module.type}({settings})" if settings else module.type
        return f" in {module.name or 'the model'} ({what}), which was given {given}"

    # -- tensors -------------------------------------------------------------------------------

    def see(self, tensor: torch.Tensor) -> Tensor:
        """The plain record of a tensor, with a lasting identity where it has one."""
        known = self._persistent.get(id(tensor))
        if known is not None:
            return known
        if tensor.is_nested:
            raise RequestError("count: nested tensors are not counted: their rows have no one size")
        number = getattr(tensor, "_striate_id", None)
        if number is None:
            self._ids += 1
            number = self._ids
        return Tensor(number, self._storage(tensor), tuple(tensor.shape), tensor.element_size())

    def number(self, tensor: torch.Tensor) -> Tensor:
        """Give a tensor of ours a lasting identity; it carries it itself, and dies with it."""
        self._ids += 1
        tensor._striate_id = self._ids  # type: ignore[attr-defined]
        return self.see(tensor)

    def _made(self, tensor: torch.Tensor, inputs: set[int]) -> Tensor:
        # What an operator was given and returns (in place) keeps the identity that it had.
        if id(tensor) in inputs or id(tensor) in self._persistent:
            return self.see(tensor)
        return self.number(tensor)

    def _storage(self, tensor: torch.Tensor) -> int:
        if tensor.layout is not torch.strided:
            self._ids += 1
            return -self._ids  # no single storage: a number of its own
        reference = StorageWeakRef(tensor.untyped_storage())
        known = self._permanent.get(reference.cdata)
        if known is not None:
            return known
        found = self._storages.get(reference.cdata) or self._old.get(reference.cdata)
        if found is None:
            self._ids += 1
            # The weak reference keeps the address from being used again while it is held.
            found = self._storages[reference.cdata] = (self._ids, reference)
        return found[0]

    def _released(self) -> tuple[int, ...]:
        """The storages that are gone, of the newest and of some of the older ones, in turns: looking at all of them
        at every operator would take a time that grows with the square of their number."""
        while len(self._storages) > _NEW:
            key = next(iter(self._storages))
            self._old[key] = self._storages.pop(key)
        gone = [key for key, (_, reference) in self._storages.items() if reference.expired()]
        released = [self._storages.pop(key)[0] for key in gone]
        for key in list(islice(self._old, _NEW)):
            number, reference = self._old.pop(key)
            if reference.expired():
                released.append(number)
            else:
                self._old[key] = number, reference
        return tuple(released)

    def _registered(
        self, twin: nn.Module, kind: str, indices: Mapping[str, int]
    ) -> tuple[Parameter, ...]:
        first: dict[int, tuple[str, int, torch.Tensor]] = {}
        also: dict[int, list[tuple[int, str]]] = {}
        for prefix, module in twin.named_modules():
            # What parametrizations hold belongs to the module whose tensor they compute.
            holder = f".{prefix}".partition(".parametrizations.")[0].removeprefix(".")
            owner = indices[holder]
            for name, tensor in getattr(module, kind).items():
                if tensor is None:
                    continue
                full = f"{prefix}.{name}" if prefix else name
                if id(tensor) in first:
                    also.setdefault(id(tensor), []).append((owner, full))
                else:
                    first[id(tensor)] = (full, owner, tensor)
        records = []
        for key, (name, module_index, tensor) in first.items():
            record = self.see(tensor)
            self._persistent[key] = record
            if tensor.layout is torch.strided:
                self._permanent[tensor.untyped_storage()._cdata] = record.storage
                self._storages.pop(tensor.untyped_storage()._cdata, None)
            records.append(
                Parameter(
                    name, module_index, record, tensor.requires_grad, tuple(also.get(key, ()))
                )
            )
        self._kept = [*getattr(self, "_kept", []), *(entry[2] for entry in first.values())]
        return tuple(records)

    # -- events --------------------------------------------------------------------------------

    def record(
        self,
        name: str,
        run: Callable[[], Any],
        arguments: Sequence[Any],
        named: Mapping[str, Any],
        *,
        pointwise: bool = False,
        view: bool = False,
    ) -> Any:
        """Run one operator and note what it read and made."""
        freed = self._released()
        objects: set[int] = {id(t) for t in tensors([*arguments, *named.values()])}
        plain = tuple(self._plain(value) for value in arguments)
        plain_named = tuple((key, self._plain(value)) for key, value in named.items())
        result = run()
        made = tuple(self._made(tensor, objects) for tensor in tensors(result))
        call = self._stack[-1] if self._stack else -1
        self._operators.append(
            Operator(name, call, plain, plain_named, made, freed, pointwise, view)
        )
        return result

    def _plain(self, value: Any) -> Argument:
        if isinstance(value, torch.Tensor):
            return self.see(value)
        if isinstance(value, list | tuple):
            return tuple(self._plain(entry) for entry in value)
        if value is None or isinstance(value, bool | int | float | complex | str):
            return value
        return str(value)  # a dtype, a device, a memory format

    def _watch(self, module: nn.Module, index: int) -> None:
        def enter(_: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
            first = next(iter(tensors([*arguments, *keywords.values()])), None)
            shape = None if first is None else tuple(first.shape)
            self._stack.append(len(self._calls))
            self._calls.append(Call(index, len(self._operators), shape))

        def leave(_: nn.Module, __: Any, ___: Any, result: Any) -> None:
            first = next(iter(tensors(result)), None)
            call = self._calls[self._stack.pop()]
            call.output_shape = None if first is None else tuple(first.shape)

        module.register_forward_pre_hook(enter, prepend=True, with_kwargs=True)
        module.register_forward_hook(leave, with_kwargs=True)


class _DispatchMode(TorchDispatchMode):
    """Sees every operator, also inside composite ones."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # The default imports all of torch.compile at the first operator, which takes over a second.
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._recorder.hidden:
            return func(*args, **kwargs)
        name = func._schema.name.replace("::", ".")
        if name in _OF_ONE_TYPE:
            _refuse_two_types(args)
        return self._recorder.record(
            name,
            lambda: _result(func, args, kwargs),
            args,
            kwargs,
            pointwise=torch.Tag.pointwise in func.tags,
            view=bool(func.is_view),
        )


def _result(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    found = quick(func, args, kwargs)
    return func(*args, **kwargs) if found is None else found


class _FunctionMode(TorchFunctionMode):
    """Records the functions of `_WHOLE` as one operator each."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._recorder.hidden:
            return func(*args, **kwargs)
        # Here, as inside of operators the dispatcher has switched it off.
        if self._recorder.on_meta and torch.is_autocast_enabled("cpu"):
            raise RuntimeError("autocast changes no meta tensors: their types would be wrong")
        if func in OPENED:
            with self:
                return OPENED[func](*args, **kwargs)
        name = _WHOLE.get(func)
        if name is None:
            return func(*args, **kwargs)

        def run() -> Any:
            self._recorder.hidden += 1
            try:
                return func(*args, **kwargs)
            finally:
                self._recorder.hidden -= 1

        return self._recorder.record(name, run, args, kwargs)


def _every_name(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """`named_modules(remove_duplicate=False)`, which has no end where a module holds one that it is in."""
    waiting: list[tuple[str, nn.Module, frozenset[int]]] = [("", model, frozenset())]
    while waiting:
        name, module, above = waiting.pop()
        yield name, module
        inside = above | {id(module)}
        waiting += [
            (f"{name}.{own}" if name else own, child, inside)
            for own, child in reversed(module._modules.items())
            if child is not None and id(child) not in inside
        ]


def _packs(module: nn.Module) -> bool:
    return any(isinstance(value, torch.ScriptObject) for value in vars(module).values())


#: Matrix products: real tensors of two types are refused by them, meta ones are not.
_OF_ONE_TYPE = frozenset({"aten.mm", "aten.addmm", "aten.bmm", "aten.baddbmm", "aten.mv"})


def _refuse_two_types(arguments: tuple[Any, ...]) -> None:
    types = dict.fromkeys(str(t.dtype).removeprefix("torch.") for t in tensors(arguments))
    if len(types) > 1:
        raise RuntimeError(f"a matrix product of {' and '.join(types)}: expected one type")


def _modules(model: nn.Module) -> tuple[tuple[Module, ...], dict[str, int]]:
    """Distinct modules in order of registration, and the index of every name, aliases included."""
    names: dict[int, list[str]] = {}
    objects: dict[int, nn.Module] = {}
    for name, module in _every_name(model):
        names.setdefault(id(module), []).append(name)
        objects[id(module)] = module
    indices: dict[str, int] = {}
    records = []
    for index, (key, known) in enumerate(names.items()):
        module = objects[key]
        leaf = next(module.children(), None) is None
        records.append(Module(known[0], type(module).__name__, leaf, tuple(known[1:])))
        indices.update(dict.fromkeys(known, index))
    return tuple(records), indices


def _settings(module: nn.Module) -> str:
    """What a module says of itself, for an error's text; nothing if that fails or takes more than a line."""
    try:
        text = str(module.extra_repr())
    except Exception:  # it is the user's, and only said to help
        return ""
    return text if len(text) < 120 and text.isprintable() else ""
