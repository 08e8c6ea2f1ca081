"""Accuracy, loss and agreement, and that looking at a network does not change it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from striate.errors import RequestError
from striate.reduce.evaluate import agreement, divergence, evaluate
from striate.reduce.examples import TensorExamples


def scored(count: int = 40, classes: int = 5) -> TensorExamples:
    draw = torch.Generator().manual_seed(0)
    return TensorExamples(
        torch.randn(count, classes, generator=draw),
        torch.randint(0, classes, (count,), generator=draw),
    )


@pytest.mark.parametrize("batch_size", [1, 7, 40, 500])
def test_accuracy_and_loss_do_not_depend_on_the_batch_size(batch_size: int) -> None:
    data = scored()
    assert data.targets is not None
    result = evaluate(nn.Identity(), data, batch_size)
    right = data.inputs.argmax(1) == data.targets
    assert result.correct is not None
    assert result.correct.tolist() == right.tolist()
    assert (result.right, result.count) == (int(right.sum()), 40)
    assert result.accuracy == int(right.sum()) / 40
    assert result.loss == pytest.approx(float(F.cross_entropy(data.inputs, data.targets)), rel=1e-6)
    low, high = result.interval or (1.0, 0.0)
    assert low < result.accuracy < high


def test_without_labels_nothing_is_made_up() -> None:
    result = evaluate(nn.Identity(), TensorExamples(scored().inputs))
    assert (result.count, result.correct, result.loss) == (40, None, None)
    assert (result.right, result.accuracy, result.interval) == (None, None, None)


def test_the_model_is_left_as_it_was() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(64, 2)
    )
    model[1].eval()
    modes = [module.training for module in model.modules()]
    strides = [parameter.stride() for parameter in model.parameters()]
    places = [parameter.data_ptr() for parameter in model.parameters()]
    stored = {name: value.clone() for name, value in model.state_dict().items()}
    data = TensorExamples(torch.randn(10, 3, 6, 6), torch.zeros(10, dtype=torch.int64))
    first, second = evaluate(model, data), evaluate(model, data)
    assert first.loss == second.loss
    assert [module.training for module in model.modules()] == modes
    assert [parameter.stride() for parameter in model.parameters()] == strides
    assert [parameter.data_ptr() for parameter in model.parameters()] == places
    assert all(torch.equal(value, stored[name]) for name, value in model.state_dict().items())


def test_agreement_counts_equal_answers_and_measures_divergence() -> None:
    data = TensorExamples(scored().inputs)
    torch.manual_seed(0)
    other = nn.Linear(5, 5)
    result = agreement(other, nn.Identity(), data, batch_size=9)
    with torch.no_grad():
        ours, theirs = other(data.inputs), data.inputs
    assert result.same.tolist() == (ours.argmax(1) == theirs.argmax(1)).tolist()
    p, q = theirs.softmax(1), ours.softmax(1)
    assert result.divergence == pytest.approx(float((p * (p / q).log()).sum(1).mean()), rel=1e-4)
    assert result.rate == np.mean(result.same)
    assert result.interval[0] < result.rate < result.interval[1]


def test_divergence_at_a_temperature() -> None:
    ours, theirs = torch.randn(6, 4), torch.randn(6, 4)
    p, q = (theirs / 3).softmax(1), (ours / 3).softmax(1)
    wanted = (p * (p / q).log()).sum(1).mean()
    torch.testing.assert_close(divergence(ours, theirs, 3.0), wanted)


@pytest.mark.parametrize(
    ("model", "data", "text"),
    [
        (nn.Identity(), TensorExamples(torch.zeros(0, 3)), "no examples"),
        (nn.Identity(), TensorExamples(torch.zeros(4, 3, 2)), r"shape \(4, 3, 2\)"),
        (nn.LSTM(3, 2), TensorExamples(torch.zeros(4, 3)), "returns tuple"),
        (nn.Identity(), TensorExamples(torch.eye(3), torch.tensor([0, 1, 3])), "from 0 to 3"),
        (nn.Identity(), TensorExamples(torch.eye(3), torch.tensor([0, -1, 2])), "from -1 to 2"),
        (nn.Identity(), TensorExamples(torch.eye(3) * torch.nan), "not finite on example 0"),
    ],
)
def test_what_cannot_be_evaluated_is_said(
    model: nn.Module, data: TensorExamples, text: str
) -> None:
    with pytest.raises(RequestError, match=text):
        evaluate(model, data)


def test_a_row_that_is_not_finite_is_named() -> None:
    inputs = torch.eye(3).repeat(3, 1)
    inputs[7, 1] = torch.inf
    with pytest.raises(RequestError, match="not finite on example 7"):
        evaluate(nn.Identity(), TensorExamples(inputs), batch_size=3)


def test_networks_of_different_classes_do_not_compare() -> None:
    with pytest.raises(ValueError, match="2 classes, and the original has 5"):
        agreement(nn.Linear(5, 2), nn.Identity(), scored())
