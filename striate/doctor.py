"""`striate doctor`: what is installed, what computes local layers here and why, how fast, and what is missing.

The document that `examine` makes is plain data (`striate.doctor/1`); `render` shows it on a terminal.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
import shutil
import statistics
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement

from striate.version import __version__

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from torch import Tensor

    from striate.nn import LocallyConnected2d

__all__ = ["SCHEMA", "examine", "faults", "render"]

SCHEMA = "striate.doctor/1"
Document = dict[str, Any]

#: The extra that names those for users; the others are for work on striate itself.
_ALL = "all"
_COMPILERS = ("c++", "g++", "clang++")
_GET_COMPILER = (
    "no compiler is on the PATH: apt-get install g++ on Debian and Ubuntu, dnf install gcc-c++ on Fedora, "
    "xcode-select --install on macOS"
)
#: Of the largest output: far more than rounding makes of sums of 72 products.
_AGREE = 1e-4


def examine(seconds: float = 0.4) -> Document:
    """Look at this installation, and time a small layer for about so many seconds.

    Returns a `striate.doctor/1` document: `status` ("ok", or "faulty" where the kernels compute something
    else than plain PyTorch), `platform`, `python`, `path`, `libraries`, `extras`, `threads`, `kernels`,
    `override`, `backends`, `timing`, and `missing`, each thing with its remedy. Where a library that striate
    cannot do without is not installed, what needs it is null or empty.

    Raises:
        RequestError: `STRIATE_BACKEND` has a value that means nothing.

    >>> examine(seconds=0.0)["schema"]
    'striate.doctor/1'
    """
    asked = list(_requirements())
    libraries = [_library(extra, needed) for extra, needed in asked if needed.name != "striate"]
    # An extra that asks for striate itself stands for others.
    for_users = {name for extra, needed in asked if extra == _ALL for name in needed.extras}
    document: Document = {
        "schema": SCHEMA,
        "striate": __version__,
        "status": "ok",
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "path": str(Path(__file__).parent),
        "libraries": libraries,
        "extras": _extras(libraries, for_users),
        "threads": None,
        "kernels": None,
        "override": None,
        "backends": [],
        "timing": None,
    }
    if all(one["installed"] for one in libraries if one["extra"] is None):
        document |= _computing(seconds)
    timing = document["timing"]
    if timing is not None and timing["agree"] is False:
        document["status"] = "faulty"
    return document | {"missing": list(_missing(document))}


def faults(document: Mapping[str, Any]) -> list[str]:
    """What is wrong with striate itself, a line each.

    >>> faults({"status": "ok"})
    []
    """
    if document["status"] == "ok":
        return []
    return [
        f"a fault of striate: the compiled kernels ({document['kernels']['instructions']}) and plain PyTorch "
        "give different results; set STRIATE_BACKEND=reference, and please report it with the output of "
        "striate doctor --json"
    ]


# ---- libraries


def _requirements() -> Iterator[tuple[str | None, Requirement]]:
    """What striate's metadata asks for on this platform, with the extra (None: always)."""
    try:
        metadata = importlib.metadata.metadata("striate")
    except importlib.metadata.PackageNotFoundError:
        yield from _requirements_of_clone(Path(__file__).parents[1] / "pyproject.toml")
        return
    asked = [Requirement(text) for text in metadata.get_all("Requires-Dist") or ()]
    for extra in (None, *(metadata.get_all("Provides-Extra") or ())):
        for needed in asked:
            always = needed.marker is None or needed.marker.evaluate({"extra": ""})
            if extra is None and always:
                yield None, needed
            elif extra is not None and not always and _applies(needed, extra):
                yield extra, needed


def _requirements_of_clone(project: Path) -> Iterator[tuple[str | None, Requirement]]:
    """The same where striate is not installed, but used from a clone; nothing where it is a bare folder."""
    if not project.is_file():
        return
    table = tomllib.loads(project.read_text())["project"]
    asked: list[tuple[str | None, list[str]]] = [(None, table["dependencies"])]
    asked += table["optional-dependencies"].items()
    for extra, texts in asked:
        for needed in map(Requirement, texts):
            if _applies(needed, extra or ""):
                yield extra, needed


def _applies(needed: Requirement, extra: str) -> bool:
    return needed.marker is None or needed.marker.evaluate({"extra": extra})


def _library(extra: str | None, needed: Requirement) -> Document:
    try:
        installed = importlib.metadata.version(needed.name)
    except importlib.metadata.PackageNotFoundError:
        installed = None
    return {
        "name": needed.name,
        "extra": extra,
        "required": str(needed.specifier),
        "installed": installed,
        "met": installed is not None and needed.specifier.contains(installed, prereleases=True),
    }


def _extras(libraries: list[Document], for_users: set[str]) -> list[Document]:
    """For each extra: whether it is complete, else the command that makes it so."""
    extras: dict[str, list[Document]] = {}
    for one in libraries:
        if one["extra"] is not None:
            extras.setdefault(one["extra"], []).append(one)
    return [
        {
            "name": name,
            "for": "users" if name in for_users else "developers",
            "complete": all(one["met"] for one in some),
            "remedy": _install(some),
        }
        for name, some in extras.items()
    ]


