"""What a network offers before any data is looked at: the weights that can shrink, how far, is it worth it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from striate.nn.layer import LocalLayer
from striate.reduce.advice import THREE_IDEAS, Kind, Verdict, advice, because, verdict_of
from striate.reduce.replaceable import NORMS, identity
from striate.reduce.sites import Layout, Refusal, Site
from striate.reduce.survey import METRICS, Choice, Costs, Survey, place_of, survey


@dataclass(frozen=True)
class Shrinkable:
    """A site for which a smaller rung exists.

    Args:
        name: The module's name.
        type: Its class.
        kind: What it is dense over, or what convolution it is; see `striate.reduce.advice`.
        map: Channels x rows x columns of the map that it sees; None where it sees none.
        params: Its parameters as it is.
        smallest: Its parameters in the smallest network.
        rung: What it is there.
        ideas: All ideas that some rung of it would use.
        rungs: How many smaller rungs there are to choose from, without a budget.
    """

    name: str
    type: str
    kind: Kind
    map: str | None
    params: int
    smallest: int
    rung: str
    ideas: tuple[str, ...]
    rungs: int


@dataclass(frozen=True)
class Kept:
    """A layer that stays as it is, and why. A tensor that several layers hold counts at the first of them."""

    name: str
    type: str
    kind: Kind
    params: int
    reason: str


@dataclass(frozen=True)
class Prospect:
    """The whole of it. Every parameter is in one of `sites`, in one of `kept` or counted in `elsewhere`.

    Args:
        totals: What the network costs as it is.
        smallest: The least that each can be, each on its own: not one network.
        sites: In the order of calls.
        kept: In the model's order.
        frozen: Parameters in `sites` that need no gradient; they are fitted, and stay frozen in training.
        notes: What to know of how this was found.
    """

    totals: Costs
    smallest: Costs
    sites: tuple[Shrinkable, ...]
    kept: tuple[Kept, ...]
    frozen: int = 0
    notes: tuple[str, ...] = ()

    @property
    def inside(self) -> int:
        """Parameters in sites."""
        return sum(site.params for site in self.sites)

    @property
    def elsewhere(self) -> int:
        """Parameters in neither sites nor layers that were refused."""
        return self.totals.params - self.inside - sum(layer.params for layer in self.kept)

    @property
    def reached(self) -> int:
        """Parameters that local connectivity, weight sharing and pooling can act on."""
        return sum(site.params for site in self.sites if site.kind in THREE_IDEAS)

    @property
    def smallest_by_three_ideas(self) -> int:
        """Parameters where those layers are at their smallest and all others stay as they are."""
        saved = (s.params - s.smallest for s in self.sites if s.kind in THREE_IDEAS)
        return self.totals.params - sum(saved)

    @property
    def verdict(self) -> Verdict:
        return verdict_of(self.reached, self.totals.params)

    @property
    def because(self) -> str:
        return because(self.by_kind, self.totals.params)

    @property
    def advice(self) -> tuple[str, ...]:
        """What else to try; for the kinds of layer that hold much and that the three ideas do not reach."""
        low_rank = sum(site.params for site in self.sites if site.kind not in THREE_IDEAS)
        return advice(self.by_kind, low_rank, self.totals.params)

    @property
    def by_kind(self) -> Mapping[Kind, int]:
        """Parameters by the kind of layer that they are in, those in no layer left out."""
        held: dict[Kind, int] = {}
        layers: tuple[Shrinkable | Kept, ...] = (*self.sites, *self.kept)
        for layer in layers:
            held[layer.kind] = held.get(layer.kind, 0) + layer.params
        return held

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the fields above, what follows from them, and every layer."""
        return {
            "verdict": self.verdict,
            "because": self.because,
            "advice": list(self.advice),
            "params": self.totals.params,
            "params_in_sites": self.inside,
            "params_in_sites_frozen": self.frozen,
            "params_dense_over_space": self.reached,
            "params_elsewhere": self.elsewhere,
            "params_by_kind": dict(self.by_kind),
            "smallest": asdict(self.smallest),
            "smallest_by_three_ideas": self.smallest_by_three_ideas,
            "sites": [{**asdict(site), "ideas": list(site.ideas)} for site in self.sites],
            "refused": [asdict(layer) for layer in self.kept],
            "notes": list(self.notes),
        }


