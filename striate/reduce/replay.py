"""Layers that answer from memory: what a network gave before a change need not be computed again behind it.

Fifty changes at one layer are measured on the same examples. Whatever runs before that layer gives the same each
time, so its expensive layers are recorded once and replayed; the operations between them run as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from striate.reduce.collect import BATCH, passing, run_on, watched
from striate.reduce.examples import Examples, batches, remembered

# Bytes of recorded outputs, for each set of examples.
MOST = 600_000_000


class Recording:
    """What a network and some of its layers gave on the batches of some examples.

    `worth` gives each layer's work for an example. The outputs of those that save most work for the memory they take
    are kept, up to `most` bytes; `always` are kept whatever they take.
    """

    def __init__(
        self,
        model: nn.Module,
        worth: Mapping[str, int],
        examples: Examples,
        always: Collection[str] = (),
        most: int = MOST,
    ) -> None:
        self.examples = remembered(examples, BATCH, most)
        self.answers: list[object] = []
        self.layers: list[dict[str, Tensor]] = []
        kept: list[str] | None = None
        with (
            passing(model, self.examples) as ready,
            torch.no_grad(),
            watched(model, worth) as seen,
        ):
            for _, inputs in ready:
                self.answers.append(model(inputs))
                if kept is None:
                    sizes = {name: given.nbytes / len(inputs) for name, (_, given) in seen.items()}
                    kept = _worthiest(worth, sizes, most / len(examples), always)
                self.layers.append({name: seen[name][1] for name in kept})

    def runs(self, net: nn.Module, replayed: Sequence[str]) -> Iterator[tuple[int, object]]:
        """Run `net` on batch after batch, the recorded of the `replayed` layers answering from memory.

        Give `replayed` in the order in which the network runs them.
        """
        known = [name for name in replayed if name in self.layers[0]]
        with (
            passing(net, self.examples) as ready,
            torch.no_grad(),
            closing(_Answering(net)) as answering,
        ):
            shaped = known[:-1] if self._one_after_another(net, known, answering) else []
            for number, inputs in ready:
                for name in known:
                    recorded = self.layers[number][name]
                    answering.give(name, recorded.to("meta") if name in shaped else recorded)
                yield number, net(inputs)

    def _one_after_another(
        self, net: nn.Module, known: Sequence[str], answering: _Answering
    ) -> bool:
        """Whether what the last of the `known` layers gives is all that the rest of the network needs.

        The others may then answer with tensors that have a shape and no values, for which the operations between cost
        nothing. Such a tensor cannot be added to one with values; where two paths meet the answer is no.
        """
        if len(known) < 2:
            return False
        inputs, _ = next(batches(self.examples, 2))
        for name in known:
            few = self.layers[0][name][: len(inputs)]
            answering.give(name, few if name == known[-1] else few.to("meta"))
        try:
            output = run_on(net, inputs)
        except RuntimeError:  # a failure of another cause shows again in `runs`
            return False
        return not any(isinstance(leaf, Tensor) and leaf.is_meta for leaf in tree_leaves(output))


def _worthiest(
    worth: Mapping[str, int], sizes: Mapping[str, float], most: float, always: Collection[str]
) -> list[str]:
    kept, used = [name for name in always if name in sizes], 0.0
    for name in sorted(sizes, key=lambda name: -worth[name] / max(1.0, sizes[name])):
        if name not in kept and used + sizes[name] <= most:
            kept.append(name)
            used += sizes[name]
    return kept


class _Answering:
    """Makes layers of a network answer with a given output, until it is closed."""

    def __init__(self, net: nn.Module) -> None:
        self._net = net
        self._names: set[str] = set()

    def give(self, name: str, output: Tensor) -> None:
        module = self._net.get_submodule(name)
        # On the instance, it goes before the class's; hooks still run.
        # A copy each time: what follows may write into it.
        module.forward = lambda *_, **__: output.clone()
        self._names.add(name)

    def close(self) -> None:
        for name in self._names:
            del self._net.get_submodule(name).forward
