"""Training: what is learned, what is left alone, and that a cut changes no bit."""

from __future__ import annotations

import io
import math
import random
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from striate.errors import MissingExtra, RequestError
from striate.reduce.evaluate import agreement, evaluate
from striate.reduce.examples import Batch, Index, TensorExamples
from striate.reduce.finetune import (
    Recipe,
    Training,
    arm_recipe,
    pretrain_recipe,
    recalibrate,
)


class Shifted(TensorExamples):
    """Examples that are shifted at random where augmentation is asked for."""

    def batch(self, index: Index, augment: np.random.Generator | None = None) -> Batch:
        inputs, targets = super().batch(index)
        if augment is None:
            return inputs, targets
        return inputs + torch.from_numpy(augment.normal(0, 0.1, inputs.shape)).float(), targets


def pictures(count: int = 96, *, labelled: bool = True) -> Shifted:
    """Two kinds of pictures: brighter on the left, or on the right."""
    draw = np.random.default_rng(1)
    inputs = torch.from_numpy(draw.normal(size=(count, 2, 6, 6))).float()
    targets = torch.from_numpy(draw.integers(0, 2, count))
    inputs[targets == 0, :, :, :3] += 0.7
    inputs[targets == 1, :, :, 3:] += 0.7
    return Shifted(inputs, targets if labelled else None)


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout2d(0.1),
        nn.Flatten(),
        nn.Linear(64, 8),
        nn.ReLU(),
        nn.Dropout(0.25),
        nn.Linear(8, 2),
    )


def bits(model: nn.Module) -> dict[str, bytes]:
    return {
        name: value.contiguous().numpy().tobytes() for name, value in model.state_dict().items()
    }


def training(model: nn.Module, recipe: Recipe, **options: Any) -> Training:
    settings: dict[str, Any] = {"seed": 3, "phase": "test", "teacher": network(9), **options}
    return Training(model, settings.pop("examples", pictures()), recipe, **settings)


