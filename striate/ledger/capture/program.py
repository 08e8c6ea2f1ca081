"""An exported program of torch as a module tree again, so that its ledger has the rows of the original.

The program is a flat list of operators. Each is run by a module that stands where the original's did: the
one that the program's metadata names, else the one that the operator's own parameters belong to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind, TensorArgument

from striate.errors import RequestError

_PATH = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")
#: Where torch writes it in the place of a module, a pass of its own has added the operator.
_NO_MODULE = "_empty_nn_module_stack_from_metadata_hook"


@dataclass(frozen=True)
class _Value:
    """A value that an earlier step made, or that the program was given, by its name."""

    name: str


@dataclass(frozen=True)
class _Step:
    name: str
    run: Callable[..., Any]
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    #: Values that no later step reads.
    last: tuple[str, ...]
    #: Whether it makes a tensor from none, on a device that it has to be told.
    creates: bool

    @property
    def reads(self) -> Iterator[str]:
        yield from _names([*self.arguments, *self.keywords.values()])


@dataclass(frozen=True)
class _Run:
    """Steps of one module, one after the other; what later ones read of them, the last result first."""

    path: str
    steps: tuple[_Step, ...]
    given: tuple[str, ...]
    gives: tuple[str, ...]


class _Scope(nn.Module):
    """Stands for a module of the original, under its class's name."""

    def forward(self, *given: Any, run: Callable[[], Any]) -> Any:
        return run()


@dataclass(frozen=True)
class _Plan:
    """What a program is given, does and gives."""

    inputs: tuple[str, ...]
    runs: tuple[_Run, ...]
    outputs: tuple[Any, ...]
    #: Placeholder -> name of the parameter or buffer.
    stored: Mapping[str, str]
    #: Placeholder -> a tensor that is neither, or a number.
    constants: Mapping[str, Any]


class _Program(_Scope):
    """The whole program; called with its tensors, in order or by name."""

    # The modules of the original have names of their own: this one is none of them.
    _plan_: _Plan

    def forward(self, *given: Any, **named: Any) -> Any:
        plan = self._plan_
        values = {**dict(zip(plan.inputs, given, strict=False)), **named, **plan.constants}
        tensors: dict[str, torch.Tensor] = dict(self.named_parameters(remove_duplicate=False))
        tensors.update(self.named_buffers(remove_duplicate=False))
        values.update((key, tensors[name]) for key, name in plan.stored.items())
        first = next((x for x in values.values() if isinstance(x, torch.Tensor)), None)
        device = torch.device("cpu") if first is None else first.device
        for run in plan.runs:
            if run.path:
                scope = self.get_submodule(run.path)
                scope(
                    *(values[name] for name in run.given),
                    run=lambda run=run: _execute(run, values, device),
                )
            else:
                _execute(run, values, device)
        return _filled(plan.outputs, values, device)


def _execute(run: _Run, values: dict[str, Any], device: torch.device) -> tuple[Any, ...]:
    for step in run.steps:
        keywords = dict(step.keywords)
        if step.creates:
            keywords["device"] = device
        arguments = _filled(step.arguments, values, device)
        values[step.name] = step.run(*arguments, **_filled(keywords, values, device))
        del arguments, keywords
        for name in step.last:
            values.pop(name, None)
    return tuple(values[name] for name in run.gives)


def _filled(value: Any, values: Mapping[str, Any], device: torch.device) -> Any:
    """`value` with tensors in the places of their names, on the device where the program runs."""
    if isinstance(value, _Value):
        return values[value.name]
    if isinstance(value, torch.device):
        return device
    if isinstance(value, list | tuple):
        return type(value)(_filled(entry, values, device) for entry in value)
    if isinstance(value, Mapping):
        return {key: _filled(entry, values, device) for key, entry in value.items()}
    return value


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, _Value):
        yield value.name
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _names(entry)
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from _names(entry)


# -- building ----------------------------------------------------------------------------------


def as_module(program: ExportedProgram, stacks: Mapping[str, str]) -> nn.Module:
    """A module that runs `program`, with its parameters and modules under the names of the original.

    `stacks` are, by the names of values, the `nn_module_stack`s of the file as it writes them; they are
    only compared and shown. Raises `RequestError` for a program of more than operators on tensors.
    """
    signature = program.graph_signature
    stored, constants, inputs = {}, {}, []
    tensors: dict[str, tuple[bool, Any]] = {}
    for spec in signature.input_specs:
        name = getattr(spec.arg, "name", "")
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER) and spec.target is not None:
            held = program.state_dict.get(spec.target, program.constants.get(spec.target))
            tensors[spec.target] = (spec.kind is InputKind.PARAMETER, held)
            stored[name] = spec.target
        elif spec.kind is InputKind.CONSTANT_TENSOR and spec.target is not None:
            constants[name] = program.constants[spec.target]
        elif isinstance(spec.arg, ConstantArgument):
            constants[name] = spec.arg.value
        elif isinstance(spec.arg, TensorArgument) and spec.kind is InputKind.USER_INPUT:
            inputs.append(name)
        else:
            raise RequestError(
                f"its input {name!r} is no tensor; striate counts programs of tensors"
            )
    places, types = _places(program.graph.nodes, stacks, stored)
    root: _Program = _scope(_Program, types.get("", "Program"))
    _add_modules(root, places, tensors, types)
    runs, outputs = _runs(program.graph.nodes, places, {*stored, *constants, *inputs})
    root._plan_ = _Plan(tuple(inputs), runs, outputs, stored, constants)
    return root


