"""Rows for a fit: what goes into a layer of one network, and what the original's layer gives there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import RequestError
from striate.reduce.examples import Examples, batches
from striate.reduce.moments import Accumulator, Evidence
from striate.reduce.rungs.stage import Front, Patch, Place
from striate.reduce.running import evaluating, takes_channels_last

BATCH = 250
# Windows (of a convolution) or tokens taken from each example: neighbours tell nearly the same.
ROWS_PER_EXAMPLE = 16
_HELD_EVERY = 5
FEWEST = 20


class _Reached(BaseException):
    """Ends a forward pass once the layer of interest has run. Not an Exception: no forward should catch it."""


Args = tuple[Tensor, ...]
Kwargs = dict[str, Tensor]


def _given(args: Args, kwargs: Kwargs) -> Tensor:
    """A layer's one input, whether it was named or not."""
    return args[0] if args else kwargs["input"]


@contextmanager
def watched(model: nn.Module, names: Collection[str]) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """The input and output of each named layer at its latest call."""
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def hook(name: str) -> object:
        def keep(_: nn.Module, args: Args, kwargs: Kwargs, output: Tensor) -> None:
            # Copies: an activation in place, or a sum, may write into either before they are read.
            seen[name] = (_given(args, kwargs).clone(), output.clone())

        return model.get_submodule(name).register_forward_hook(keep, with_kwargs=True)

    handles = [hook(name) for name in names]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()  # type: ignore[attr-defined]


