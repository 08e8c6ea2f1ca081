"""How exact, fast and small `striate.count` is, beside what people use today, on networks that everybody knows.

    python benchmarks/ledger.py --out FILE.md [--threads N] [--rounds N] [--only VGG-16,Swin-T]
    python benchmarks/ledger.py --out FILE.md --table

Each tool counts the same built networks (`benchmarks/networks/`, random weights). Figures are compared with formulas
written down by hand and with what has been published; for each peer the benchmark holds an account of what it counts,
and checks that it is the peer's figure to the last unit. Times are taken in turns in one process, memory in a fresh
process for each tool. Each row is in FILE.jsonl as soon as it is there; `--resume` goes on after it. The peers are
installed apart: pip install torchinfo fvcore ptflops calflops torchscan transformers (which calflops imports).
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ledger_measure
import ledger_table
import local_machine
import resident
from ledger_peers import PEERS, Peer
from ledger_published import NETWORKS, Network
from local import Journal, included, say, write_whole

Row = dict[str, Any]


def measured(
    journal: Journal,
    networks: Sequence[Network],
    peers: Sequence[Peer],
    options: argparse.Namespace,
) -> Iterator[Row]:
    """The rows that the journal lacks."""
    for network in networks:
        figures = journal.find("figures", network=network.name)
        if figures is None or not journal.has("times", network=network.name):
            say(network.name)
            built = network.build()
            if figures is None:
                figures = ledger_measure.figures(network, built, peers)
                yield figures
            able = [peer for peer in peers if "failure" not in figures["said"].get(peer.name, {})]
            yield ledger_measure.times(network, built, able, options.rounds, options.seconds)
            del built
        for peer in peers if resident.obstacle() is None else ():
            if not journal.has("memory", network=network.name, peer=peer.name):
                yield ledger_measure.memory(network, peer, options.threads)
    if not journal.has("huge"):
        yield ledger_measure.huge(options.rounds, options.seconds)
    if not journal.has("growth"):
        say("growth")
        yield ledger_measure.growth(options.lengths, options.rounds, options.seconds)


BEGIN, END = "<!-- ledger: begin -->", "<!-- ledger: end -->"


def publish(rows: Sequence[Row], out: Path | None, into: Path | None) -> None:
    """The tables to `out` (and all numbers beside it, as JSON), into a document, or to the terminal."""
    text = ledger_table.tables(rows)
    if out is None:
        print(text, end="")
    else:
        write_whole(out, text)
        found = [target.document() for target in ledger_table.targets(rows)]
        document = {"targets": found, "rows": list(rows)}
        write_whole(out.with_suffix(".json"), json.dumps(document, indent=1) + "\n")
    if into is not None:
        write_whole(into, included(into.read_text(), text, (BEGIN, END)))


def chosen(only: str | None) -> list[Network]:
    if only is None:
        return list(NETWORKS)
    known = {network.name: network for network in NETWORKS}
    unknown = [name for name in only.split(",") if name not in known]
    if unknown:
        raise SystemExit(
            f"--only: no network {', '.join(unknown)}: expected some of {', '.join(known)}"
        )
    return [known[name] for name in only.split(",")]


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
    parser.add_argument("--rounds", type=int, default=15, help="turns at most (15)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=30,
        help="of turns, for a network (30; six turns in any case)",
    )
    parser.add_argument(
        "--only", metavar="A,B", help=f"these of {', '.join(network.name for network in NETWORKS)}"
    )
    parser.add_argument(
        "--lengths",
        type=lambda text: [int(one) for one in text.split(",")],
        default=list(ledger_measure.LENGTHS),
        metavar="N,N",
        help="layers of the networks by which growth is measured (10 to 3,000)",
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


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    path = None if options.out is None else options.out.with_suffix(".jsonl")
    if path is not None and options.table:
        rows = Journal.read(path).rows
        if not rows:
            raise SystemExit(f"--table: {path} has no rows: run without --table first")
        publish(rows, options.out, options.into)
        return
    networks = chosen(options.only)
    local_machine.use_cores(options.threads)
    peers = [peer for peer in PEERS if peer.obstacle() is None]
    where = local_machine.surroundings(options.threads, 0, None)
    machine = {"processor": where.processor, "cores": where.cores}
    surroundings = ledger_measure.surroundings(options.threads, PEERS) | machine
    journal = Journal.read(path) if path is not None and options.resume else Journal.new(path)
    if journal.rows and journal.rows[0] != surroundings:
        raise SystemExit(
            f"--resume: {path} is of other surroundings, {journal.rows[0]}; these are {surroundings}"
        )
    if not journal.rows:
        journal.add(surroundings)
    start = time.perf_counter()
    for row in measured(journal, networks, peers, options):
        journal.add(row)
    say(f"{time.perf_counter() - start:.0f} s in all")
    publish(journal.rows, options.out, options.into)


if __name__ == "__main__":
    main()