@pytest.mark.parametrize("arm", ["labels", "distill"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_cut_training_ends_with_the_same_bits(arm: Any, precision: Any) -> None:
    recipe = Recipe(epochs=4, arm=arm, batch_size=20, lr=0.01, label_smoothing=0.1)
    whole = training(network(), recipe, precision=precision)
    losses = [whole.run_epoch()["loss"] for _ in range(4)]

    first = training(network(), recipe, precision=precision)
    begun = [first.run_epoch()["loss"] for _ in range(2)]
    file = io.BytesIO()
    torch.save(first.state(), file)
    file.seek(0)
    torch.rand(7), np.random.rand(7)  # where the global generators stand must not matter
    second = training(network(5), recipe, precision=precision)
    second.restore(torch.load(file, weights_only=True))
    assert second.epoch == 2
    ended = [second.run_epoch()["loss"] for _ in range(2)]

    assert begun + ended == losses
    assert bits(second.model) == bits(whole.model)


def test_a_state_is_apart_from_the_network_that_goes_on() -> None:
    run = training(network(), Recipe(epochs=2, lr=0.01))
    run.run_epoch()
    state = run.state()
    kept = {name: value.clone() for name, value in state["model"].items()}
    run.run_epoch()
    assert all(torch.equal(state["model"][name], value) for name, value in kept.items())


def test_the_fused_update_agrees_with_the_plain_one_in_channels_last() -> None:
    recipe = Recipe(epochs=2, batch_size=20, lr=0.01, clip_norm=None, dropout_scale=0.0, updates=1)
    run = training(network(), recipe)
    run.run_epoch()
    resumed = training(network(4), recipe)
    resumed.restore(run.state())
    resumed.run_epoch()
    conv = resumed.model[0].weight  # type: ignore[index]
    assert conv.is_contiguous(memory_format=torch.channels_last)

    plain = training(network(), recipe)
    slow = torch.optim.AdamW(plain._optimizer.param_groups, fused=False)
    plain._optimizer, plain._stepper = slow, slow
    for _ in range(2):
        plain.run_epoch()
    for ours, theirs in zip(resumed.model.parameters(), plain.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_labels_are_learned(precision: Any) -> None:
    data = pictures(400)
    model = network()
    run = training(model, Recipe(epochs=6, lr=0.01), examples=data, precision=precision)
    losses = [run.run_epoch()["loss"] for _ in range(6)]
    assert losses[-1] < losses[0]
    accuracy = evaluate(model, pictures(300)).accuracy
    assert accuracy is not None
    assert accuracy > 0.9
    assert model[0].weight.dtype == torch.float32


def test_a_student_comes_nearer_to_its_teacher_without_labels() -> None:
    data, teacher, student = pictures(300, labelled=False), network(9), network()
    before = agreement(student, teacher, data).divergence
    run = Training(
        student,
        data,
        Recipe(epochs=6, arm="distill", lr=0.01, dropout_scale=0.0),
        seed=0,
        phase="distill",
        teacher=teacher,
    )
    for _ in range(6):
        run.run_epoch()
    assert agreement(student, teacher, data).divergence < before / 3


def test_a_teacher_is_left_as_it_was() -> None:
    teacher = network(9).train()
    stored, strides = bits(teacher), teacher[0].weight.stride()
    training(network(), Recipe(epochs=1, arm="distill"), teacher=teacher).run_epoch()
    assert bits(teacher) == stored
    assert teacher[0].weight.stride() == strides
    assert all(module.training for module in teacher.modules())
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_dropout_is_scaled_only_while_training() -> None:
    model = network().eval()
    seen: list[tuple[float, float]] = []
    model.register_forward_pre_hook(lambda m, _: seen.append((m[3].p, m[7].p)))
    run = training(model, Recipe(epochs=1, dropout_scale=0.4))
    seen.clear()
    run.run_epoch()
    assert set(seen) == {(0.1 * 0.4, 0.25 * 0.4)}
    assert (model[3].p, model[7].p) == (0.1, 0.25)
    assert not any(module.training for module in model.modules())


def test_dropout_comes_back_after_an_error() -> None:
    class Broken(Shifted):
        def batch(self, index: Index, augment: np.random.Generator | None = None) -> Batch:
            if augment is not None:
                raise OSError("gone")
            return super().batch(index)

    data, model = pictures(), network().eval()
    run = training(
        model, Recipe(epochs=1, dropout_scale=0.0), examples=Broken(data.inputs, data.targets)
    )
    with pytest.raises(OSError, match="gone"):
        run.run_epoch()
    assert (model[3].p, model[7].p, model.training) == (0.1, 0.25, False)


def test_what_is_frozen_stays_frozen() -> None:
    model = network()
    for part in (model[0], model[1]):
        for parameter in part.parameters():
            parameter.requires_grad_(False)
    frozen = {name: value.clone() for name, value in model[:2].state_dict().items()}
    run = training(model, Recipe(epochs=2, lr=0.01))
    run.run_epoch()
    assert recalibrate(model, pictures()) == 0
    assert all(torch.equal(value, frozen[name]) for name, value in model[:2].state_dict().items())
    assert not torch.equal(model[5].weight, network()[5].weight)


def test_nothing_to_train_is_said() -> None:
    with pytest.raises(RequestError, match="frozen"):
        training(network().requires_grad_(False), Recipe(epochs=1))


def test_missing_labels_are_said() -> None:
    with pytest.raises(RequestError, match=r"no labels.*distill"):
        training(network(), Recipe(epochs=1), examples=pictures(labelled=False))


def test_a_label_without_a_score_is_said() -> None:
    data = TensorExamples(pictures().inputs, torch.arange(96))
    with pytest.raises(RequestError, match="2 classes; expected labels 0 to 1"):
        training(network(), Recipe(epochs=1), examples=data).run_epoch()


def test_outputs_that_are_not_scores_are_said() -> None:
    with pytest.raises(RequestError, match=r"expected .*classes"):
        training(network()[:3], Recipe(epochs=1)).run_epoch()


def test_a_loss_that_is_not_finite_stops_and_says_what_to_try() -> None:
    data = pictures()
    data.inputs[40] = torch.inf
    with pytest.raises(RequestError, match=r"loss became nan.*--mean"):
        training(network(), Recipe(epochs=1), examples=data).run_epoch()


def test_a_checkpoint_of_another_training_is_refused() -> None:
    state = training(network(), Recipe(epochs=2)).state()
    with pytest.raises(RequestError, match="seed=3, this training 4"):
        training(network(), Recipe(epochs=2), seed=4).restore(state)
    with pytest.raises(RequestError, match="recipe="):
        training(network(), Recipe(epochs=3)).restore(state)


def test_no_epoch_beyond_the_recipe() -> None:
    run = training(network(), Recipe(epochs=1))
    run.run_epoch()
    with pytest.raises(ValueError, match="all 1 epochs"):
        run.run_epoch()


def test_the_global_generators_are_left_alone() -> None:
    run = training(network(), Recipe(epochs=1))
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    wanted = (torch.rand(1), np.random.rand(), random.random())
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    run.run_epoch()
    assert (torch.rand(1), np.random.rand(), random.random()) == wanted


def test_randomness_depends_on_seed_and_phase() -> None:
    recipe = Recipe(epochs=1, batch_size=20, lr=0.01)
    ended = set()
    for seed, phase in ((0, "a"), (1, "a"), (0, "b"), (0, "a")):
        run = training(network(), recipe, seed=seed, phase=phase)
        run.run_epoch()
        ended.add(bits(run.model)["5.weight"])
    assert len(ended) == 3


def test_every_example_is_seen_once_and_no_batch_is_single() -> None:
    sizes: list[int] = []
    run = training(network(), Recipe(epochs=1, batch_size=19), examples=pictures(77))
    run.run_epoch(tick=sizes.append)
    assert sum(sizes) == 77
    assert min(sizes) > 1
    assert max(sizes) <= 19


def test_small_data_gets_enough_updates() -> None:
    assert Recipe(epochs=1).steps(18_000) == math.ceil(18_000 / 128)
    assert Recipe(epochs=1).steps(1_000) >= 40
    assert Recipe(epochs=1).steps(50) == 4


def test_a_forward_that_views_a_map_is_trained_all_the_same() -> None:
    class Viewing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 4, 3)
            self.head = nn.Linear(64, 2)

        def forward(self, inputs: Tensor) -> Tensor:
            features: Tensor = self.conv(inputs)
            out: Tensor = self.head(features.view(len(features), -1))
            return out

    torch.manual_seed(0)
    model = Viewing()
    training(model, Recipe(epochs=1)).run_epoch()
    assert evaluate(model, pictures()).accuracy is not None


def test_biases_and_norms_are_not_decayed() -> None:
    run = training(network(), Recipe(epochs=1, weight_decay=0.5))
    decayed, spared = run._optimizer.param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.5, 0.0)
    assert [tuple(p.shape) for p in decayed["params"]] == [(4, 2, 3, 3), (8, 64), (2, 8)]


@given(st.integers(1, 300), st.floats(0, 0.9), st.floats(0, 1), st.floats(0, 1))
def test_the_rate_rises_to_its_peak_and_falls(
    total: int, warmup: float, first: float, last: float
) -> None:
    recipe = Recipe(epochs=1, lr=1.0, warmup=warmup, first=first, last=last)
    rates, momenta = zip(*(recipe.schedule(step, total) for step in range(total)), strict=True)
    top = rates.index(max(rates))
    assert all(0 <= rate <= 1 + 1e-12 for rate in rates)
    assert list(rates[:top]) == sorted(rates[:top])
    assert list(rates[top:]) == sorted(rates[top:], reverse=True)
    assert all(0.85 - 1e-12 <= momentum <= 0.95 + 1e-12 for momentum in momenta)
    if total > 1:
        assert rates[-1] == pytest.approx(last)


def test_the_schedule_is_the_one_cycle_of_torch() -> None:
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], betas=(0.9, 0.999))
    torchs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=101, pct_start=0.208)
    recipe = Recipe(epochs=1, lr=2e-3, warmup=0.2, first=1 / 25, last=1 / 25e4)
    for step in range(101):
        rate, momentum = recipe.schedule(step, 101)
        group = optimizer.param_groups[0]
        assert rate == pytest.approx(group["lr"], rel=0.02, abs=1e-6)
        assert momentum == pytest.approx(group["betas"][0], abs=2e-3)
        if step < 100:
            optimizer.step()
            torchs.step()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"epochs": 0}, "epochs=0; expected at least 1"),
        ({"arm": "both"}, "arm='both'"),
        ({"lr": 0.0}, "lr=0.0"),
        ({"batch_size": 1}, "batch_size=1"),
        ({"warmup": 1.0}, "warmup=1.0"),
        ({"dropout_scale": -1.0}, "dropout_scale=-1.0"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0"),
        ({"temperature": 0.0}, "temperature=0.0"),
    ],
)
def test_a_wrong_recipe_is_said(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Recipe(**{"epochs": 1, **options})


def test_the_named_recipes_are_of_the_length_asked_for() -> None:
    assert pretrain_recipe(30, 10**6).epochs == 30
    assert arm_recipe("distill", 2, fresh=4000).lr > arm_recipe("distill", 2, fresh=200_000).lr
    assert arm_recipe("distill", 2, fresh=200_000).lr > arm_recipe("distill", 2).lr
    for arm in ("labels", "distill"):
        assert (arm_recipe(arm, 8).arm, arm_recipe(arm, 8).epochs) == (arm, 8)  # type: ignore[arg-type]


def test_recalibrated_norms_have_the_statistics_of_the_data() -> None:
    data, model = pictures(500), network().train()
    assert recalibrate(model, data, batch_size=100) == 1
    norm = model[1]
    assert isinstance(norm, nn.BatchNorm2d)
    with torch.no_grad():
        features = model[0](data.inputs)
    assert norm.running_mean is not None
    torch.testing.assert_close(norm.running_mean, features.mean((0, 2, 3)), rtol=1e-4, atol=1e-4)
    assert norm.running_var is not None
    torch.testing.assert_close(norm.running_var, features.var((0, 2, 3)), rtol=0.02, atol=1e-3)
    assert (norm.momentum, model.training, norm.training) == (0.1, True, True)


def test_a_device_that_is_not_there_is_said() -> None:
    with pytest.raises(RequestError, match="device='cuda:99'"):
        training(network(), Recipe(epochs=1), device="cuda:99")
    with pytest.raises(RequestError, match="device='gpu'"):
        training(network(), Recipe(epochs=1), device="gpu")


def test_without_fabric_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "lightning_fabric"]:
        monkeypatch.delitem(sys.modules, name)

    class Hidden:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "lightning_fabric":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(sys, "meta_path", [Hidden(), *sys.meta_path])
    with pytest.raises(MissingExtra, match=r"striate\[shrink\]"):
        training(network(), Recipe(epochs=1))
