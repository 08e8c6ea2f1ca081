"""A function in a fresh process, forked from one that has loaded the libraries and run nothing."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch


class Died(Exception):
    """The process ended without an answer; the text says how."""


def in_a_process(threads: int, function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function returns; raise `Died` where it returns nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "local_peers"])
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(send, threads, function, *arguments))
    process.start()
    send.close()
    try:
        answer = receive.recv()
    except EOFError:
        process.join()
        code = process.exitcode or 0
        how = f"of {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        raise Died(f"its process died {how}") from None
    process.join()
    return answer


def _answer(send: Connection, threads: int, function: Callable[..., Any], *arguments: Any) -> None:
    torch.set_num_threads(threads)
    send.send(function(*arguments))
