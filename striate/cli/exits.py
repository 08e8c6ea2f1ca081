"""How a command ends: the exit codes, and Ctrl-C in a job that can go on."""

from __future__ import annotations

OK, FAULT, WRONG, UNMET, INTERRUPTED = 0, 1, 2, 3, 130


class Interrupted(Exception):
    """Ctrl-C in a job that can go on; the message says how."""
