"""The shrunk network of a run directory, as a module again."""

from __future__ import annotations

import copy
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from striate.errors import RequestError, user_code
from striate.reduce.apply import skeleton
from striate.reduce.plan import Plan
from striate.reduce.program import load_program
from striate.sources.models import resolve
from striate.sources.weights import load_weights

Source = str | nn.Module | Callable[[], nn.Module]


def _to_standard_error(text: str) -> None:
    print(text, file=sys.stderr)


def load(
    run_directory: str | os.PathLike[str],
    source: Source | None = None,
    *,
    say: Callable[[str], None] | None = _to_standard_error,
) -> nn.Module:
    """The shrunk network of a finished run, in evaluation mode, on the CPU.

    Where the network that was shrunk is one of striate's own (`zoo:NAME`), or `source` gives it, it is built again,
    reduced by the run's plan, and given the run's weights: a module like any other, which can be trained on.
    Else it is the run's exported program, for inference, with any batch size. Nothing that a file names is called:
    a factory runs only because it is passed here.

    Args:
        run_directory: What `striate shrink` wrote.
        source: The network before it was shrunk: a factory's name as on the command line (`net.py:make`; it is
            called with the run's `--model-arg`s if it is the run's factory, else without arguments), a function
            without arguments that gives it, or the module itself, which is copied. Its weights do not matter.
        say: Is told from what the network was loaded; None for nobody. By default a line on standard error.

    Raises:
        RequestError: the directory holds no finished run, a file of it is missing, damaged or not what striate
            writes, or `source` is not the network that was shrunk.

    >>> load("no-such-directory")
    Traceback (most recent call last):
    striate.errors.RequestError: no-such-directory: there is no run.json in it; expected a run directory of striate
    """
    if not isinstance(run_directory, str | os.PathLike):
        raise TypeError(
            f"run_directory={run_directory!r}: expected a path, a run directory of striate"
        )
    run = Path(run_directory)
    request = _document(run, "run.json", "striate.run/1")
    result = _document(run, "result.json", "striate.shrink/1")
    status = result.get("status")
    if status not in ("done", "already-met"):
        raise RequestError(f"{run}: the run is {status}, so there is no shrunk network to load")
    factory = request.get("factory")
    recorded = factory if isinstance(factory, dict) else {}
    text = recorded.get("text")
    if source is None and not (isinstance(text, str) and text.startswith("zoo:")):
        return _from_program(run, text, result, say)
    name, model = _built(source, text, recorded.get("arguments"))
    shrunk = _reduced(run, model, name)
    if say is not None:
        say(f"{run}: loaded from {name}, plan.json and model.safetensors; it can be trained")
    return shrunk


def _from_program(
    run: Path, text: object, result: Mapping[str, Any], say: Callable[[str], None] | None
) -> nn.Module:
    factory = (
        f"source={text!r}"
        if isinstance(text, str)
        else "source=, the network before it was shrunk,"
    )
    path = run / "model.pt2"
    if not path.is_file():
        files = result.get("files")
        reasons = files.get("reasons") if isinstance(files, dict) else None
        reason = reasons.get("program") if isinstance(reasons, dict) else None
        raise RequestError(
            f"{run}: there is no exported program (model.pt2) in it{f' ({reason})' if reason else ''}; pass {factory}"
            " to build the network again"
        )
    program = load_program(path)
    if say is not None:
        say(f"{run}: loaded from the exported program, for inference; to train it, pass {factory}")
    return program


def _built(source: Source | None, text: object, arguments: object) -> tuple[str, nn.Module]:
    """The network before it was shrunk, and what to call it."""
    if isinstance(source, nn.Module):
        return type(source).__name__, source
    with torch.random.fork_rng(devices=[]):  # a factory draws weights, which are not used
        if source is None or isinstance(source, str):
            name = source if source is not None else str(text)
            given = arguments if name == text and isinstance(arguments, dict) else {}
            made = resolve(name, {key: _tupled(value) for key, value in given.items()})
            try:
                return name, made.build()
            # Sizes that nobody can hold: torch has no class of its own for them.
            except (RuntimeError, MemoryError, OverflowError) as error:
                text = str(error).splitlines()[0]
                raise RequestError(f"{name}: cannot be built with {given}: {text}") from error
        if not callable(source):
            raise TypeError(
                f"load: source is a {type(source).__name__}; expected a factory's name, a function or a module"
            )
        name = getattr(source, "__name__", type(source).__name__)
        with user_code(f"load: source={name}"):
            model = source()
    if not isinstance(model, nn.Module):
        raise RequestError(
            f"load: source={name} gave a {type(model).__name__}; expected a torch.nn.Module"
        )
    return name, model


def _tupled(value: object) -> object:
    """JSON has no tuples; a shape was one."""
    return (
        tuple(value)
        if isinstance(value, list) and all(isinstance(v, int) for v in value)
        else value
    )


def _reduced(run: Path, model: nn.Module, name: str) -> nn.Module:
    plan = Plan.from_dict(_document(run, "plan.json", "striate.plan/1"))
    weights = run / "model.safetensors"
    if not weights.is_file():
        raise RequestError(f"{run}: model.safetensors is missing; run striate shrink again")
    try:
        shrunk = skeleton(copy.deepcopy(model).cpu(), plan)
        load_weights(shrunk, weights)
    except RequestError as error:
        raise RequestError(
            f"{run}: {name} does not give the network that was shrunk: {error}"
        ) from error
    return shrunk.eval()


def _document(run: Path, name: str, schema: str) -> dict[str, Any]:
    try:
        document = json.loads((run / name).read_bytes())
    except IsADirectoryError as error:
        raise RequestError(
            f"{run}: {name} is a directory; expected a file that striate wrote"
        ) from error
    except (FileNotFoundError, NotADirectoryError) as error:
        what = "expected a run directory of striate" if name == "run.json" else _unfinished(run)
        raise RequestError(f"{run}: there is no {name} in it; {what}") from error
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{run}: {name} is damaged: {error}") from error
    if not isinstance(document, dict) or document.get("schema") != schema:
        raise RequestError(f"{run}: {name} is not a {schema} document")
    return document


def _unfinished(run: Path) -> str:
    """Why a run has no result: how far its journal came."""
    try:
        whole = (run / "journal.jsonl").read_bytes().split(b"\n")[:-1]
        last = json.loads(whole[-1]) if whole else {}
        accuracy = last["value"]["validation"]["accuracy"] if last["key"] == "baseline" else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        accuracy = None  # no journal, or one that has nothing to say on this
    if accuracy is None:
        return "the run has not ended; use --resume"
    return (
        f"the run stopped once the original was measured ({100 * accuracy:.1f} % of the validation images right), "
        "before anything was made smaller; where that is no better than chance, run striate shrink again with trained "
        "--weights or --pretrain N; if it was interrupted, with --resume"
    )
