"""How much the network's answers depend on each layer's outputs: what an error there costs.

To second order, the KL divergence that a small error `e` in a layer's outputs makes is `e' G e / 2`, with G the Fisher
information of the answers with respect to those outputs, here its mean over examples and, for convolutions, over
positions: the output factor of K-FAC (Martens and Grosse 2015; Grosse and Martens 2016 for convolutions). One backward
pass gives all layers': for answers p and random signs s, the gradient of `sum_c s_c sqrt(p_c) (z_c - p . z)`, p held,
has G as its second moment. No labels are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.reduce.collect import passing
from striate.reduce.evaluate import class_scores
from striate.reduce.examples import Examples
from striate.reduce.moments import MOST_TARGETS, Metric

# Added to every direction, in parts of the mean: some thousand rows leave many directions undecided.
FLOOR = 0.1


@dataclass(frozen=True)
class Sensitivity:
    """The metric of layers' outputs by name; `reason` says why there is none at all.

    There is none for a layer that no gradient reaches, or of more than 2,048 outputs: all its errors count alike.
    """

    metrics: Mapping[str, Metric]
    reason: str | None = None


def sensitivity(
    model: nn.Module, names: Sequence[str], examples: Examples, seed: int
) -> Sensitivity:
    """Run `model` on the examples, forward and backward, and gather the metrics of the named layers' outputs."""
    draw = torch.Generator().manual_seed(seed)
    sums: dict[str, Tensor] = {}
    kept: dict[str, Tensor] = {}

    def hook(name: str) -> object:
        def keep(module: nn.Module, args: object, output: Tensor) -> Tensor:
            if output.is_inference():
                return output
            # Whether the parameters are trained or not. What follows gets a copy, as it may write into it.
            kept[name] = output.requires_grad_()
            return kept[name].clone()

        return model.get_submodule(name).register_forward_hook(keep)

    handles = [hook(name) for name in names]
    try:
        with passing(model, examples) as ready, torch.enable_grad():
            for _, inputs in ready:
                kept.clear()
                scores = class_scores(model(inputs), len(inputs), "calibration")
                if not scores.requires_grad:
                    return Sensitivity({}, "its forward turns gradients off")
                try:
                    found = torch.autograd.grad(
                        _probe(scores, draw), list(kept.values()), allow_unused=True
                    )
                except RuntimeError as error:  # the message goes to the user with the result
                    return Sensitivity({}, str(error).splitlines()[0])
                for name, gradient in zip(kept, found, strict=True):
                    if gradient is not None:
                        _add(sums, name, gradient)
    finally:
        for handle in handles:
            handle.remove()  # type: ignore[attr-defined]
    return Sensitivity({name: Metric.of(total, FLOOR) for name, total in sums.items()})


def _probe(scores: Tensor, draw: torch.Generator) -> Tensor:
    chances = scores.detach().softmax(1)
    signs = torch.randint(0, 2, chances.shape, generator=draw).to(chances) * 2 - 1
    weights = signs * chances.sqrt()
    return ((weights - chances * weights.sum(1, keepdim=True)) * scores).sum()


def _add(sums: dict[str, Tensor], name: str, gradient: Tensor) -> None:
    """Add the second moment of a batch of gradients, features last but for maps, where they are second."""
    features = gradient.movedim(1, -1) if gradient.dim() == 4 else gradient
    if features.shape[-1] > MOST_TARGETS:
        return
    rows = features.reshape(-1, features.shape[-1])
    second = (rows.T @ rows).double().cpu()
    sums[name] = sums[name] + second if name in sums else second
