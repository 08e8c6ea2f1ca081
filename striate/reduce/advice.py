"""What a network's weights are in, whether that makes striate the tool for it, and what else to try.

Numbers and words only: what was seen of a network comes in as a sum of weights for each kind of layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

Verdict = Literal["good fit", "partial", "not this tool"]
Kind = Literal[
    "space",
    "behind",
    "places",
    "channels",
    "units",
    "kernels",
    "pointwise",
    "grouped",
    "convolution",
    "attention",
    "recurrent",
    "embedding",
    "norm",
    "local",
    "held back",
    "own code",
]

#: What each kind of layer that a rung can replace is, in a few words.
TITLES: Mapping[Kind, str] = {
    "space": "dense over space",
    "behind": "dense behind that",
    "places": "dense over places",
    "channels": "dense over channels",
    "units": "dense, no map",
    "kernels": "convolution",
    "pointwise": "1×1 convolution",
}
#: Where local connectivity, weight sharing and pooling can act: "behind" are the layers that read the map which a rung
#: of a layer over space gives its outputs.
THREE_IDEAS: frozenset[Kind] = frozenset({"space", "behind"})
# A kind of layer is worth a word from this share of the weights on.
_WORTH_A_WORD = 10


def verdict_of(reached: int, params: int) -> Verdict:
    """Whether striate is the tool, by the weights in layers that the three ideas can act on.

    At half of all weights or more the network can be halved, and no other layer need be touched: a good fit. Below
    a tenth, more than nine tenths would be left if those layers cost nothing at all: not this tool. Low-rank layers
    do not count: nearly every layer can be made low-rank, by many tools, and how far is a matter of its data.

    >>> [verdict_of(reached, 100) for reached in (50, 49, 10, 9)], verdict_of(0, 0)
    (['good fit', 'partial', 'partial', 'not this tool'], 'not this tool')
    """
    if params and 2 * reached >= params:
        return "good fit"
    return "partial" if params and 10 * reached >= params else "not this tool"


def because(held: Mapping[Kind, int], params: int) -> str:
    """The verdict's reason, in a sentence.

    >>> because({"units": 7}, 7)
    'no weights are in layers that are dense over space, where local, shared and pooled layers save'
    >>> because({"held back": 2, "norm": 3}, 5).partition("; ")[2]
    'dense layers with 40 % of the weights were refused that might be among them'
    """
    if not params:
        return "the network has no parameters"
    found = _because(held, params)
    reached, back = sum(held.get(kind, 0) for kind in THREE_IDEAS), held.get("held back", 0)
    if verdict_of(reached, params) != verdict_of(reached + back, params):
        found += f"; dense layers with {share(back, params)} of the weights were refused that might be among them"
    return found


def _because(held: Mapping[Kind, int], params: int) -> str:
    reached, places = sum(held.get(kind, 0) for kind in THREE_IDEAS), held.get("places", 0)
    if places and not reached:
        return (
            f"{share(places, params)} of the weights are in layers that are dense over space, and those are alike in "
            "all channels: local, shared and pooled layers cannot take their place"
        )
    if not reached:
        return "no weights are in layers that are dense over space, where local, shared and pooled layers save"
    found = f"{share(reached, params)} of the weights are in layers that are dense over space or behind those"
    tail = {
        "good fit": "local, shared and pooled layers can take their place",
        "partial": "local, shared and pooled layers can take their place, and the rest stays as large as it is",
        "not this tool": f"even without them {share(params - reached, params)} would be left",
    }[verdict_of(reached, params)]
    return f"{found}; {tail}"


def advice(held: Mapping[Kind, int], low_rank: int, params: int) -> tuple[str, ...]:
    """What else to try, for the kinds of layer that hold a tenth of the weights or more.

    Args:
        held: Parameters by the kind of layer they are in.
        low_rank: Parameters in layers that can be made low-rank and nothing else.
        params: All parameters.

    >>> for line in advice({"units": 10, "recurrent": 90}, 0, 100):
    ...     print(line)
    recurrent layers hold 90 % of the weights: try fewer units, or 8-bit weights
    dense layers without a map hold 10 % of the weights: try fewer hidden units (structured pruning), or 8-bit weights
    """
    return tuple(_advice(held, low_rank, params))


_TRANSFORMER: tuple[Kind, ...] = ("channels", "attention")
_CONVOLUTIONS: tuple[Kind, ...] = ("kernels", "pointwise", "grouped", "convolution")
_OTHERS: tuple[tuple[tuple[Kind, ...], str, str], ...] = (
    (
        _CONVOLUTIONS,
        "convolutions, local and shared already,",
        "fewer channels (structured pruning, as in Torch-Pruning), smaller or depthwise kernels trained afresh, or "
        "8-bit weights",
    ),
    (
        _TRANSFORMER,
        "layers over channels, shared by all places already,",
        "narrower hidden layers and fewer heads (structured pruning), fewer blocks or a smaller model taught by this "
        "one (distillation), or 8-bit weights; merging tokens saves work, not weights",
    ),
    (
        ("places",),
        "layers that mix places, shared by all channels already,",
        "depthwise convolutions in their place, trained afresh",
    ),
    (
        ("units",),
        "dense layers without a map",
        "fewer hidden units (structured pruning), or 8-bit weights",
    ),
    (("recurrent",), "recurrent layers", "fewer units, or 8-bit weights"),
    (
        ("embedding",),
        "embeddings",
        "fewer entries, narrower ones with a dense layer behind, or 8-bit weights",
    ),
    (
        ("local",),
        "locally connected layers",
        "striate.project, which makes their kernels shared or blocked",
    ),
    (
        ("held back",),
        "dense layers that were refused",
        "what their reasons say: some can be lifted in the model's code",
    ),
    (("own code",), "weights that code of its own uses", "nn.Linear and nn.Conv2d in its place"),
)


def _advice(held: Mapping[Kind, int], low_rank: int, params: int) -> Iterator[str]:
    found = [
        (sum(held.get(kind, 0) for kind in kinds), who, remedy) for kinds, who, remedy in _OTHERS
    ]
    for part, who, remedy in sorted(found, key=lambda entry: -entry[0]):
        if part and _WORTH_A_WORD * part >= params:
            yield f"{who} hold {share(part, params)} of the weights: try {remedy}"
    if low_rank and _WORTH_A_WORD * low_rank >= params:
        yield (
            f"striate can make layers with {share(low_rank, params)} of the weights low-rank, and nothing else: what "
            "that costs in accuracy, shrink with a mild budget (80%, say) tells"
        )


def share(part: int, whole: int) -> str:
    """A share in percent that says 100 only of all, and 0 only of none: cut off after one decimal, or two figures.

    >>> share(99_999, 100_000), share(7, 7), share(1, 3), share(1, 10), share(1, 10_000), share(0, 3)
    ('99.9 %', '100 %', '33.3 %', '10 %', '0.01 %', '0 %')
    >>> share(53, 1_000), share(2_543, 1_000_000)
    ('5.3 %', '0.25 %')
    """
    if not part:
        return "0 %"
    digits = 1
    while 100 * 10**digits * part < 10 * whole:
        digits += 1
    cut = 100 * 10**digits * part // whole
    before, after = divmod(cut, 10**digits)
    decimals = f"{after:0{digits}d}".rstrip("0")
    return f"{before}.{decimals} %" if decimals else f"{before} %"
