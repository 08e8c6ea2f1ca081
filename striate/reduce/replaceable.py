"""Which modules a rung can stand in for, as far as the model's parts alone say."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from striate.nn.layer import LocalLayer


def is_plain(module: nn.Module) -> bool:
    """Whether the module computes what `nn.Linear` or `nn.Conv2d` compute, and nothing else."""
    if any(module.children()) and not parametrize.is_parametrized(module):
        return False
    if isinstance(module, nn.Linear):
        return type(module).forward is nn.Linear.forward
    return isinstance(module, nn.Conv2d) and type(module).forward is nn.Conv2d.forward


def refused_as_built(model: nn.Module) -> dict[str, str]:
    """Reasons that need no forward, by module name."""
    refused: dict[str, str] = {}
    names: dict[int, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        names.setdefault(id(module), []).append(name)
    owners: dict[tuple[object, ...], list[str]] = {}
    for name, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            holders = owners.setdefault(identity(parameter), [])
            if name not in holders:
                holders.append(name)
    for name, module in model.named_modules():
        own = list(module.parameters(recurse=False))
        tied = [other for p in own for other in owners[identity(p)] if other != name]
        reason = _reason_by_class(module)
        if reason is None and not own and not parametrize.is_parametrized(module):
            reason = "it has no weights"
        elif reason is None and len(names[id(module)]) > 1:
            reason = f"the same module is registered as {' and '.join(names[id(module)])}"
        elif reason is None and tied:
            reason = f"its weights are tied to {', '.join(dict.fromkeys(tied))}"
        elif reason is None and parametrize.is_parametrized(module):
            reason = "it is parametrized: remove the parametrization first"
        elif reason is None and (module._forward_hooks or module._forward_pre_hooks):
            reason = "it has forward hooks, which a replacement would lose"
        elif reason is None and any(p.is_meta for p in own):
            reason = "its weights are on the meta device: they have no values"
        elif reason is None and not all(p.is_floating_point() for p in own):
            reason = f"its weights are {str(own[0].dtype).removeprefix('torch.')}, not real numbers"
        if reason is not None:
            refused[name] = reason
    return refused


def identity(parameter: Tensor) -> tuple[object, ...]:
    """Equal for parameters that are one tensor, or two over the same memory."""
    if parameter.is_meta or type(parameter) is not nn.Parameter or parameter.numel() == 0:
        return (id(parameter),)
    return parameter.device, parameter.data_ptr(), parameter.shape


NORMS = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
)


def _reason_by_class(module: nn.Module) -> str | None:
    if is_plain(module):
        if isinstance(module, nn.Conv2d) and module.groups > 1:
            return f"a grouped convolution (groups={module.groups}) is local over channels already"
        return None
    if isinstance(module, torch.jit.ScriptModule):
        return "it is TorchScript, whose layers cannot be exchanged"
    if isinstance(module, parametrize.ParametrizationList):
        return "it holds a parametrized tensor of the module it belongs to"
    if isinstance(module, NORMS):
        return "a normalisation has no dense or convolutional weights"
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        return "an embedding has no dense or convolutional weights"
    if isinstance(module, nn.PReLU):
        return "an activation has no dense or convolutional weights"
    if isinstance(module, LocalLayer):
        return "it is locally connected already"
    if isinstance(module, nn.RNNBase | nn.RNNCellBase):
        return "recurrent layers are not reduced"
    if isinstance(module, nn.MultiheadAttention):
        return "attention's own projections are not called as layers"
    if isinstance(module, nn.modules.conv._ConvNd) and not isinstance(module, nn.Conv2d):
        return f"of convolutions only Conv2d is reduced, not {type(module).__name__}"
    if isinstance(module, (nn.Linear, nn.Conv2d)):
        return "its class changes what a Linear or Conv2d computes"
    return "its parameters are used by its own code, not by a Linear or Conv2d"
