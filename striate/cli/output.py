"""What is printed where: results on standard output, progress and complaints on standard error."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TYPE_CHECKING, TextIO

from striate.errors import RequestError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from striate.jobs.progress import Progress


class Results:
    """Standard output, where results go; `stream` is None where it was closed before the start."""

    def __init__(self, stream: TextIO | None) -> None:
        self._given = stream

    @property
    def _stream(self) -> TextIO:
        if self._given is None:
            raise RequestError("standard output is closed; send it elsewhere, or take --quiet")
        return self._given

    @property
    def width(self) -> int:
        return self._console().width

    def print(self, what: RenderableType, *, as_json: bool = False) -> None:
        """Text as it is, anything else as Rich draws it. `as_json`: what cannot be encoded has JSON's escapes."""
        try:
            # Drawing touches the stream as well.
            text = f"{what}\n" if isinstance(what, str) else self._drawn(what)
            if as_json:
                text = _encodable(text, self._stream.encoding or "utf-8")
            self._stream.write(text)
            self._stream.flush()
        except OSError as error:
            # The interpreter would try again, and complain, when it flushes at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            if isinstance(error, BrokenPipeError):  # whoever reads has had enough
                return
            raise RequestError(
                f"standard output cannot be written: {error.strerror}; send it elsewhere"
            ) from error

    def _console(self) -> Console:
        from rich.console import Console

        return Console(file=self._stream)

    def _drawn(self, what: RenderableType) -> str:
        # Rich would end the process where it finds the pipe closed.
        console = self._console()
        with console.capture() as capture:
            console.print(what)
        return capture.get()


def _encodable(document: str, encoding: str) -> str:
    r"""A JSON document, its texts escaped where the encoding has not all of their signs.

    >>> print(_encodable('{"ö": "…"}', "utf-8"), _encodable('{"ö": "…"}', "latin-1"))
    {"ö": "…"} {"\u00f6": "\u2026"}
    """
    try:
        document.encode(encoding)
    except UnicodeEncodeError:
        return re.sub(r"[^\x00-\x7f]", lambda sign: json.dumps(sign[0])[1:-1], document)
    return document


def escape_what_cannot_be_encoded() -> None:
    """Have the process's own standard output write escapes, as standard error does, where it would raise."""
    stream = sys.stdout
    if (
        stream is sys.__stdout__  # else it is someone's who has put another in its place
        and isinstance(stream, io.TextIOWrapper)
        and stream.errors in ("strict", "surrogateescape")
    ):
        stream.reconfigure(errors="backslashreplace")


@contextmanager
def results(alone: bool) -> Iterator[Results]:
    """Where to print results; with `alone`, whatever else prints (the user's code may) goes to standard error."""
    found = Results(sys.stdout)
    if not alone:
        yield found
        return
    with redirect_stdout(sys.stderr):
        yield found


def progress(quiet: bool) -> Progress:
    from rich.console import Console

    from striate.jobs.progress import Silent, Terminal

    return Silent() if quiet else Terminal(Console(stderr=True))


def complain(line: str) -> None:
    from striate.ledger.render.plain import plain

    if sys.stderr is None:  # closed before the start: `print` would take standard output
        return
    with suppress(OSError):  # where nothing can be said, the exit code still tells
        print(plain(" ".join(line.split())), file=sys.stderr)
