"""Training: one loop that can be cut and taken up again after any epoch.

An epoch's randomness (the order of the rows, augmentation, dropout) comes from (seed, phase, epoch)
alone, so the network, the optimizer and the number of finished epochs are the whole state.
"""

from __future__ import annotations

import dataclasses
import math
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from striate.errors import MissingExtra, RequestError
from striate.reduce.evaluate import checked_targets, class_scores, divergence
from striate.reduce.examples import Examples
from striate.reduce.recipes import Recipe, arm_recipe, pretrain_recipe
from striate.reduce.running import (
    checked_device,
    evaluating,
    reproducible,
    seeded,
    takes_channels_last,
    use_channels_last,
)

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Recipe", "Training", "arm_recipe", "pretrain_recipe", "recalibrate"]

Arithmetic = Literal["32-true", "bf16-mixed"]


class Training:
    """Trains `model`, in place, an epoch at a time.

    model: takes `(batch, *shape)` float32, gives `(batch, classes)`. Only parameters that require a
        gradient are trained; a BatchNorm whose parameters are all frozen keeps its statistics.
    examples: what to learn from; labels are needed for the arm "labels" only.
    phase: a name that, with `seed` and the epoch, seeds everything random.
    teacher: the original network, for the arm "distill"; run in evaluation mode on the same inputs,
        augmented ones too.
    precision: "32-true", or "bf16-mixed": products in bfloat16, weights and optimizer in float32.

    Raises `RequestError` where labels, a trainable parameter, the device or Lightning Fabric are
    missing.

    >>> from striate.reduce.examples import TensorExamples
    >>> inputs = torch.randn(64, 5, generator=torch.Generator().manual_seed(0))
    >>> data = TensorExamples(inputs, (inputs[:, 0] > 0).long())
    >>> training = Training(nn.Linear(5, 2), data, Recipe(2, lr=0.1), seed=0, phase="demo")
    >>> losses = [training.run_epoch()["loss"] for _ in range(2)]
    >>> losses[1] < losses[0], training.epoch
    (True, 2)
    """

    def __init__(
        self,
        model: nn.Module,
        examples: Examples,
        recipe: Recipe,
        *,
        seed: int,
        phase: str,
        teacher: nn.Module | None = None,
        device: str | torch.device = "cpu",
        precision: Arithmetic = "32-true",
    ) -> None:
        if len(examples) < 2:
            raise RequestError(f"{phase}: {len(examples)} training examples; expected at least 2")
        if recipe.arm == "distill" and teacher is None:
            raise ValueError(
                f"{phase}: teacher=None; the arm 'distill' learns from the original network"
            )
        inputs, targets = examples.batch(np.arange(2, dtype=np.int64))
        if recipe.arm == "labels" and targets is None:
            raise RequestError(
                f"{phase}: the data has no labels, and learning from labels needs them; "
                "give labelled data, or learn from the original network (arm 'distill')"
            )
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if not trained:
            raise RequestError(
                f"{phase}: every parameter of the network is frozen; nothing can be trained"
            )

        self.model = model
        self.recipe = recipe
        self.phase = phase
        self.seed = seed
        self.epoch = 0
        self._examples = examples
        self._teacher = teacher if recipe.arm == "distill" else None
        self._device = checked_device(device)
        self._fabric = _fabric(self._device, precision)
        model.to(self._device)
        if self._teacher is not None and _elsewhere(self._teacher, self._device):
            raise ValueError(f"{phase}: the teacher is not on {self._device}; move it there first")
        self._channels_last = takes_channels_last(model, inputs.to(self._device))
        self._teacher_channels_last = self._teacher is not None and takes_channels_last(
            self._teacher, inputs.to(self._device)
        )
        if self._channels_last:
            use_channels_last(model)
        self._optimizer = _optimizer(model, recipe, self._device)
        self._run, self._stepper = self._fabric.setup(model, self._optimizer)
        self._trained = trained
        self._total = recipe.epochs * recipe.steps(len(examples))

    def run_epoch(self, tick: Callable[[int], None] | None = None) -> dict[str, float]:
        """Train one epoch more: `{"loss": mean over the examples, "seconds": …}`.

        `tick` is called after each update with the number of examples it used. The model's modes
        are as before afterwards. A loss that is not finite stops with a `RequestError`; go back to
        an earlier `state()` then.
        """
        if self.epoch >= self.recipe.epochs:
            raise ValueError(
                f"{self.phase}: all {self.recipe.epochs} epochs of the recipe are done"
            )
        began = time.perf_counter()
        source = np.random.SeedSequence([self.seed, zlib.crc32(self.phase.encode()), self.epoch])
        order_seed, augment_seed, torch_seed = source.spawn(3)
        augment = np.random.default_rng(augment_seed)
        count = len(self._examples)
        steps = self.recipe.steps(count)
        order = np.random.default_rng(order_seed).permutation(count).astype(np.int64)
        total = 0.0
        with ExitStack() as stack:
            stack.enter_context(seeded(int(torch_seed.generate_state(1)[0]), self._device))
            stack.enter_context(reproducible(self._device))
            stack.enter_context(_training(self.model, self.recipe.dropout_scale))
            if self._teacher is not None:
                stack.enter_context(
                    evaluating(self._teacher, channels_last=self._teacher_channels_last)
                )
            # Batches of nearly the same size: a last batch of one would stop BatchNorm.
            for step, rows in enumerate(np.array_split(order, steps)):
                loss = self._update(rows, augment, self.epoch * steps + step)
                if not math.isfinite(loss):
                    raise RequestError(
                        f"{self.phase}: the loss became {loss} at update {step + 1} of epoch "
                        f"{self.epoch + 1}; look for NaN or Inf in the data and at the scale of the "
                        "inputs (--mean, --std), or try another --seed or --epochs 0"
                    )
                total += loss * len(rows)
                if tick is not None:
                    tick(len(rows))
        self.epoch += 1
        return {"loss": total / count, "seconds": time.perf_counter() - began}

    def state(self) -> dict[str, Any]:
        """All that `restore` needs, copied to the CPU.

        For `torch.save`; loads with `weights_only=True`. Its "model" is a plain state dict.
        """
        return {
            "phase": self.phase,
            "seed": self.seed,
            "recipe": dataclasses.asdict(self.recipe),
            "epoch": self.epoch,
            "model": _apart(self.model.state_dict()),
            "optimizer": _apart(self._optimizer.state_dict()),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`, of a training with the same network, recipe, seed and phase."""
        ours = {"phase": self.phase, "seed": self.seed, "recipe": dataclasses.asdict(self.recipe)}
        for key, value in ours.items():
            if state.get(key) != value:
                raise RequestError(
                    f"{self.phase}: the checkpoint has {key}={state.get(key)!r}, this training "
                    f"{value!r}; resume with the request that made it, or start in a new directory"
                )
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        for parameter, moments in self._optimizer.state.items():
            for name, moment in moments.items():
                if moment.shape == parameter.shape and moment.dim():
                    # The fused update reads memory in order: both must lie in memory alike.
                    moments[name] = torch.empty_like(parameter).copy_(moment)
        self.epoch = int(state["epoch"])

    def _update(
        self, rows: np.ndarray[Any, np.dtype[np.int64]], augment: np.random.Generator, step: int
    ) -> float:
        rate, momentum = self.recipe.schedule(step, self._total)
        for group in self._optimizer.param_groups:
            group["lr"], group["betas"] = rate, (momentum, group["betas"][1])
        inputs, targets = self._examples.batch(rows, augment)
        inputs = inputs.to(self._device)
        loss = self._loss(inputs, None if targets is None else targets.to(self._device))
        value = float(loss.detach())
        if math.isfinite(value):
            self._optimizer.zero_grad(set_to_none=True)
            self._fabric.backward(loss)
            if self.recipe.clip_norm is not None:
                nn.utils.clip_grad_norm_(self._trained, self.recipe.clip_norm)
            self._stepper.step()
        return value

    def _loss(self, inputs: Tensor, targets: Tensor | None) -> Tensor:
        scores = class_scores(
            self._run(_formatted(inputs, self._channels_last)), len(inputs), self.phase
        ).float()
        if self._teacher is not None:
            with torch.no_grad(), self._fabric.autocast():
                theirs = self._teacher(_formatted(inputs, self._teacher_channels_last))
            original = class_scores(theirs, len(inputs), self.phase).float()
            # The factor keeps the gradient's size apart from the temperature.
            return (
                divergence(scores, original, self.recipe.temperature) * self.recipe.temperature**2
            )
        if targets is None:
            raise RequestError(f"{self.phase}: some of the training examples have no label")
        targets = checked_targets(targets, scores.shape[1], self.phase)
        return F.cross_entropy(scores, targets, label_smoothing=self.recipe.label_smoothing)


def recalibrate(
    model: nn.Module,
    examples: Examples,
    *,
    batch_size: int = 128,
    limit: int = 5000,
    device: str | torch.device = "cpu",
) -> int:
    """Take the statistics of `model`'s BatchNorms anew, as the mean over batches of `examples`.

    After a change upstream the stored statistics describe activations that no longer occur. The
    first `limit` examples are used; frozen BatchNorms are left. Returns how many were changed;
    everything else in the model is as it was.
    """
    norms = [
        m
        for m in model.modules()
        if isinstance(m, _BatchNorm) and m.track_running_stats and not _frozen(m)
    ]
    count = min(len(examples), limit)
    if not norms or count < 2:
        return 0
    place = checked_device(device)
    momenta = [norm.momentum for norm in norms]
    with evaluating(model), torch.no_grad():
        try:
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # torch's word for a cumulative mean
                norm.training = True
            for rows in np.array_split(
                np.arange(count, dtype=np.int64), math.ceil(count / batch_size)
            ):
                model(examples.batch(rows)[0].to(place))
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
    return len(norms)


def _formatted(inputs: Tensor, channels_last: bool) -> Tensor:
    return inputs.contiguous(memory_format=torch.channels_last) if channels_last else inputs


def _elsewhere(model: nn.Module, device: torch.device) -> bool:
    return any(parameter.device != device for parameter in model.parameters())


def _frozen(norm: nn.Module) -> bool:
    parameters = list(norm.parameters(recurse=False))
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)


@contextmanager
def _training(model: nn.Module, dropout_scale: float) -> Iterator[None]:
    """`model` in training mode, its dropouts scaled; afterwards modes and dropouts are as before."""
    modes = [(module, module.training) for module in model.modules()]
    dropouts = [(module, module.p) for module in model.modules() if isinstance(module, _DropoutNd)]
    try:
        model.train()
        for module in model.modules():
            if isinstance(module, _BatchNorm) and _frozen(module):
                module.training = False
        for dropout, p in dropouts:
            dropout.p = p if dropout_scale == 1 else min(p * dropout_scale, 0.95)
        yield
    finally:
        for dropout, p in dropouts:
            dropout.p = p
        for module, training in modes:
            module.training = training


def _optimizer(model: nn.Module, recipe: Recipe, device: torch.device) -> torch.optim.AdamW:
    norms = {id(p) for m in model.modules() if _is_norm(m) for p in m.parameters(recurse=False)}
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        # By name, since the bias of a local layer has a value per position and so three dimensions.
        bias = name.rsplit(".", 1)[-1].startswith("bias") or parameter.dim() < 2
        (spared if bias or id(parameter) in norms else decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=recipe.lr,
        betas=(recipe.momentum[1], 0.999),
        fused=device.type in ("cpu", "cuda"),
    )


def _is_norm(module: nn.Module) -> bool:
    return isinstance(
        module, (_BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.modules.instancenorm._InstanceNorm)
    )


def _fabric(device: torch.device, precision: str) -> Fabric:
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.plugins import CheckpointIO, MixedPrecision, Precision
        from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
        from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    except ModuleNotFoundError as error:
        if error.name != "lightning_fabric":
            raise
        raise MissingExtra("training", "shrink") from error
    devices: int | list[int] = [device.index] if device.type == "cuda" else 1
    arithmetic: Precision
    if precision == "32-true":
        arithmetic = Precision()
    elif precision == "bf16-mixed":
        arithmetic = MixedPrecision("bf16-mixed", device.type)
    else:
        raise ValueError(f"precision={precision!r}; expected '32-true' or 'bf16-mixed'")
    # One process, whatever cluster this runs on: else Fabric would read the scheduler's variables.
    plugins: list[Precision | ClusterEnvironment | CheckpointIO] = [
        arithmetic,
        LightningEnvironment(),
    ]
    return Fabric(accelerator=device.type, devices=devices, plugins=plugins)


def _apart(value: Any) -> Any:
    """A copy of nested state, its tensors cloned to the CPU."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu").contiguous().clone()
    if isinstance(value, Mapping):
        return {key: _apart(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_apart(item) for item in value)
    return value
