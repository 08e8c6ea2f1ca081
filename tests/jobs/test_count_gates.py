"""Every limit of `striate count`: where it holds and where it does not, a line each, and what cannot be judged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from striate.cli import main
from striate.jobs.count import CountRequest, count_named
from striate.ledger.gates import METRICS

NET = """
from torch import linalg, nn


def make(width=4, kernel=3):
    return nn.Sequential(nn.Conv2d(1, width, kernel, padding="same"), nn.ReLU(), nn.Conv2d(width, 1, 3))


class Inverse(nn.Sequential):
    def forward(self, x):
        return linalg.inv(super().forward(x))


def partial(width=4):
    return Inverse(*make(width), nn.ZeroPad2d(1))
"""
INPUT = "2x1x8x8"
KEYS = [key for key in METRICS if key != "receptive-field"]
NOT_PARTIAL = {"params", "bytes", "activation", "peak"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NET)
    return tmp_path


@pytest.fixture
def count(capsys: pytest.CaptureFixture[str]):
    """Run `striate count --quiet`: the exit code and the lines of complaint."""

    def run(*arguments: str, model: str = "make", given: str = INPUT) -> tuple[int, list[str]]:
        capsys.readouterr()
        code = main(["count", f"net.py:{model}", "--input", given, "--quiet", *arguments])
        captured = capsys.readouterr()
        assert captured.out == ""
        return code, captured.err.splitlines()

    return run


def values(model: str = "make") -> dict[str, int | None]:
    return count_named(CountRequest(f"net.py:{model}", inputs=(INPUT,))).ledger.values()


@pytest.mark.parametrize("key", METRICS)
def test_a_limit_holds_up_to_its_value(count, key: str) -> None:
    value = values()[METRICS[key]]
    assert value is not None
    beyond = value + 1 if key == "receptive-field" else value - 1
    assert count("--budget", f"{key}={value}") == (0, [])
    code, (line,) = count("--budget", f"{key}={beyond}")
    assert code == 3
    least = "at least " if key == "receptive-field" else ""
    assert line == (
        f"striate count: {METRICS[key]}: {value:,} does not meet the limit of {least}{beyond:,}"
    )


def test_a_line_for_each_limit_that_does_not_hold(count) -> None:
    limits = [f"{key}=1" for key in KEYS] + ["receptive-field=9", "params=1M"]
    code, lines = count(*(word for limit in limits for word in ("--budget", limit)))
    assert code == 3
    named = [line.split(": ")[1] for line in lines]
    assert named == [METRICS[key] for key in [*KEYS, "receptive-field"]]


@pytest.mark.parametrize("key", METRICS)
def test_what_is_known_in_part_does_not_pass(count, key: str) -> None:
    amount = 1 if key == "receptive-field" else 10**9
    limit = ("--budget", f"{key}={amount}")
    code, lines = count(*limit, model="partial")
    if key in NOT_PARTIAL:
        assert (code, lines) == (0, [])
        return
    assert code == 3
    assert lines[0].startswith(f"striate count: {METRICS[key]}: could not be judged, as ")
    assert lines[0].endswith("; --allow-partial lets it pass")
    assert ("aten.linalg_inv_ex in the model (Inverse)" in lines[0]) == (key in ("macs", "flops"))
    assert len(lines) == 1
    assert count(*limit, "--allow-partial", model="partial") == (0, [])


@pytest.mark.parametrize("key", ["macs", "flops"])
def test_a_lower_bound_that_is_too_large_fails_whatever_is_allowed(count, key: str) -> None:
    code, lines = count("--budget", f"{key}=1", "--allow-partial", model="partial")
    assert code == 3
    assert "does not meet the limit of 1" in lines[0]


@pytest.mark.parametrize("key", KEYS)
def test_a_share_is_one_of_the_other_network(count, key: str) -> None:
    larger = ("--model-arg", "width=8", "--against", "net.py:make")
    assert count("--against", "net.py:make", "--budget", f"{key}=100%") == (0, [])
    code, lines = count(*larger, "--budget", f"{key}=100%")
    assert code == 3
    assert lines == [line for line in lines if line.startswith(f"striate count: {METRICS[key]}: ")]


def test_growth_has_a_line_for_each_metric(count) -> None:
    larger = ("--model-arg", "width=8", "--against", "net.py:make", "--max-growth")
    code, lines = count(*larger, "99%")
    assert code == 3
    assert all(line.endswith(" (--max-growth, against net.py:make)") for line in lines)
    grown = {line.split(": ")[1] for line in lines}
    # The last bias and the output are not doubled with the width: the others grow by a little less.
    assert grown == {"macs", "flops"}
    code, lines = count(*larger, "0%")
    assert {line.split(": ")[1] for line in lines} == {METRICS[key] for key in KEYS}
    assert len(lines) == len(KEYS)
    assert count(*larger, "100%") == (0, [])
    smaller = ("--model-arg", "width=2", "--against", "net.py:make", "--max-growth", "0%")
    assert count(*smaller) == (0, [])


@pytest.mark.parametrize("model", ["make", "partial"])
def test_growth_of_what_is_known_in_part_does_not_pass(count, model: str) -> None:
    other = "partial" if model == "make" else "make"
    growth = ("--against", f"net.py:{other}", "--max-growth", "1000%")
    code, lines = count(*growth, model=model)
    assert code == 3
    assert [line.split(": ")[1] for line in lines] == ["macs", "flops"]
    assert all("could not be judged (--max-growth, against net.py:" in line for line in lines)
    assert all("linalg_inv_ex" in line for line in lines)
    assert count(*growth, "--allow-partial", model=model) == (0, [])


def test_of_batches_of_two_sizes_the_peak_is_not_compared_and_activations_per_example(
    count, capsys: pytest.CaptureFixture[str]
) -> None:
    """A baseline of a large batch would let any growth of one example pass."""
    assert main(["count", "net.py:make", "--input", "64x1x8x8", "--json"]) == 0
    Path("base.json").write_text(capsys.readouterr().out)
    growth = ("--model-arg", "width=8", "--against", "base.json", "--max-growth", "100%")
    code, lines = count(*growth)
    assert code == 3
    assert [line.split(": ")[1] for line in lines] == ["peak_activation_bytes"]
    assert all("as the batches are 64 and 2; --allow-partial" in line for line in lines)
    code, lines = count(*growth[:-1], "1%", "--allow-partial")
    assert code == 3
    assert "activation_bytes" in {line.split(": ")[1] for line in lines}
    assert count(*growth, "--allow-partial") == (0, [])
    assert count(*growth, given="64x1x8x8") == (0, [])


def test_a_result_is_printed_whatever_the_gates_say(capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("json", "md", "github", "csv", "table"):
        given = ["--input", INPUT, "--budget", "1", "--format", form]
        assert main(["count", "net.py:make", *given]) == 3
        captured = capsys.readouterr()
        assert captured.out
        assert captured.err.count("\n") == 1
        if form == "json":
            assert json.loads(captured.out)["gates"][0]["met"] is False
