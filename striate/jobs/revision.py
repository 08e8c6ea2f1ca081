"""A file as it stands in the working tree or in a git revision."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from striate.errors import RequestError


def saved_document(against: str) -> bytes | None:
    """The content of the file that `--against` names; None where there is no such file.

    Raises RequestError where it is no regular file (reading a pipe may never end) or cannot be read.
    """
    if os.path.lexists(against) and not os.path.isfile(against):
        kind = "a directory" if os.path.isdir(against) else "no regular file"
        raise RequestError(f"--against {against}: {kind}; give a ledger, saved as .json")
    if not os.path.isfile(against):
        return None
    try:
        return Path(against).read_bytes()
    except OSError as error:
        raise RequestError(f"--against {against}: cannot be read: {error.strerror}") from error


def in_revision(revision: str, name: str, where: str, remedy: str) -> bytes:
    """The content of the file `name`, which is found from the current directory.

    `where` begins the messages, `remedy` ends that of a file or revision that git does not know. Raises
    RequestError, with git's reason, where there is no such file, and for a revision that git would take for an option:
    some of its options write files.

    >>> in_revision("--output=x", "ledger.json", "--against", "commit it")
    Traceback (most recent call last):
    striate.errors.RequestError: --against: '--output=x' is no revision; expected REVISION:FILE.json, ...
    """
    if revision.startswith("-") or "\0" in revision + name:
        raise RequestError(
            f"{where}: {revision!r} is no revision; expected REVISION:FILE.json, as in main:ledger.json"
        )
    place = f"{revision}:{name}" if name.startswith("/") else f"{revision}:./{name}"
    try:
        shown = subprocess.run(
            ["git", "show", "--no-textconv", "--end-of-options", place],
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise RequestError(
            f"{where}: git cannot be run ({error.strerror}); give a file, or install git"
        ) from error
    if shown.returncode:
        reason = " ".join(shown.stderr.decode(errors="replace").split())
        raise RequestError(f"{where}: git says: {reason}; {remedy}")
    return shown.stdout
