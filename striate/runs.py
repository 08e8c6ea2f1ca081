"""The run directory: a journal, whole-file writes, checkpoints and a lock, so that a killed run resumes.

A run is a list of steps. Each step has a key and a value (plain JSON data), and is a pure function
of the request, of the steps before it and of the checkpoints they name; so a run that was cut off
anywhere and goes on ends like one that was not. This module knows nothing of what the steps
compute.

The journal holds one line a finished step, appended and synced. Every other file appears whole or
not at all: it is written beside its place, synced, and renamed. One process at a time holds the
directory, by a lock on the journal that the kernel drops when the process ends, however it ends.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from striate.errors import RequestError
from striate.version import __version__

JOURNAL = "journal.jsonl"
REQUEST = "run.json"
CHECKPOINTS = "checkpoints"
_PART = ".part."
_PAGES = frozenset({REQUEST, JOURNAL, "result.json", "report.html"})

# What the surroundings of a run can refuse, and what to do about it; `{again}` is how to go on then. Any
# other OSError is a fault of ours.
_REMEDIES = {
    errno.ENOSPC: "the disk is full; free some space, then {again}",
    errno.EDQUOT: "the disk quota is used up; free some space, then {again}",
    errno.EFBIG: "the file grew larger than a limit allows; raise it, then {again}",
    errno.EACCES: "permission denied; choose a directory that you may write",
    errno.EPERM: "not permitted; choose a directory that you may write",
    errno.EROFS: "the file system is read-only; choose a directory that you may write",
    errno.ENOTDIR: "a part of the path is a file, not a directory; choose another path",
    errno.EISDIR: "a directory stands where a file is to be written; choose another path",
    errno.EEXIST: "a file stands where a directory is to be made; choose another path",
    errno.ENOENT: "the path does not exist or was removed meanwhile; choose another path",
    errno.ENAMETOOLONG: "the path is too long; choose a shorter one",
    errno.ELOOP: "the path runs through too many links; choose another path",
    errno.EIO: "the disk reports an input/output error; check it, then {again}",
    errno.ESTALE: "the network file system lost the directory; mount it again, then {again}",
    errno.ENOLCK: "the file system offers no locks; choose a directory on a local disk",
    errno.EOPNOTSUPP: "the file system does not support this; choose a directory on a local disk",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n)",
}


@contextmanager
def surroundings(
    path: Path, option: str = "--out", again: str = "run the same command with --resume"
) -> Iterator[None]:
    """Turn what the disk refuses at or under `path` into a `RequestError` of one line with a remedy.

    >>> with surroundings(Path("run")):
    ...     raise OSError(errno.ENOSPC, "No space left on device")
    Traceback (most recent call last):
    striate.errors.RequestError: --out run: the disk is full; free some space, ...
    """
    try:
        yield
    except OSError as error:
        named = error.filename if isinstance(error.filename, str | os.PathLike) else None
        elsewhere = named is not None and not _related(Path(named), path)
        if elsewhere or error.errno not in _REMEDIES:
            raise
        raise RequestError(
            f"{option} {path}: {_REMEDIES[error.errno].format(again=again)}"
        ) from error


def _related(named: Path, path: Path) -> bool:
    named, path = named.absolute(), path.absolute()
    return named.is_relative_to(path) or path.is_relative_to(named)


def write_whole(path: Path, data: bytes, option: str = "--out") -> None:
    """Write a file that belongs to no run, whole or not at all; `option` is what named it, for errors.

    Raises `RequestError` where the disk refuses it.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp()) / "page.html"
    >>> write_whole(place, b"hello")
    >>> place.read_bytes(), [entry.name for entry in place.parent.iterdir()]
    (b'hello', ['page.html'])
    """
    # No lock keeps a second process away, so each has a part of its own.
    part = path.with_name(f"{_PART}{os.getpid()}.{path.name}")
    with surroundings(path, option, "run the same command again"):
        try:
            with open(part, "wb") as file, _taken_away(part):
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                os.replace(part, path)
            _sync(path.parent)
        except OSError as error:
            if error.filename == os.fspath(part):  # whoever named `path` knows nothing of it
                error.filename = os.fspath(path)
            raise


@contextmanager
def _taken_away(part: Path) -> Iterator[None]:
    """Delete `part` if what is done with it fails."""
    try:
        yield
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def has_run(path: str | os.PathLike[str]) -> bool:
    """Whether a run was begun in the directory `path`: whether it holds a `run.json`."""
    path = Path(path)
    with surroundings(path, "--resume"):
        return (path / REQUEST).is_file()


def check_new(path: str | os.PathLike[str], expendable: Collection[str] = ()) -> None:
    """Raise `RequestError` unless a new run could be made at `path`; makes nothing.

    To be called before long work whose result is to go there. A run is in the way, unless its finished steps are
    all among the `expendable` ones and it has written nothing but pages about them.
    """
    path = Path(path)
    with surroundings(path):
        try:
            found = sorted(entry.name for entry in path.iterdir() if not _is_leftover(entry))
        except FileNotFoundError:
            return
        if expendable and REQUEST in found and {*found} <= _PAGES:
            data = (path / JOURNAL).read_bytes() if (path / JOURNAL).exists() else b""
            if {*_lines(data, path)[0]} <= {*expendable}:
                return
    if REQUEST in found:
        raise RequestError(
            f"--out {path}: holds a run already; add --resume to go on with it, "
            "or choose another directory"
        )
    if found:
        shown = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
        raise RequestError(f"--out {path}: the directory is not empty ({shown}); choose another")


def _is_leftover(entry: Path) -> bool:
    """What a run leaves that was killed before it had written its request."""
    return entry.name.startswith(_PART) or (entry.name == JOURNAL and entry.stat().st_size == 0)


class Run:
    """A run directory that this process holds, made by `Run.create` or opened again by `Run.resume`.

    Use it as a context manager: the lock is dropped at the end.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp()) / "run"
    >>> with Run.create(place, {"seed": 0}) as run:
    ...     run.step("measure/a", lambda: {"harm": 0.25})
    {'harm': 0.25}
    >>> with Run.resume(place) as run:
    ...     run.request["seed"], run.step("measure/a", lambda: {"harm": "not computed again"})
    (0, {'harm': 0.25})
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        """Take over an open, locked journal; users call `create` or `resume`."""
        self.path = path
        self.request: dict[str, Any] = {}
        self._journal: int | None = descriptor
        self._values: dict[str, str] = {}
        self._seconds: dict[str, float] = {}
        self._length = 0

    # ---- beginning and end

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        request: Mapping[str, Any],
        expendable: Collection[str] = (),
    ) -> Run:
        """Begin a run in a directory that is new or empty, and write `request` as its `run.json`.

        A run there that has only `expendable` steps, see `check_new`, makes way.
        Raises `RequestError` if the directory holds anything, cannot be written, or another
        process holds it.
        """
        path = Path(path)
        check_new(path, expendable)
        with surroundings(path):
            path.mkdir(parents=True, exist_ok=True)
        run = cls(path, _lock(path, os.O_CREAT))
        try:
            check_new(path, expendable)  # again, now that nobody else can begin one
            run._clear()
            run.write_json(REQUEST, {"schema": "striate.run/1", "striate": __version__, **request})
            run.request = run._read_request()
        except BaseException:
            run.close()
            raise
        return run

    @classmethod
    def resume(cls, path: str | os.PathLike[str]) -> Run:
        """Open a run again: every whole line of its journal stands, a torn last one is dropped.

        Raises `RequestError` if there is no run, it is damaged, or another process holds it.
        """
        path = Path(path)
        if not has_run(path):
            raise RequestError(
                f"--resume {path}: there is no run to go on with; leave --resume out to begin one"
            )
        run = cls(path, _lock(path, os.O_CREAT))
        try:
            run.request = run._read_request()
            with surroundings(path):
                run._read_journal()
                run._clear_parts()
        except BaseException:
            run.close()
            raise
        return run

    def close(self) -> None:
        """Drop the lock. The directory stays as it is; nothing is left to write."""
        if self._journal is not None:
            os.close(self._journal)
            self._journal = None

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ---- the journal

    def step(self, key: str, compute: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """The value of the step `key`: from the journal if it is there, else computed and journaled.

        The value must be plain JSON data (no NaN); what is returned has always been through JSON,
        so that a resumed run computes with the very values an unbroken one does. Journaled means
        synced to the disk.
        """
        if key not in self._values:
            start = time.perf_counter()
            value = json.dumps(compute(), allow_nan=False)
            self._append(key, value, round(time.perf_counter() - start, 3))
        return self.value(key)

    def value(self, key: str) -> dict[str, Any]:
        """The value of the finished step `key`; raises KeyError if it is not finished."""
        value: dict[str, Any] = json.loads(self._values[key])
        return value

    def __contains__(self, key: str) -> bool:
        """Whether the step `key` is finished."""
        return key in self._values

    @property
    def keys(self) -> tuple[str, ...]:
        """The finished steps, in the order in which they were journaled."""
        return tuple(self._values)

    @property
    def seconds(self) -> float:
        """What the finished steps took together, over all processes that worked on the run."""
        return sum(self._seconds.values())

    def _append(self, key: str, value: str, seconds: float) -> None:
        line = f'{{"key": {json.dumps(key)}, "seconds": {seconds}, "value": {value}}}\n'.encode()
        journal = self._held()
        with surroundings(self.path):
            # An append that failed or was interrupted before may have left a part of a line.
            os.ftruncate(journal, self._length)
            rest = line
            while rest:
                rest = rest[os.write(journal, rest) :]
            os.fsync(journal)
        self._length += len(line)
        self._values[key] = value
        self._seconds[key] = seconds

    def _read_journal(self) -> None:
        journal = self._held()
        data = (self.path / JOURNAL).read_bytes()
        entries, self._length = _lines(data, self.path)
        for key, (seconds, value) in entries.items():
            self._values[key] = json.dumps(value)
            self._seconds[key] = seconds
        if self._length < len(data):
            os.ftruncate(journal, self._length)
            os.fsync(journal)

    def _read_request(self) -> dict[str, Any]:
        try:
            with surroundings(self.path, "--resume"):
                request = json.loads((self.path / REQUEST).read_bytes())
        except ValueError as error:
            if isinstance(error, RequestError):
                raise
            request = None
        if not isinstance(request, dict) or request.get("schema") != "striate.run/1":
            raise RequestError(
                f"--resume {self.path}: {REQUEST} is not a striate.run/1 document; "
                "begin again in an empty directory"
            )
        return request

    def _held(self) -> int:
        if self._journal is None:
            raise RuntimeError(f"the run {self.path} is closed")
        return self._journal

    # ---- files

    def checkpoint(self, name: str) -> Path:
        """Where the checkpoint `name` is, or will be once it is written as `checkpoints/NAME`."""
        return self._inside(f"{CHECKPOINTS}/{name}")

    def write_json(self, name: str, document: Mapping[str, Any]) -> Path:
        """Write a JSON document whole, indented, as UTF-8; NaN is refused with `ValueError`."""
        text = json.dumps(document, indent=1, allow_nan=False)
        return self.write_bytes(name, f"{text}\n".encode())

    def write_bytes(self, name: str, data: bytes) -> Path:
        """Write a file whole."""
        with self.writer(name) as part:
            part.write_bytes(data)
        return self.path / name

    @contextmanager
    def writer(self, name: str) -> Iterator[Path]:
        """A path beside `name`, of the same suffix, to write to; it takes the name at the end, if nothing raised.

        A library that hides why it could not write (many raise RuntimeError) is seen through: if
        the disk has no room left after it failed, that is what the `RequestError` says.
        """
        self._held()
        target = self._inside(name)
        part = target.with_name(_PART + target.name)
        try:
            with surroundings(self.path):
                target.parent.mkdir(exist_ok=True)
                try:
                    yield part
                except OSError:
                    raise
                except Exception:
                    self.check_room()
                    raise
                _sync(part)
                os.replace(part, target)
                _sync(target.parent)
        except BaseException:
            if part.exists():
                part.unlink()
            raise

    def check_room(self) -> None:
        """Raise `RequestError` if the disk is full: for when a writer failed without a reason."""
        probe = self.path / f"{_PART}room"
        try:
            with surroundings(self.path):
                probe.write_bytes(bytes(1 << 16))
                _sync(probe)
        finally:
            if probe.exists():
                probe.unlink()

    def remove(self, name: str) -> None:
        """Delete a file of the run, if it is there: a checkpoint that no later step reads."""
        self._held()
        with surroundings(self.path):
            self._inside(name).unlink(missing_ok=True)

    def _inside(self, name: str) -> Path:
        parts = Path(name).parts
        if not parts or Path(name).is_absolute() or any(part.startswith(".") for part in parts):
            raise ValueError(f"Run: name={name!r} is not a plain path inside the run directory")
        return self.path / name

    def _clear(self) -> None:
        """Take away what a run that makes way has left; cut off anywhere, it still is one that makes way."""
        self._clear_parts()
        with surroundings(self.path):
            os.ftruncate(self._held(), 0)
            for name in ("result.json", "report.html", REQUEST):
                (self.path / name).unlink(missing_ok=True)

    def _clear_parts(self) -> None:
        for folder in (self.path, self.path / CHECKPOINTS):
            for part in folder.glob(f"{_PART}*"):
                part.unlink(missing_ok=True)


def _lines(data: bytes, path: Path) -> tuple[dict[str, tuple[float, Any]], int]:
    """The whole lines of a journal, by key: seconds and value; and how many bytes they are."""
    entries: dict[str, tuple[float, Any]] = {}
    length = 0
    lines = data.split(b"\n")[:-1]  # what follows the last newline is torn
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            entries[str(entry["key"])] = (float(entry["seconds"]), entry["value"])
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):  # a crash of the machine can leave a last line of zeros
                break
            raise RequestError(
                f"--resume {path}: line {number} of {JOURNAL} is damaged; "
                "begin again in an empty directory"
            ) from error
        length += len(line) + 1
    return entries, length


def _lock(path: Path, flags: int) -> int:
    with surroundings(path):
        descriptor = os.open(path / JOURNAL, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | flags, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _sync(path)
        except BlockingIOError as error:
            os.close(descriptor)
            raise RequestError(
                f"--out {path}: another process is working on this run; "
                "wait for it to end, or choose another directory"
            ) from error
        except BaseException:
            os.close(descriptor)
            raise
    return descriptor


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
