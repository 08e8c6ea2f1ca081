"""Files that run where striate is not installed: the exported program of torch, and ONNX.

Each file is read back by what a user would read it with, and must give what the network gives. An export can fail,
most often because of what the user's forward does; the reason is then part of the result, not an error.
"""

from __future__ import annotations

import copy
import importlib.util
import io
import logging
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from striate.errors import MissingExtra, RequestError
from striate.reduce.program import vet

Array = npt.NDArray[np.float32]

# The batch sizes at which a file is compared with the network.
BATCHES = (1, 7)
TOLERANCE = 1e-3
OPSET = 18

# Run by another Python that must do without striate: reads inputs, writes outputs.
_READER = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "striate":
            raise ModuleNotFoundError("striate is kept out of this process", name="striate")

sys.meta_path.insert(0, Missing())
import numpy
import torch

program, inputs, outputs, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
model = torch.export.load(program).module()
with torch.no_grad():
    found = {
        name: model(torch.from_numpy(array)).numpy() for name, array in numpy.load(inputs).items()
    }
numpy.savez(outputs, **found)
"""


@dataclass(frozen=True)
class Exported:
    """What came of an export: `reason` is None where the file stands and gives what the network gives.

    `difference` is the largest seen between the two, in parts of the largest output.
    """

    reason: str | None
    difference: float | None = None


def require_onnx() -> None:
    """Raise `MissingExtra` where what ONNX export needs is not installed."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtra("--export onnx", "onnx")


def export_program(model: nn.Module, images: Tensor, path: Path) -> Exported:
    """Write `model` as an exported program of torch at `path` (a `.pt2`), for any batch size.

    `images`, real ones of shape `(N, *shape)` on the CPU, are what the file is tried on at batch sizes 1 and 7, in
    another process that cannot import striate. No image and no path of this machine gets into the file. The model
    is left as it was. Where the export fails, no file stands and the reason is returned.
    """
    plain = _plain(model)
    with _quiet():
        try:
            data = _program(plain, images)
        # What torch.export raises for a forward that it cannot trace has no common class.
        except Exception as error:
            return Exported(_reason("torch.export", error))
    try:
        vet(data)
    except RequestError as error:
        return Exported(f"striate would not load the exported program again: {error}")
    path.write_bytes(data)
    return _checked(plain, images, path, _run_program)


def export_onnx(model: nn.Module, images: Tensor, path: Path) -> Exported:
    """Write `model` as ONNX at `path`, for any batch size: input "input", output "scores".

    As `export_program`, but tried with onnxruntime, in this process. Needs the extra `onnx`.
    """
    require_onnx()
    plain = _plain(model)
    with _quiet():
        try:
            data = _onnx(plain, images)
        # The exporter raises whatever torch.export does, and errors of its own without a common class.
        except Exception as error:
            return Exported(_reason("torch.onnx.export", error))
    path.write_bytes(data)
    return _checked(plain, images, path, _run_onnx)


def _plain(model: nn.Module) -> nn.Module:
    """A copy on the CPU, in evaluation mode, its tensors contiguous and without gradients."""
    plain = copy.deepcopy(model).cpu().eval().requires_grad_(False)
    for tensor in [*plain.parameters(), *plain.buffers()]:
        tensor.data = tensor.data.contiguous()
    return plain


def _example(images: Tensor) -> Tensor:
    # Zeros, so that no picture leaves with the file; two, because torch.export takes 0 and 1 for constants.
    return torch.zeros(2, *images.shape[1:], dtype=images.dtype)


def _program(plain: nn.Module, images: Tensor) -> bytes:
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(plain, (_example(images),), dynamic_shapes=({0: batch},))
    for graph in program.graph_module.modules():
        if isinstance(graph, torch.fx.GraphModule):
            for node in graph.graph.nodes:
                # Stack traces and module stacks name files and classes of this machine.
                node.meta = {
                    key: node.meta[key] for key in ("val", "tensor_meta") if key in node.meta
                }
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()


def _onnx(plain: nn.Module, images: Tensor) -> bytes:
    program = torch.onnx.export(
        plain,
        (_example(images),),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        input_names=["input"],
        output_names=["scores"],
        opset_version=OPSET,
        verbose=False,
    )
    assert program is not None
    proto = program.model_proto
    del proto.metadata_props[:]
    for part in (proto.graph, *proto.functions):
        del part.metadata_props[:]
        for item in (*part.node, *part.value_info):
            del item.metadata_props[:]
            item.doc_string = ""
    for item in (*proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        del item.metadata_props[:]
        item.doc_string = ""
    data: bytes = proto.SerializeToString()
    return data


def _checked(
    plain: nn.Module,
    images: Tensor,
    path: Path,
    run: Callable[[Path, Mapping[str, Array]], Mapping[str, Array]],
) -> Exported:
    """Compare the file with the network on real images; a file that differs is removed."""
    inputs = {
        str(count): images[torch.arange(count) % len(images)].contiguous().numpy()
        for count in BATCHES
    }
    with torch.no_grad():
        wanted = {name: plain(torch.from_numpy(batch)).numpy() for name, batch in inputs.items()}
    try:
        found = run(path, inputs)
    except _ReadBack as error:
        path.unlink()
        return Exported(str(error))
    difference = max(
        float(np.abs(found[name] - wanted[name]).max() / max(np.abs(wanted[name]).max(), 1e-6))
        if found[name].shape == wanted[name].shape
        else np.inf
        for name in inputs
    )
    if not difference <= TOLERANCE:
        path.unlink()
        return Exported(
            f"the file's outputs differ from the network's by {difference:.1e}", difference
        )
    return Exported(None, difference)


class _ReadBack(Exception):
    """A file that was written cannot be run by its reader."""


def _run_program(path: Path, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder, "given.npz"), Path(folder, "found.npz")
        np.savez(given, allow_pickle=False, **inputs)
        arguments = [str(path), str(given), str(found), str(torch.get_num_threads())]
        # -P: no module of the working directory stands in for one that is installed.
        done = subprocess.run(
            [sys.executable, "-P", "-c", _READER, *arguments], capture_output=True, text=True
        )
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise _ReadBack(
                f"the exported program does not run where striate is not installed: {last}"
            )
        with np.load(found) as arrays:
            return dict(arrays)


def _run_onnx(path: Path, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        return {
            name: session.run(["scores"], {"input": batch})[0] for name, batch in inputs.items()
        }
    # Its exceptions are made by pybind11, straight from Exception.
    except Exception as error:
        raise _ReadBack(_reason("onnxruntime", error)) from error


def _reason(who: str, error: BaseException) -> str:
    """The first cause of an exception, in one line without colours."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip().splitlines() or ["(no message)"]
    return f"{who}: {type(error).__name__}: {lines[0]}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporters print, log and warn of: whole graphs, where a forward cannot be traced."""
    disabled = logging.root.manager.disable
    nowhere = io.StringIO()
    with warnings.catch_warnings(), redirect_stdout(nowhere), redirect_stderr(nowhere):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(disabled)
