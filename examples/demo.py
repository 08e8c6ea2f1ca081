"""What `make demo` runs: striate's commands on the data that comes along, then a check of what they claim.

Takes the folder for the run, `demo-run` if none is given. Exit code 1, and a line that says which, when a
claim does not hold.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from striate.jobs.summary import shrink_panel

BUDGET_PERCENT = 5
SHRINK = (
    *("shrink", "zoo:digits", "--data", "digits"),
    *("--pretrain", "12", "--budget", f"{BUDGET_PERCENT}%", "--epochs", "8"),
)


def striate(*arguments: str, read: bool = False) -> dict:
    """Show a command and run it, as a shell would; its failure ends the demo.

    With `read`, what it prints as JSON is returned instead of shown.
    """
    print(f"\n$ striate {' '.join(arguments)}\n", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "striate", *arguments, *(["--json"] if read else [])],
        stdout=subprocess.PIPE if read else None,
    )
    if done.returncode:
        raise SystemExit(f"demo: striate {arguments[0]} ended with exit code {done.returncode}")
    return json.loads(done.stdout) if read else {}


def stages(result: dict) -> Iterator[tuple[str, float]]:
    """Validation accuracy at each stage of a finished shrink."""
    yield "dense, as trained", result["baseline"]["validation"]["accuracy"]
    yield "merely replaced", result["replaced"]["validation"]["accuracy"]
    yield "fitted, not trained", result["fitted"]["validation"]["accuracy"]
    yield "fine-tuned", result["shrunk"]["validation"]["accuracy"]


def claims(
    result: dict, article: dict, again: dict, run: Path, explainer: Path
) -> Iterator[tuple[str, bool]]:
    """What the demo shows, each with whether it is so."""
    (layer,) = (row for row in article["layers"] if row["weights"])
    steps = (layer["dense_params"], layer["connections"], layer["weights"])
    yield "the article's layer has 10^12, 10^8, then 100 weights", steps == (10**12, 10**8, 100)

    before, after = result["baseline"], result["shrunk"]
    yield "the budget is met", result["status"] == "done" and result["met"]
    yield (
        f"at most {BUDGET_PERCENT} % of the parameters are left",
        after["params"] * 100 <= before["params"] * BUDGET_PERCENT,
    )
    yield "at least 500 test images", min(before["examples"], after["examples"]) >= 500
    yield "the network was worth shrinking: 90 % or more", before["accuracy"] >= 0.9

    _, replaced, fitted, tuned = (accuracy for _, accuracy in stages(result))
    yield "the fit regains accuracy that replacing lost", fitted >= replaced
    yield "fine-tuning loses none of it", tuned >= fitted
    yield (
        "at most 2 points of test accuracy are lost",
        after["accuracy"] >= before["accuracy"] - 0.02,
    )

    yield "read again, the network is as accurate", again["accuracy"] == after["accuracy"]
    report = (run / "report.html").read_text()
    yield "the report is written", report.lstrip().lower().startswith("<!doctype html>")
    page = explainer.read_text()
    yield "the explainer is written", page.lstrip().lower().startswith("<!doctype html>")


def main(run: Path) -> None:
    begun = time.monotonic()
    if (run / "run.json").exists():
        shutil.rmtree(run)

    print("An image of 1000×1000, as many units: what local connectivity and sharing save.")
    striate("count", "zoo:article")
    print("\nA small network for pictures of digits: where its weights are.")
    striate("count", "zoo:digits")
    print(f"\nTrain it, then make it {100 // BUDGET_PERCENT} times smaller.")
    result = striate(*SHRINK, "--out", str(run), read=True)

    print(f"\nValidation accuracy ({result['shrunk']['validation']['examples']} images)\n")
    for stage, accuracy in stages(result):
        print(f"  {stage:<20} {accuracy:7.2%}  {'█' * round(40 * accuracy)}")

    explainer = run / "three-ideas.html"
    striate("explain", "--quiet", "--out", str(explainer))

    print("\nIs it so? The ledger, and the network read again in a new process:")
    article = striate("count", "zoo:article", read=True)
    again = striate("evaluate", str(run), read=True)
    broken = []
    for claim, holds in claims(result, article, again, run, explainer):
        print(f"  {'yes' if holds else 'NO '}  {claim}")
        if not holds:
            broken.append(claim)

    print()
    Console().print(shrink_panel(result, run, explainer))
    print(f"The demo took {time.monotonic() - begun:.0f} seconds.")
    if broken:
        raise SystemExit(f"demo: does not hold: {'; '.join(broken)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("demo-run"))
