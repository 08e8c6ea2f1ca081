"""Local layers against the bound of the machine and against what people use instead.

    python benchmarks/local.py --out FILE.md [--threads N] [--rounds N] [--only A,B] [--direction forward|backward]
    python benchmarks/local.py --out FILE.md --table

For each shape results are first compared with a float64 computation. Then ours (the public function) and the peers run
in turns, in another order each turn; a ratio is of the two runs of one turn, and what is printed is its median with
the middle half or with the interval of a sign test. The bound is the larger of bytes / bandwidth and FLOPs / peak,
both measured in each turn; bytes are those of input, weight and output, each once. Weights rotate
through more than four times the last cache. Each row is in FILE.jsonl as soon as it is there; `--resume` goes on
after it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import local_machine
import local_memory
import local_table
import resident
from local_machine import Gauge
from local_peers import OURS, PEERS, UNFOLD
from local_shapes import DIRECTIONS, SHAPES, Shape
from local_statistics import median
from local_timing import Settings, time_shape

Row = dict[str, Any]


@dataclass(frozen=True)
class Journal:
    """The rows so far, a line each, on disk as soon as they are there; without a path, in memory only."""

    path: Path | None
    rows: list[Row]

    @staticmethod
    def new(path: Path | None) -> Journal:
        if path is not None and path.is_file():
            os.replace(path, path.with_suffix(".previous.jsonl"))
        return Journal(path, [])

    @staticmethod
    def read(path: Path) -> Journal:
        """A last line that a kill has torn does not count."""
        whole = path.read_bytes().rpartition(b"\n")[0] if path.is_file() else b""
        return Journal(path, [json.loads(line) for line in whole.splitlines()])

    def add(self, row: Row) -> None:
        self.rows.append(row)
        if self.path is not None:
            write_whole(self.path, "".join(f"{json.dumps(one)}\n" for one in self.rows))

    def has(self, kind: str, **values: str) -> bool:
        return self.find(kind, **values) is not None

    def find(self, kind: str, **values: str) -> Row | None:
        """The first row of a kind with these values."""
        wanted = {"kind": kind, **values}
        return next(
            (row for row in self.rows if wanted == {key: row.get(key) for key in wanted}), None
        )


def write_whole(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_text(text)
    os.replace(part, path)


def measured(
    journal: Journal,
    shapes: Sequence[Shape],
    directions: Sequence[str],
    gauge: Gauge,
    settings: Settings,
    threads: int,
) -> Iterator[Row]:
    """The rows that the journal lacks: the times of each shape, then its memory; last the article's layer."""
    memory = resident.obstacle()
    if memory is not None:
        say(f"memory is not measured: {memory}")
    for shape in shapes:
        left = [
            one for one in directions if not journal.has("time", shape=shape.name, direction=one)
        ]
        if left:
            say(f"{shape.name}: {shape.text}, {shape.weight_bytes / 1e6:.1f} MB of weights")
            yield from time_shape(shape, left, PEERS, gauge, settings, say)
        for direction in directions if memory is None else ():
            lacking = [
                peer
                for peer in (OURS, UNFOLD)
                if not journal.has("memory", shape=shape.name, direction=direction, peer=peer)
            ]
            yield from local_memory.of_peers(shape, direction, lacking, threads)
    if memory is None and "A" in {shape.name for shape in shapes}:
        for direction in directions:
            if not journal.has("article", direction=direction):
                yield local_memory.of_article(direction, threads)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def said(row: Row) -> str:
    """A row in one line, for those who wait."""
    if row["kind"] == "time":
        medians = {name: 1e3 * median(times) for name, times in row["times"].items()}
        shown = ", ".join(f"{name} {milliseconds:.2f}" for name, milliseconds in medians.items())
        bound, turns = row["bound"], len(row["bound"]["seconds"])
        return (
            f"  {row['direction']}, {turns} turns, ms: bound {1e3 * median(bound['seconds']):.2f} "
            f"({bound['limit']}, {bound['bandwidth'] / 1e9:.0f} GB/s, {bound['peak'] / 1e9:.0f} GFLOP/s), {shown}"
        )
    if row["kind"] == "memory":
        part = 100 * row["extra"] / row["tensors"]
        beside = f"{row['extra'] / 1e6:.1f} MB beside the tensors, {part:.1f} % of them"
        return f"  {row['direction']}, {row['peer']}: {beside}"
    return f"  {row['direction']}, the layer of 1000×1000: {row['peak'] / 1e9:.2f} GB in all"


def publish(rows: Sequence[Row], out: Path | None, into: Path | None) -> None:
    """The tables to `out` (and all numbers beside it, as JSON), into a document, or to the terminal."""
    text = local_table.tables(rows)
    if out is None:
        print(text, end="")
    else:
        write_whole(out, text)
        found = [target.document() for target in local_table.targets(rows)]
        document = {"targets": found, "rows": list(rows)}
        write_whole(out.with_suffix(".json"), json.dumps(document, indent=1) + "\n")
    if into is not None:
        write_whole(into, included(into.read_text(), text))


