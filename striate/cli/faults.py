"""A fault of striate: its traceback in a file, and the line that says so."""

from __future__ import annotations

import sys
import tempfile
import traceback

from striate.cli.words import command_line
from striate.version import __version__


def logged(error: Exception) -> str:
    """Write the traceback to a file; the line that says so, and what was wrong."""
    text = "".join(traceback.format_exception(error))
    first = f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
    try:
        descriptor, path = tempfile.mkstemp(prefix="striate-fault-", suffix=".log")
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as log:
            log.write(f"striate {__version__}, Python {sys.version}\n{command_line()}\n\n{text}")
    except OSError as refused:
        print(text, file=sys.stderr)
        return (
            f"{first}; its traceback stands above, as no log could be written ({refused.strerror})"
        )
    return f"{first}; please report it with {path}"
