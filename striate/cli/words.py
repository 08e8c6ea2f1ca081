"""The words of a command line: read as pairs, and written again as they were given."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence

from striate.errors import RequestError


def pairs(texts: Sequence[str] | None) -> Mapping[str, object]:
    """`--model-arg`'s KEY=VALUE texts; a value is read as JSON where it is JSON.

    >>> pairs(["hidden=512", "bias=false", "activation=relu"])
    {'hidden': 512, 'bias': False, 'activation': 'relu'}
    """
    found: dict[str, object] = {}
    for text in texts or ():
        key, separator, value = text.partition("=")
        if not separator or not key.isidentifier():
            raise RequestError(f"--model-arg {text}: expected KEY=VALUE, such as hidden=512")
        try:
            found[key] = json.loads(value)
        except (ValueError, RecursionError):
            found[key] = value
    return found


def command_line() -> str:
    """What this process was called with, to be shown and run again."""
    return shlex.join(["striate", *sys.argv[1:]])