def _scope(kind: type[Any], name: str) -> Any:
    """A module of a class called `name`, as the original's was."""
    return type(name, (kind,), {})()


def _places(
    nodes: Sequence[Any], stacks: Mapping[str, str], stored: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """The module path of each operator, and the class names of the modules by path."""
    places: dict[str, str] = {}
    types: dict[str, str] = {}
    # The module of each parameter, and of what is computed from parameters alone.
    owners = {name: target.rpartition(".")[0] for name, target in stored.items()}
    for node in nodes:
        if node.op != "call_function":
            continue
        inputs = [read.name for read in node.all_input_nodes]
        owner = next((owners[name] for name in inputs if name in owners), "")
        if inputs and all(name in owners for name in inputs):
            owners[node.name] = owner
        names = [node.name, *(user.name for user in node.users)]
        found = (_stack(stacks[name]) for name in names if name in stacks)
        stack = next(filter(None, found), [])
        for path, kind in stack:
            types.setdefault(path, kind)
        places[node.name] = stack[-1][0] if stack else owner
    return places, types


def _stack(text: str) -> list[tuple[str, str]]:
    """(path, class name) of the modules in an `nn_module_stack`, outermost first.

    >>> _stack("L__self__,,net.Net;L__self___conv,body.conv@1,torch.nn.modules.conv.Conv2d")
    [('', 'Net'), ('body.conv', 'Conv2d')]
    """
    found = []
    for entry in text.split(";"):
        parts = entry.split(",")
        if len(parts) != 3 or parts[1] == _NO_MODULE:
            return []
        path, kind = parts[1].partition("@")[0], parts[2].rpartition(".")[2]
        if (path and not _PATH.fullmatch(path)) or not kind.isidentifier():
            return []
        found.append((path, kind))
    return found


def _add_modules(
    root: nn.Module,
    places: Mapping[str, str],
    tensors: Mapping[str, tuple[bool, Any]],
    types: Mapping[str, str],
) -> None:
    paths = dict.fromkeys(path.rpartition(".")[0] for path in tensors)
    paths.update(dict.fromkeys(places.values()))
    for path in paths:
        whole, parent = "", root
        for part in path.split(".") if path else []:
            whole = f"{whole}.{part}" if whole else part
            if part not in parent._modules:
                if hasattr(parent, part):
                    raise RequestError(f"a module of it is called {whole!r}, which none can be")
                parent.add_module(part, _scope(_Scope, types.get(whole, "Module")))
            parent = parent.get_submodule(part)
    for path, (trained, tensor) in tensors.items():
        prefix, _, name = path.rpartition(".")
        holder = root.get_submodule(prefix)
        if hasattr(holder, name) or not isinstance(tensor, torch.Tensor):
            raise RequestError(f"a tensor of it is called {path!r}, which none can be")
        if trained:
            weight = tensor if isinstance(tensor, nn.Parameter) else nn.Parameter(tensor)
            holder.register_parameter(name, weight)
        else:
            holder.register_buffer(name, tensor)


def _plain(value: Any) -> Any:
    """An argument of a node, with values by their names."""
    if isinstance(value, torch.fx.Node):
        return _Value(value.name)
    if isinstance(value, tuple):
        return tuple(_plain(entry) for entry in value)
    if isinstance(value, list):  # torch's own, which is not to be changed, among them
        return [_plain(entry) for entry in value]
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    return value


def _runs(
    nodes: Sequence[Any], places: Mapping[str, str], known: set[str]
) -> tuple[tuple[_Run, ...], tuple[Any, ...]]:
    """The steps, grouped by module as they follow each other, and the program's outputs."""

    outputs: tuple[Any, ...] = ()
    steps: list[_Step] = []
    for node in nodes:
        if node.op == "output":
            outputs = _plain(node.args)
        elif node.op == "call_function":
            if not node.users and "_assert" in node.name:
                continue  # checks of types and sizes, which have no result
            arguments, keywords = _plain(tuple(node.args)), _plain(dict(node.kwargs))
            schema = getattr(node.target, "_schema", None)
            takes = schema is not None and any(a.name == "device" for a in schema.arguments)
            creates = takes and not any(True for _ in _tensor_nodes(node))
            steps.append(_Step(node.name, node.target, arguments, keywords, (), creates))
        elif node.op != "placeholder":
            raise RequestError(f"it holds a {node.op} ({node.name}); expected operators only")
    kept = {*_names(outputs), *known}
    last: dict[str, int] = {}
    for index, step in enumerate(steps):
        last.update(dict.fromkeys((step.name, *step.reads), index))
    ending: dict[int, list[str]] = {}
    for name, index in last.items():
        if name not in kept:
            ending.setdefault(index, []).append(name)
    groups: list[list[_Step]] = []
    for index, step in enumerate(steps):
        ended = _Step(
            step.name,
            step.run,
            step.arguments,
            step.keywords,
            tuple(ending.get(index, ())),
            step.creates,
        )
        if groups and places[groups[-1][-1].name] == places[step.name]:
            groups[-1].append(ended)
        else:
            groups.append([ended])
    return tuple(_run(group, places, known) for group in groups), outputs


def _tensor_nodes(node: Any) -> Iterator[Any]:
    for read in node.all_input_nodes:
        if isinstance(read.meta.get("val"), torch.Tensor | list | tuple):
            yield read


def _run(
    group: Sequence[_Step],
    places: Mapping[str, str],
    known: set[str],
) -> _Run:
    made = {step.name for step in group}
    read = dict.fromkeys(name for step in group for name in step.reads if name not in made)
    inner = {name for step in group for name in step.last}
    # What is computed comes before what is stored: it is what the module was given.
    given = sorted(read, key=lambda name: name in known)
    gives = [step.name for step in reversed(group) if step.name not in inner]
    return _Run(places[group[0].name], tuple(group), tuple(given), tuple(gives))


# -- inputs ------------------------------------------------------------------------------------


def program_inputs(
    program: ExportedProgram,
    positional: Sequence[torch.Tensor],
    named: Mapping[str, torch.Tensor],
    batched: bool,
) -> list[torch.Tensor]:
    """Meta tensors for the program's inputs: of the sizes given, else of those of its own example.

    An open batch, the first axis, is 1 where it is not given. Raises `RequestError` naming the input
    whose size is not the program's.
    """
    wanted: dict[str, torch.Tensor] = {}
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if node.name in program.graph_signature.user_inputs and isinstance(value, torch.Tensor):
            wanted[node.name] = value
    for name in named:
        if name not in wanted:
            raise RequestError(
                f"--input {name}=: it has no such input; it has {', '.join(wanted) or 'none'}"
            )
    left = [name for name in wanted if name not in named]
    if len(positional) > len(left):
        raise RequestError(f"--input is given {len(positional)} times; it has {', '.join(wanted)}")
    given = {**named, **dict(zip(left, positional, strict=False))}
    examples = [x for x in torch.utils._pytree.tree_leaves(program.example_inputs or ())]
    shown = dict(zip(wanted, (x for x in examples if isinstance(x, torch.Tensor)), strict=False))
    bound: dict[str, int] = {}
    for name, value in wanted.items():
        if name in given:
            _bind(name, value, tuple(given[name].shape), bound)
    result = []
    for name, value in wanted.items():
        if name in given:
            sizes = list(given[name].shape)
        else:
            sizes = []
            for axis, size in enumerate(_sizes(value)):
                if isinstance(size, int):
                    sizes.append(size)
                elif axis == 0 and batched and size.isidentifier():
                    sizes.append(bound.setdefault(size, 1))
                elif size in bound:
                    sizes.append(bound[size])
                elif name in shown:
                    sizes.append(bound.setdefault(size, int(shown[name].shape[axis])))
                else:
                    raise RequestError(f"--input is missing: its input {name!r} is {_words(value)}")
        result.append(torch.empty(sizes, dtype=value.dtype, device="meta"))
    return result


def _bind(name: str, value: torch.Tensor, sizes: tuple[int, ...], bound: dict[str, int]) -> None:
    wanted, said = _sizes(value), "x".join(map(str, sizes))
    pairs = list(zip(wanted, sizes, strict=False))
    if len(wanted) != len(sizes) or any(isinstance(w, int) and w != size for w, size in pairs):
        raise RequestError(f"--input {said}: its input {name!r} is {_words(value)}")
    for symbol, size in pairs:
        if isinstance(symbol, str) and bound.setdefault(symbol, size) != size:
            raise RequestError(
                f"--input {said}: a size of its input {name!r} is {bound[symbol]} in another place"
            )


def _sizes(value: torch.Tensor) -> list[int | str]:
    """An input's sizes; those that the program leaves open as the symbols it calls them by."""
    sizes: list[Any] = list(value.shape)
    return [size if isinstance(size, int) else str(size) for size in sizes]


def _words(value: torch.Tensor) -> str:
    return "x".join(str(size) if isinstance(size, int) else "?" for size in _sizes(value))