def _install(libraries: list[Document]) -> str | None:
    """The command for those of them that are missing or too old; None where none is."""
    wanted = [f"{one['name']}{one['required']}" for one in libraries if not one["met"]]
    return shlex.join(["python", "-m", "pip", "install", *wanted]) if wanted else None


def _missing(document: Document) -> Iterator[Document]:
    def unmet(extra: str | None) -> list[Document]:
        return [one for one in document["libraries"] if one["extra"] == extra and not one["met"]]

    def names(some: list[Document]) -> str:
        return ", ".join(one["name"] for one in some)

    if needed := unmet(None):
        what = f"libraries that striate needs: {names(needed)}"
        yield {"what": what, "remedy": _install(needed)}
    kernels = document["kernels"]
    if kernels is not None and not kernels["available"]:
        remedy = kernels["reason"]
        if kernels["compiler"] is None:
            remedy = f"{remedy}; {_GET_COMPILER}"
        what = "compiled kernels (plain PyTorch computes the same, slower)"
        yield {"what": what, "remedy": remedy}
    for extra in document["extras"]:
        if extra["for"] == "users" and not extra["complete"]:
            what = f"extra {extra['name']} (optional): {names(unmet(extra['name']))}"
            yield {"what": what, "remedy": extra["remedy"]}


# ---- what computes


def _computing(seconds: float) -> Document:
    import torch

    from striate.ops import backend, cpu

    override = backend.override()
    reason = cpu.missing()
    kernels = {
        "available": reason is None,
        "path": cpu.path(),
        "instructions": cpu.instructions() if reason is None else None,
        "reason": reason,
        "compiler": next(filter(None, map(shutil.which, _COMPILERS)), None),
    }
    threads = {"torch": torch.get_num_threads(), "processors": _processors()}
    with torch.random.fork_rng(devices=()):  # layers draw their first weights
        torch.manual_seed(0)
        return {
            "threads": threads,
            "kernels": kernels,
            "override": override or None,
            "backends": list(_backends()),
            "timing": _timing(seconds),
        }


def _processors() -> int | None:
    """Those that this process may use, which in a container are fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _backends() -> Iterator[Document]:
    """What the layers themselves answer, each with small example tensors on the CPU."""
    import torch

    from striate.nn import (
        LocallyConnected2d,
        LocallyConnectedTranspose2d,
        LowRankLocallyConnected2d,
    )

    layers = {
        "local": LocallyConnected2d(1, 1, 3, 4),
        'local, share="all"': LocallyConnected2d(1, 1, 3, 4, share="all"),
        "transposed local": LocallyConnectedTranspose2d(1, 1, 3, 4),
        "low-rank local": LowRankLocallyConnected2d(1, 1, 3, 4, rank=1),
    }
    for operator, layer in layers.items():
        for kind in (torch.float32, torch.bfloat16, torch.float64):
            layer.to(kind)
            for gradients in (True, False):
                with torch.set_grad_enabled(gradients):
                    name, reason = _answer(layer.backend, torch.zeros(1, 1, 4, 4, dtype=kind))
                yield {
                    "operator": operator,
                    "dtype": str(kind).removeprefix("torch."),
                    "gradients": gradients,
                    "backend": name,
                    "reason": reason,
                }


def _answer(ask: Callable[[Tensor], Any], example: Tensor) -> tuple[str | None, str]:
    """A backend's name and why; None where STRIATE_BACKEND=cpu makes it an error."""
    from striate.errors import RequestError

    try:
        choice = ask(example)
    except RequestError as refusal:
        return None, str(refusal)
    return choice.name, choice.reason


# ---- how fast


def _timing(seconds: float) -> Document:
    """The forward of a small layer, by the kernels and by plain PyTorch, in turns."""
    import torch

    from striate.nn import LocallyConnected2d
    from striate.ops import local, reference

    layer = LocallyConnected2d(8, 8, 3, input_size=16, padding="same")
    example = torch.randn(16, 8, 16, 16)
    plain = _call(reference.local, layer, example)
    kernels = _call(local.local, layer, example)
    with torch.inference_mode():
        name, reason = _answer(layer.backend, example)
        difference = None
        if name == "cpu":
            expected = plain()
            difference = float((kernels() - expected).abs().max() / expected.abs().max())
            taken = _in_turns(seconds, kernels, plain)
        else:
            taken = _in_turns(seconds, plain)
    spent = [one * 1e3 for one in map(statistics.median, zip(*taken, strict=True))]
    return {
        "layer": "LocallyConnected2d(8, 8, 3, input_size=16, padding='same')",
        "batch": len(example),
        "dtype": "float32",
        "threads": torch.get_num_threads(),
        "turns": len(taken),
        # What is not a number does not agree, and has no place in JSON.
        "agree": None if difference is None else difference <= _AGREE,
        "difference": difference if difference is not None and isfinite(difference) else None,
        "kernels_ms": spent[0] if name == "cpu" else None,
        "plain_ms": spent[-1],
        "ratio": _spread([old / new for new, old in taken]) if name == "cpu" else None,
        "reason": None if name == "cpu" else reason,
    }


