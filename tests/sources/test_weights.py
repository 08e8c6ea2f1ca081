"""Weights from files."""

from __future__ import annotations

import argparse
import collections
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from striate.errors import RequestError
from striate.sources.weights import load_weights


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        collections.OrderedDict(conv=nn.Conv2d(1, 2, 3), norm=nn.BatchNorm2d(2), fc=nn.Linear(2, 3))
    )


def same(one: nn.Module, two: nn.Module) -> bool:
    other = two.state_dict()
    return all(torch.equal(value, other[name]) for name, value in one.state_dict().items())


def prefixed(prefix: str) -> dict[str, Any]:
    return {prefix + name: value for name, value in network(1).state_dict().items()}


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
def test_a_state_dict_comes_back(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"net{suffix}"
    state = network(1).state_dict()
    save_file(state, file) if suffix == ".safetensors" else torch.save(state, file)
    model = network(0)
    assert load_weights(model, file) == []
    assert same(model, network(1))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"state_dict": network(1).state_dict(), "epoch": 3}, ["under 'state_dict'"]),
        ({"model": network(1).state_dict()}, ["under 'model'"]),
        (
            {"model_state_dict": prefixed("module."), "loss": 0.1},
            ["'model_state_dict'", "'module.'"],
        ),
        ({"ema": {"state_dict": network(1).state_dict()}}, ["'ema'", "'state_dict'"]),
        (prefixed("module."), ["'module.'"]),
        (prefixed("_orig_mod."), ["'_orig_mod.'"]),
        (prefixed("module._orig_mod.model."), ["'module.' '_orig_mod.' 'model.'"]),
        ({**prefixed("module."), "n_averaged": torch.tensor(5)}, ["'module.'"]),
        (
            {"state_dict": network(1).state_dict(), "ema": network(2).state_dict()},
            ["'state_dict'", "also has ema"],
        ),
    ],
)
def test_wrappers_and_prefixes_are_taken_off_and_said(
    tmp_path: Path, content: dict[str, Any], said: list[str]
) -> None:
    file = tmp_path / "net.pt"
    torch.save(content, file)
    model = network(0)
    notes = " ".join(load_weights(model, file))
    assert all(text in notes for text in said)
    assert same(model, network(1))


def test_a_key_selects(tmp_path: Path) -> None:
    file = tmp_path / "net.pt"
    states = {"state_dict": network(2).state_dict(), "best": {"net": network(1).state_dict()}}
    torch.save(states, file)
    for key in ("best.net", "best"):
        model = network(0)
        if key == "best":
            with pytest.raises(RequestError, match=r"net are not tensors.*--weights-key"):
                load_weights(model, file, key)
        else:
            load_weights(model, file, key)
            assert same(model, network(1))
    with pytest.raises(RequestError, match=r"--weights-key worst: .*it has state_dict, best"):
        load_weights(network(), file, "worst")


def test_tied_weights_old_checkpoints_and_half_precision(tmp_path: Path) -> None:
    tied = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
    tied["b"].weight = tied["a"].weight
    state = {name: value.half() for name, value in tied.state_dict().items() if name != "b.weight"}
    save_file(state, tmp_path / "tied.safetensors")
    assert "torch.float16" in load_weights(tied, tmp_path / "tied.safetensors")[0]
    old = network(1).state_dict()
    del old["norm.num_batches_tracked"]
    torch.save(dict(old), tmp_path / "old.pt")
    model = network(0)
    load_weights(model, tmp_path / "old.pt")
    assert torch.equal(model.fc.weight, network(1).fc.weight)


class Whole(nn.Linear):
    """At module level, so that it can be pickled."""


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    whole, checkpoint = tmp_path / "whole.pt", tmp_path / "args.pt"
    torch.save(Whole(2, 2), whole)
    torch.save({"state_dict": network().state_dict(), "args": argparse.Namespace(x=1)}, checkpoint)
    with pytest.raises(
        RequestError, match=r"Whole.*never loads.*torch.load\(.*torch.save\("
    ) as caught:
        load_weights(network(), whole)
    assert "whole-weights.pt" in str(caught.value)
    with pytest.raises(RequestError, match=r"argparse.Namespace"):
        load_weights(network(), checkpoint)


def with_value(name: str, value: float) -> dict[str, torch.Tensor]:
    state = network(1).state_dict()
    state[name].view(-1)[0] = value
    return state


def renamed() -> dict[str, torch.Tensor]:
    state = network(1).state_dict()
    state["head.weight"] = state.pop("fc.weight")
    state["conv_.bias"] = state.pop("conv.bias")
    return state


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (with_value("fc.bias", float("nan")), "fc.bias holds NaN or Inf in 1 of 3"),
        (with_value("conv.weight", float("inf")), "conv.weight holds NaN or Inf"),
        (with_value("norm.running_var", float("nan")), "norm.running_var holds NaN"),
        (
            renamed(),
            r"lacks conv.bias \(nearest: conv_.bias\).*model lacks.*conv_.bias \(nearest: conv.bias\)",
        ),
        ({**network().state_dict(), "fc.bias": torch.zeros(4)}, "fc.bias is 4, the model's 3"),
        ({}, "holds no weights"),
        ([1, 2], "holds a list"),
        ({"epoch": 3, "lr": 0.1}, "epoch, lr are not tensors"),
        (torch.zeros(3), "holds a Tensor"),
    ],
)
def test_weights_that_do_not_fit_leave_the_model_alone(
    tmp_path: Path, content: object, expected: str
) -> None:
    file = tmp_path / "net.pt"
    torch.save(content, file)
    model = network(0)
    with pytest.raises(RequestError, match=expected) as caught:
        load_weights(model, file)
    assert "\n" not in str(caught.value)
    assert same(model, network(0))


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("damage", ["empty", "text", "half", "flipped"])
def test_damaged_files(tmp_path: Path, suffix: str, damage: str) -> None:
    file = tmp_path / f"net{suffix}"
    state = network(1).state_dict()
    save_file(state, file) if suffix == ".safetensors" else torch.save(state, file)
    whole = file.read_bytes()
    file.write_bytes(
        {
            "empty": b"",
            "text": b"weights, honestly\n",
            "half": whole[: len(whole) // 2],
            "flipped": bytes(255 - byte for byte in whole[:64]) + whole[64:],
        }[damage]
    )
    with pytest.raises(RequestError, match=f"--weights {file}") as caught:
        load_weights(network(), file)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_files_of_no_known_kind(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no such file"):
        load_weights(network(), tmp_path / "none.pt")
    (tmp_path / "net.h5").write_bytes(b"x")
    with pytest.raises(RequestError, match=r"expected a .safetensors file"):
        load_weights(network(), tmp_path / "net.h5")
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), str(tmp_path / "script.pt"))
    with pytest.raises(RequestError, match="TorchScript"):
        load_weights(network(), tmp_path / "script.pt")


def test_a_directory_or_an_empty_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="a directory; give the file in it"):
        load_weights(nn.Linear(2, 2), tmp_path)
    (tmp_path / "empty.pt").touch()
    with pytest.raises(RequestError, match="the file is empty; copy or save it again"):
        load_weights(nn.Linear(2, 2), tmp_path / "empty.pt")
