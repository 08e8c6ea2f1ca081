"""From a plan to a network: its structure, the weights carried over as they are, or fitted to real activations.

The user's network is never changed: everything happens on a copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from striate.errors import RequestError
from striate.reduce.collect import run_on
from striate.reduce.copies import copied
from striate.reduce.examples import Examples
from striate.reduce.moments import Evidence, Moments, fit_affine
from striate.reduce.original import Original
from striate.reduce.plan import Decision, Plan
from striate.reduce.rungs.stage import MOST_FEATURES, Fit, Patch, Place
from striate.reduce.running import evaluating


@dataclass(frozen=True)
class Fitted:
    """A reduced network with fitted weights, and the held-out residual of every layer that was fitted."""

    model: nn.Module
    residuals: Mapping[str, float]


def apply(model: nn.Module, plan: Plan, calibration: Examples | None = None) -> nn.Module:
    """A new network with the plan's rungs in place; `model` is left as it was.

    Without `calibration` the weights are carried over plainly ("replaced"); with it they are fitted to the
    original's activations on those examples.
    """
    return replace(model, plan) if calibration is None else fit(model, plan, calibration).model


def skeleton(model: nn.Module, plan: Plan) -> nn.Module:
    """A copy of `model` with the plan's modules in place, their weights not set."""
    net = copied(model)
    for decision in plan.decisions:
        put(net, decision)
    for name in (*plan.refitted, *(d.reader for d in plan.decisions if d.reader is not None)):
        _layer(model, name)
    return net


def put(net: nn.Module, decision: Decision) -> nn.Module:
    """Put the module of a decision into `net`, with the type, device, mode and trainability of the one it replaces."""
    old = _layer(net, decision.site)
    weight = old.weight
    assert isinstance(weight, Tensor)
    inputs = weight[0].numel()
    if (inputs, len(weight)) != (decision.place.inputs, decision.place.outputs):
        raise RequestError(
            f"plan: {decision.site} is {inputs} -> {len(weight)} in this model, and "
            f"{decision.place.inputs} -> {decision.place.outputs} in the plan; give the model that was planned for"
        )
    patch = decision.place.patch
    own = None
    if isinstance(old, nn.Conv2d):
        own = Patch.of(old, 0 if patch is None else patch.positions)
    if own != patch or (old.bias is not None) != decision.place.bias:
        raise RequestError(
            f"plan: {decision.site} is {old} in this model, which is not the layer in the plan "
            f"({patch or 'a Linear'}, bias={decision.place.bias}); give the model that was planned for"
        )
    index = None if decision.index is None else torch.tensor(decision.index)
    with torch.random.fork_rng(devices=[]):
        new = decision.rung.build(decision.place, index)
    new.to(device=weight.device, dtype=weight.dtype).train(old.training)
    for parameter in new.parameters():
        parameter.requires_grad_(weight.requires_grad)
    net.set_submodule(decision.site, new)
    return new


def _layer(net: nn.Module, name: str) -> nn.Linear | nn.Conv2d:
    try:
        layer = net.get_submodule(name)
    except AttributeError as error:
        raise RequestError(f"plan: the model has no layer {name!r}") from error
    if not isinstance(layer, nn.Linear | nn.Conv2d):
        raise RequestError(
            f"plan: {name} is a {type(layer).__name__}; expected the Linear or Conv2d that was planned for"
        )
    return layer


def replace(model: nn.Module, plan: Plan) -> nn.Module:
    """The plan with weights carried over plainly: what a fit must be better than."""
    net = skeleton(model, plan)
    orders: dict[str, Tensor] = {}
    with torch.no_grad():
        for decision in plan.decisions:
            weight = _ordered(
                _layer(model, decision.site).weight.flatten(1), orders.get(decision.site)
            )
            if decision.index is not None:
                weight = weight[:, torch.tensor(decision.index)]
            bias = _layer(model, decision.site).bias
            if decision.place.inputs > MOST_FEATURES and decision.rung.fronts:
                evidence = decision.rung.fronts[0].white(weight, bias, decision.place)
            else:
                evidence = Evidence(Moments.white(weight, bias))
            found = decision.rung.fit(net.get_submodule(decision.site), decision.place, evidence)
            if decision.reader is not None:
                orders[decision.reader] = _order(found)
        for name in plan.refitted:
            if name in orders:
                layer = _layer(net, name)
                layer.weight.copy_(_ordered(layer.weight, orders[name]))
    return net


def _order(found: Fit) -> Tensor:
    """Which unit stands at each slot."""
    assert found.slots is not None
    units = torch.empty_like(found.slots)
    units[found.slots] = torch.arange(len(found.slots))
    return units


def _ordered(weight: Tensor, order: Tensor | None) -> Tensor:
    return weight if order is None else weight[:, order]


def fit(model: nn.Module, plan: Plan, calibration: Examples, seed: int = 0) -> Fitted:
    """The plan with weights fitted front to back: each layer to the original's outputs there, from what the layers
    already reduced before it really give (the asymmetric reconstruction of Zhang et al. 2016, section 3.2)."""
    names = [*(decision.site for decision in plan.decisions), *plan.refitted]
    return fit_to(Original(model, names, calibration, seed), plan)


def fit_to(original: Original, plan: Plan) -> Fitted:
    """`fit`, where several plans are fitted to one original."""
    model = original.model
    net = skeleton(model, plan)
    decisions = {decision.site: decision for decision in plan.decisions}
    orders: dict[str, Tensor] = {}
    residuals: dict[str, float] = {}
    changed = False
    for name in _in_order(model, [*decisions, *plan.refitted], original.rows):
        upstream = net if changed else model
        layer = _layer(model, name)
        order = orders.get(name)
        if name in decisions:
            decision = decisions[name]
            place, index = decision.place, decision.index
            front = decision.rung.collected_behind(place)
            evidence = original.evidence(upstream, name, place, index, front)
            weight = _ordered(layer.weight.flatten(1), order)
            if index is not None:
                weight = weight[:, torch.tensor(index)]
            evidence = evidence.anchored(decision.rung.anchor(weight, place), original.metric(name))
            found = decision.rung.fit(net.get_submodule(name), place, evidence)
            residuals[name] = found.residual
            if decision.reader is not None:
                orders[decision.reader] = _order(found)
            changed = True
        else:
            place = Place(layer.weight.shape[1], len(layer.weight), layer.bias is not None)
            evidence = original.evidence(upstream, name, place)
            residuals[name] = load_refit(_layer(net, name), layer.weight, evidence, order)
    return Fitted(net, residuals)


def load_refit(layer: nn.Module, weight: Tensor, evidence: Evidence, order: Tensor | None) -> float:
    """The refit from collected evidence: stays close to the original's weights where the rows say little."""
    assert isinstance(layer, nn.Linear)
    if layer.bias is None:
        evidence = evidence.uncentred
    found = fit_affine(evidence, start=_ordered(weight, order))
    with torch.no_grad():
        layer.weight.copy_(found.weight)
        if layer.bias is not None:
            layer.bias.copy_(found.bias)
    return evidence.residual(found.weight, found.bias)


def _in_order(model: nn.Module, names: list[str], rows: Examples) -> list[str]:
    """`names` in the order in which the network runs them."""
    called: list[str] = []
    handles = [
        model.get_submodule(name).register_forward_hook(lambda *_, name=name: called.append(name))
        for name in names
    ]
    try:
        with evaluating(model), torch.no_grad():
            run_on(model, rows.batch(np.arange(min(2, len(rows)), dtype=np.int64))[0])
    finally:
        for handle in handles:
            handle.remove()
    return called
