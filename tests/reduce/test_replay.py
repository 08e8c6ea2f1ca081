"""Recorded layers answer from memory, and what lies before the last of them costs nothing."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate.reduce.examples import Batch, Index, TensorExamples, remembered
from striate.reduce.replay import Recording


class Watched(nn.Module):
    """Notes whether it was given values or a shape alone; writes into what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[bool] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(not x.is_meta)
        return x.relu_()


def straight(norm: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), Watched(), nn.BatchNorm2d(4) if norm else nn.Identity(), nn.Conv2d(4, 5, 3), Watched(),
        nn.Flatten(), nn.Linear(80, 6), Watched(), nn.Linear(6, 3),
    )  # fmt: skip


class Branched(nn.Module):
    """The second convolution's output is added to the first's."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, padding=1)
        self.act, self.last = Watched(), nn.Linear(144, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.one(x))
        scores: Tensor = self.last((x + self.two(x)).flatten(1))
        return scores


class Tuple(nn.Module):
    """An answer that is not one tensor, part of it from the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.body = straight()

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        x = self.body[2](self.body[1](self.body[0](x)))
        return self.body[3:](x), {"early": x}


X = torch.randn(300, 1, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("norm", [False, True])
def test_a_change_is_run_behind_what_is_recorded(norm: bool) -> None:
    model = straight(norm).eval()
    recording = Recording(model, {"0": 9, "3": 9, "6": 1}, TensorExamples(X))
    changed = copy.deepcopy(model)
    with torch.no_grad():
        changed[8].weight.mul_(2)
        expected = changed(X)
    for module in changed:
        if isinstance(module, Watched):
            module.seen.clear()
    got = torch.cat([output for _, output in recording.runs(changed, ["0", "3", "6"])])  # type: ignore[misc]
    torch.testing.assert_close(got, expected)
    # A layer with weights of its own between the recorded ones needs values.
    # (Once more, to see which memory format it takes.)
    assert [m.seen.count(True) > 1 for m in changed if isinstance(m, Watched)] == [norm, norm, True]
    # Afterwards the layers are their own again.
    torch.testing.assert_close(changed(X), expected)


@pytest.mark.parametrize(
    ("build", "names"), [(Branched, ["one", "two"]), (Tuple, ["body.0", "body.3"])]
)
def test_where_paths_meet_every_layer_answers_with_values(
    build: type[nn.Module], names: list[str]
) -> None:
    model = build().eval()
    recording = Recording(model, dict.fromkeys(names, 1), TensorExamples(X))
    with torch.no_grad():
        expected = model(X)
    outputs = [output for _, output in recording.runs(model, names)]
    if isinstance(expected, Tensor):
        torch.testing.assert_close(torch.cat(outputs), expected)  # type: ignore[arg-type]
    else:
        early = torch.cat([output[1]["early"] for output in outputs])  # type: ignore[index]
        torch.testing.assert_close(early, expected[1]["early"])


def test_nothing_recorded_and_one_layer_recorded() -> None:
    model = straight().eval()
    expected = model(X)
    for most in (0, 10_000):
        recording = Recording(model, {"0": 9, "3": 9}, TensorExamples(X), most=most)
        got = torch.cat([output for _, output in recording.runs(model, ["0", "3"])])  # type: ignore[misc]
        torch.testing.assert_close(got, expected)


class Counted:
    """Examples that note what is read."""

    def __init__(self, labels: bool) -> None:
        self.read: list[int] = []
        self.labels = labels

    def __len__(self) -> int:
        return 10

    def batch(self, index: Index, augment: np.random.Generator | None = None) -> Batch:
        self.read += index.tolist()
        rows = torch.from_numpy(index)
        return rows[:, None].float(), rows if self.labels else None


@pytest.mark.parametrize("labels", [True, False])
def test_examples_are_read_once_if_there_is_room(labels: bool) -> None:
    source = Counted(labels)
    kept = remembered(source, 4, most=40)
    source.read.clear()
    inputs, targets = kept.batch(np.array([7, 2]))
    assert inputs.view(-1).tolist() == [7, 2]
    assert (None if targets is None else targets.tolist()) == ([7, 2] if labels else None)
    assert source.read == []
    assert len(kept) == 10
    assert remembered(source, 4, most=39) is source
    assert remembered(kept, 4, most=0) is kept
