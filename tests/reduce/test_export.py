"""Exports: what is read back elsewhere is the network, and nothing of this machine travels along."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from striate.errors import MissingExtra
from striate.nn import LocallyConnected2d
from striate.reduce import export
from striate.reduce.export import Exported, export_onnx, export_program
from striate.reduce.program import load_program


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding="same"),
        nn.BatchNorm2d(4),
        nn.GELU("tanh"),
        nn.AvgPool2d(3, 2, ceil_mode=True),
        LocallyConnected2d(4, 3, 3, (4, 4), share=2),
        nn.AdaptiveAvgPool2d(2),
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.Linear(12, 10),
    )


def images(count: int = 20) -> Tensor:
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(1))


class Stubborn(nn.Module):
    """Decides by the values of its input, which no export can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(192, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        if inputs.sum() > 0:
            inputs = -inputs
        out: Tensor = self.head(inputs.flatten(1))
        return out


def assert_of_no_machine(data: bytes) -> None:
    for text in (sys.prefix, str(Path.cwd()), str(Path(torch.__file__).parent), "site-packages"):
        assert text.encode() not in data


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "model.pt2"
    model = network().train()
    model[0].weight.data = model[0].weight.data.contiguous(memory_format=torch.channels_last)
    stride, stored = model[0].weight.stride(), [p.detach().clone() for p in model.parameters()]
    found = export_program(model, images(), path)
    assert found.reason is None
    assert model.training, "the model is to be left as it was"
    assert model[0].weight.stride() == stride
    assert all(p.requires_grad for p in model.parameters())
    assert all(torch.equal(p, old) for p, old in zip(model.parameters(), stored, strict=True))
    assert found.difference is not None
    assert found.difference < 1e-5
    return path


def test_a_program_names_nothing_of_this_machine_and_holds_no_picture(program: Path) -> None:
    data = program.read_bytes()
    assert_of_no_machine(data)
    assert b"striate" not in data
    assert images()[0].numpy().tobytes() not in data


def test_a_program_is_loaded_again_for_any_batch(program: Path) -> None:
    model = load_program(program)
    wanted = network().eval()
    for count in (1, 2, 7, 20):
        with torch.no_grad():
            torch.testing.assert_close(model(images()[:count]), wanted(images()[:count]))
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not model.eval().training
    with pytest.raises(ValueError, match="source="):
        model.train()


@pytest.mark.parametrize(("function", "name"), [(export_program, "pt2"), (export_onnx, "onnx")])
def test_a_failed_export_leaves_its_reason_and_no_file(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    function: Callable[[nn.Module, Tensor, Path], Exported],
    name: str,
) -> None:
    path = tmp_path / f"model.{name}"
    found = function(Stubborn(), images(), path)
    assert found.reason is not None
    assert found.reason.startswith("torch.")
    assert "\n" not in found.reason
    assert not path.exists()
    assert capfd.readouterr() == ("", "")


def test_a_program_that_differs_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(_: Path, inputs: dict[str, Any]) -> dict[str, Any]:
        with torch.no_grad():
            model = network().eval()
            return {name: model(torch.from_numpy(x)).numpy() + 1 for name, x in inputs.items()}

    monkeypatch.setattr(export, "_run_program", other)
    found = export_program(network(), images(), tmp_path / "model.pt2")
    assert found.reason is not None
    assert "differ from the network's" in found.reason
    assert found.difference is not None
    assert found.difference > 0.1
    assert not (tmp_path / "model.pt2").exists()


def test_a_program_that_does_not_run_elsewhere_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_READER", "import striate_is_not_here")
    found = export_program(network(), images(), tmp_path / "model.pt2")
    assert found.reason is not None
    assert "No module named 'striate_is_not_here'" in found.reason
    assert not (tmp_path / "model.pt2").exists()


def test_the_reader_cannot_import_striate() -> None:
    script = export._READER.split("import numpy")[0] + "\nimport striate"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1
    assert "striate is kept out of this process" in done.stderr


def test_onnx_gives_what_the_network_gives(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    path = tmp_path / "model.onnx"
    found = export_onnx(network(), images(5), path)  # fewer images than the larger batch
    assert found.reason is None
    assert found.difference is not None
    assert found.difference < 1e-4
    assert_of_no_machine(path.read_bytes())


def test_without_onnx_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"striate\[onnx\]"):
        export_onnx(network(), images(), tmp_path / "model.onnx")
