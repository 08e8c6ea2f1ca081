"""What docs/explain.md says of the page's networks is what their file says."""

from __future__ import annotations

import json

from .conftest import ROOT

NETWORKS = ROOT / "web" / "src" / "data" / "networks.json"


def percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}"


def test_the_tables_of_the_networks() -> None:
    document = json.loads(NETWORKS.read_text())
    rows = [
        [cell.strip() for cell in line.strip("|\n").split("|")][1:]
        for line in (ROOT / "docs" / "explain.md").read_text().splitlines()
        if line.count("|") == 7 and line.split("|")[2].strip().replace(",", "").isdecimal()
    ]
    expected = []
    for entry in [*document["variants"], *document["sharing"]]:
        accuracy = entry["accuracy"]
        assert accuracy["images"] == 540
        expected.append(
            [
                f"{entry['weights']['hidden']:,}",
                f"{entry['params']:,}",
                percent(accuracy["mean"]),
                f"{percent(accuracy['lowest'])} to {percent(accuracy['highest'])}",
                f"{percent(accuracy['interval'][0])} to {percent(accuracy['interval'][1])}",
            ]
        )
    assert rows == expected
