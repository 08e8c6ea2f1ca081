"""Names from outside (of layers, classes, networks, operators) stay names in every form that a ledger is printed in."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console
from torch import nn

from striate.cli import main
from striate.ledger import Ledger, Limit, count
from striate.ledger.compare import compare
from striate.ledger.render import difference, document, markdown, records, several, table, workflow
from striate.ledger.render.plain import plain
from striate.ledger.render.several import Entry
from striate.ledger.rows import Unsupported
from striate.ledger.saved import read

NAMES = [
    "fc\n::error file=a::b",
    "fc\r\n::set-output name=a::b",
    "\x1b[2J\x1b]0;title\x07\x1b[31mred",
    "\x9b31m",  # the same from the upper half
    "\u202egnp.exe\u2066",
    "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg",
    "\ud800",
    "</details></table><script>alert(1)</script><img src=x onerror=alert(1)>",
    "a|b||c",
    "[x](javascript:alert(1)) ![y](http://127.0.0.1/z) `d` **e** _f_ ~g~",
    "@octocat #1 GH-2 www.example.org http://example.org :tada: $x$",
    "%0A::error::x,y:z%",
    '=cmd|"/c calc"!A0',
    " =1+1",
    "\t+1",
    "-1,2\n=3",
    "[red]x[/red] [",
    '"quoted", and \\ slashed',
]
BASE = count(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), (1, 4))


def named(name: str) -> Ledger:
    """A ledger with the name wherever one stands."""
    first, *others = BASE.layers
    return replace(
        BASE,
        name=name,
        layers=(replace(first, name=name, type=name, shared_with=(name, name)), *others),
        unsupported=(Unsupported(name, name, name, ("macs",)),),
        notes=(name,),
    ).with_gates([Limit("params", 1, "1"), Limit("macs", 10**9, "")])


def hostile(test):
    for name in NAMES:
        test = example(name)(test)
    return given(st.text(min_size=1, max_size=30))(test)


def is_plain(text: str) -> bool:
    """Whether it has nothing but what can be seen, and ends of lines."""
    text.encode()
    return text.replace("\n", "").isprintable()


@hostile
def test_plain(name: str) -> None:
    assert plain(name).isprintable()
    assert plain(plain(name)) == plain(name)
    if name.isprintable():
        assert plain(name) == name
    plain(name).encode()


def test_plain_keeps_what_is_written_with_other_letters() -> None:
    for name in ("Größe", "層", "слой", "a b", "→ 5×5 …"):
        assert plain(name) == name


def drawn(what: object, width: int = 100) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width).print(what)
    return stream.getvalue()


@hostile
def test_tables(name: str) -> None:
    found = named(name)
    lines = table.text(found, 1000).splitlines()
    assert all(is_plain(line) for line in lines)
    assert len(lines) == len(table.text(named("x"), 1000).splitlines())
    gates = compare(found, BASE).growth_gates(Fraction(0))
    for one, other in ((found, BASE), (BASE, found)):
        assert is_plain(drawn(difference.render(compare(one, other), gates)))
    assert is_plain(drawn(several.table([Entry(found, compare(found, found))], [(name, name)])))


def test_a_table_is_not_led_astray() -> None:
    text = table.text(named("fc\n\x1b[2J"), 200)
    assert r"fc\n\x1b[2J" in text


@hostile
def test_markdown(name: str) -> None:
    found = named(name)
    for text in (
        markdown.render(found),
        markdown.difference(compare(found, BASE)),
        markdown.difference(compare(BASE, found)),
    ):
        harmless(text)
    text = several.as_markdown([Entry(found, alone=markdown.render(found))], [(name, name)])
    for tag in ("details", "summary"):
        assert text.count(f"<{tag}>") == text.count(f"</{tag}>") == 1
        text = text.replace(f"<{tag}>", "").replace(f"</{tag}>", "")
    harmless(text)
    cell = markdown.render(found).splitlines()[2].split(" | ")[0].removeprefix("| ")
    assert html.unescape(re.sub("</?code>", "", cell)).strip() == plain(name).strip()


def harmless(text: str) -> None:
    assert is_plain(text)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} <= {5, 6, 9}
    assert not re.search(r"<(?!/?code>)", text)
    outside = re.sub(r"<code>.*?</code>|\*\*|&#?\w+;", " ", text)
    assert not re.search(r"[`_\[\]\\~@$]|www\.|://|:\w+:", outside)


@hostile
def test_annotations(name: str) -> None:
    found = named(name)
    growth = compare(BASE, found).growth_gates(Fraction(0))
    text = workflow.render(found, growth) + workflow.error(name, name) + "\n"
    lines = text.split("\n")[:-1]
    assert len(lines) == len(found.gates) + len(growth) + 1 + 1 + 1
    for line in lines:
        assert line.isprintable()
        line.encode()
        assert re.fullmatch(r"::(notice|warning|error) title=[^:,]*::.*", line)
        assert not re.search(r"%(?!25|0A|0D|3A|2C)", line)


@hostile
def test_csv(name: str) -> None:
    found = named(name)
    for text in (records.render(found), several.as_csv([found])):
        assert is_plain(text)
        rows = list(csv.DictReader(io.StringIO(text)))
        assert len(rows) == len(BASE.layers) == text.count("\n") - 1
        for key in {"model", "name", "type", "shared_with"} & {*rows[0]}:
            value = rows[0][key]
            assert not value.lstrip().startswith(("=", "+", "-", "@"))
            assert value.startswith((plain(name), f"'{plain(name)}"))


@hostile
def test_json(name: str) -> None:
    found = named(name)
    text = document.render(found)
    assert is_plain(text)
    assert json.loads(text) == found.to_dict()
    assert read(text, name) == found


@pytest.mark.parametrize("name", ["zoo:\x1b[2J", "\u202e.py:make", "a\x9b.py:\x07"])
def test_complaints(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main(["count", name]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert is_plain(said)


def test_a_hostile_network_end_to_end(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        f"        for name in {NAMES!r}:\n"
        "            self.add_module(name.replace('.', ''), nn.Linear(4, 4))\n"
        "    def forward(self, x):\n"
        "        for module in self.children():\n"
        "            x = module(x)\n"
        "        return x\n"
    )
    for form in ("table", "json", "csv", "md", "github"):
        assert main(["count", "net.py:Net", "--input", "1x4", "--format", form]) == 0
        captured = capsys.readouterr()
        assert is_plain(captured.out), form
        assert captured.err == ""


def test_a_name_of_a_book_is_cut_in_tables_and_whole_in_documents() -> None:
    name = "x" * 20_000
    found = replace(
        named(name), notes=(), unsupported=(Unsupported(name, name, "unknown", ("macs",)),)
    )
    for text in (
        drawn(table.render(found)),
        drawn(difference.render(compare(BASE, found))),
        drawn(several.table([Entry(found, None, ())])),
    ):
        assert len(text.splitlines()) < 150
        assert "…" in text
    assert name not in markdown.render(replace(found, unsupported=()))
    after = replace(found, name="net", unsupported=())
    assert name not in markdown.difference(compare(BASE, after))
    assert json.loads(document.render(found))["layers"][0]["name"] == name
    assert name in records.render(found)
