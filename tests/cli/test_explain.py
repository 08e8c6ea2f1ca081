"""`striate explain`: the arithmetic as a table and as JSON, the page, wrong requests."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import striate
from striate.cli import main
from striate.geometry import Setting, three_ideas
from striate.jobs.explain import command, opening
from striate.report import explain_page

BUILT = '<!doctype html>\n<script type="application/json" id="opening">{}</script>\n<p>像素</p>\n'
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run `striate explain` in this process: exit code, standard output, standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["explain", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page as `make web` builds it, so far as Python looks at it."""
    monkeypatch.setattr(explain_page, "_built", lambda: BUILT)


def state(page: Path) -> Any:
    found = re.search(r'id="opening">(.*)</script>', page.read_text("utf-8"))
    assert found is not None
    return json.loads(found[1])


# ---- the arithmetic


def test_the_table_and_how_to_get_the_page(call: Call) -> None:
    code, out, err = call()
    assert (code, err) == (0, "")
    assert re.search(r"dense +1,000,000,000,000  10\^12 ", out)
    assert out.splitlines()[-1].strip() == "striate explain --out three-ideas.html"


def test_json_is_exact_and_alone(call: Call) -> None:
    code, out, err = call("--size", "99999x99998", "--kernel", "999", "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    account = three_ideas(Setting(size=(99999, 99998), kernel=999))
    assert list(document) == ["schema", "striate", "setting", "steps", "factors", "page"]
    assert document["schema"] == "striate.explain/1"
    assert document["striate"] == striate.__version__
    assert document["page"] is None
    steps = document["steps"]
    assert account.dense > 2**64
    assert steps["dense"]["weights"] == account.dense
    assert steps["dense"]["bytes"] == 4 * account.dense
    assert steps["local"]["weights"] == steps["local"]["connections"] == account.connections
    assert steps["local"]["connections_inside"] == account.connections_inside
    assert steps["shared"] == {
        "kernels": 1,
        "weights": 999**2,
        "bytes": 4 * 999**2,
        "seconds_to_read": pytest.approx(4 * 999**2 / 5e8),
    }
    assert steps["pooled"]["units"] == account.pooled_units
    assert document["factors"]["sharing"] == account.units


def test_the_articles_factors_are_integers(call: Call) -> None:
    _, out, _ = call("--json")
    assert '"factors": {"locality": 10000, "sharing": 1000000, "pooling": 4}' in out


def test_one_number_is_both_sides_and_the_pool_its_own_stride(call: Call) -> None:
    _, out, _ = call("--size", "12", "--kernel", "3", "--pool", "3", "--json")
    setting = json.loads(out)["setting"]
    assert setting["size"] == [12, 12]
    assert (setting["pool"], setting["pool_stride"]) == (3, 3)


def test_quiet_prints_nothing_but_json(call: Call) -> None:
    assert call("--quiet") == (0, "", "")
    code, out, _ = call("--quiet", "--json")
    assert (code, json.loads(out)["schema"]) == (0, "striate.explain/1")


sizes = st.integers(1, 60)


@st.composite
def some_settings(draw: st.DrawFn) -> Setting:
    size = draw(st.tuples(sizes, sizes))
    share = draw(st.sampled_from(["own", "all", "block-4", "tile-3"]))
    kind = draw(st.sampled_from(["max", "average"]))
    padding = draw(st.sampled_from(["same", "valid"]))
    kernel = draw(st.integers(1, min(size)))
    stride = draw(st.integers(1, 3))
    units = Setting(size, kernel, stride, padding, pool=1).outputs
    pool = draw(st.integers(1, min(units)))
    return Setting(size, kernel, stride, padding, share, pool, draw(st.integers(1, 4)), kind)


@given(some_settings())
@hypothesis_settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_the_command_that_is_shown_is_of_this_setting(call: Call, setting: Setting) -> None:
    shown = shlex.split(command(setting))
    assert shown[:2] == ["striate", "explain"]
    assert shown[-2:] == ["--out", "three-ideas.html"]
    code, out, err = call(*shown[2:-2], "--json")
    assert code == 0, err
    assert json.loads(out)["setting"] | {"size": setting.size} == vars(setting)


def test_it_answers_without_torch_and_at_once() -> None:
    script = (
        "import sys; from striate.cli import main; code = main(['explain']);"
        "sys.exit(code or len({'torch', 'scipy', 'sklearn'} & {*sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(Path(striate.__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# ---- the page


@pytest.mark.usefixtures("built")
def test_the_page_opens_in_the_setting(call: Call, tmp_path: Path) -> None:
    page = tmp_path / "a page.html"
    arguments = ["--size", "64X48", "--share", "tile-3", "--lang", "zh", "--out", str(page)]
    code, out, err = call(*arguments)
    assert (code, err) == (0, "")
    assert state(page) == {"lang": "zh", "size": "64x48", "share": "tile-3"}
    assert page.read_text("utf-8").endswith("<p>像素</p>\n")
    path, url = out.splitlines()[-2:]
    assert path == str(page)
    assert unquote(url) == f"file://{page.resolve()}"
    assert [entry.name for entry in tmp_path.iterdir()] == [page.name]


@pytest.mark.usefixtures("built")
def test_the_default_page_is_the_built_one(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = call("--out", "page.html", "--json")
    assert (code, json.loads(out)["page"]) == (0, "page.html")
    assert Path("page.html").read_text("utf-8") == BUILT


@pytest.mark.usefixtures("built")
def test_quiet_still_writes(call: Call, tmp_path: Path) -> None:
    assert call("--quiet", "--out", str(tmp_path / "p.html")) == (0, "", "")
    assert (tmp_path / "p.html").exists()


@pytest.mark.usefixtures("built")
def test_what_was_there_is_replaced_and_a_link_stays_one(call: Call, tmp_path: Path) -> None:
    (tmp_path / "old.html").write_text("old")
    (tmp_path / "link.html").symlink_to("old.html")
    assert call("--out", str(tmp_path / "link.html"))[0] == 0
    assert (tmp_path / "link.html").is_symlink()
    assert (tmp_path / "old.html").read_text("utf-8") == BUILT


def test_a_pooling_stride_is_said_where_readers_could_differ() -> None:
    assert opening(Setting()) == {}
    assert opening(Setting(), "en") == {"lang": "en"}
    assert opening(Setting(pool=3)) == {"pool": "3", "pool-stride": "2"}
    assert opening(Setting(pool=3, pool_stride=3)) == {"pool": "3", "pool-stride": "3"}


# ---- wrong requests: exit code 2, one line


WRONG = [
    ("--size 0", "--size 0: expected rows and columns, integers from 1 to 100,000"),
    ("--size 10x", "--size 10x: expected ROWSxCOLUMNS, such as 1000x1000, or one number"),
    ("--size -3", "--size -3: expected ROWSxCOLUMNS"),
    ("--size 5x5x5", "--size 5x5x5: expected ROWSxCOLUMNS"),
    ("--size ٣x3", "--size ٣x3: expected ROWSxCOLUMNS"),
    (f"--size {'9' * 5000}", "--size 999999999999999…99999999999999: has 5,000 characters"),
    ("--size 8", "--kernel 10: expected an integer from 1 to 8, as the image has 8×8 pixels"),
    ("--kernel ten", "Invalid value for '--kernel': "),
    ("--stride 0", "--stride 0: expected an integer from 1 to 100,000"),
    ("--padding full", "--padding full: expected 'same' or 'valid'"),
    ("--share block", "--share block: expected own, all, block-N or tile-N"),
    (f"--share {'x' * 5000}", "--share xxxxxxxxxxxxxxx…xxxxxxxxxxxxxx: expected own, all"),
    ("--pool 1001", "--pool 1001: expected an integer from 1 to 1,000, as there are 1000×1000"),
    ("--pool-stride 0", "--pool-stride 0: expected an integer from 1"),
    ("--pool-kind min", "--pool-kind min: expected 'max' or 'average'"),
    ("--lang de --out x.html", "--lang de: expected en or zh"),
    ("--lang zh", "--lang zh: is about the page; give --out FILE too"),
    ("--out ''", "--out '': expected the name of a file"),
    ("--out folder", "--out folder: is a directory; name a file in it, such as folder/three-ideas"),
    ("--out none/page.html", "--out none/page.html: there is no directory none; make it first"),
    ("--out file/page.html", "--out file/page.html: a part of the path is a file"),
    ("--out dangling", "--out dangling: there is no directory /no/such; make it first"),
    ("--out fifo", "--out fifo: is no ordinary file"),
    ("--out /dev/null", "--out /dev/null: is no ordinary file"),
    ("--out loop", "--out loop: the path runs through too many links"),
    (f"--out {'x' * 300}", "the path is too long; choose a shorter one"),
    (f"--out {'x' * 250}", "the path is too long; choose a shorter one"),
]


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize(("arguments", "complaint"), WRONG, ids=lambda text: text[:30])
def test_a_wrong_request(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("file").touch()
    os.mkfifo("fifo")
    Path("loop").symlink_to("loop")
    Path("dangling").symlink_to("/no/such/page.html")
    before = sorted(tmp_path.rglob("*"))
    code, out, err = call(*shlex.split(arguments))
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("striate explain: ")
    assert complaint in line
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.usefixtures("built")
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_what_may_not_be_written_is_said_and_left(call: Call, tmp_path: Path) -> None:
    (tmp_path / "mine.html").write_text("mine")
    (tmp_path / "mine.html").chmod(0o444)
    code, _, err = call("--out", str(tmp_path / "mine.html"))
    assert (code, (tmp_path / "mine.html").read_text()) == (2, "mine")
    assert "may not be written; choose another path" in err
    tmp_path.chmod(0o555)
    code, _, err = call("--out", str(tmp_path / "new.html"))
    tmp_path.chmod(0o755)
    assert code == 2
    assert "new.html: permission denied" in err


def test_a_page_that_was_not_built_is_said_and_nothing_written(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain_page, "PAGE", "not-built.html")
    code, out, err = call("--out", str(tmp_path / "page.html"))
    assert (code, out) == (2, "")
    assert "build it with `make web`" in err
    assert not list(tmp_path.iterdir())
    assert call()[0] == 0
