"""The command line: arguments to calls, errors to exit codes.

Nothing that imports torch is imported before a command runs, so that `--help` answers at once.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from striate.errors import RequestError, UnreachableBudget
from striate.version import __version__

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from striate.jobs.progress import Progress

OK, FAULT, WRONG, UNMET, INTERRUPTED = 0, 1, 2, 3, 130
#: What `striate count` prints.
FORMATS = ("table", "json", "csv", "md", "html", "github")

# The plain help is quick; the coloured one costs as much again as all else that starts.
app = typer.Typer(
    name="striate",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


class Interrupted(Exception):
    """Ctrl-C in a job that can go on; the message says how."""


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"striate {__version__}")
        raise typer.Exit


def _directory(text: str) -> Path:
    if not text:
        raise typer.BadParameter("expected the name of a directory; without --out one is made")
    return Path(text)


Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="The result as JSON on standard output, all else on standard error."
    ),
]
Version = Annotated[
    bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
]
ModelArg = Annotated[
    list[str] | None,
    typer.Option(
        "--model-arg", metavar="KEY=VALUE", help="An argument of the model's factory; repeatable."
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Weights: .safetensors, or a .pt/.pth state dict (nothing is unpickled).",
    ),
]
WeightsKey = Annotated[
    str | None, typer.Option(metavar="KEY", help="Where in the --weights file the state dict is.")
]
Split = Annotated[
    str | None, typer.Option(metavar="A/B/C", help="How to divide data that is not: 80/10/10.")
]
Size = Annotated[str | None, typer.Option(metavar="HxW", help="Resize pictures to rows x columns.")]
Mean = Annotated[
    str | None,
    typer.Option(metavar="A,B,C", help="Mean per channel; default: that of the training rows."),
]
Std = Annotated[
    str | None, typer.Option(metavar="A,B,C", help="Standard deviation per channel, likewise.")
]
Channels = Annotated[str | None, typer.Option(metavar="rgb|bgr|grey", help="Channels of pictures.")]
Layout = Annotated[str | None, typer.Option(metavar="CxHxW", help="The map that flat data hold.")]
Transform = Annotated[
    str | None,
    typer.Option(metavar="MODULE:FN", help="A function of a batch, before mean and std."),
]
Device = Annotated[str, typer.Option(metavar="NAME", help="cpu, cuda, cuda:N or mps.")]


@app.callback()
def _top(version: Version = False) -> None:
    """Smaller vision networks by local connectivity, weight sharing and pooling.

    Example: striate shrink zoo:digits --data digits --pretrain 10 --budget 10% --out run
    """


@app.command()
def count(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="zoo:NAME, package.module:factory, file.py:factory, a run directory, .onnx or .pt2; "
            "without it, all that pyproject.toml lists.",
        ),
    ] = None,
    input_: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="SHAPE",
            help="1x3x224x224; NAME=... for a keyword; :int64 for a type.",
        ),
    ] = None,
    model_arg: ModelArg = None,
    batch_dim: Annotated[
        str, typer.Option(metavar="0|none", help="none: the inputs have no batch.")
    ] = "0",
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="table|json|csv|md|html|github",
            help="How to print the ledger; github: annotations.",
        ),
    ] = "table",
    budget: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LIMIT", help="A gate: 200k, macs=30M, bytes=500KB, peak=1MB ...; repeatable."
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="OTHER",
            help="Compare with a model, a saved ledger (.json), or one in git (REVISION:FILE.json).",
        ),
    ] = None,
    max_growth: Annotated[
        str | None,
        typer.Option(metavar="N%", help="A gate: how much larger than --against it may be."),
    ] = None,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Let gates pass that could not be judged.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Of the models in pyproject.toml; repeatable."),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(metavar="N", help="Modules to this depth of names, what is below in one row."),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Rows with the most first: params, macs, activation, elementwise, saved.",
        ),
    ] = None,
    filter_: Annotated[
        str | None,
        typer.Option(
            "--filter", metavar="PATTERN", help="Rows whose name or kind is like it: 'Conv*'."
        ),
    ] = None,
    unfold: Annotated[
        bool, typer.Option("--unfold", help="Show repeated blocks each, not once.")
    ] = False,
    ideas: Annotated[
        bool, typer.Option("--ideas", help="Also what each layer would weigh without the ideas.")
    ] = False,
    elementwise: Annotated[
        bool, typer.Option("--elementwise", help="Also the work that is no contraction.")
    ] = False,
    training: Annotated[
        bool, typer.Option("--training", help="Also the bytes kept for a backward pass.")
    ] = False,
    sites: Annotated[
        bool,
        typer.Option(
            "--sites",
            help="Say what shrink could make smaller, how far, and whether it is worth it.",
        ),
    ] = False,
    quiet: Quiet = False,
    json_: Json = False,
    version: Version = False,
) -> int:
    """Say where a network's weights, work and memory go, layer by layer, and what each idea saved.

    Example: striate count zoo:article
    """
    if format_ not in FORMATS:
        raise RequestError(f"--format {format_}: expected {', '.join(FORMATS)}")
    if format_ == "csv" and against is not None:
        raise RequestError("--format csv: has no differences; take json or md with --against")
    if format_ in ("csv", "github") and sites:
        raise RequestError(f"--format {format_}: has no sites; take table, json or md with --sites")
    if batch_dim not in ("0", "none"):
        raise RequestError(f"--batch-dim {batch_dim}: expected 0 or none")
    if model is None:
        _belong_to_a_model(
            {
                "--input": input_,
                "--model-arg": model_arg,
                "--batch-dim": batch_dim != "0",
                "--budget": budget,
                "--against": against,
                "--max-growth": max_growth,
                "--sites": sites,
            }
        )
        return _count_listed("json" if json_ else format_, only or (), allow_partial, quiet)
    if only:
        raise RequestError(
            f"--only {only[0]}: selects from pyproject.toml; leave out MODEL {model}"
        )
    from striate.jobs.count import CountRequest, count_named, exit_code, shown, tables
    from striate.ledger.render.table import More
    from striate.ledger.view import View

    form = "json" if json_ else format_
    view, more = View(depth, sort, filter_, not unfold), More(elementwise, ideas)
    if not view.plain and form not in ("table", "md"):
        raise RequestError(
            f"--format {form}: has every row; leave out --depth, --sort, --filter and --unfold, "
            "or take table or md"
        )
    if more != More() and form != "table":
        raise RequestError(
            f"--format {form}: leave out --ideas and --elementwise, which are for the table"
            + ("; they are in this format" if form == "json" else "")
        )
    request = CountRequest(
        model=model,
        inputs=tuple(input_ or ()),
        model_args=_pairs(model_arg),
        batched=batch_dim == "0",
        budget=tuple(budget or ()),
        against=against,
        max_growth=max_growth,
        training=training,
        view=view,
        more=more,
        sites=sites,
    )
    with _results(form != "table") as out:
        counted = count_named(request)
        if form != "table":
            out.print(shown(counted, form))
        elif not quiet:
            out.print(tables(counted, out.width))
    code, lines = exit_code(counted, allow_partial)
    for line in lines:
        _complain(f"striate count: {line}")
    return code


def _belong_to_a_model(given: Mapping[str, object]) -> None:
    for option, value in given.items():
        if value:
            raise RequestError(
                f"{option}: is for one network; give MODEL too, or write it in pyproject.toml, "
                "below [tool.striate.count.models.NAME]"
            )


def _count_listed(form: str, only: Sequence[str], allow_partial: bool, quiet: bool) -> int:
    from striate.jobs.count_listed import count_listed, exit_code_of, shown_all, tables_of

    with _results(form != "table") as out:
        outcomes = count_listed(only)
        if form != "table":
            out.print(shown_all(outcomes, form))
        elif not quiet and any(outcome.counted for outcome in outcomes):
            out.print(tables_of(outcomes, out.width))
    code, lines = exit_code_of(outcomes, allow_partial)
    for line in lines:
        _complain(f"striate count: {line}")
    return code


@app.command()
def shrink(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="zoo:NAME, package.module:factory or path/to/file.py:factory."
        ),
    ],
    data: Annotated[
        str,
        typer.Option(
            metavar="DATA",
            help="digits, npz:FILE, idx:DIR, folder:DIR, images:DIR (no labels) or package.module:factory.",
        ),
    ],
    budget: Annotated[
        list[str],
        typer.Option(
            metavar="LIMIT", help="5%, 200k, macs=30M or bytes=500KB; repeatable, all must hold."
        ),
    ],
    epochs: Annotated[
        int, typer.Option(metavar="N", help="Epochs of fine-tuning in all; 0: none.")
    ] = 10,
    pretrain: Annotated[int, typer.Option(metavar="N", help="First train MODEL for N epochs.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The run directory; default: striate-run, or -2 ...",
            parser=_directory,
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run at --out.")] = False,
    seed: Annotated[int, typer.Option(metavar="N", help="Of all that is random.")] = 0,
    device: Device = "cpu",
    precision: Annotated[
        str, typer.Option(metavar="32-true|bf16-mixed", help="Arithmetic of training.")
    ] = "32-true",
    export: Annotated[
        str | None,
        typer.Option(metavar="onnx", help="Further files to write, besides the exported program."),
    ] = None,
    weights: Weights = None,
    weights_key: WeightsKey = None,
    model_arg: ModelArg = None,
    size: Size = None,
    mean: Mean = None,
    std: Std = None,
    channels: Channels = None,
    layout: Layout = None,
    transform: Transform = None,
    augment: Annotated[
        str,
        typer.Option(metavar="none|flip-crop|MODULE:FN", help="Variation of the training rows."),
    ] = "none",
    val: Annotated[str | None, typer.Option(metavar="DATA", help="The validation images.")] = None,
    split: Split = None,
    accept_baseline: Annotated[
        bool,
        typer.Option(
            "--accept-baseline", help="Go on with weights that are no better than chance."
        ),
    ] = False,
    batch_size: Annotated[int | None, typer.Option(metavar="N", help="Of training.")] = None,
    quiet: Quiet = False,
    json_: Json = False,
    version: Version = False,
) -> int:
    """Make a network fit a budget, and verify what that cost.

    Example: striate shrink zoo:digits --data digits --pretrain 10 --budget 10% --out run
    """
    if resume and out is None:
        raise RequestError("--resume: say which run to go on with, by --out DIR")
    from striate.jobs.named import free_directory, shrink_named
    from striate.jobs.request import Settings, ShrinkRequest
    from striate.jobs.summary import shrink_panel

    request = ShrinkRequest(
        model=model,
        data=data,
        settings=Settings(
            budget=tuple(budget),
            epochs=epochs,
            pretrain=pretrain,
            batch_size=batch_size,
            seed=seed,
            device=device,
            precision=precision,  # type: ignore[arg-type]  # Settings checks it
            export=tuple(part for part in (export or "").split(",") if part),
            accept_baseline=accept_baseline,
        ),
        model_args=_pairs(model_arg),
        weights=weights,
        weights_key=weights_key,
        val=val,
        split=split,
        size=size,
        mean=mean,
        std=std,
        channels=channels,
        layout=layout,
        transform=transform,
        augment=augment,
    )
    place = free_directory() if out is None else out
    command = _command()
    with _results(json_) as results:
        try:
            finished = shrink_named(
                request, place, _progress(quiet), resume=resume, command=command
            )
        except KeyboardInterrupt as stop:
            again = command if out is not None else f"{command} --out {shlex.quote(str(place))}"
            raise Interrupted(
                f"interrupted; go on with: {again}{'' if resume else ' --resume'}"
            ) from stop
        if json_:
            results.print(json.dumps(finished.result, indent=1))
        elif finished.stopped is None and not quiet:
            results.print(shrink_panel(finished.result, place))
    if finished.stopped is not None:
        raise finished.stopped
    return OK if finished.result["met"] else UNMET


@app.command()
def evaluate(
    target: Annotated[
        str, typer.Argument(metavar="MODEL_OR_RUN", help="A model, or a run directory.")
    ],
    data: Annotated[
        str | None, typer.Option(metavar="DATA", help="As for shrink; default: the run's own.")
    ] = None,
    weights: Weights = None,
    weights_key: WeightsKey = None,
    model_arg: ModelArg = None,
    size: Size = None,
    mean: Mean = None,
    std: Std = None,
    channels: Channels = None,
    layout: Layout = None,
    transform: Transform = None,
    split: Split = None,
    device: Device = "cpu",
    quiet: Quiet = False,
    json_: Json = False,
    version: Version = False,
) -> int:
    """Measure accuracy and loss on the test images, with a confidence interval.

    Example: striate evaluate run
    """
    from striate.jobs.evaluate import EvaluateRequest, evaluate_named
    from striate.jobs.summary import evaluate_line
    from striate.sources.preprocess import PreprocessOptions

    request = EvaluateRequest(
        target=target,
        data=data,
        model_args=_pairs(model_arg),
        weights=weights,
        weights_key=weights_key,
        split=split,
        preprocess=PreprocessOptions.parse(
            size=size, mean=mean, std=std, channels=channels, layout=layout, transform=transform
        ),
        device=device,
    )
    with _results(json_) as out:
        result = evaluate_named(request, _progress(quiet))
        if json_:
            out.print(json.dumps(result, indent=1))
        elif not quiet:
            out.print(evaluate_line(result))
    return OK


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run directory.")],
    quiet: Quiet = False,
    json_: Json = False,
    version: Version = False,
) -> int:
    """Make a run's report.html again.

    Example: striate report run
    """
    from striate.jobs.report import rebuild

    with _results(json_) as out:
        path = str(rebuild(run))
        if json_:
            made = {"schema": "striate.report/1", "striate": __version__, "report": path}
            out.print(json.dumps(made))
        elif not quiet:
            out.print(path)
    return OK


@app.command()
def doctor(
    format_: Annotated[
        str, typer.Option("--format", metavar="table|json", help="How to print what was found.")
    ] = "table",
    quiet: Quiet = False,
    json_: Json = False,
    version: Version = False,
) -> int:
    """Say what is installed, what computes local layers and why, how fast, and what is missing.

    Example: striate doctor
    """
    if format_ not in ("table", "json"):
        raise RequestError(f"--format {format_}: expected table or json")
    from striate.doctor import examine, faults, render

    as_json = json_ or format_ == "json"
    with _results(as_json) as out:
        document = examine()
        if as_json:
            out.print(json.dumps(document, indent=1))
        elif not quiet:
            out.print(render(document))
    lines = faults(document)
    for line in lines:
        _complain(f"striate doctor: {line}")
    return FAULT if lines else OK


# ---- what commands share


def _pairs(texts: Sequence[str] | None) -> Mapping[str, object]:
    """`key=value` texts; a value is read as JSON where it is JSON."""
    pairs: dict[str, object] = {}
    for text in texts or ():
        key, separator, value = text.partition("=")
        if not separator or not key.isidentifier():
            raise RequestError(f"--model-arg {text}: expected KEY=VALUE, such as hidden=512")
        try:
            pairs[key] = json.loads(value)
        except ValueError:
            pairs[key] = value
    return pairs


class _Results:
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
def _results(alone: bool) -> Iterator[_Results]:
    """Where to print results; with `alone`, whatever else prints (the user's code may) goes to standard error."""
    results = _Results(sys.stdout)
    if not alone:
        yield results
        return
    with redirect_stdout(sys.stderr):
        yield results


def _progress(quiet: bool) -> Progress:
    from rich.console import Console

    from striate.jobs.progress import Silent, Terminal

    return Silent() if quiet else Terminal(Console(stderr=True))


def _complain(line: str) -> None:
    from striate.ledger.render.plain import plain

    print(plain(" ".join(line.split())), file=sys.stderr)


def _command() -> str:
    return shlex.join(["striate", *sys.argv[1:]])


# ---- errors to exit codes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code. Never raises but for faults of Python itself."""
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    where = " ".join(["striate", *given[:1]]) if given and given[0] in _names() else "striate"
    try:
        code = app(args=given, prog_name="striate", standalone_mode=False)
        if code == INTERRUPTED:
            _complain(f"{where}: interrupted")
        return int(code or OK)
    except UnreachableBudget as error:
        _complain(f"{where}: {error}")
        return UNMET
    except RequestError as error:
        _complain(f"{where}: {error}")
        return WRONG
    except (Interrupted, KeyboardInterrupt, typer.Abort) as stop:
        _complain(f"{where}: {stop if isinstance(stop, Interrupted) else 'interrupted'}")
        return INTERRUPTED
    except Exception as error:
        if _is_usage(error):
            _complain(f"{where}: {_usage(error)}; see {where} --help")
            return WRONG
        _complain(f"{where}: a fault of striate: {_logged(error)}")
        return FAULT


def _names() -> list[str]:
    return [
        str(command.name or getattr(command.callback, "__name__", ""))
        for command in app.registered_commands
    ]


# `BadParameter` is the part of the argument parser's errors that typer shows; the class of all of them is above it.
_USAGE = typer.BadParameter.__mro__[1]


def _is_usage(error: Exception) -> bool:
    return isinstance(error, _USAGE)


def _usage(error: Exception) -> str:
    message = getattr(error, "format_message", lambda: str(error))()
    return " ".join(str(message).split()).rstrip(".")


def _logged(error: Exception) -> str:
    """Write the traceback to a file; the line that says so, and what was wrong."""
    text = "".join(traceback.format_exception(error))
    first = f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
    try:
        descriptor, path = tempfile.mkstemp(prefix="striate-fault-", suffix=".log")
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as log:
            log.write(f"striate {__version__}, Python {sys.version}\n{_command()}\n\n{text}")
    except OSError as refused:
        print(text, file=sys.stderr)
        return (
            f"{first}; its traceback stands above, as no log could be written ({refused.strerror})"
        )
    return f"{first}; please report it with {path}"
