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
    "peak_activation_bytes": "of those at once",
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
_OF_A_BATCH = frozenset({"activation_bytes", "peak_activation_bytes"})


@dataclass(frozen=True, slots=True)
class Row:
    """A layer before and after; None on the side where it is not."""

    before: Layer | None
    after: Layer | None

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
        if _counts(self.before) != _counts(self.after):
            return "changed"
        return "same" if self.before.name == self.after.name else "renamed"


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
        """The metrics whose values are not of the same input: those of a whole batch, where the batches differ."""
        return _OF_A_BATCH if self.before.batch != self.after.batch else frozenset()

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from striate.ledger.render import notebook

        return notebook.difference(self)

    def growth_gates(self, percent: Fraction) -> tuple[Gate, ...]:
        """Whether nothing grew by more than `percent` of what it was, a gate a metric.

        Not judged (`met` is None) is what cannot be compared, and a metric that either ledger knows only in part,
        except that a lower bound which is too large already is.
        """
        was = self.before.values()
        unsure = self.before.uncertain | self.incomparable
        limits = [
            Limit(metric, int(value * (100 + percent) / 100), f"{float(percent):g}%")
            for metric in GROWTH
            if (value := was[metric]) is not None
        ]
        gates = judge(limits, self.after.values(), self.after.uncertain)
        return tuple(replace(gate, met=None) if gate.metric in unsure else gate for gate in gates)


def compare(before: Ledger, after: Ledger) -> Difference:
    """Align the rows of two ledgers.

    First by name; of the others those that are alike in everything but the name, then, between neighbours that
    are aligned, those of one kind. Order is kept: no two pairs cross.

    >>> from torch import nn
    >>> from striate.ledger import count
    >>> old = count(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)), (1, 4))
    >>> new = count(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), (1, 4))
    >>> [(row.layer.name, row.change) for row in compare(old, new).rows]
    [('0', 'same'), ('1', 'added'), ('2', 'renamed')]
    """
    first, second = before.layers, after.layers
    pairs = _in_order(first, second, lambda one, other: one == other)
    for alike in (_same_name_and_kind, _same_but_name, _same_name, _same_kind):
        pairs = _between(first, second, pairs, alike)
    return Difference(before, after, tuple(_rows(first, second, pairs)))


Pairs = list[tuple[int, int]]
Alike = Callable[[Layer, Layer], bool]


def _counts(layer: Layer) -> tuple[object, ...]:
    return (
        layer.type,
        layer.input_shape,
        layer.output_shape,
        layer.params,
        layer.connections,
        layer.macs,
        layer.activation_bytes,
        layer.calls,
    )


def _same_name(one: Layer, other: Layer) -> bool:
    return one.name == other.name


def _same_name_and_kind(one: Layer, other: Layer) -> bool:
    return (
        one.name == other.name and one.type == other.type and bool(one.params) == bool(other.params)
    )


def _same_but_name(one: Layer, other: Layer) -> bool:
    return _counts(one) == _counts(other)


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


def _rows(first: Sequence[Layer], second: Sequence[Layer], pairs: Pairs) -> Iterable[Row]:
    start, other = 0, 0
    for i, j in [*pairs, (len(first), len(second))]:
        yield from (Row(layer, None) for layer in first[start:i])
        yield from (Row(None, layer) for layer in second[other:j])
        if i < len(first):
            yield Row(first[i], second[j])
        start, other = i + 1, j + 1


def document(found: Difference) -> Mapping[str, object]:
    """As JSON: the totals before and after, and the rows that are not the same."""
    return {
        "name": found.before.name,
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
