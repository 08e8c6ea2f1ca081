"""The commands in their order, and errors to exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from striate.cli.count import count
from striate.cli.doctor import doctor
from striate.cli.evaluate import evaluate
from striate.cli.exits import FAULT, INTERRUPTED, OK, UNMET, WRONG, Interrupted
from striate.cli.explain import explain
from striate.cli.faults import logged
from striate.cli.options import Version
from striate.cli.output import complain, escape_what_cannot_be_encoded
from striate.cli.report import report
from striate.cli.shrink import shrink
from striate.errors import RequestError, UnreachableBudget

#: In the order of `striate --help`; each is called as its function is.
COMMANDS = (count, shrink, evaluate, report, explain, doctor)

# The plain help is quick; the coloured one costs as much again as all else that starts.
app = typer.Typer(
    name="striate",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback()
def _top(version: Version = False) -> None:
    """Smaller vision networks by local connectivity, weight sharing and pooling.

    Example: striate shrink zoo:digits --data digits --pretrain 10 --budget 10% --out run
    """


for command in COMMANDS:
    app.command(command.__name__)(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code. Never raises but for faults of Python itself."""
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    known = any(given[0] == command.__name__ for command in COMMANDS)
    where = f"striate {given[0]}" if known else "striate"
    escape_what_cannot_be_encoded()
    try:
        code = app(args=given, prog_name="striate", standalone_mode=False)
        if code == INTERRUPTED:
            complain(f"{where}: interrupted")
        return int(code or OK)
    except UnreachableBudget as error:
        complain(f"{where}: {error}")
        return UNMET
    except RequestError as error:
        complain(f"{where}: {error}")
        return WRONG
    except (Interrupted, KeyboardInterrupt, typer.Abort) as stop:
        complain(f"{where}: {stop if isinstance(stop, Interrupted) else 'interrupted'}")
        return INTERRUPTED
    except Exception as error:
        if _is_usage(error):
            complain(f"{where}: {_usage(error)}; see {where} --help")
            return WRONG
        complain(f"{where}: a fault of striate: {logged(error)}")
        return FAULT


# `BadParameter` is the part of the argument parser's errors that typer shows; the class of all of them is above it.
_USAGE = typer.BadParameter.__mro__[1]


def _is_usage(error: Exception) -> bool:
    return isinstance(error, _USAGE)


def _usage(error: Exception) -> str:
    message = getattr(error, "format_message", lambda: str(error))()
    return " ".join(str(message).split()).rstrip(".")
