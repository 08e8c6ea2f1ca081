"""A ledger as annotations of a GitHub workflow: what a limit says, where the ledger is partial, the totals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from striate.ledger.account import Ledger
from striate.ledger.gates import Gate
from striate.ledger.render.numbers import short
from striate.ledger.render.plain import plain
from striate.ledger.render.words import verdict


def render(ledger: Ledger, growth_gates: Sequence[Gate] = ()) -> str:
    """A workflow command a line."""
    return "".join(f"{line}\n" for line in _lines(ledger, growth_gates))


def error(name: str, message: str) -> str:
    """The command for a network that could not be counted; `name` is empty where it is none's fault alone."""
    return _command("error", f"striate count {name}".rstrip(), message)


def _lines(ledger: Ledger, growth_gates: Sequence[Gate]) -> Iterable[str]:
    title = f"striate count {ledger.name}"
    yield from (_verdict(title, gate, False) for gate in ledger.gates)
    yield from (_verdict(title, gate, True) for gate in growth_gates)
    for entry in ledger.unsupported:
        text = f"partial: {entry.operator} in {entry.where}: {entry.effect}"
        yield _command("warning", title, text)
    totals = ledger.totals
    yield _command(
        "notice",
        title,
        f"{totals.params:,} parameters, {short(totals.macs_per_example)} MACs an example, "
        f"{short(totals.peak_activation_bytes)}B of activations at once",
    )


def _verdict(title: str, gate: Gate, of_growth: bool) -> str:
    kind = "notice" if gate.met else "error" if gate.met is False else "warning"
    return _command(kind, title, verdict(gate, of_growth=of_growth))


def _command(kind: str, title: str, message: str) -> str:
    """With what GitHub takes for its own syntax escaped: a name of a layer cannot start another command.

    >>> _command("error", "a,b:c", "one\\ntwo 5%")
    '::error title=a%2Cb%3Ac::one%0Atwo 5%25'
    """
    for sign in ("%", "\r", "\n"):
        title = title.replace(sign, f"%{ord(sign):02X}")
        message = message.replace(sign, f"%{ord(sign):02X}")
    for sign in (":", ","):
        title = title.replace(sign, f"%{ord(sign):02X}")
    return f"::{kind} title={plain(title)}::{plain(message)}"
