"""Options that belong together, as one dataclass: declared once, for every command that takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Result = TypeVar("Result")


def spread(command: Callable[..., Result]) -> Callable[..., Result]:
    """`command` with the fields of each dataclass that it takes as parameters of their own, in that place.

    So Typer sees options, and the command gets the group.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Size:
    ...     rows: int = 1
    ...     columns: int = 1
    >>> @spread
    ... def area(name: str, size: Size) -> str:
    ...     return f"{name}: {size.rows * size.columns}"
    >>> list(signature(area).parameters), area(name="a", rows=3, columns=2)
    (['name', 'rows', 'columns'], 'a: 6')
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type[DataclassInstance]] = {}
    parameters: list[Parameter] = []
    for name, parameter in signature(command).parameters.items():
        kind = hints[name]
        if is_dataclass(kind) and isinstance(kind, type):
            groups[name] = kind
            parameters += _parameters(kind)
        else:
            parameters.append(parameter.replace(kind=Parameter.KEYWORD_ONLY, annotation=kind))

    @wraps(command)
    def spread_out(**values: Any) -> Result:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(group)})
        return command(**values)

    spread_out.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # `signature` reads it
    spread_out.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return spread_out


def _parameters(group: type[DataclassInstance]) -> list[Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        Parameter(
            field.name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(group)
    ]


def given(*groups: DataclassInstance) -> Mapping[str, object]:
    """What is not as it is by default, by the names of the options.

    A field is called as its option is, but for an underscore at its end, where Python has the word.
    """
    return {
        f"--{field.name.rstrip('_').replace('_', '-')}": value
        for group in groups
        for field in fields(group)
        if (value := getattr(group, field.name)) != field.default and value != []
    }
