"""Networks in files, `.onnx` and `.pt2`, to be counted only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from striate.errors import MissingExtra, RequestError, UserCodeError
from striate.ledger import Ledger, count
from striate.ledger.account import account
from striate.ledger.onnx import read_onnx
from striate.sources.models import FILES


def is_file(text: str) -> bool:
    """Whether what is named is a network in a file.

    >>> is_file("net.onnx"), is_file("net.py:make")
    (True, False)
    """
    return text.lower().endswith(FILES)


def count_file(
    text: str, positional: Sequence[Tensor], named: Mapping[str, Tensor], *, batched: bool
) -> Ledger:
    """The ledger of the network in the file `text`; inputs that are not given have the file's sizes.

    Raises `RequestError` in one line, beginning with MODEL and the file, for a file that cannot be read,
    is refused, or does not take these inputs.
    """
    path = Path(text).expanduser()
    try:
        if text.lower().endswith(".onnx"):
            shapes = [tuple(one.shape) for one in positional]
            by_name = {name: tuple(one.shape) for name, one in named.items()}
            return account(read_onnx(path, shapes, by_name, batched=batched), text)
        return _program(path, text, positional, named, batched)
    except UserCodeError as error:
        # What raises is an operator of torch: the program does not run on these sizes.
        raise RequestError(f"MODEL {text}: the program does not run: {error}") from error
    except RequestError as error:
        if isinstance(error, MissingExtra):
            raise
        raise RequestError(f"MODEL {error}") from error


def _program(
    path: Path, text: str, positional: Sequence[Tensor], named: Mapping[str, Tensor], batched: bool
) -> Ledger:
    from striate.ledger.capture.program import as_module, program_inputs
    from striate.reduce.program import read_program

    program, stacks = read_program(path)
    try:
        inputs = program_inputs(program, positional, named, batched)
        module = as_module(program, stacks)
    except RequestError as error:
        raise RequestError(f"{path}: {error}") from error
    return count(module, *inputs, batch_dim=0 if batched else None, name=text)
