"""An ONNX model as the plain `Graph` that everything after a capture reads. Nothing in the file runs.

Needs the extra `onnx`; it is imported only when a model is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from striate.errors import MissingExtra, RequestError
from striate.ledger.graph import Graph

__all__ = ["read_onnx"]


def read_onnx(
    path: str | Path,
    inputs: Sequence[Sequence[int]] = (),
    named: Mapping[str, Sequence[int]] | None = None,
    *,
    batched: bool = True,
) -> Graph:
    """The graph of the model in the file at `path`, for inputs of the given sizes.

    `inputs` are sizes in the order of the model's inputs, `named` by their names; what the file fixes need
    not be given. An open first axis is the batch, where `batched`, and is 1 if not given.

    Raises `RequestError`, in one line that names the file, where it cannot be read as an ONNX model, asks
    for files outside its folder, or has sizes that are missing or do not fit; `MissingExtra` without the
    package `onnx`.

    >>> read_onnx("no-such-file.onnx")
    Traceback (most recent call last):
    striate.errors.RequestError: no-such-file.onnx: there is no such file; expected an ONNX model
    """
    if find_spec("onnx") is None:
        raise MissingExtra("counting an ONNX file", "onnx")
    from striate.ledger.onnx.file import read_model
    from striate.ledger.onnx.reader import read

    file = Path(path)
    model, notes = read_model(file)
    sizes = [tuple(one) for one in inputs]
    by_name = {name: tuple(one) for name, one in (named or {}).items()}
    try:
        return read(model, sizes, by_name, batched=batched, notes=notes)
    except RequestError as error:
        raise RequestError(f"{file}: {error}") from error
