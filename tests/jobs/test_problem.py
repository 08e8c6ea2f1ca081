"""What is wrong with a model or data is found before any work, and said in one line that names what was given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import striate
from striate.errors import RequestError
from striate.jobs.named import shrink_named
from striate.jobs.progress import Silent
from striate.jobs.request import Settings, ShrinkRequest
from striate.sources.models import resolve


def images(count: int = 60) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 1, 8, 8, generator=generator), torch.arange(count) % 2


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 2)).eval()


class Twofaced(nn.Module):
    """Does something else in training mode."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.net, self.what = network(), what

    def forward(self, x: Tensor) -> Any:
        scores = self.net(x)
        if self.training and self.what == "raise":
            raise ValueError("no training please")
        if self.training and self.what == "two":
            return scores, scores
        return scores.detach() if self.what == "detach" else scores


def shrink(model: nn.Module, count: int = 60, **options: Any) -> striate.ShrinkResult:
    settings: dict[str, Any] = {"budget": "50%", "epochs": 1, "accept_baseline": True} | options
    return striate.shrink(model, images(count), **settings)


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("work was begun")

    monkeypatch.setattr("striate.jobs.steps.Shrinking.work", refuse)


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("what", "match"),
    [
        ("raise", r"epochs=1: MODEL Twofaced in training mode.*ValueError: no training please \("),
        ("two", "MODEL Twofaced, in training mode"),
        ("detach", "epochs=1: MODEL Twofaced in training mode.*does not require grad"),
    ],
)
def test_a_network_that_cannot_be_trained(what: str, match: str) -> None:
    model = Twofaced(what)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with pytest.raises(RequestError, match=match):
        shrink(model)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_training_is_tried_only_where_something_is_trained() -> None:
    assert shrink(Twofaced("raise"), epochs=0).result["status"] == "done"


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"epochs": 2}, r"epochs=2: every parameter of MODEL Sequential is frozen.*give epochs=0"),
        ({"pretrain": 2, "epochs": 0}, r"pretrain=2: every parameter.*frozen.*leave it out"),
    ],
)
def test_a_frozen_network(options: dict[str, Any], match: str) -> None:
    with pytest.raises(RequestError, match=match):
        shrink(network().requires_grad_(False), **options)


@pytest.mark.usefixtures("no_work")
def test_too_few_examples() -> None:
    with pytest.raises(RequestError, match="train: 16 training examples; a fit needs at least 20"):
        shrink(network(), 24)


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_weights_of_another_type(dtype: torch.dtype) -> None:
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(
        RequestError, match=f"its weights are {name}, .*inputs are float32; call .float"
    ):
        shrink(network().to(dtype))


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("body", "match"),
    [
        ("raise KeyError('hue')", r"--augment vary.py:vary raised KeyError: 'hue' \(.*vary.py:2\)"),
        ("return images[:, :, 1:]", "--augment vary.py:vary: made 8x1x7x8 of 8x1x8x8"),
    ],
)
def test_an_augmentation_is_tried_first(here: Path, body: str, match: str) -> None:
    (here / "vary.py").write_text(f"def vary(images, generator):\n    {body}\n")
    settings = Settings(budget=("50%",), epochs=1, accept_baseline=True)
    request = ShrinkRequest("net.py:make", "npz:digits.npz", settings, augment="vary.py:vary")
    with pytest.raises(RequestError, match=match):
        shrink_named(request, here / "run", Silent())
    assert not (here / "run").exists()


@pytest.mark.usefixtures("no_work")
def test_on_the_command_line_options_are_named(here: Path) -> None:
    (here / "net.py").write_text(
        "from torch import nn\n"
        "def make():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).requires_grad_(False)\n"
    )
    settings = Settings(budget=("50%",), epochs=4, accept_baseline=True)
    with pytest.raises(RequestError, match=r"--epochs 4: every parameter .*give --epochs 0"):
        shrink_named(ShrinkRequest("net.py:make", "npz:digits.npz", settings), here / "r", Silent())
    few = np.load("digits.npz")
    np.savez("few.npz", **{key: few[key][:27] for key in few})
    with pytest.raises(RequestError, match=r"--data: 18 training examples; a fit needs"):
        shrink_named(ShrinkRequest("net.py:make", "npz:few.npz", settings), here / "r", Silent())


def test_a_compiled_network_is_taken_out_of_its_wrapper(here: Path) -> None:
    compiled: Any = torch.compile(network())
    found = shrink(compiled, epochs=0)
    assert type(found.model) is nn.Sequential
    assert any("torch.compile" in note for note in found.result["notes"])
    # Under a name of its own: other tests' directories may have a `net` too, and still be where Python looks.
    (here / "net_inside.py").write_text((here / "net.py").read_text())
    (here / "compiled.py").write_text(
        "import torch\nimport net_inside\n"
        "def make():\n    return torch.compile(net_inside.make())\n"
    )
    notes: list[str] = []
    assert type(resolve("compiled.py:make").build(notes)) is nn.Sequential
    assert "torch.compile" in notes[0]


@pytest.mark.usefixtures("no_work")
def test_a_device_that_is_not_there_is_named_by_its_option(here: Path) -> None:
    settings = Settings(budget=("50%",), device="gpu")
    with pytest.raises(RequestError, match=r"--device gpu: .*expected cpu, cuda"):
        shrink_named(ShrinkRequest("net.py:make", "npz:digits.npz", settings), here / "r", Silent())


def test_hub_data_are_said_to_come_later(here: Path) -> None:
    settings = Settings(budget=("50%",))
    with pytest.raises(RequestError, match=r"--data hf:mnist: .*later version.*npz:FILE"):
        shrink_named(ShrinkRequest("net.py:make", "hf:mnist", settings), here / "r", Silent())