BEGIN, END = "<!-- local: begin -->", "<!-- local: end -->"


def included(document: str, text: str, marks: tuple[str, str] = (BEGIN, END)) -> str:
    """The document with `text` between its two marks.

    >>> included(f"a\\n{BEGIN}\\nold\\n{END}\\nb", "new\\n")
    'a\\n<!-- local: begin -->\\n\\nnew\\n\\n<!-- local: end -->\\nb'
    """
    before, begin, rest = document.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise SystemExit(f"--into: the document has no {marks[0]} and {marks[1]}")
    return f"{before}{begin}\n\n{text}\n{end}{after}"


def chosen(only: str | None) -> list[Shape]:
    if only is None:
        return list(SHAPES)
    known = {shape.name: shape for shape in SHAPES}
    unknown = [name for name in only.split(",") if name not in known]
    if unknown:
        raise SystemExit(
            f"--only: no shape {', '.join(unknown)}: expected some of {', '.join(known)}"
        )
    return [known[name] for name in only.split(",")]


def installed_jax() -> str | None:
    try:
        return importlib.metadata.version("jax")
    except importlib.metadata.PackageNotFoundError:
        return None


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE.md",
        help="where the tables go; FILE.json and FILE.jsonl beside",
    )
    parser.add_argument(
        "--into",
        type=Path,
        metavar="DOCUMENT",
        help=f"a document to put them in, between {BEGIN} and {END}",
    )
    parser.add_argument(
        "--threads", type=int, default=len(os.sched_getaffinity(0)), help="cores to use (all)"
    )
    parser.add_argument("--rounds", type=int, default=20, help="turns at most (20)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=8,
        help="of turns, for a shape and direction (8; six turns in any case)",
    )
    parser.add_argument(
        "--only", metavar="A,B", help=f"these of {', '.join(shape.name for shape in SHAPES)}"
    )
    parser.add_argument(
        "--direction", choices=DIRECTIONS, help="backward has the forward in it (both)"
    )
    parser.add_argument(
        "--rotate",
        type=float,
        metavar="MB",
        help="weights to rotate through (more than four last caches)",
    )
    parser.add_argument(
        "--most-memory",
        type=float,
        default=8.0,
        metavar="GB",
        help="leave out a peer that needs more (8)",
    )
    parser.add_argument(
        "--longest",
        type=float,
        default=20,
        metavar="SECONDS",
        help="leave out a peer that takes longer a run (20)",
    )
    parser.add_argument("--resume", action="store_true", help="go on after the rows in FILE.jsonl")
    parser.add_argument(
        "--table", action="store_true", help="measure nothing: tables from FILE.jsonl"
    )
    options = parser.parse_args(arguments)
    if options.out is None and (options.resume or options.table):
        parser.error("--resume and --table need --out: FILE.jsonl beside it has the rows")
    if options.threads < 1 or options.rounds < 1:
        parser.error("--threads and --rounds: expected at least 1")
    return options


def rotation(megabytes: float | None) -> int:
    """Bytes; a fill of one copy is added, so it is always more."""
    if megabytes is not None:
        return int(megabytes * 1e6)
    cache = local_machine.last_cache()
    if cache is None:
        raise SystemExit(
            "the system does not say how large its last cache is: give --rotate, at least four of it"
        )
    return 4 * cache


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    path = None if options.out is None else options.out.with_suffix(".jsonl")
    if options.table:
        rows = Journal.read(path).rows
        if not rows:
            raise SystemExit(f"--table: {path} has no rows: run without --table first")
        publish(rows, options.out, options.into)
        return
    settings = Settings(
        options.rounds,
        options.seconds,
        rotation(options.rotate),
        int(options.most_memory * 1e9),
        options.longest,
    )
    shapes = chosen(options.only)
    directions = DIRECTIONS if options.direction is None else (options.direction,)
    local_machine.use_cores(options.threads)
    where = {
        "kind": "surroundings",
        **local_machine.surroundings(options.threads, settings.rotate, installed_jax()).document(),
    }
    journal = Journal.read(path) if options.resume else Journal.new(path)
    if journal.rows and journal.rows[0] != where:
        raise SystemExit(
            f"--resume: {path} is of other surroundings, {journal.rows[0]}; these are {where}"
        )
    if not journal.rows:
        journal.add(where)
    start = time.perf_counter()
    for row in measured(journal, shapes, directions, Gauge(), settings, options.threads):
        journal.add(row)
        say(said(row))
    say(f"{time.perf_counter() - start:.0f} s in all")
    publish(journal.rows, options.out, options.into)


if __name__ == "__main__":
    main()
