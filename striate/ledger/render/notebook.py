"""A ledger, or a difference, as a piece of HTML for a notebook: no script, no style sheet, its own colours left out.

What shows notebooks takes much away (scripts and style sheets always, attributes of style sometimes), and is light
or dark as it likes. So these are plain tables, and bars that are only decoration.
"""

from __future__ import annotations

from collections.abc import Sequence

from striate.ledger.account import Ledger
from striate.ledger.compare import Difference
from striate.ledger.render import bars, html
from striate.ledger.render.numbers import shape, times
from striate.ledger.render.page import environment
from striate.ledger.render.plain import all_plain
from striate.ledger.rows import Layer

#: A notebook keeps what was shown in its file: of a longer list, this many layers are.
MOST_ROWS = 200


def ledger(found: Ledger) -> str:
    """The totals, what each idea saved, and the layers that matter, folded.

    >>> from torch import nn
    >>> from striate.ledger import count
    >>> "15 parameters" in ledger(count(nn.Linear(4, 3), (1, 4)))
    True
    """
    layers = [layer for layer in found.layers if layer.matters]
    values = {
        "name": found.name,
        "params": f"{found.totals.params:,}",
        "partial": len(found.unsupported),
        "facts": html.facts(found),
        "ideas": bars.of_network(found),
        "gates": html.gates(found.gates),
        "notes": list(found.notes),
        "rows": _rows(layers[:MOST_ROWS]),
        "shown": len(layers),
        "left_out": len(layers) - MOST_ROWS,
        "others": len(found.layers) - len(layers),
    }
    return environment().get_template("notebook.html").render(**all_plain(values))


def difference(found: Difference) -> str:
    """The totals before and after, and the layers that are not the same."""
    values = html.difference(found)
    rows = values["rows"]
    return (
        environment()
        .get_template("notebook_difference.html")
        .render(
            **all_plain(
                {
                    **values,
                    "rows": rows[:MOST_ROWS],
                    "left_out": len(rows) - MOST_ROWS,
                }
            )
        )
    )


def _rows(layers: Sequence[Layer]) -> list[list[str]]:
    return [
        [
            layer.name or "(model)",
            layer.type,
            shape(layer.output_shape),
            f"{layer.params:,}",
            f"{layer.macs:,}",
            times(layer.locality_factor),
            times(layer.sharing_factor),
            times(layer.pooling_factor),
        ]
        for layer in layers
    ]
