"""The run directory: nothing is lost, whatever happens to process, disk or neighbours."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate import runs
from striate.errors import RequestError
from striate.runs import Run, check_new, has_run, write_whole


def begin(path: Path, steps: int = 3) -> bytes:
    with Run.create(path, {"seed": 7}) as run:
        for number in range(steps):
            run.step(f"step/{number}", lambda number=number: {"value": number / 3})
    return (path / runs.JOURNAL).read_bytes()


def refuse(*_: object) -> dict[str, Any]:
    raise AssertionError("a finished step was computed again")


# ---- the journal


def test_a_finished_step_is_not_computed_again(tmp_path: Path) -> None:
    journal = begin(tmp_path / "run")
    with Run.resume(tmp_path / "run") as run:
        assert run.request["seed"] == 7
        assert run.request["schema"] == "striate.run/1"
        assert run.keys == ("step/0", "step/1", "step/2")
        assert run.step("step/1", refuse) == {"value": 1 / 3}
        assert "step/1" in run
        assert "step/3" not in run
    assert (tmp_path / "run" / runs.JOURNAL).read_bytes() == journal


def test_every_cut_keeps_the_whole_lines_and_drops_the_torn_one(tmp_path: Path) -> None:
    whole = begin(tmp_path / "run", steps=2)
    path = tmp_path / "run" / runs.JOURNAL
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        with Run.resume(tmp_path / "run") as run:
            kept = whole[:cut].count(b"\n")
            assert len(run.keys) == kept
            assert path.read_bytes() == b"".join(whole.splitlines(keepends=True)[:kept])
            run.step("next", lambda: {"value": 1})
        lines = path.read_bytes().splitlines()
        assert lines[:kept] == whole.splitlines()[:kept]
        assert json.loads(lines[-1])["key"] == "next"


def test_a_last_line_of_zeros_is_dropped_but_damage_inside_is_refused(tmp_path: Path) -> None:
    whole = begin(tmp_path / "run")
    path = tmp_path / "run" / runs.JOURNAL
    path.write_bytes(whole + bytes(40) + b"\n")
    with Run.resume(tmp_path / "run") as run:
        assert len(run.keys) == 3
    assert path.read_bytes() == whole
    path.write_bytes(whole.replace(b'"step/1"', b"step/1"))
    with pytest.raises(RequestError, match=r"line 2 of journal.jsonl is damaged"):
        Run.resume(tmp_path / "run")


def test_values_are_the_same_before_and_after_a_resume(tmp_path: Path) -> None:
    value: Any = {
        "tuple": (1, 2),
        "third": 1 / 3,
        "tiny": 5e-324,
        "text": 'é"\n\u2028\ud800',
        3: None,
    }
    with Run.create(tmp_path / "run", {}) as run:
        first = run.step("a\nkey", lambda: value)
        first["tuple"].append(3)  # what a caller does to its copy stays with the caller
        second = run.step("a\nkey", refuse)
    with Run.resume(tmp_path / "run") as run:
        third = run.step("a\nkey", refuse)
    assert second == third
    assert third["tuple"] == [1, 2]
    assert third["third"] == 1 / 3
    assert third["text"] == value["text"]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.text(),
            st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(),
        ),
        max_size=5,
    ),
    st.integers(0, 2**16),
)
def test_a_journal_cut_anywhere_gives_back_a_prefix(
    values: list[dict[str, Any]], where: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "run"
        with Run.create(place, {}) as run:
            for number, value in enumerate(values):
                run.step(str(number), lambda value=value: value)
        journal = place / runs.JOURNAL
        data = journal.read_bytes()
        journal.write_bytes(data[: where % (len(data) + 1)])
        with Run.resume(place) as run:
            kept = len(run.keys)
            for number, value in enumerate(values):
                assert run.step(str(number), lambda value=value: value) == value
        assert journal.read_bytes().splitlines()[:kept] == data.splitlines()[:kept]


def test_seconds_add_up_over_processes(tmp_path: Path) -> None:
    begin(tmp_path / "run", steps=1)
    journal = tmp_path / "run" / runs.JOURNAL
    lines = [
        '{"key": "a", "seconds": 1.5, "value": {}}',
        '{"key": "b", "seconds": 2.25, "value": {}}',
    ]
    journal.write_text("\n".join([*lines, ""]))
    with Run.resume(tmp_path / "run") as run:
        assert run.seconds == 3.75


def test_a_step_that_raises_leaves_no_line(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", {}) as run:
        with pytest.raises(ZeroDivisionError):
            run.step("a", lambda: {"value": 1 / 0})
        with pytest.raises(ValueError, match="JSON"):
            run.step("a", lambda: {"value": float("nan")})
        with pytest.raises(KeyboardInterrupt):
            run.step("a", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    assert (tmp_path / "run" / runs.JOURNAL).read_bytes() == b""


# ---- files


def fail_half_way(run: Run, name: str) -> None:
    with run.writer(name) as part:
        part.write_text("half")
        raise RuntimeError("half way")


def fail_without_a_reason(run: Run, name: str) -> None:
    with run.writer(name) as part:
        try:
            part.write_bytes(bytes(1 << 20))
        except OSError as error:
            raise RuntimeError("a library that hides the reason") from error


def fill(path: Path) -> None:
    with open(path, "wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))


def test_files_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", {}) as run:
        run.write_json("result.json", {"schema": "striate.x/1", "n": 1})
        with pytest.raises(RuntimeError, match="half way"):
            fail_half_way(run, "result.json")
        assert json.loads((run.path / "result.json").read_text())["n"] == 1
        with run.writer("model.pt2") as part:
            assert part.suffix == ".pt2"
            assert part.parent == run.path
            part.write_bytes(b"model")
            assert not (run.path / "model.pt2").exists()
        assert (run.path / "model.pt2").read_bytes() == b"model"
        run.write_bytes("checkpoints/a.pt", b"state")
        assert run.checkpoint("a.pt").read_bytes() == b"state"
        run.remove("checkpoints/a.pt")
        run.remove("checkpoints/a.pt")
        assert not run.checkpoint("a.pt").exists()
        with pytest.raises(ValueError, match="JSON"):
            run.write_json("result.json", {"n": float("inf")})
    assert sorted(entry.name for entry in run.path.iterdir()) == [
        "checkpoints",
        "journal.jsonl",
        "model.pt2",
        "result.json",
        "run.json",
    ]


@pytest.mark.parametrize("name", ["", "/etc/x", "../x", "checkpoints/../../x", ".part.x", "."])
def test_names_stay_inside(tmp_path: Path, name: str) -> None:
    with Run.create(tmp_path / "run", {}) as run, pytest.raises(ValueError, match="plain path"):
        run.write_bytes(name, b"")


def test_parts_of_a_killed_process_are_swept(tmp_path: Path) -> None:
    begin(tmp_path / "run")
    (tmp_path / "run" / "checkpoints").mkdir()
    for name in (".part.result.json", "checkpoints/.part.a.pt"):
        (tmp_path / "run" / name).write_text("torn")
    with Run.resume(tmp_path / "run") as run:
        assert not list(run.path.rglob(".part.*"))


def test_closed_is_closed(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", {})
    run.close()
    run.close()
    with pytest.raises(RuntimeError, match="closed"):
        run.step("a", dict)
    with pytest.raises(RuntimeError, match="closed"):
        run.write_bytes("a", b"")


# ---- whose directory it is


def test_a_directory_in_use_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    for attempt in (check_new, lambda path: Run.create(path, {})):
        with pytest.raises(RequestError, match=r"--out .* is not empty \(mine.txt\)"):
            attempt(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.txt"]
    begin(tmp_path / "run")
    with pytest.raises(RequestError, match="--resume"):
        Run.create(tmp_path / "run", {})
    assert has_run(tmp_path / "run")


def test_what_a_kill_before_the_request_leaves_can_be_begun_again(tmp_path: Path) -> None:
    (tmp_path / runs.JOURNAL).touch()
    (tmp_path / ".part.run.json").write_text("{")
    assert not has_run(tmp_path)
    with Run.create(tmp_path, {"seed": 1}) as run:
        assert run.request["seed"] == 1
        assert not (tmp_path / ".part.run.json").exists()


def test_a_run_that_has_only_expendable_steps_makes_way(tmp_path: Path) -> None:
    place = tmp_path / "run"
    with Run.create(place, {"seed": 1}) as run:
        run.step("look", dict)
        run.write_json("result.json", {"status": "unreachable"})
        with pytest.raises(RequestError, match="another process"):
            Run.create(place, {"seed": 2}, expendable=["look"])
    with pytest.raises(RequestError, match="holds a run already"):
        Run.create(place, {"seed": 2})
    with Run.create(place, {"seed": 2}, expendable=["look"]) as run:
        assert run.request["seed"] == 2
        assert run.keys == ()
        assert not (place / "result.json").exists()
        run.step("look", dict)
        run.step("train", dict)
    with pytest.raises(RequestError, match="holds a run already"):
        Run.create(place, {"seed": 3}, expendable=["look"])
    with Run.resume(place) as run:
        assert run.request["seed"] == 2
        assert run.keys == ("look", "train")


def test_resume_needs_a_run(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no run to go on with"):
        Run.resume(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    begin(tmp_path / "run")
    for text in ("{", "[]", '{"schema": "striate.shrink/1"}'):
        (tmp_path / "run" / runs.REQUEST).write_text(text)
        with pytest.raises(RequestError, match=r"not a striate.run/1 document"):
            Run.resume(tmp_path / "run")


def test_two_processes_cannot_hold_one_run(tmp_path: Path) -> None:
    script = (
        "import sys, time; from striate.runs import Run; run = Run.create(sys.argv[1], {});"
        "run.step('a', dict); print('held', flush=True); time.sleep(60)"
    )
    place = tmp_path / "run"
    command = [sys.executable, "-c", script, str(place)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        before = (place / runs.JOURNAL).read_bytes()
        with pytest.raises(RequestError, match="another process"):
            Run.resume(place)
        assert (place / runs.JOURNAL).read_bytes() == before
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with Run.resume(place) as run:  # the kernel dropped the lock with the process
        assert run.keys == ("a",)
        with pytest.raises(RequestError, match="another process"):
            Run.resume(place)


# ---- what the disk refuses


CODES = [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO]


def injected(code: int, after: int) -> Callable[..., Any]:
    """A stand-in for os.write that writes `after` bytes and then fails."""
    real, left = os.write, [after]

    def write(descriptor: int, data: bytes) -> int:
        if left[0] == 0:
            raise OSError(code, os.strerror(code))
        done = real(descriptor, data[: left[0]])
        left[0] -= done
        return done

    return write


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("after", [0, 1, 20])
def test_a_failed_append_is_a_request_error_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, after: int
) -> None:
    whole = begin(tmp_path / "run")
    with Run.resume(tmp_path / "run") as run:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", injected(code, after))
            with pytest.raises(RequestError, match=r"^--out .*; ") as caught:
                run.step("next", lambda: {"value": 1})
            assert "\n" not in str(caught.value)
        assert "next" not in run
        torn = (tmp_path / "run" / runs.JOURNAL).read_bytes()
        assert torn[: len(whole)] == whole
        assert len(torn) == len(whole) + after
        run.step("next", lambda: {"value": 2})  # the same process may go on once there is room
    with Run.resume(tmp_path / "run") as run:
        assert run.step("next", refuse) == {"value": 2}
        assert len(run.keys) == 4


@pytest.mark.parametrize("function", ["fsync", "replace"])
@pytest.mark.parametrize("code", CODES)
def test_a_failed_whole_write_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, function: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    with Run.create(tmp_path / "run", {}) as run:
        run.write_bytes("plan.json", b"old")
        with monkeypatch.context() as patch:
            patch.setattr(os, function, fail)
            with pytest.raises(RequestError, match=r"^--out "):
                run.write_bytes("plan.json", b"new")
        assert (run.path / "plan.json").read_bytes() == b"old"
        assert not list(run.path.glob(".part.*"))


@pytest.mark.parametrize("function", ["fsync", "replace"])
@pytest.mark.parametrize("code", CODES)
def test_a_failed_write_of_a_file_of_no_run_keeps_the_old_one_and_speaks_of_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, function: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    page = tmp_path / "page.html"
    write_whole(page, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, function, fail)
        with pytest.raises(RequestError, match=rf"^--out {page}: ") as caught:
            write_whole(page, b"new")
    assert "--resume" not in str(caught.value)
    assert page.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [page]


def test_a_file_that_cannot_be_made_is_named_as_it_was_given(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=rf"^--page {tmp_path}/none/a: the path does not exist"):
        write_whole(tmp_path / "none" / "a", b"", "--page")
    assert not list(tmp_path.iterdir())


def test_an_error_that_is_not_the_disks_passes_through(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", {}) as run:
        with pytest.raises(FileNotFoundError), run.writer("a"):
            Path("/no/such/file/of/the/caller").read_bytes()
        with pytest.raises(OSError, match="odd") as caught, run.writer("a"):
            raise OSError(errno.EBADF, "odd")
        assert not isinstance(caught.value, RequestError)


@pytest.mark.parametrize("inside", ["", "deeper/run"])
def test_a_path_through_a_file(tmp_path: Path, inside: str) -> None:
    (tmp_path / "file").write_text("keep")
    with pytest.raises(RequestError, match="is a file, not a directory"):
        Run.create(tmp_path / "file" / inside, {})
    assert (tmp_path / "file").read_text() == "keep"


def test_a_path_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="too long"):
        Run.create(tmp_path / ("x" * 300), {})
    with pytest.raises(RequestError, match=r"^--out /proc/none"):
        Run.create("/proc/none/run", {})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_directory(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RequestError, match="permission denied"):
        Run.create(tmp_path / "run", {})


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here; the injected errors stand in for it")
    try:
        with Run.create(disk / "run", {}) as run:
            run.step("a", lambda: {"value": 1})
            run.write_bytes("plan.json", b"old")
            with pytest.raises(RequestError, match="the disk is full"):
                run.write_bytes("plan.json", bytes(1 << 20))
            with pytest.raises(RequestError, match="the disk is full"):
                fail_without_a_reason(run, "model.pt2")
            with pytest.raises(OSError, match="space"):
                fill(disk / "filler")
            with pytest.raises(RequestError, match="the disk is full"):
                run.step("b", lambda: {"value": "x" * 8192})
        (disk / "filler").unlink()
        with Run.resume(disk / "run") as run:
            assert run.keys == ("a",)
            assert run.step("b", lambda: {"value": 2}) == {"value": 2}
            assert (run.path / "plan.json").read_bytes() == b"old"
    finally:
        subprocess.run(["umount", str(disk)], check=True)
