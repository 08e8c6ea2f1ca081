from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from striate.errors import RequestError
from striate.report import build, charts

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>{{ 7*7 }}&"

Copy = Callable[..., Path]
Read = Callable[[str], Any]


def test_every_page_is_one_whole_accessible_file(each_run: Path, read_page: Read) -> None:
    html = build(each_run)
    page = read_page(html)

    assert not page.all("script")
    for element in page.elements:
        for name, value in element.attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href"):
                assert value is not None
                assert value.startswith(("data:", "#"))
    assert "url(" not in re.sub(r"url\(['\"]?#", "", html)
    assert "@import" not in html
    [policy] = [e for e in page.all("meta") if "http-equiv" in e.attributes]
    assert "default-src 'none'" in policy.attributes["content"]

    assert len(page.all("h1")) == 1
    assert len(page.all("h2")) >= 2
    assert all("caption" in table.inside for table in page.all("table"))
    assert all(
        e.attributes.get("aria-label") for e in page.elements if e.attributes.get("role") == "img"
    )
    ids = [e.attributes["id"] for e in page.elements if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    labelled = [e.attributes["aria-labelledby"] for e in page.all("section")]
    assert set(labelled) <= set(ids)
    assert "None" not in page.text
    assert "nan" not in page.text.split()


def test_the_same_run_gives_the_same_page(a_run: Copy) -> None:
    run = a_run("done")
    assert build(run) == build(run)


def test_a_finished_run_leads_with_what_came_out(a_run: Copy, read_page: Read) -> None:
    text = read_page(build(a_run("done"))).text
    for expected in (
        "814,090 → 63,706 weights",
        "12.8 times smaller: 7.8 % of its weights are left",
        "On 10,000 test images it is right on 98.31 % (95 % interval 98.04–98.54 %), "
        "0.04 points below the original's 98.35 % (98.08–98.58 %)",
        "35 are right only with the original and 31 only with the shrunk network",
        "exact McNemar test, p = 0.71",
        "Was dense 784 → 1024, is now rank 29: 803,840 weights before, 53,456 after (6.7 %)",
        "it reproduces 95.8 % of the variation in the original layer's outputs (residual 0.0417)",
        "Five plans of different structure",
        "The weights that were kept learned from the labels",
        'model = striate.load("done")',
        'torch.export.load("done/model.pt2").module()',
        "Calibrated the fit 5,000 images",
        "torch 2.13.0+cpu",
        "It answers one image 2.3 times as fast (2.3–2.4).",
        "Median time for one image 0.142 ms 0.0613 ms 43.1 %",
        "The shrunk network answers one image 2.3 times as fast (2.3–2.4), and answers 32 images "
        "1.94 times as fast (1.90–2.01). Timed in turns in one process (cpu, 2 threads, float32), 1,000 of them",
        "For one image it is 3.2 times as fast (3.1–3.4): 0.118 ms before, 0.0371 ms after.",
    ):
        assert expected in text


def test_stages_are_drawn_with_their_intervals(a_run: Copy, read_page: Read) -> None:
    page = read_page(build(a_run("done")))
    drawn = [e for e in page.all("div") if str(e.attributes.get("class")).startswith("chart")]
    assert [e.attributes["class"] for e in drawn] == ["chart wide", "chart narrow"] * 2
    for chart in drawn[:2]:
        for expected in ("original", "replaced", "fitted", "fine-tuned", "97.42 %", "98.30 %"):
            assert expected in chart.text
    assert "parameters (log scale)" in drawn[2].text
    # The stylesheet overrules the colours of the drawings by their values, so it must know them all.
    colours = {
        value
        for chart in page.all("svg")
        for value in re.findall(r"#[0-9a-f]{6}", str(chart.attributes))
    } | {
        e.attributes[name]
        for e in page.elements
        for name in ("fill", "stroke")
        if str(e.attributes.get(name)).startswith("#")
    }
    assert colours
    assert colours <= set(charts.PALETTE.values())


def test_without_epochs_the_fit_is_the_last_stage(a_run: Copy, read_page: Read) -> None:
    page = read_page(build(a_run("epochs-0")))
    assert "fine-tuned" not in page.text.lower()
    assert "Finalists as fitted, without training" in page.text
    assert "Fewer than four plans fit the budget: 2." in page.text
    assert "no program torch.export: the forward depends on the values of its input" in page.text
    assert 'striate.load("epochs-0", source="cnn.py:make")' in page.text
    assert 'striate.load("epochs-0")' not in page.text  # nothing would load without the program
    assert "the original is better on images like these" in page.text
    assert "answers one image 1.13 times as fast. Timed in turns" in page.text  # no spread is known
    assert (
        "airplane, automobile" in page.text
    )  # from the journal, where result.json has no division


def test_without_labels_no_accuracy_is_claimed(a_run: Copy, read_page: Read) -> None:
    page = read_page(build(a_run("images")))
    assert "The images had no labels, so no accuracy is known." in page.text
    assert not [e for e in page.all("div") if str(e.attributes.get("class")).startswith("chart")]


def test_without_labels_agreement_is_shown_where_it_was_measured(
    a_run: Copy, read_page: Read
) -> None:
    def measured(result: dict[str, Any]) -> None:
        metric = {
            "name": "agreement",
            "value": 0.96,
            "interval": [0.92, 0.98],
            "higher_is_better": True,
        }
        for stage in ("shrunk", "fitted"):
            result[stage]["validation"] = {
                **result[stage]["validation"],
                "metric": metric,
                "divergence": 0.02,
            }

    text = read_page(build(a_run("images", result=measured))).text
    assert (
        "On 200 validation images it gives the original's answer for 96.00 % (95 % interval 92.00–98.00 %)"
        in text
    )
    assert "Divergence" in text


def test_a_budget_out_of_reach_names_the_smallest_network(a_run: Copy, read_page: Read) -> None:
    text = read_page(build(a_run("unreachable"))).text
    assert "The smallest that can be reached has 2,612 weights (0.32 %)." in text
    assert "✗ no" in text
    assert "its inputs have no layout" in text
    for claim in ("Trained on", "Calibrated", "Validated", "Tested", "calibrate and train"):
        assert claim not in text


def test_a_budget_met_already_says_so(a_run: Copy, read_page: Read) -> None:
    text = read_page(build(a_run("already-met"))).text
    assert "61,706 weights, and nothing to do" in text
    assert "99.02 %" in text
    assert "48,120" in text
    assert "Calibrated" not in text


@pytest.mark.parametrize("with_result", [False, True])
def test_an_interrupted_run_says_how_to_go_on(
    a_run: Copy, read_page: Read, with_result: bool
) -> None:
    run = a_run("interrupted")
    if with_result:
        nothing = dict.fromkeys(
            ("baseline", "shrunk", "replaced", "fitted", "files", "latency", "test")
        )
        result = {"schema": "striate.shrink/1", "status": "interrupted", "met": None, **nothing}
        (run / "result.json").write_text(json.dumps(result))
    text = read_page(build(run)).text
    assert "Not finished yet" in text
    assert "--resume" in text
    assert "Epochs of training the original 20" in text
    assert "Measurements of smaller layers 2" in text  # the torn line does not count


def test_a_gate_not_met_or_not_known_is_shown(a_run: Copy, read_page: Read) -> None:
    def missed(result: dict[str, Any]) -> None:
        result["met"] = False
        result["budget"] = [
            {"metric": "params", "limit": 100, "value": 63706, "met": False},
            {"metric": "macs", "limit": 100, "value": None, "met": None},
        ]

    text = read_page(build(a_run("done", result=missed))).text
    assert "Not every budget is met" in text
    assert "✗ no" in text
    assert "not known" in text


def test_every_text_from_outside_is_escaped(a_run: Copy, read_page: Read, each_run: Path) -> None:
    keep = {"schema", "status", "metric"}

    def poison(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {k if k != "python" else HOSTILE: poison(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [poison(item, key) for item in value]
        return value + HOSTILE if isinstance(value, str) and key not in keep else value

    run = a_run(each_run.name)
    for path in run.glob("*.json"):
        path.write_text(json.dumps(poison(json.loads(path.read_bytes()))))
    html = build(run)
    page = read_page(html)
    assert not page.all("script")
    assert not page.all("img")
    assert not any(name.startswith("on") for e in page.elements for name in e.attributes)
    assert HOSTILE in page.text
    assert "{{ 7*7 }}" in page.text  # and is not a template


def test_a_hostile_metric_name_is_escaped_in_the_charts(a_run: Copy, read_page: Read) -> None:
    def rename(result: dict[str, Any]) -> None:
        for stage in ("baseline", "replaced", "fitted", "shrunk"):
            result[stage]["validation"]["metric"]["name"] = HOSTILE

    page = read_page(build(a_run("done", result=rename)))
    assert not page.all("script")
    assert not page.all("img")


def test_what_is_missing_is_left_out_and_said(a_run: Copy, read_page: Read) -> None:
    def bare(result: dict[str, Any]) -> None:
        for key in (
            "latency",
            "test",
            "frontier",
            "replaced",
            "fitted",
            "data",
            "chosen",
            "refused",
            "files",
        ):
            result[key] = None

    run = a_run("done", result=bare)
    for name in ("plan.json", "ledger.json", "journal.jsonl"):
        (run / name).unlink()
    text = read_page(build(run)).text
    assert "814,090 → 63,706" in text
    assert "all other layers" in text  # what the list of changes does not account for
    for said in (
        "Latency was not measured in this run.",
        "were not compared image by image in this run",
        "The finalists are not in this run's result.json.",
        "Layers that cannot change, and why, are not in this run's files.",
        "How the images were divided is not in this run's files.",
        "names no model to load",
        "is not in this run's ledger",
    ):
        assert said in text


@pytest.mark.parametrize(
    "missing", ["run.json", "result.json", "plan.json", "ledger.json", "journal.jsonl"]
)
def test_any_one_file_but_the_request_may_be_missing(a_run: Copy, missing: str) -> None:
    run = a_run("done")
    (run / missing).unlink()
    if missing == "run.json":
        with pytest.raises(RequestError, match=r"has no run\.json"):
            build(run)
    else:
        assert "<h1>" in build(run)


def test_no_directory_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no such directory") as caught:
        build(tmp_path / "nowhere")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("result.json", b"{", "result.json: is not JSON"),
        ("result.json", b"[]", "expected a JSON object"),
        ("result.json", b'{"schema": "striate.shrink/9"}', "schema is 'striate.shrink/9'"),
        ("ledger.json", b'{"schema": "x"}', "schema is 'x'"),
        (
            "journal.jsonl",
            b'{"key": "a"}\nnot json\n{"key": "b"}\n',
            "journal.jsonl line 2: is not JSON",
        ),
        ("run.json", b"\xff\xfe", "run.json: is not JSON"),
    ],
)
def test_a_damaged_file_is_named(a_run: Copy, name: str, content: bytes, message: str) -> None:
    run = a_run("done")
    (run / name).write_bytes(content)
    with pytest.raises(RequestError, match=re.escape(message)) as caught:
        build(run)
    assert "\n" not in str(caught.value)


def test_a_wrong_type_is_named_with_its_place(a_run: Copy) -> None:
    def spoil(result: dict[str, Any]) -> None:
        result["frontier"][1]["params"] = "many"

    with pytest.raises(RequestError, match=re.escape("result.json: frontier[1].params is 'many'")):
        build(a_run("done", result=spoil))


@pytest.mark.parametrize("again", [True, False])
def test_a_layer_that_was_fitted_again_is_not_called_unchanged(
    a_run: Copy, read_page: Read, again: bool
) -> None:
    def refit(result: dict[str, Any]) -> None:
        result["layers"][1]["refitted"] = again

    text = read_page(
        build(a_run("done", result=refit, plan=lambda plan: plan.update(refitted=[])))
    ).text
    for said, when in (
        ("Could change, and did not: output", False),
        ("Linear, unchanged", False),
        ("Linear, same shape, fitted again", True),
        ("Fitted again, to make up for changes before it: output", True),
    ):
        assert (said in text) == (when == again)


def test_epochs_that_were_dropped_show_their_own_score(a_run: Copy, read_page: Read) -> None:
    def fit_kept(result: dict[str, Any]) -> None:
        result["chosen"] |= {"from": "fitted", "epoch": None}
        result["shrunk"]["validation"] = result["fitted"]["validation"]

    run = a_run("done", result=fit_kept)
    with (run / "journal.jsonl").open("a") as journal:
        for key, accuracy in (
            ("race/1", 0.91),
            ("race/2", 0.97),
            ("distill", 0.93),
            ("labels", 0.92),
        ):
            score = {"accuracy": accuracy, "loss": 0.3, "examples": 5000, "metric": None}
            line = {"key": f"{key}/epoch/1", "seconds": 1.0, "value": {"validation": score}}
            journal.write(json.dumps(line) + "\n")
    page = read_page(build(run))
    text = page.text
    assert "no training; kept" in text
    row = next(e for e in page.all("tr") if "its epochs were dropped" in e.text)
    assert "93.00" in row.text  # the best of the chosen plan's epochs, not the fit's 98.06
    assert "98.06" not in row.text
    assert "ours" not in str(row.attributes.get("class"))


def test_the_finalists_say_when_divergence_chose(a_run: Copy, read_page: Read) -> None:
    def diverge(result: dict[str, Any]) -> None:
        for i, entry in enumerate(result["frontier"]):
            entry["divergence"] = 0.0125 * (i + 1)

    text = read_page(build(a_run("done", result=diverge))).text
    assert "So the one kept may have a lower accuracy than another" in text
    assert "0.0125" in text


def test_what_the_run_saved_is_told_from_what_the_network_saves(
    a_run: Copy, read_page: Read
) -> None:
    page = read_page(build(a_run("epochs-0")))
    own = next(e for e in page.all("table") if "What this run's changes saved" in e.text)
    assert " ".join(own.text.split()).endswith("dense pooling, low rank 1,180,160 53,824 4.6 %")
    assert "What the ideas save in the shrunk network as a whole" in page.text


def test_a_partial_ledger_names_what_it_lacks(a_run: Copy, read_page: Read) -> None:
    def partial(ledger: dict[str, Any]) -> None:
        ledger["status"] = "partial"
        ledger["unsupported"] = [
            {
                "operator": "aten.foo",
                "where": "head",
                "effect": "its work",
                "metrics": ["macs", "flops"],
            }
        ]

    text = read_page(build(a_run("done", ledger=partial))).text
    assert "aten.foo in head: its work (macs, flops)" in text


def test_a_p_value_too_small_for_a_float(a_run: Copy, read_page: Read) -> None:
    def nil(result: dict[str, Any]) -> None:
        result["test"] = {"mcnemar_p": 0.0, "only_before_right": 3000, "only_after_right": 1}

    assert "p < 1e-300" in read_page(build(a_run("done", result=nil))).text
