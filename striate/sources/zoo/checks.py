"""What the zoo's builders ask of their arguments."""

from __future__ import annotations

from collections.abc import Sequence

from striate.errors import RequestError
from striate.sources.names import dimensions


def whole(model: str, name: str, value: object, least: int = 1) -> int:
    """`value` as an int of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise RequestError(
            f"{model}: {name}={value!r}: expected a whole number of at least {least}"
        )
    return value


def fraction(model: str, name: str, value: object) -> float:
    """`value` as a probability: at least 0 and below 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise RequestError(f"{model}: {name}={value!r}: expected a number from 0 to below 1")
    return float(value)


def sizes(model: str, name: str, value: object) -> tuple[int, ...]:
    """`value` as a tuple of positive ints; one int stands for a tuple of one."""
    entries = [value] if not isinstance(value, Sequence) or isinstance(value, str) else list(value)
    if not entries:
        raise RequestError(f"{model}: {name}={value!r}: expected at least one number")
    return tuple(whole(model, name, entry) for entry in entries)


def image_shape(model: str, shape: object, least: int) -> tuple[int, int, int]:
    """`shape` as (channels, rows, columns) with at least `least` rows and columns."""
    checked = sizes(model, "shape", shape)
    if len(checked) != 3:
        raise RequestError(
            f"{model}: shape={dimensions(checked)}: expected images, channels x rows x columns;"
            " for flat data use zoo:mlp"
        )
    channels, rows, columns = checked
    if min(rows, columns) < least:
        raise RequestError(
            f"{model}: shape={dimensions(checked)}: images of at least {least}x{least} are needed;"
            " use --size for larger ones, or zoo:mlp"
        )
    return channels, rows, columns
