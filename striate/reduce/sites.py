"""Where a network can change: its dense and convolutional layers, and the map each of them sees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from striate.errors import RequestError, UserCodeError
from striate.reduce.copies import copied, random_states_kept
from striate.reduce.replaceable import is_plain, refused_as_built
from striate.reduce.shadow import Layout, Shadow
from striate.reduce.trace import Call, Trace

__all__ = ["InputMap", "Layout", "Refusal", "Site", "Sites", "find_sites"]

Index = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class InputMap:
    """Where a layer's input features come from.

    Args:
        source: The module whose output they are (for an operator outside a leaf module, the module's name with the
            operator's; "input" for the model's input). `NAME.input` where no single output can be named.
        layout: The shape of the source's map for one example; None where it is not a map.
        index: int64 of shape (in_features,): `index[k]` is the position, in (channel, row, column) order, of the
            layer's flat input `k` in the source, and for a source without layout the source's flat feature.
            None: position k is input k.
        elementwise_only: Between the source and here are only element-wise operations that are the same at all
            positions (an activation, a dropout): a permutation of the source's features passes through them.
    """

    source: str
    layout: Layout | None
    index: Index | None
    elementwise_only: bool


@dataclass(frozen=True, eq=False)
class Site:
    """A layer that a rung can replace.

    Args:
        name: The module's name in the model.
        kind: "dense" (`nn.Linear`) or "conv" (`nn.Conv2d` of one group).
        type: The module's class.
        in_features: Inputs of one output unit: for a convolution in_channels * kh * kw.
        out_features: Output units, or output channels.
        bias: Whether it has one.
        input: Where its inputs come from.
        order: Its place in the order of calls, counted over all linear layers.
        consumers: The linear layers that read its output, with nothing but element-wise, shape, norm and pooling
            operations between, in the order of calls.
        output_shared: Its output also goes elsewhere (a residual addition, attention, a layer that cannot be
            refitted, the model's output beside its consumers), so refitting the consumers alone is not enough.
        is_output: Its output reaches the model's output.
        tokens: A dense layer applied at every position of (..., F): it has no map.
        over_places: Such a layer whose features run along the places of a map or of a sequence, alike in all channels
            (an MLP-Mixer's token mixing), or that reads the outputs of one.
        positions: Rows and columns of a convolution's output; None for a dense layer.
        params: Weights and biases.
        macs: Multiply-accumulates per example.
    """

    name: str
    kind: Literal["dense", "conv"]
    type: str
    in_features: int
    out_features: int
    bias: bool
    input: InputMap
    order: int
    consumers: tuple[str, ...]
    output_shared: bool
    is_output: bool
    tokens: bool
    positions: tuple[int, int] | None
    params: int
    macs: int
    over_places: bool = False


@dataclass(frozen=True)
class Refusal:
    """A module with parameters that no rung can replace, and why."""

    name: str
    type: str
    params: int
    reason: str


@dataclass(frozen=True, eq=False)
class Sites:
    """The sites in the order of calls, and the refusals in the model's order.

    `on_meta` says that the forward ran without values, on the meta device.
    """

    sites: tuple[Site, ...]
    refusals: tuple[Refusal, ...]
    on_meta: bool

    def __getitem__(self, name: str) -> Site:
        for site in self.sites:
            if site.name == name:
                return site
        raise KeyError(name)

    def __iter__(self) -> Iterator[Site]:
        return iter(self.sites)

    def __len__(self) -> int:
        return len(self.sites)


def find_sites(model: nn.Module, example: Tensor, layout: Layout | None = None) -> Sites:
    """Find the layers that can be reduced, by one forward in evaluation mode on a copy of the model.

    Args:
        model: Left as it was: mode, hooks, parameters, buffers, gradients; random states too.
        example: A batch of inputs, (N, C, H, W), (N, H, W) or flat (N, F); its values matter only to a forward
            that looks at them.
        layout: The map that a flat input holds.

    Raises:
        RequestError: a layout or an example that does not fit, a model that cannot be copied.
        UserCodeError: the model's forward raises.

    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
    >>> for site in find_sites(net, torch.zeros(2, 1, 8, 8)):
    ...     print(site.name, site.kind, site.input.source, site.input.layout, site.consumers)
    0 conv input 1x8x8 ('3',)
    3 dense 0 4x6x6 ()
    """
    rows = _rows(example)
    source_layout = _input_layout(rows, layout)
    for name, parameter in model.named_parameters():
        if is_lazy(parameter):
            raise RequestError(
                f"model: parameter {name} has no shape yet (a lazy module); run the model once first"
            )
    refused = refused_as_built(model)
    layers = [
        name
        for name, module in model.named_modules()
        if is_plain(module) and module.weight is not None
    ]
    trace, on_meta = _traced(model, layers, rows, source_layout)
    return _judge(model, layers, refused, trace, len(rows), on_meta)


# Running the model


def _rows(example: Tensor) -> Tensor:
    """Two examples are enough, and show whether features stay within theirs."""
    if not isinstance(example, Tensor):
        raise TypeError(
            f"example: expected a tensor of shape (N, ...), got {type(example).__name__}"
        )
    if example.ndim < 2 or example.numel() == 0:
        raise RequestError(
            f"example: shape {tuple(example.shape)} is not a batch of inputs; give (N, C, H, W) or (N, F), N >= 1"
        )
    example = example.detach()
    return example[:2] if len(example) > 1 else torch.cat([example, example])


def _input_layout(rows: Tensor, layout: Layout | None) -> Layout | None:
    shape = tuple(rows.shape[1:])
    own = Layout(*shape) if len(shape) == 3 else Layout(1, *shape) if len(shape) == 2 else None
    if layout is None:
        return own
    features = rows[0].numel()
    if layout.size != features:
        raise RequestError(
            f"layout={layout} has {layout.size} positions, but an example has {features} features (shape {shape}); "
            f"give channels x rows x columns with that product"
        )
    if len(shape) == 3 and layout != own:
        raise RequestError(f"layout={layout} contradicts the input's own shape {own}; leave it out")
    return layout


def _traced(
    model: nn.Module, layers: list[str], rows: Tensor, layout: Layout | None
) -> tuple[Trace, bool]:
    """On the meta device where the forward needs no values, else on real ones."""
    with random_states_kept(rows.device):
        try:
            twin = copied(model, meta=True).eval()
            trace = Trace(twin, {name: twin.get_submodule(name) for name in layers})
            trace.run(torch.empty_like(rows, device="meta"), layout)
        except UserCodeError:
            # A run on values decides: what is the model's own fault it raises again.
            pass
        else:
            return trace, True
        twin = copied(model).eval()
        trace = Trace(twin, {name: twin.get_submodule(name) for name in layers})
        trace.run(rows.clone(), layout)
        return trace, False


# Judging what the trace saw


def _judge(
    model: nn.Module,
    layers: list[str],
    refused: dict[str, str],
    trace: Trace,
    examples: int,
    on_meta: bool,
) -> Sites:
    refused = dict(refused)
    for name in layers:
        calls = trace.calls[name]
        if name in refused:
            continue
        if name in trace.borrowed:
            refused[name] = "its weights are also used outside its own call"
        elif not calls:
            refused[name] = "it is never called"
        elif len(calls) > 1:
            refused[name] = f"it is called {len(calls)} times in one forward"
    # A layer whose inputs have no single source is no site, but it can be fitted anew where it stands.
    refittable = {name for name in layers if name not in refused}
    sites: list[Site] = []
    for name in refittable:
        module, call = model.get_submodule(name), trace.calls[name][0]
        site = (
            _dense(name, module, call, examples)
            if isinstance(module, nn.Linear)
            else _conv(name, module, call)
        )
        if isinstance(site, str):
            refused[name] = site
            continue
        readers = sorted(trace.readers[name], key=lambda reader: trace.calls[reader][0].order)
        consumers = tuple(reader for reader in readers if reader in refittable)
        is_output = name in trace.outputs
        shared = (
            name in trace.escaped
            or len(consumers) < len(readers)
            or (is_output and bool(consumers))
        )
        sites.append(
            replace(
                site,
                consumers=consumers,
                output_shared=shared,
                is_output=is_output,
                macs=site.macs // examples,
            )
        )
    refusals = []
    for name, module in model.named_modules():
        params = sum(p.numel() for p in module.parameters(recurse=False))
        if name in refused and (params or is_plain(module)):
            refusals.append(Refusal(name, type(module).__name__, params, refused[name]))
    sites.sort(key=lambda site: site.order)
    return Sites(_with_places_passed_on(sites), tuple(refusals), on_meta)


def _with_places_passed_on(sites: list[Site]) -> tuple[Site, ...]:
    """What a layer over places gives is places still, for the layers that read it in order."""
    over = {site.name for site in sites if site.over_places}
    found = []
    for site in sites:
        if site.tokens and site.input.source in over:
            over.add(site.name)
            site = replace(site, over_places=True)
        found.append(site)
    return tuple(found)


def _dense(name: str, module: nn.Linear, call: Call, examples: int) -> Site | str:
    shadow = call.shadow
    if shadow is None:
        return "its input does not depend on the model's input"
    if len(call.input_shape) < 2:
        return "its input has no batch dimension"
    rows = call.input_shape[0]
    flat = len(call.input_shape) == 2
    straight = flat and rows == shadow.source.shape[0]
    found = _flat_map(shadow) if straight else _tokens_map(name, shadow)
    if isinstance(found, str):
        return found
    applications = int(np.prod(call.input_shape[:-1], dtype=np.int64))
    tokens = not (straight or (flat and rows == examples))
    return Site(
        name=name,
        kind="dense",
        type=type(module).__name__,
        in_features=module.in_features,
        out_features=module.out_features,
        bias=module.bias is not None,
        input=found,
        order=call.order,
        consumers=(),
        output_shared=False,
        is_output=False,
        tokens=tokens,
        positions=None,
        params=sum(p.numel() for p in module.parameters()),
        macs=applications * module.in_features * module.out_features,
        over_places=tokens and _runs_over_places(shadow),
    )


def _flat_map(shadow: Shadow) -> InputMap | str:
    """The map under flat features (N, F), or why there is none."""
    source = shadow.source
    if source.mixed:
        return (
            f"its inputs are joined from {' and '.join(source.mixed)}, which have no common layout"
        )
    positions = shadow.positions.numpy()
    examples = len(positions)
    size = int(np.prod(source.shape, dtype=np.int64)) // examples
    first = positions[0]
    inside = bool(((first >= 0) & (first < size)).all())
    if not inside or not (positions == first + size * np.arange(examples)[:, None]).all():
        return f"its inputs mix the examples of {source.name}"
    if len(np.unique(first)) < len(first):
        feature, count = Counter(first.tolist()).most_common(1)[0]
        return f"its inputs hold position {feature} of {source.name} {count} times"
    index = None
    if len(first) != size or (first != np.arange(size)).any():
        index = first.astype(np.int64)
        index.setflags(write=False)
    return InputMap(source.name, source.layout, index, shadow.commutes)


def _tokens_map(name: str, shadow: Shadow) -> InputMap:
    source = shadow.source
    positions = shadow.positions
    unmoved = positions.shape[-1] == source.shape[-1] and torch.equal(
        positions.reshape(-1), source.positions.reshape(-1)
    )
    if unmoved and not source.mixed:
        return InputMap(source.name, None, None, shadow.commutes)
    return InputMap(f"{name}.input", None, None, False)


def _runs_over_places(shadow: Shadow) -> bool:
    """Whether the features of one application are those of one channel. Without a map, channels are the last axis."""
    source, features = shadow.source, shadow.positions.shape[-1]
    if features < 2:
        return False
    first = shadow.positions.reshape(-1, features)[0].numpy()
    if source.layout is not None:
        channel = first // (source.layout.height * source.layout.width)
    elif len(source.shape) > 2:
        channel = first % source.shape[-1]
    else:
        return False
    return bool((channel == channel[0]).all()) and len(np.unique(first)) == features


def _conv(name: str, module: nn.Module, call: Call) -> Site | str:
    assert isinstance(module, nn.Conv2d)
    shadow = call.shadow
    if shadow is None:
        return "its input does not depend on the model's input"
    if len(call.input_shape) != 4:
        return "its input has no batch dimension"
    taps = module.weight[0].numel()
    if taps + module.out_channels >= taps * module.out_channels:
        return "it is as small as a product of two factors already"
    if shadow.is_map:
        found = InputMap(shadow.source.name, shadow.source.layout, None, shadow.commutes)
    else:
        found = InputMap(f"{name}.input", Layout(*call.input_shape[1:]), None, False)
    batch, channels, height, width = call.output_shape
    return Site(
        name=name,
        kind="conv",
        type=type(module).__name__,
        in_features=taps,
        out_features=channels,
        bias=module.bias is not None,
        input=found,
        order=call.order,
        consumers=(),
        output_shared=False,
        is_output=False,
        tokens=False,
        positions=(height, width),
        params=sum(p.numel() for p in module.parameters()),
        macs=batch * height * width * taps * channels,
    )
