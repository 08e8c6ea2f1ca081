"""What can go wrong on the user's side, as exceptions that the command line can tell apart.

Everything here is a `ValueError`, so Python callers need no import to catch it. Any other exception that
reaches the command line is a fault of striate itself, and is reported as one.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_OURS = str(Path(__file__).resolve().parent)
_TORCHS = re.compile(r"site-packages[/\\\\](torch|functorch)[/\\\\]")


class RequestError(ValueError):
    """The request, or what surrounds it (a file, the disk, a device), is wrong: exit code 2.

    The message is one line: the argument, the value given, what is expected, what to try.
    """


class UserCodeError(RequestError):
    """Code that the user gave raised an exception; the message shows its type, text, file and line."""


class MissingExtra(RequestError):
    """A package of an optional extra is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f'{what} needs an extra: pip install "striate[{extra}]", or in a clone of it pip install ".[{extra}]"'
        )
        self.extra = extra


class UnreachableBudget(RequestError):
    """No choice of rungs meets the budget: exit code 3. `smallest` gives the least value per metric."""

    def __init__(self, message: str, smallest: Mapping[str, int]) -> None:
        super().__init__(message)
        self.smallest = dict(smallest)


@contextmanager
def user_code(what: str) -> Iterator[None]:
    """Turn any exception raised inside into a `UserCodeError` that points into the user's file.

    Wrap nothing but a call into code that the user gave.

    >>> with user_code("model factory net.py:make"):
    ...     raise KeyError("depth")
    Traceback (most recent call last):
    striate.errors.UserCodeError: model factory net.py:make raised KeyError: 'depth' (...)
    """
    try:
        yield
    except RequestError:
        raise
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        theirs = [
            frame
            for frame in frames
            if not frame.filename.startswith(_OURS) and not _TORCHS.search(frame.filename)
        ]
        # The deepest frame outside striate and outside installed packages is the line they can mend.
        own = [frame for frame in theirs if "site-packages" not in frame.filename] or theirs
        place = f" ({own[-1].filename}:{own[-1].lineno})" if own else ""
        text = " ".join(str(error).split()) or "(no message)"
        raise UserCodeError(f"{what} raised {type(error).__name__}: {text}{place}") from error


def clipped(text: str, most: int = 200) -> str:
    """The text without its middle where it is longer than `most` characters, as no message or table has room for it.

    >>> clipped("1234567890", 5), clipped("12345", 5)
    ('12…90', '12345')
    """
    if len(text) <= most:
        return text
    return f"{text[: most // 2]}…{text[len(text) - (most - 1) // 2 :]}"


def refuse_long(option: str, text: str, most: int = 200) -> None:
    """Raise RequestError for a value that is longer than any that is meant: Python itself refuses long numbers.

    >>> refuse_long("--budget", "1" * 5000)
    Traceback (most recent call last):
    striate.errors.RequestError: --budget 111111111111111…11111111111111: has 5,000 characters; expected at most 200
    """
    if len(text) > most:
        raise RequestError(
            f"{option} {clipped(text, 30)}: has {len(text):,} characters; expected at most {most}"
        )
