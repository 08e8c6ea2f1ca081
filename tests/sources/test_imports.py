"""Functions and classes named on a command line."""

from __future__ import annotations

import dataclasses
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from striate.errors import RequestError, UserCodeError
from striate.sources.imports import load_callable

SOURCE = """
from __future__ import annotations
from dataclasses import dataclass, field
from typing import ClassVar

@dataclass
class Point:
    kind: ClassVar[str] = "point"
    x: int = 0
    tags: list[str] = field(default_factory=list)

class Outer:
    class Inner:
        pass

number = 3
"""


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    modules = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def test_classes_of_a_file_can_be_pickled_and_are_dataclasses(tmp_path: Path) -> None:
    file = tmp_path / "my-net.py"
    file.write_text(SOURCE)
    point = load_callable(f"{file}:Point", "MODEL")
    assert pickle.loads(pickle.dumps(point(x=2))) == point(x=2)
    assert [entry.name for entry in dataclasses.fields(point)] == ["x", "tags"]  # type: ignore[arg-type]
    assert load_callable(f"{file}:Outer.Inner", "MODEL").__name__ == "Inner"
    assert list(tmp_path.iterdir()) == [file]  # no __pycache__ beside the user's file


def test_a_file_is_loaded_once_until_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text("def make(): return 1\n")
    first = load_callable(f"{file}:make", "MODEL")
    assert load_callable(f"{file}:make", "MODEL") is first
    file.write_text("def make(): return 2\n")
    assert load_callable(f"{file}:make", "MODEL")() == 2
    assert first() == 1


def test_a_file_hides_no_module_and_finds_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_json.py").write_text("value = 7\n")
    file = tmp_path / "json.py"
    file.write_text(
        "import json, neighbour_of_json\ndef make(): return json.dumps(neighbour_of_json.value)\n"
    )
    assert load_callable(f"{file}:make", "MODEL")() == "7"
    import json

    assert json.__file__ != str(file)


def test_a_file_that_raises_leaves_nothing_in_sys_modules(tmp_path: Path) -> None:
    file = tmp_path / "broken_net.py"
    file.write_text("x = 1\nraise KeyError('depth')\n")
    with pytest.raises(UserCodeError, match=r"KeyError: 'depth' \(.*broken_net.py:2\)"):
        load_callable(f"{file}:make", "MODEL")
    assert not [name for name in sys.modules if name.startswith("broken_net")]


def test_a_module_in_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pack_here").mkdir()
    (tmp_path / "pack_here" / "net.py").write_text("def make(): return 5\n")
    monkeypatch.chdir(tmp_path)
    assert load_callable("pack_here.net:make", "MODEL")() == 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no_such_module_x:make", "no module named 'no_such_module_x'"),
        ("json.no_such:make", r"no module named 'json.no_such'"),
        ("json:dump_", "has no 'dump_'; it has dump"),
        ("json:__version__", "cannot be called"),
        ("json", "expected package.module:name"),
        (":make", "expected package.module:name"),
        ("not a module:make", "expected package.module:name"),
        ("missing.py:make", "no file missing.py"),
    ],
)
def test_what_is_not_there(text: str, expected: str) -> None:
    with pytest.raises(RequestError, match=expected) as caught:
        load_callable(text, "--transform")
    assert "--transform" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, UserCodeError)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def make(:\n", r"SyntaxError: .*net.py:1\)"),
        ("import sys\nsys.exit(0)\n", "SystemExit: 0; keep what runs"),
        ("import no_such_thing_at_all\n", "ModuleNotFoundError.*no_such_thing_at_all"),
        ("def build(): pass\n", "has no 'make'; it has build"),
        ("make = 3\n", "a int, which cannot be called"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, source: str, expected: str) -> None:
    file = tmp_path / "net.py"
    file.write_text(source)
    with pytest.raises(RequestError, match=expected):
        load_callable(f"{file}:make", "MODEL")


def test_a_module_whose_own_import_fails_is_the_users_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net_with_import.py").write_text("import no_such_thing_at_all\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserCodeError, match=r"no_such_thing_at_all.*net_with_import.py:1"):
        load_callable("net_with_import:make", "MODEL")


def test_a_file_without_a_name_lists_what_it_defines(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text(SOURCE)
    with pytest.raises(RequestError, match=r"net.py:NAME; it defines Point, Outer"):
        load_callable(str(file), "MODEL")


def test_what_a_file_has_is_what_it_defines(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text(
        "import os\nimport sys as system\nfrom json import dumps\ndef make(): pass\nclass Net: pass\n"
    )
    with pytest.raises(RequestError, match=r"no 'nope'; it has (Net, make|make, Net)$"):
        load_callable(f"{file}:nope", "MODEL")
    file.write_text("import os\nfrom json import dumps\n")
    with pytest.raises(RequestError, match=r"no 'nope'; it has dumps$"):
        load_callable(f"{file}:nope", "MODEL")
    with pytest.raises(RequestError, match=r"no 'nope'; it has nothing public$"):
        load_callable("math:pi.nope", "MODEL")


@pytest.mark.parametrize("place", [f"{'a' * 300}.py", "~nobody-of-that-name/net.py", "loop.py"])
def test_places_where_no_file_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop.py").symlink_to("loop.py")
    with pytest.raises(RequestError, match="no file "):
        load_callable(f"{place}:make", "MODEL")