@torch.no_grad()
def layer_at(model: nn.Module, name: str, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """The input and output of one layer; nothing behind it is computed."""
    found: list[tuple[Tensor, Tensor]] = []

    def stop(_: nn.Module, args: Args, kwargs: Kwargs, output: Tensor) -> None:
        found.append((_given(args, kwargs), output))
        raise _Reached

    handle = model.get_submodule(name).register_forward_hook(stop, with_kwargs=True)
    try:
        run_on(model, inputs)
    except _Reached:
        pass
    finally:
        handle.remove()
    return found[0]


@contextmanager
def passing(model: nn.Module, examples: Examples) -> Iterator[Iterator[tuple[int, Tensor]]]:
    """Numbered batches of inputs, where `model` is and in the memory format that it is fastest in; meanwhile it is in
    evaluation mode, and in that format too."""
    few, _ = examples.batch(np.arange(min(2, len(examples)), dtype=np.int64))
    last = takes_channels_last(model, placed(model, few))

    def ready() -> Iterator[tuple[int, Tensor]]:
        for number, (inputs, _) in enumerate(batches(examples, BATCH)):
            inputs = placed(model, inputs)
            yield (
                number,
                inputs.contiguous(memory_format=torch.channels_last) if last else inputs,
            )

    with evaluating(model, channels_last=last):
        yield ready()


def run_on(model: nn.Module, inputs: Tensor) -> object:
    """What `model` gives for `inputs`, which go to where its weights are."""
    return model(placed(model, inputs))


def placed(model: nn.Module, inputs: Tensor) -> Tensor:
    """`inputs` where the weights of `model` are."""
    weight = next(model.parameters(), None)
    return inputs if weight is None else inputs.to(weight.device)


class Collector:
    """Gathers rows at one place: evidence on its features, and on what nonlinear front stages make of them."""

    def __init__(
        self,
        place: Place,
        index: tuple[int, ...] | None,
        fronts: Iterable[Front],
        plain: bool = True,
    ) -> None:
        self._place = place
        self._index = None if index is None else torch.tensor(index)
        self._stages: list[tuple[Front | None, nn.Module | None]] = [(None, None)] if plain else []
        for front in dict.fromkeys(fronts):
            self._stages.append((front, front.build(place)))
        self._parts = {
            front: tuple(
                Accumulator(
                    place.inputs if front is None else front.after(place).inputs, place.outputs
                )
                for _ in range(2)
            )
            for front, _ in self._stages
        }
        self._examples = 0
        self._held = 0

    def add(self, inputs: Tensor, answer: Answer) -> None:
        """Take in a batch as the layer saw it and as the original's layer answered it."""
        number = torch.arange(self._examples, self._examples + len(inputs))
        self._examples += len(inputs)
        rows, targets = _features(self._place, inputs.cpu(), answer), answer.targets
        if self._index is not None:
            rows = rows[:, self._index]
        owner = number if answer.where is None else number.repeat_interleave(answer.where.shape[1])
        held = owner % _HELD_EVERY == _HELD_EVERY - 1
        self._held += int(held.sum())
        for front, module in self._stages:
            features = rows if module is None else self._through(module, rows)
            fitted, kept = self._parts[front]
            fitted.add(features[~held], targets[~held])
            kept.add(features[held], targets[held])

    def _through(self, module: nn.Module, rows: Tensor) -> Tensor:
        layout = self._place.layout
        assert layout is not None
        grid: Tensor = module(rows.view(len(rows), layout.channels, layout.height, layout.width))
        return grid.flatten(1)

    def evidence(self, front: Front | None = None) -> Evidence:
        if self._examples < FEWEST:
            raise RequestError(
                f"calibration: {self._examples} examples; a fit needs at least {FEWEST}, and a thousand do better"
            )
        fitted, held = self._parts[front]
        return Evidence(fitted.moments(), held.moments())


@dataclass(frozen=True)
class Answer:
    """What a layer gave for a batch: the rows to fit to, (rows, outputs).

    `where` (examples, taken): the positions of maps and tokens that the rows are from; None: one row an example.
    `columns`: of the map.
    """

    targets: Tensor
    where: Tensor | None = None
    columns: int = 1

    @classmethod
    def of(cls, outputs: Tensor, first: int, *, maps: bool) -> Answer:
        """From all that a layer, of maps if it is a convolution, gave for a batch that begins with example `first`."""
        outputs = outputs.cpu()
        if outputs.dim() == 2:
            return cls(outputs)
        targets = outputs.flatten(2).transpose(1, 2) if maps else outputs.flatten(1, -2)
        count, positions = targets.shape[:2]
        taken = min(positions, ROWS_PER_EXAMPLE)
        number = torch.arange(first, first + count)
        # Evenly spaced, and shifted from example to example so that every position is seen.
        where = (torch.arange(taken) * positions // taken + 7 * number[:, None]) % positions
        rows = targets[torch.arange(count)[:, None], where].flatten(0, 1)
        return cls(rows, where, outputs.shape[-1] if maps else 1)


def _features(place: Place, inputs: Tensor, answer: Answer) -> Tensor:
    """The features of the rows of an answer, (rows, inputs)."""
    where = answer.where
    if where is None:
        return inputs
    each = torch.arange(len(inputs))[:, None]
    if place.patch is None:
        return inputs.flatten(1, -2)[each, where].flatten(0, 1)
    windows = _windows(place.patch, inputs)
    found = windows[each, where // answer.columns, where % answer.columns]
    return found.flatten(2).flatten(0, 1)


def _windows(patch: Patch, inputs: Tensor) -> Tensor:
    """The windows of a convolution, as a view: (examples, rows, columns, channels, window rows, window columns)."""
    rows, columns = patch.padding if not isinstance(patch.padding, str) else (0, 0)
    sides = [columns, columns, rows, rows]
    spans = [
        dilation * (size - 1) for dilation, size in zip(patch.dilation, patch.kernel, strict=True)
    ]
    if patch.padding == "same":
        sides = [spans[1] // 2, spans[1] - spans[1] // 2, spans[0] // 2, spans[0] - spans[0] // 2]
    mode = "constant" if patch.padding_mode == "zeros" else patch.padding_mode
    padded = F.pad(inputs, sides, mode=mode) if any(sides) else inputs
    windows = padded.unfold(2, spans[0] + 1, patch.stride[0]).unfold(
        3, spans[1] + 1, patch.stride[1]
    )
    return windows[..., :: patch.dilation[0], :: patch.dilation[1]].permute(0, 2, 3, 1, 4, 5)
