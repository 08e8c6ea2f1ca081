"""A file as it stands in a git revision."""

from __future__ import annotations

import subprocess

from striate.errors import RequestError


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
