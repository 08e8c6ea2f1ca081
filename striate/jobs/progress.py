"""What a job says while it works: lines and bars, on a terminal, or nowhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import Console

Advance = Callable[[int], None]


class Progress(Protocol):
    """Where a job reports to. It never changes what the job computes."""

    def say(self, text: str) -> None:
        """Report one finished thing, as a line of plain text."""

    def bar(self, total: int | None, label: str) -> AbstractContextManager[Advance]:
        """A bar of `total` units of work, None where that is not known.

        What it gives is called with the units done since.
        """


class Silent:
    """Reports nowhere.

    >>> with Silent().bar(3, "epochs") as advance:
    ...     advance(3)
    """

    def say(self, text: str) -> None:
        pass

    @contextmanager
    def bar(self, total: int | None, label: str) -> Iterator[Advance]:
        yield lambda _: None


class Terminal:
    """Lines, and bars that vanish when they are done; the bars only where `console` is a terminal.

    A bar inside a bar is not shown.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = False

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def bar(self, total: int | None, label: str) -> Iterator[Advance]:
        if not self._console.is_terminal or self._live:
            yield lambda _: None
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console, transient=True) as shown:
            task = shown.add_task(label, total=total)
            self._live = True
            try:
                yield lambda done: shown.advance(task, done)
            finally:
                self._live = False
