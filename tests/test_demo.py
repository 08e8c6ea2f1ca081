"""The demo, as `make demo` runs it, twice: what it claims holds, and both say the same."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def demo(folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo.py"), "demo-run"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[Path, str], tuple[Path, str]]:
    first, second = (tmp_path_factory.mktemp("demo") for _ in range(2))
    return (first / "demo-run", demo(first)), (second / "demo-run", demo(second))


def test_the_claims_hold(runs: tuple[tuple[Path, str], tuple[Path, str]]) -> None:
    (_, printed), _ = runs
    assert "NO " not in printed
    assert printed.count("  yes  ") >= 10


def test_two_runs_print_the_same_accuracies(
    runs: tuple[tuple[Path, str], tuple[Path, str]],
) -> None:
    percentages = [re.findall(r"\d+\.\d+ ?%", printed) for _, printed in runs]
    assert len(percentages[0]) >= 4
    assert percentages[0] == percentages[1]
    results = [json.loads((folder / "result.json").read_text()) for folder, _ in runs]
    for stage in ("baseline", "replaced", "fitted", "shrunk"):
        assert results[0][stage] == results[1][stage]


def test_a_claim_that_does_not_hold_fails(
    runs: tuple[tuple[Path, str], tuple[Path, str]],
) -> None:
    sys.path.insert(0, str(ROOT / "examples"))
    try:
        import demo as script
    finally:
        sys.path.pop(0)
    (folder, _), _ = runs
    result = json.loads((folder / "result.json").read_text())
    article = {"layers": [{"weights": 100, "dense_params": 10**9, "connections": 10**8}]}
    result["shrunk"]["accuracy"] -= 0.5
    broken = [
        claim
        for claim, holds in script.claims(
            result, article, {"accuracy": 0.0}, folder, folder / "three-ideas.html"
        )
        if not holds
    ]
    assert len(broken) == 3
