"""Exported programs of torch (`.pt2`) from files that nobody vouches for.

`torch.export.load` is not made for them: it unpickles where the archive asks for it, looks up operators by any
dotted name (`torch.os.system` is one), gives text to sympy, which evaluates it, and writes names into source
that it compiles. So an archive is read member by member, everything in it must be of a form known to be harmless,
and what is loaded is a new archive of only what was looked at.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from striate.errors import RequestError
from striate.reduce.program_graph import MODEL, PATH, check_fields, check_graph, check_text

_INPUTS = "data/sample_inputs/model.pt"
_TABLES = {
    "data/weights/": ("data/weights/model_weights_config.json", re.compile(r"weight_\d+")),
    "data/constants/": ("data/constants/model_constants_config.json", re.compile(r"tensor_\d+")),
}
_FIXED = {
    "archive_format": re.compile(rb"pt2"),
    "archive_version": re.compile(rb"\d+"),
    "byteorder": re.compile(rb"little"),
    ".data/version": re.compile(rb"\d+\n?"),
    ".data/serialization_id": re.compile(rb"\d+"),
}


# By torch's number for each type in an exported program (torch/_export/serde/schema.py, ScalarType).
_ITEM_BYTES = {
    number: dtype.itemsize
    for number, dtype in {
        1: torch.uint8,
        2: torch.int8,
        3: torch.int16,
        4: torch.int32,
        5: torch.int64,
        6: torch.float16,
        7: torch.float32,
        8: torch.float64,
        9: torch.complex32,
        10: torch.complex64,
        11: torch.complex128,
        12: torch.bool,
        13: torch.bfloat16,
    }.items()
}


class ProgramModule(nn.Module):
    """An exported program as a module that runs it: inference only, any batch size."""

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self.training = False
        self.program = program.requires_grad_(False)

    def forward(self, input: Tensor) -> Tensor:
        """`(batch, *shape)` to `(batch, classes)`."""
        output: Tensor = self.program(input)
        return output

    def train(self, mode: bool = True) -> ProgramModule:
        """Stays in evaluation mode, in which the program was exported; `train()` raises ValueError."""
        if mode:
            raise ValueError(
                "an exported program is for inference; to train, load the run with source=, the model's factory"
            )
        return self


def load_program(path: Path) -> ProgramModule:
    """The exported program at `path`, if it is one that striate could have written; see `vet`."""
    remedy = "load the run with source=, the model's factory"
    program, _ = read_program(path, remedy)
    return ProgramModule(program.module())


def read_program(
    path: Path, remedy: str = "export it again with this one"
) -> tuple[ExportedProgram, dict[str, str]]:
    """The exported program at `path`, vetted (see `vet`), and the module stack of each of its values.

    The stacks are texts from the file, to look at only. `remedy` is for what this torch cannot read.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        kind = "a directory" if os.path.isdir(path) else "no regular file"
        raise RequestError(f"{path}: {kind}; expected an exported program (.pt2)")
    try:
        # Told from its end, before all of what may be gigabytes is read.
        if os.path.exists(path) and not zipfile.is_zipfile(path):
            raise RequestError(
                f"{path}: not an exported program: no zip archive; expected a .pt2 file"
            )
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise RequestError(
            f"{path}: there is no such file; expected an exported program (.pt2)"
        ) from error
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        archive = vet(data)
    except RequestError as error:
        raise RequestError(f"{path}: {error}") from error
    try:
        with _quiet():
            return torch.export.load(io.BytesIO(archive)), _module_stacks(data)
    # All that is left to fail on is the file's content, and what torch raises for it has no common class.
    except Exception as error:
        raise RequestError(
            f"{path}: torch {torch.__version__} cannot read this program: {_line(error)}; {remedy}"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the traceback that torch logs of what it raises anyway."""
    logger = logging.getLogger("torch.export")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _module_stacks(data: bytes) -> dict[str, str]:
    """Which modules made each value of a vetted program, as the file has it."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith(f"/{MODEL}"))
        document = json.loads(archive.read(name))
    stacks = {}
    for node in document["graph_module"]["graph"]["nodes"]:
        metadata = node.get("metadata")
        stack = metadata.get("nn_module_stack") if isinstance(metadata, dict) else None
        if isinstance(stack, str):
            stacks.update(dict.fromkeys(_names(node.get("outputs")), stack))
    return stacks


def _names(outputs: object) -> Iterator[str]:
    """The names of the values in a node's outputs, however they are nested."""
    if isinstance(outputs, dict):
        for key, value in outputs.items():
            if key in ("name", "as_name") and isinstance(value, str):
                yield value
            else:
                yield from _names(value)
    elif isinstance(outputs, list):
        for value in outputs:
            yield from _names(value)


def vet(data: bytes) -> bytes:
    """A new archive of the contents of `data`, an exported program of tensors in and out.

    Raises `RequestError` where it holds anything but a graph of torch's own operators, tensors stored plainly, and
    the example inputs that go with them. No code of the file runs, whatever it holds.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise RequestError("not an exported program: its members are compressed")
            members = {name.partition("/")[2]: archive.read(name) for name in names}
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        NotImplementedError,
        EOFError,
        RuntimeError,
    ) as error:
        raise RequestError(f"not an exported program: {error}; expected a .pt2 file") from error
    if len({name.partition("/")[0] for name in names}) != 1 or len(members) != len(names):
        raise RequestError(
            "not an exported program: its members have no common folder, or a name twice"
        )
    for name, form in _FIXED.items():
        if name in members and not form.fullmatch(members.pop(name)):
            raise RequestError(
                f"not an exported program that striate reads: {name} is not as expected"
            )
    kept: dict[str, bytes] = {}
    for folder, (table, stored) in _TABLES.items():
        config = _json(members, table)
        _check_table(config, table, stored)
        kept[table] = json.dumps(config).encode()
        for entry in config["config"].values():
            member = f"{folder}{entry['path_name']}"
            if member not in members and member not in kept:
                raise RequestError(f"not a whole exported program: {member} is missing")
            kept[member] = members.get(member, kept.get(member, b""))
            _check_record(member, len(kept[member]), entry["tensor_meta"])
    model = _json(members, MODEL)
    check_graph(model)
    kept[MODEL] = json.dumps(model).encode()
    kept[_INPUTS] = _inputs(members)
    strange = sorted(members.keys() - kept.keys())
    if strange:
        raise RequestError(
            f"the archive holds {strange[0]!r}, which an exported program has no use for"
        )
    return _packed(kept)


def _packed(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    fixed = {
        "archive_format": b"pt2",
        "archive_version": b"0",
        "byteorder": b"little",
        ".data/version": b"6\n",
    }
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in {**fixed, **members}.items():
            archive.writestr(f"program/{name}", data)
    return buffer.getvalue()


def _json(members: Mapping[str, bytes], name: str) -> dict[str, Any]:
    if name not in members:
        raise RequestError(f"not an exported program: {name} is missing")
    try:
        document = json.loads(members[name])
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{name} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise RequestError(f"{name} is not a JSON object")
    return document


def _inputs(members: Mapping[str, bytes]) -> bytes:
    """The example inputs, read with `weights_only=True` and written again."""
    if _INPUTS not in members:
        raise RequestError(f"not an exported program: {_INPUTS} is missing")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on a foreign pickle torch warns before it fails
            inputs = torch.load(io.BytesIO(members[_INPUTS]), map_location="cpu", weights_only=True)
    # On bytes that are no such file, the restricted unpickler fails in any way at all.
    except Exception as error:
        raise RequestError(f"{_INPUTS} holds more than tensors: {_line(error)}") from error
    buffer = io.BytesIO()
    torch.save(inputs, buffer)
    return buffer.getvalue()


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or ["(no message)"]
    return f"{type(error).__name__}: {lines[0]}"


def _check_table(document: dict[str, Any], name: str, stored: re.Pattern[str]) -> None:
    """A table of tensors: each a member of plain bytes, none pickled, none an object of another kind."""
    entries = document.get("config")
    if not isinstance(entries, dict):
        raise RequestError(f"{name} lists no tensors")
    for key, entry in entries.items():
        check_text(key, PATH, f"{name}: the name of a tensor")
        if not isinstance(entry, dict) or entry.get("use_pickle") is not False:
            raise RequestError(f"{name}: {key} is stored as a pickle, which is never read")
        check_text(entry.get("path_name"), stored, f"{name}: the member of {key}")
        if not isinstance(entry.get("tensor_meta"), dict):
            raise RequestError(f"{name}: {key} does not say which tensor it is")
    check_fields(document)


def _check_record(name: str, size: int, meta: Mapping[str, Any]) -> None:
    """The bytes of a tensor's record are those that its description needs: torch takes fewer without a word."""
    try:
        sizes, strides = ([int(one["as_int"]) for one in meta[key]] for key in ("sizes", "strides"))
        start = int(meta["storage_offset"]["as_int"])
        item = _ITEM_BYTES[meta["dtype"]]
    except (KeyError, TypeError, ValueError) as error:
        raise RequestError(f"{name}: its tensor is not described as torch does: {error}") from error
    if len(sizes) != len(strides) or min([start, *sizes, *strides]) < 0:
        raise RequestError(f"{name}: its tensor has sizes {sizes} and strides {strides}")
    if 0 in sizes:
        return
    reach = start + 1 + sum((one - 1) * step for one, step in zip(sizes, strides, strict=True))
    if size < item * reach or size % item:
        raise RequestError(f"{name}: holds {size:,} bytes; its tensor needs {item * reach:,}")
