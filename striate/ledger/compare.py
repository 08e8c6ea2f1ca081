"""Two ledgers side by side: which rows are the same layer, what changed in it, and how the totals moved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from striate.ledger.account import Ledger
from striate.ledger.gates import Gate, Limit, judge
from striate.ledger.rows import Layer

Change = Literal["same", "changed", "renamed", "added", "removed"]

#: What is compared, as `Totals` names it, and in words.
TOTALS: Mapping[str, str] = {
    "params": "parameters",
    "macs_per_example": "MACs of an example",
    "weight_bytes": "bytes of weights",
    "activation_bytes": "bytes of activations",
    "activation_bytes_per_example": "bytes of activations of an example",
    "peak_activation_bytes": "bytes of activations at once",
    "connections": "connections",
}
#: What `--max-growth` limits: the metrics of a budget whose values should not grow.
GROWTH = (
    "params",
    "macs",
    "weight_bytes",
    "flops",
    "activation_bytes",
    "peak_activation_bytes",
)


@dataclass(frozen=True, slots=True)
class Batches:
    """How many examples each of two ledgers was counted on; what is alike of an example is alike."""

    before: int = 1
    after: int = 1

    def same(self, one: int, other: int) -> bool:
        """Whether two amounts are the same of an example, or the same whatever the batch.

        >>> Batches(1, 4).same(10, 40), Batches(1, 4).same(10, 10), Batches(1, 4).same(10, 20)
        (True, True, False)
        """
        return one == other or one * self.after == other * self.before

    def same_shape(self, one: tuple[int, ...] | None, other: tuple[int, ...] | None) -> bool:
        """Whether two shapes differ in nothing but one size, and that as the batches do: the batch, wherever it
        is, or what it was put together with.

        >>> Batches(1, 4).same_shape((1, 3, 8), (4, 3, 8)), Batches(2, 4).same_shape((6, 8), (12, 8))
        (True, True)
        >>> Batches(1, 4).same_shape((1, 3, 8), (4, 3, 32)), Batches(1, 4).same_shape((1, 8), (4, 8, 1))
        (False, False)
        """
        if one is None or other is None or len(one) != len(other):
            return one == other
        apart = [pair for pair in zip(one, other, strict=True) if pair[0] != pair[1]]
        return not apart or (
            len(apart) == 1
            and apart[0][0] % self.before == 0
            and apart[0][0] * self.after == apart[0][1] * self.before
        )

    def same_counts(self, one: Layer, other: Layer) -> bool:
        """Whether two layers are alike in everything but the name.

        What a layer with contractions makes on its way is left aside where the batches differ: PyTorch takes other
        operators for another batch.
        """
        return (
            _counts(one) == _counts(other)
            and self.same_shape(one.input_shape, other.input_shape)
            and self.same_shape(one.output_shape, other.output_shape)
            and self.same(one.macs, other.macs)
            and (
                self.same(one.activation_bytes, other.activation_bytes)
                or (self.before != self.after and one.macs > 0)
            )
        )


@dataclass(frozen=True, slots=True)
class Row:
    """A layer before and after; None on the side where it is not."""

    before: Layer | None
    after: Layer | None
    batches: Batches = Batches()

    @property
    def layer(self) -> Layer:
        """The one there is, the later one where both are."""
        found = self.after or self.before
        assert found is not None
        return found

    @property
    def change(self) -> Change:
        """A renamed layer is otherwise the same; one that changed may have another name too."""
        if self.before is None:
            return "added"
        if self.after is None:
            return "removed"
        if not self.batches.same_counts(self.before, self.after):
            return "changed"
        return "same" if self.before.name == self.after.name else "renamed"

    @property
    def matters(self) -> bool:
        """Whether it has weights, contractions or pooling on either side."""
        return any(layer is not None and layer.matters for layer in (self.before, self.after))

    @property
    def macs(self) -> tuple[int | None, int | None]:
        """The MACs of an example before and after, of the whole batch where that does not divide them."""
        return _share(self.before, self.batches.before), _share(self.after, self.batches.after)


@dataclass(frozen=True)
class Difference:
    """What became of a network: its rows in the order of the later one, removed ones where they stood."""

    before: Ledger
    after: Ledger
    rows: tuple[Row, ...]

    @property
    def changed(self) -> tuple[Row, ...]:
        """The rows that are not the same."""
        return tuple(row for row in self.rows if row.change != "same")

    @property
    def totals(self) -> dict[str, tuple[int, int]]:
        """Each total before and after."""
        return {
            name: (getattr(self.before.totals, name), getattr(self.after.totals, name))
            for name in TOTALS
        }

    @property
    def incomparable(self) -> frozenset[str]:
        """What cannot be set against each other where the batches differ: the most bytes at once, which are those of
        a whole batch. Bytes of activations are then judged per example."""
        return frozenset({"peak_activation_bytes"}) if self.batches_differ else frozenset()

    @property
    def batches_differ(self) -> bool:
        """Whether the two were counted on different numbers of examples."""
        return self.before.batch != self.after.batch

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from striate.ledger.render import notebook

        return notebook.difference(self)

    def growth_gates(self, percent: Fraction) -> tuple[Gate, ...]:
        """Whether nothing grew by more than `percent` of what it was, a gate a metric.

        Not judged (`met` is None) is what cannot be compared, and a metric that either ledger knows only in part,
        except that a lower bound which is too large already is. Where the batches differ, bytes of activations are
        those of an example.
        """
        was, now = self.before.values(), self.after.values()
        if self.batches_differ:
            was["activation_bytes"] = self.before.totals.activation_bytes_per_example
            now["activation_bytes"] = self.after.totals.activation_bytes_per_example
        unsure = self.before.uncertain | self.incomparable
        limits = [
            Limit(metric, int(value * (100 + percent) / 100), f"{float(percent):g}%")
            for metric in GROWTH
            if (value := was[metric]) is not None
        ]
        gates = judge(limits, now, self.after.uncertain)
        return tuple(replace(gate, met=None) if gate.metric in unsure else gate for gate in gates)


def compare(before: Ledger, after: Ledger) -> Difference:
    """Align the rows of two ledgers.

    First by name; of the others those that are alike in everything but the name, then, between neighbours that
    are aligned, those of one kind. Order is kept: no two pairs cross. Where the batches differ, layers are alike
    whose figures of an example are.

    >>> from torch import nn
    >>> from striate.ledger import count
    >>> old = count(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)), (1, 4))
    >>> new = count(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), (1, 4))
    >>> [(row.layer.name, row.change) for row in compare(old, new).rows]
    [('0', 'same'), ('1', 'added'), ('2', 'renamed')]
    """
    first, second = before.layers, after.layers
    batches = Batches(before.batch or 1, after.batch or 1)

    def same(one: Layer, other: Layer) -> bool:
        if before.batch == after.batch:
            return one == other
        return one.name == other.name and batches.same_counts(one, other)

    pairs = _in_order(first, second, same)
    for alike in (_same_name_and_kind, batches.same_counts, _same_name, _same_kind):
        pairs = _between(first, second, pairs, alike)
    return Difference(before, after, tuple(_rows(first, second, pairs, batches)))


Pairs = list[tuple[int, int]]
Alike = Callable[[Layer, Layer], bool]


def _counts(layer: Layer) -> tuple[object, ...]:
    """What is the same whatever the batch."""
    return (layer.type, layer.params, layer.connections, layer.calls)


def _share(layer: Layer | None, batch: int) -> int | None:
    if layer is None:
        return None
    return layer.macs if layer.macs % batch else layer.macs // batch


def _same_name(one: Layer, other: Layer) -> bool:
    return one.name == other.name


def _same_name_and_kind(one: Layer, other: Layer) -> bool:
    return (
        one.name == other.name and one.type == other.type and bool(one.params) == bool(other.params)
    )


def _same_kind(one: Layer, other: Layer) -> bool:
    return one.type == other.type


def _between(first: Sequence[Layer], second: Sequence[Layer], pairs: Pairs, alike: Alike) -> Pairs:
    """The pairs, and what is alike between each two of them."""
    result: Pairs = []
    start, other = 0, 0
    for i, j in [*pairs, (len(first), len(second))]:
        found = _in_order(first[start:i], second[other:j], alike)
        result.extend((start + a, other + b) for a, b in found)
        if i < len(first):
            result.append((i, j))
        start, other = i + 1, j + 1
    return result


def _in_order(first: Sequence[Layer], second: Sequence[Layer], alike: Alike) -> Pairs:
    """The most pairs that do not cross (the longest common subsequence)."""
    begin = 0
    while begin < min(len(first), len(second)) and alike(first[begin], second[begin]):
        begin += 1
    end = 0
    while end < min(len(first), len(second)) - begin and alike(first[-1 - end], second[-1 - end]):
        end += 1
    rows, columns = len(first) - begin - end, len(second) - begin - end
    longest = [[0] * (columns + 1) for _ in range(rows + 1)]
    for i in reversed(range(rows)):
        for j in reversed(range(columns)):
            if alike(first[begin + i], second[begin + j]):
                longest[i][j] = longest[i + 1][j + 1] + 1
            else:
                longest[i][j] = max(longest[i + 1][j], longest[i][j + 1])
    middle: Pairs = []
    i = j = 0
    while i < rows and j < columns:
        if alike(first[begin + i], second[begin + j]):
            middle.append((begin + i, begin + j))
            i, j = i + 1, j + 1
        elif longest[i + 1][j] >= longest[i][j + 1]:
            i += 1
        else:
            j += 1
    head = [(k, k) for k in range(begin)]
    tail = [(len(first) - k, len(second) - k) for k in range(end, 0, -1)]
    return [*head, *middle, *tail]


def _rows(
    first: Sequence[Layer], second: Sequence[Layer], pairs: Pairs, batches: Batches
) -> Iterable[Row]:
    start, other = 0, 0
    for i, j in [*pairs, (len(first), len(second))]:
        yield from (Row(layer, None, batches) for layer in first[start:i])
        yield from (Row(None, layer, batches) for layer in second[other:j])
        if i < len(first):
            yield Row(first[i], second[j], batches)
        start, other = i + 1, j + 1


def document(found: Difference) -> Mapping[str, object]:
    """As JSON: the batches and the totals before and after, and the rows that are not the same."""
    return {
        "name": found.before.name,
        "batch": {"before": found.before.batch, "after": found.after.batch},
        "totals": {
            name: {"before": before, "after": after}
            for name, (before, after) in found.totals.items()
        },
        "layers": [
            {
                "change": row.change,
                "before": None if row.before is None else row.before.to_dict(),
                "after": None if row.after is None else row.after.to_dict(),
            }
            for row in found.changed
        ],
    }
