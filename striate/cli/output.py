"""What is printed where: results on standard output, progress and complaints on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, TextIO

from striate.errors import RequestError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from striate.jobs.progress import Progress


class Results:
    """Standard output, where results go."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def width(self) -> int:
        return self._console().width

    def print(self, what: RenderableType) -> None:
        """Text as it is, anything else as Rich draws it."""
        try:
            self._stream.write(f"{what}\n" if isinstance(what, str) else self._drawn(what))
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

    print(plain(" ".join(line.split())), file=sys.stderr)
