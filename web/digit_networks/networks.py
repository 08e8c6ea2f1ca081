"""The networks: one hidden layer, wired in different ways, and a dense layer to ten classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from digit_networks.data import SIZE
from striate.nn import LocallyConnected2d

CLASSES = 10


@dataclass(frozen=True)
class Wiring:
    """A network's shape. `share` is that of `LocallyConnected2d`, or "dense" where every unit sees every pixel;
    `pool` is the window and the stride of the pooling after the hidden layer, None without one."""

    name: str
    share: int | Literal["all", "dense"]
    maps: int
    kernel: int = 3
    pool: int | None = None
    pool_kind: Literal["max", "average"] = "max"

    @property
    def kind(self) -> str:
        """The hidden layer's rung: dense, local, blocks or shared."""
        return {"dense": "dense", 1: "local", "all": "shared"}.get(self.share, "blocks")


VARIANTS = (
    Wiring("dense", "dense", maps=8),
    Wiring("local", 1, maps=8),
    Wiring("blocks", 4, maps=8),
    Wiring("shared", "all", maps=8),
    Wiring("pooled", "all", maps=8, pool=2),
)
# Two maps, and a head that is told eight averages, one to a map and quarter of the image: it cannot undo what the
# hidden layer did, so that what a kernel for each place is worth shows. Chosen on validation to show it; it is no
# typical network. (One map shows more of it, but now and then its one kernel ends below ReLU's zero everywhere.)
SHARING = tuple(
    Wiring(name, share, maps=2, pool=4, pool_kind="average")
    for name, share in (("own", 1), ("blocks of 2", 2), ("blocks of 4", 4), ("all", "all"))
)


class DenseMaps(nn.Linear):
    """A unit for each map, row and column, each wired to every pixel: (N, 1, 8, 8) to (N, maps, 8, 8)."""

    def __init__(self, maps: int) -> None:
        super().__init__(SIZE * SIZE, maps * SIZE * SIZE)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.flatten(1)).unflatten(1, (-1, SIZE, SIZE))


class Network(nn.Module):
    """hidden, ReLU, pooling if there is one, head: (N, 1, 8, 8) to logits (N, 10)."""

    def __init__(self, wiring: Wiring) -> None:
        super().__init__()
        self.hidden: nn.Module
        if wiring.share == "dense":
            self.hidden = DenseMaps(wiring.maps)
        else:
            self.hidden = LocallyConnected2d(
                1, wiring.maps, wiring.kernel, SIZE, padding="same", share=wiring.share
            )
        pooling = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}[wiring.pool_kind]
        self.pool = nn.Identity() if wiring.pool is None else pooling(wiring.pool)
        side = SIZE if wiring.pool is None else SIZE // wiring.pool
        self.head = nn.Linear(wiring.maps * side * side, CLASSES)

    def forward(self, input: Tensor) -> Tensor:
        return self.head(self.pool(self.hidden(input).relu()).flatten(1))
