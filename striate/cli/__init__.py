"""The command line: arguments to calls, errors to exit codes.

Nothing that imports torch is imported before a command runs, so that `--help` answers at once.
"""

from striate.cli.app import main

__all__ = ["main"]
