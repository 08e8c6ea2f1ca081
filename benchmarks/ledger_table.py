"""The tables of `ledger.py`, as Markdown, from its rows: a dash for what was not measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import log
from typing import Any

from ledger_formulas import ACCOUNTS, EXACT, HALVES, TERMS, total
from ledger_peers import OURS, PEERS
from ledger_published import NETWORKS, Network
from local_statistics import Spread, best, median, paired

DASH = "—"
Row = Mapping[str, Any]

# What the project asks of itself.
TIMES_TORCHINFO, TIMES_FASTEST, ADDED, HUGE_SECONDS, THOUSAND_SECONDS = 10.0, 2.0, 50e6, 0.05, 5.0
#: Seconds grow as this power of the number of operators; a linear cost has 1, and times are never exact.
POWER = 1.15
NAMES = tuple(peer.name for peer in PEERS)
RIVALS = tuple(name for name in NAMES if name != OURS)


@dataclass(frozen=True)
class Target:
    """What was asked, what came out, and whether it holds; None where rows are missing."""

    asked: str
    found: str
    met: bool | None

    def document(self) -> dict[str, Any]:
        return asdict(self)


def tables(rows: Sequence[Row]) -> str:
    """All of it: what it ran on, the targets, figures, why, times, memory, growth."""
    parts = [_surroundings(row) for row in _of(rows, "surroundings")]
    asked = [[one.asked, one.found, _yes(one.met)] for one in targets(rows)]
    parts.append(_markdown(["target", "found", "met"], asked))
    figures, times = _of(rows, "figures"), _of(rows, "times")
    if figures:
        parts += ["**Multiply-adds**", _multiply_adds(figures), *_failures(figures)]
        parts += ["**Why**", _why(figures)]
    if times:
        parts += ["**Times**", _times(times)]
    if memory := _of(rows, "memory"):
        parts += ["**Memory**", _memory(memory)]
    parts += [f"**Growth**\n\n{_growth(row)}" for row in _of(rows, "growth")]
    return "\n\n".join(parts) + "\n"


def _of(rows: Sequence[Row], kind: str) -> list[Row]:
    return [row for row in rows if row["kind"] == kind]


def _surroundings(row: Row) -> str:
    versions = {
        name.partition(",")[0]: version for name, version in row["versions"].items() if version
    }
    listed = ", ".join(
        f"{name} {version}" for name, version in versions.items() if name in RIVALS[:-1]
    )
    lacking = "".join(f" {name} {why}." for name, why in row["obstacles"].items())
    return (
        f"{row['processor']}, {row['threads']} of {row['cores']} cores, torch {row['torch']}; {listed or 'no peer'}."
        f"{lacking}"
    )


# ---- what was asked


def targets(rows: Sequence[Row]) -> list[Target]:
    return [
        *_figure_targets(_of(rows, "figures")),
        *_time_targets(_of(rows, "times")),
        _memory_target(_of(rows, "memory")),
        _huge_target(_of(rows, "huge")),
        *_growth_targets(_of(rows, "growth")),
    ]


def _figure_targets(rows: Sequence[Row]) -> Iterator[Target]:
    found = {row["network"]: row for row in rows}
    asked = (
        "parameters as published",
        "multiply-adds as by formulas",
        "multiply-adds as published, to two places",
    )
    if not found:
        yield from (Target(one, DASH, None) for one in asked)
        return
    known = [network for network in NETWORKS if network.name in found]
    published = [network for network in known if network.giga is not None]
    right = {network.name: _our_figures(found[network.name]) for network in known}
    params = [one.name for one in known if right[one.name][0] != one.params]
    formulas = [one.name for one in known if right[one.name][1] != found[one.name]["exact"]]
    places = [one.name for one in published if not _as_published(one, right[one.name][1])]
    for text, wrong, count in zip(
        asked, (params, formulas, places), (len(known), len(known), len(published)), strict=True
    ):
        said = f"{count - len(wrong)} of {count}" + (f"; not {', '.join(wrong)}" if wrong else "")
        yield Target(text, said, not wrong)


def _our_figures(row: Row) -> tuple[int | None, int | None]:
    said = row["said"].get(OURS, {})
    return said.get("params"), said.get("macs")


def _as_published(network: Network, macs: int | None) -> bool:
    return macs is not None and network.giga == round(macs / 1e9, 2)


def _time_targets(rows: Sequence[Row]) -> Iterator[Target]:
    ahead = f"VGG-16: at least {TIMES_TORCHINFO:g} times as fast as torchinfo"
    never = f"never slower than the fastest peer by more than {TIMES_FASTEST:g} times"
    vgg = [row["seconds"] for row in rows if row["network"] == "VGG-16"]
    if vgg and "torchinfo" in vgg[0]:
        ratio = Spread.of(paired(vgg[0]["torchinfo"], vgg[0][OURS]))
        yield Target(ahead, _spread(ratio), ratio.median >= TIMES_TORCHINFO)
    else:
        yield Target(ahead, DASH, None)
    worst = [(row["network"], *_over_fastest(row)) for row in rows]
    slower = [
        f"{network} {_spread(ratio)}, {peer}"
        for network, peer, ratio in worst
        if ratio is not None and ratio.median > TIMES_FASTEST
    ]
    if not any(ratio is not None for _, _, ratio in worst):
        yield Target(never, DASH, None)
    else:
        kept = f"{len(worst) - len(slower)} of {len(worst)}"
        yield Target(never, "; ".join([kept, *slower]), not slower)


def _over_fastest(row: Row) -> tuple[str | None, Spread | None]:
    """The fastest peer, and ours / theirs in each turn."""
    seconds = row["seconds"]
    ratios = {
        name: Spread.of(paired(seconds[OURS], seconds[name])) for name in RIVALS if name in seconds
    }
    fastest = best(ratios)
    return fastest, None if fastest is None else ratios[fastest]


def _memory_target(rows: Sequence[Row]) -> Target:
    asked = f"VGG-16: less than {ADDED / 1e6:g} MB added"
    added = [
        row["added"]
        for row in rows
        if (row["network"], row["peer"]) == ("VGG-16", OURS) and "added" in row
    ]
    if not added:
        return Target(asked, DASH, None)
    return Target(asked, f"{added[0] / 1e6:.1f} MB", added[0] < ADDED)


def _huge_target(rows: Sequence[Row]) -> Target:
    asked = f"a dense layer of 10^12 weights: less than {1e3 * HUGE_SECONDS:g} ms"
    if not rows:
        return Target(asked, DASH, None)
    found = Spread.of(rows[0]["seconds"][OURS])
    return Target(asked, f"{_milliseconds(found)} ms", found.median < HUGE_SECONDS)


def _growth_targets(rows: Sequence[Row]) -> Iterator[Target]:
    thousand = f"1,000 layers: less than {THOUSAND_SECONDS:g} s"
    linear = f"seconds grow as a power of the operators of at most {POWER:g}, from 100 layers on"
    if not rows:
        yield from (Target(one, DASH, None) for one in (thousand, linear))
        return
    counted = rows[0]["counted"]
    at = {one["form"]: median(one["seconds"]) for one in counted if one["layers"] == 1000}
    if at:
        text = ", ".join(f"{form} {seconds:.2f} s" for form, seconds in at.items())
        yield Target(thousand, text, max(at.values()) < THOUSAND_SECONDS)
    else:
        yield Target(thousand, DASH, None)
    powers = {form: _power(counted, form) for form in dict.fromkeys(one["form"] for one in counted)}
    text = ", ".join(f"{form} {power:.2f}" for form, power in powers.items() if power is not None)
    met = all(power <= POWER for power in powers.values() if power is not None) if text else None
    yield Target(linear, text or DASH, met)


def _power(counted: Sequence[Row], form: str) -> float | None:
    points = [
        (one["operators"], median(one["seconds"]))
        for one in counted
        if one["form"] == form and one["layers"] >= 100
    ]
    if len(points) < 2:
        return None
    (first, before), (last, after) = points[0], points[-1]
    return log(after / before) / log(last / first)


# ---- figures


def _multiply_adds(rows: Sequence[Row]) -> str:
    """The exact figure, and by how much each tool is off."""
    head = ["network", "parameters", "multiply-adds of an image", "published, 10^9", *NAMES]
    return _markdown(head, [_figures(row) for row in rows])


def _figures(row: Row) -> list[str]:
    network = next(one for one in NETWORKS if one.name == row["network"])
    published = DASH if network.giga is None else f"{network.giga:.2f}"
    cells = [_off(row, name, network.params) for name in NAMES]
    return [network.name, f"{network.params:,}", f"{row['exact']:,}", published, *cells]


def _off(row: Row, name: str, params: int) -> str:
    said = row["said"].get(name)
    if said is None or "failure" in said:
        return DASH if said is None else "fails"
    off = said["macs"] - row["exact"]
    text = "exact" if off == 0 else f"{_signed(off)} ({_percent(off / row['exact'])})"
    if said["params"] not in (None, params):
        text += f"; {said['params']:,} parameters"
    return text


def _failures(rows: Sequence[Row]) -> list[str]:
    return [
        f"{name} on {row['network']}: {said['failure']}"
        for row in rows
        for name, said in row["said"].items()
        if "failure" in said
    ]


def _why(rows: Sequence[Row]) -> str:
    """Each peer's account in words, and whether it is the peer's figure to the last unit."""
    asked = [name for name in NAMES if any(name in row["said"] for row in rows)]
    body = []
    for name in asked:
        account = ACCOUNTS[name]
        beside = [
            _times_term(term, times)
            for term, times in account.items()
            if term not in EXACT and term not in HALVES
        ]
        body.append(
            [
                name,
                "; ".join(_missing(account)) or "nothing",
                "; ".join(beside) or "nothing",
                _explained(name, rows),
                _warned(name, rows),
            ]
        )
    head = [
        "", "does not count", "counts beside or instead", "that is its figure, to the last unit",
        "says that operators were left out",
    ]  # fmt: skip
    return _markdown(head, body)


def _missing(account: Mapping[str, int]) -> list[str]:
    counted = {term for term, times in account.items() if times}
    if "linear once" in counted:
        counted.add("linear")
    if counted & HALVES.keys():
        counted.add("products")
        return [text for term, text in {**TERMS, **HALVES}.items() if _is_missing(term, counted)]
    return [TERMS[term] for term in EXACT if term not in counted]


def _is_missing(term: str, counted: set[str]) -> bool:
    return (term in EXACT or term in HALVES) and term not in counted


def _times_term(term: str, times: int) -> str:
    if times < 0:
        return f"without {TERMS[term]}"
    return TERMS[term] if times == 1 else f"{times} × {TERMS[term]}"


def _explained(name: str, rows: Sequence[Row]) -> str:
    said = {
        row["network"]: row["said"][name]["macs"] == total(ACCOUNTS[name], row["terms"])
        for row in rows
        if "macs" in row["said"].get(name, {})
    }
    wrong = [network for network, holds in said.items() if not holds]
    return f"{len(said) - len(wrong)} of {len(said)}" + (f"; not {', '.join(wrong)}" * bool(wrong))


def _warned(name: str, rows: Sequence[Row]) -> str:
    warned = [row["said"][name]["warned"] for row in rows if "macs" in row["said"].get(name, {})]
    return f"{sum(warned)} of {len(warned)}"


# ---- times and memory


def _times(rows: Sequence[Row]) -> str:
    """Medians in milliseconds with the middle half, and ours / the fastest peer in the same turns."""
    body = []
    for row in rows:
        seconds = row["seconds"]
        cells = [
            _milliseconds(Spread.of(seconds[name])) if name in seconds else DASH for name in NAMES
        ]
        fastest, ratio = _over_fastest(row)
        compared = DASH if ratio is None else f"{_spread(ratio)}, {fastest}"
        body.append([row["network"], *cells, compared, str(len(seconds[OURS]))])
    return _markdown(["network, ms", *NAMES, "striate / the fastest peer", "turns"], body)


def _memory(rows: Sequence[Row]) -> str:
    """Megabytes that a count adds to a process in which the network is built."""
    networks = dict.fromkeys(row["network"] for row in rows)
    cells = {(row["network"], row["peer"]): row for row in rows}
    body = [
        [network, *(_megabytes(cells.get((network, name))) for name in NAMES)]
        for network in networks
    ]
    return _markdown(["network, MB", *NAMES], body)


def _megabytes(row: Row | None) -> str:
    if row is None:
        return DASH
    return f"{row['added'] / 1e6:.1f}" if "added" in row else row["failure"]


def _growth(row: Row) -> str:
    """Seconds and microseconds an operator, by number of layers."""
    body = []
    for one in row["counted"]:
        spread = Spread.of(one["seconds"])
        each = 1e6 * spread.median / one["operators"]
        body.append(
            [
                one["form"],
                f"{one['layers']:,}",
                f"{one['operators']:,}",
                _milliseconds(spread),
                f"{each:.0f}",
            ]
        )
    return _markdown(["form", "layers", "operators", "ms", "µs an operator"], body)


# ---- words


def _milliseconds(spread: Spread) -> str:
    low, high = spread.quartiles
    return f"{1e3 * spread.median:.1f} ({1e3 * low:.1f}–{1e3 * high:.1f})"


def _spread(spread: Spread) -> str:
    low, high = spread.quartiles
    return f"{spread.median:.2f} ({low:.2f}–{high:.2f})"


def _signed(number: int) -> str:
    return f"{number:+,}".replace("-", "−")


def _percent(fraction: float) -> str:
    percent = 100 * fraction
    if abs(percent) < 0.01:
        return "less than 0.01 %"
    return f"{percent:+.{1 if abs(percent) >= 1 else 2}f} %".replace("-", "−")


def _yes(holds: bool | None) -> str:
    return DASH if holds is None else "yes" if holds else "no"


def _markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    rows = [list(head), ["---"] * len(head), *map(list, body)]
    assert {len(cells) for cells in rows} == {len(head)}
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
