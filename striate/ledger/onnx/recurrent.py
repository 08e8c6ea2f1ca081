"""A recurrent node taken apart into steps, as a PyTorch layer's steps show in its ledger.

Each step of each direction multiplies its input, and the state of the step before, by the direction's
part of the weights. What lies between the node's input and its output is its private workspace: it takes
the input's place in memory, so that it counts as none.
"""

from __future__ import annotations

from collections.abc import Iterator

from striate.ledger.graph import Argument, Operator, Tensor

#: How many gates' products a cell adds up.
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
#: More steps than this are not followed one by one.
MOST = 100_000


def steps(
    operator: Operator, new: Iterator[int], *, batch_first: bool, directions: int
) -> Iterator[Operator]:
    """The operators that `operator`, an ONNX `LSTM`, `GRU` or `RNN`, stands for.

    Its inputs are X (steps, batch, inputs), with `batch_first` (batch, steps, inputs); W and R
    (directions, gates x hidden, inputs or hidden); B, the lengths, and the first states. `new` gives ids.
    Raises `ValueError` where their shapes do not fit together.
    """
    data, weight, recurrent = (operator.tensor(index) for index in range(3))
    bias = operator.tensor(3)
    if data is None or weight is None or recurrent is None:
        raise ValueError("it needs an input, W and R")
    gates = GATES[operator.name.removeprefix("onnx.")]
    if not len(data.shape) == len(weight.shape) == len(recurrent.shape) == 3:
        raise ValueError("its input, W and R should have three axes")
    hidden = recurrent.shape[2]
    if (
        weight.shape != (directions, gates * hidden, data.shape[2])
        or recurrent.shape[:2] != weight.shape[:2]
    ):
        raise ValueError(
            f"W {list(weight.shape)} and R {list(recurrent.shape)} do not fit an input of {list(data.shape)}"
        )
    batch, length = data.shape[:2] if batch_first else data.shape[1::-1]
    if length * directions > MOST:
        raise ValueError(f"{length:,} steps; striate follows at most {MOST:,}")

    def inside(width: int) -> Tensor:
        return Tensor(next(new), data.storage, (batch, width), data.itemsize)

    def part(name: str, arguments: tuple[Argument, ...], outputs: tuple[Tensor, ...]) -> Operator:
        named = (("part", name),)
        return Operator(operator.name, operator.call, arguments, named, outputs)

    inputs = tuple(inside(data.shape[2]) for _ in range(length))
    yield part("steps", (data,), inputs)
    states: list[Tensor] = []
    for _ in range(directions):
        state = inside(hidden)
        yield part("steps", (data, operator.argument(5)), (state,))
        for given in inputs:
            sums = inside(gates * hidden), inside(gates * hidden)
            yield part("product", (given, weight, bias), sums[:1])
            yield part("product", (state, recurrent, bias), sums[1:])
            state = inside(hidden)
            yield part("cell", (*sums, operator.argument(7)), (state,))
            states.append(state)
    yield part("result", (*states, operator.argument(6)), operator.outputs)