def prospect(model: nn.Module, example: Tensor, layout: Layout | None = None) -> Prospect:
    """Look at `model` on `example`, a batch of inputs, whose values matter only to a forward that looks at them.

    The model is left as it was. Raises what `striate.reduce.sites.find_sites` raises.

    >>> import torch
    >>> net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    >>> found = prospect(net, torch.zeros(2, 1, 8, 8))
    >>> found.verdict, found.totals.params, found.smallest.params
    ('good fit', 2970, 53)
    >>> [(site.name, site.kind, site.smallest, site.rung) for site in found.sites]
    [('0', 'kernels', 25, 'rank 1'), ('3', 'space', 28, 'avg pool to 1x1 + rank 1')]
    """
    seen = survey(model, example, (), layout)
    least = {choice.site: choice for choice in seen.cheapest("params")}
    smallest = seen.smallest()
    sites, none_smaller = [], []
    for site in seen.sites:
        smaller = [c for c in seen.choices[site.name] if c.costs.params < site.params]
        if smaller:
            kind, seen_map = _kind_of_site(model, site, seen)
            sites.append(_shrinkable(site, kind, seen_map, smaller, least[site.name]))
        else:
            none_smaller.append(Refusal(site.name, site.type, site.params, "no rung is smaller"))
    return Prospect(
        seen.totals,
        Costs(**{metric: smallest[metric] for metric in METRICS}),
        tuple(sites),
        tuple(_kept(model, [*seen.refusals, *none_smaller])),
        sum(
            parameter.numel()
            for site in sites
            for parameter in model.get_submodule(site.name).parameters()
            if not parameter.requires_grad
        ),
        tuple(_notes(seen)),
    )


def _notes(seen: Survey) -> Iterator[str]:
    if not seen.on_meta:
        yield (
            "the forward looks at values, so it was followed on those of one input; where another takes another way, "
            "other layers may be sites"
        )
    if seen.uncertain:
        yield f"only a part of the network is known in {', '.join(sorted(seen.uncertain))}: operators without a rule"


def _shrinkable(
    site: Site, kind: Kind, seen_map: str | None, smaller: Sequence[Choice], least: Choice
) -> Shrinkable:
    ideas = dict.fromkeys(idea for choice in smaller for idea in choice.rung.ideas)
    return Shrinkable(
        site.name,
        site.type,
        kind,
        seen_map,
        site.params,
        least.costs.params,
        least.rung.label(),
        tuple(ideas),
        len(smaller),
    )


def _kind_of_site(model: nn.Module, site: Site, seen: Survey) -> tuple[Kind, str | None]:
    """What the site is dense over, and its map."""
    if site.kind == "conv":
        kernel = model.get_submodule(site.name).kernel_size
        seen_map = None if site.input.layout is None else str(site.input.layout)
        return ("pointwise" if kernel == (1, 1) else "kernels"), seen_map
    layout = place_of(model, site, seen.sites).layout
    if layout is not None and layout.height * layout.width > 1:
        return "space", str(layout)
    if any(choice.opener is not None for choice in seen.choices[site.name]):
        return "behind", None
    if not site.tokens:
        return "units", None
    return ("places" if site.over_places else "channels"), None


def _kept(model: nn.Module, refusals: Sequence[Refusal]) -> Iterator[Kept]:
    reasons = {refusal.name: refusal.reason for refusal in refusals}
    counted: set[tuple[object, ...]] = set()
    for name, module in model.named_modules():
        if name not in reasons:
            continue
        params = 0
        for parameter in module.parameters(recurse=False):
            if identity(parameter) not in counted:
                counted.add(identity(parameter))
                params += parameter.numel()
        holder = model.get_submodule(name.rpartition(".")[0])
        yield Kept(name, type(module).__name__, _kind_of(module, holder), params, reasons[name])


def _kind_of(module: nn.Module, holder: nn.Module) -> Kind:
    """The kind of a layer that was refused."""
    if isinstance(holder, nn.MultiheadAttention) or isinstance(module, nn.MultiheadAttention):
        return "attention"
    if isinstance(module, nn.Conv2d) and module.groups > 1:
        return "grouped"
    kinds: tuple[tuple[tuple[type[nn.Module], ...], Kind], ...] = (
        ((nn.Linear,), "held back"),
        ((nn.modules.conv._ConvNd,), "convolution"),
        ((nn.RNNBase, nn.RNNCellBase), "recurrent"),
        ((nn.Embedding, nn.EmbeddingBag), "embedding"),
        (NORMS, "norm"),
        ((LocalLayer,), "local"),
    )
    return next((kind for types, kind in kinds if isinstance(module, types)), "own code")