def _call(
    function: Callable[..., Tensor], layer: LocallyConnected2d, example: Tensor
) -> Callable[[], Tensor]:
    return lambda: function(example, layer.weight, layer.bias, layer.grid, layer.groups)


def _in_turns(
    seconds: float, *calls: Callable[[], object], least: int = 15, most: int = 500
) -> list[list[float]]:
    """For each turn the seconds of each call; whatever else the machine does slows all of a turn."""
    taken: list[list[float]] = []
    end = time.perf_counter() + seconds
    for turn in range(-3, most):  # the first are to warm up
        if turn >= least and time.perf_counter() > end:
            break
        spent = {}
        for index in sorted(range(len(calls)), reverse=turn % 2 == 1):
            begun = time.perf_counter()
            calls[index]()
            spent[index] = time.perf_counter() - begun
        if turn >= 0:
            taken.append([spent[index] for index in range(len(calls))])
    return taken


def _spread(ratios: list[float]) -> Document:
    """The median and the middle half.

    >>> _spread([1.0, 2.0, 3.0, 4.0, 5.0])
    {'median': 3.0, 'quartiles': [2.0, 4.0]}
    """
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return {"median": middle, "quartiles": [low, high]}


# ---- on the terminal


def render(document: Mapping[str, Any]) -> RenderableType:
    """The document for `rich.console.Console.print`; texts from outside are never read as markup."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [_facts(document)]
    if document["backends"]:
        parts.append(_choices(document["backends"]))
    if document["timing"] is not None:
        parts.append(Text(_speed(document["timing"])))
    if not document["missing"]:
        parts.append(Text("Nothing is missing."))
    for one in document["missing"]:
        parts.append(Text(f"Missing: {one['what']}\n  {one['remedy']}", style="yellow"))
    spaced: list[RenderableType] = []
    for part in parts:
        spaced.extend((part, Text("")))
    return Group(*spaced[:-1])


def _facts(document: Mapping[str, Any]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")

    def row(name: str, value: str) -> None:
        table.add_row(Text(name), Text(value))

    row("striate", f"{document['striate']}, {document['path']}")
    row("Python", f"{document['python']}, {document['platform']}")
    row("libraries", _listed(document["libraries"], None))
    for extra in document["extras"]:
        whose = "" if extra["for"] == "users" else " (for work on striate)"
        row(f"extra {extra['name']}", _listed(document["libraries"], extra["name"]) + whose)
    kernels = document["kernels"]
    if kernels is not None:
        row("kernels", kernels["path"] if kernels["available"] else kernels["reason"])
        if kernels["available"]:
            row("instructions", kernels["instructions"])
        row("compiler", kernels["compiler"] or "none on the PATH")
        threads = document["threads"]
        row("threads", f"{threads['torch']} of torch, {threads['processors']} processors")
    if document["override"] is not None:
        row("STRIATE_BACKEND", document["override"])
    return table


def _listed(libraries: list[Document], extra: str | None) -> str:
    texts = []
    for one in libraries:
        if one["extra"] == extra:
            found = one["installed"] or "not installed"
            asked = "" if one["met"] or not one["installed"] else f" (needs {one['required']})"
            texts.append(f"{one['name']} {found}{asked}")
    return ", ".join(texts) or "unknown: striate is used without its metadata"


def _choices(backends: list[Document]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in ("operator", "types", "backend", "because"):
        table.add_column(heading, overflow="fold")
    alike: dict[tuple[str, str | None, str], list[str]] = {}
    for operator, kind, gradients, name, reason in (one.values() for one in backends):
        rows = alike.setdefault((operator, name, reason), [])
        # The one with gradients comes first.
        if not gradients and kind + " with gradients" in rows:
            rows[rows.index(kind + " with gradients")] = kind
        else:
            rows.append(f"{kind} with gradients" if gradients else f"{kind} without gradients")
    for (operator, name, reason), kinds in alike.items():
        table.add_row(*map(Text, (operator, ", ".join(kinds), name or "refused", reason)))
    return table


def _speed(timing: Document) -> str:
    what = f"{timing['layer']}, batch {timing['batch']}, {timing['dtype']}"
    plain = f"plain PyTorch {timing['plain_ms']:.3f} ms"
    if timing["ratio"] is None:
        return f"{what}: {plain}. Not timed by the kernels: {timing['reason']}"
    low, high = timing["ratio"]["quartiles"]
    return (
        f"{what}: kernels {timing['kernels_ms']:.3f} ms, {plain}, {timing['ratio']['median']:.1f} times as fast "
        f"(middle half {low:.1f} to {high:.1f}, {timing['turns']} turns, threads: {timing['threads']}). "
        f"Results {'agree' if timing['agree'] else 'DIFFER'}."
    )
