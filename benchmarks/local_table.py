"""The tables of `local.py`, as Markdown, from its rows: a dash for what was not measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import geometric_mean
from typing import Any

from local_peers import COMPILED, GIST, JAX, KERNELS, OURS, PLAIN, UNFOLD
from local_shapes import DIRECTIONS, TARGETS
from local_statistics import SLOWER, Spread, against, best, over, slower_than

DASH = "—"
TITLES = {"forward": "Forward", "backward": "Forward and backward"}
#: Those that other people's code is: the plain path is ours too.
RIVALS = (UNFOLD, GIST, COMPILED, JAX)
OTHERS = (*RIVALS, PLAIN)

Row = dict[str, Any]

# What the project asks of itself.
BOUND_MEAN, BOUND_WORST, TIMES_UNFOLD, EXTRA = 1.5, 3.0, 5.0, 0.10
ARTICLE = {"forward": 1.0e9, "backward": 1.5e9}


@dataclass(frozen=True)
class Target:
    """What was asked, what came out, and whether it holds; None where rows are missing."""

    asked: str
    found: str
    met: bool | None

    def document(self) -> dict[str, Any]:
        return {"asked": self.asked, "found": self.found, "met": self.met}


def tables(rows: Sequence[Row]) -> str:
    """All of it: what it ran on, the targets, both directions, and memory."""
    parts = [_surroundings(row) for row in rows if row["kind"] == "surroundings"]
    parts.append(
        _markdown(
            ["target", "found", "met"],
            [[one.asked, one.found, _yes(one.met)] for one in targets(rows)],
        )
    )
    for direction in DIRECTIONS:
        timed = _of(rows, "time", direction)
        if timed:
            parts += [f"**{TITLES[direction]}**", _speed(timed), _against(timed), *_left_out(timed)]
    memory = [row for row in rows if row["kind"] == "memory"]
    if memory:
        parts += ["**Memory**", _memory(memory)]
    return "\n\n".join(parts) + "\n"


def _of(rows: Sequence[Row], kind: str, direction: str) -> list[Row]:
    return [row for row in rows if row["kind"] == kind and row["direction"] == direction]


def _surroundings(row: Row) -> str:
    cache = f"{row['last_cache'] / 2**20:.0f} MiB" if row["last_cache"] else "unknown size"
    jax = f"JAX {row['jax']}" if row["jax"] else "no JAX"
    return (
        f"{row['processor']}, {row['threads']} of {row['cores']} cores, last cache of {cache}, weights rotating "
        f"through {row['rotated'] / 1e9:.1f} GB; kernels with {row['instructions']}, torch {row['torch']}, {jax}; "
        f"OMP_WAIT_POLICY {row['openmp_waits']}."
    )


# ---- what was asked


def targets(rows: Sequence[Row]) -> list[Target]:
    return [
        *_bound_targets(_of(rows, "time", "forward")),
        _unfold_target(_of(rows, "time", "backward")),
        *[_never_slower(_of(rows, "time", direction), direction) for direction in DIRECTIONS],
        *[_extra_target(_of(rows, "memory", direction), direction) for direction in DIRECTIONS],
        *[_article_target(_of(rows, "article", direction), direction) for direction in DIRECTIONS],
    ]


def _complete(rows: Iterable[Row]) -> bool:
    return set(TARGETS) <= {row["shape"] for row in rows}


def _bound_targets(rows: Sequence[Row]) -> list[Target]:
    found = {
        row["shape"]: max(1.0, over(row["times"][OURS], row["bound"]["seconds"]).median)
        for row in rows
        if row["shape"] in TARGETS
    }
    mean, worst = (
        f"forward, {what} over {TARGETS[0]}–{TARGETS[-1]} of the times over the bound: at most {limit:g}"
        for what, limit in (("geometric mean", BOUND_MEAN), ("worst", BOUND_WORST))
    )
    if not found:
        return [Target(mean, DASH, None), Target(worst, DASH, None)]
    all_there = _complete(rows)
    value, name = geometric_mean(found.values()), max(found, key=lambda shape: found[shape])
    return [
        Target(mean, f"{value:.2f}", value <= BOUND_MEAN if all_there else None),
        Target(
            worst, f"{found[name]:.2f} ({name})", found[name] <= BOUND_WORST if all_there else None
        ),
    ]


def _unfold_target(rows: Sequence[Row]) -> Target:
    asked = (
        f"forward and backward, geometric mean over {TARGETS[0]}–{TARGETS[-1]} of unfold + bmm / ours: "
        f"at least {TIMES_UNFOLD:g}"
    )
    wanted = [row for row in rows if row["shape"] in TARGETS and UNFOLD in row["times"]]
    if not wanted:
        return Target(asked, DASH, None)
    value = geometric_mean(1 / against(row, OURS, [UNFOLD])[UNFOLD].median for row in wanted)
    return Target(asked, f"{value:.1f}", value >= TIMES_UNFOLD if _complete(wanted) else None)


def _never_slower(rows: Sequence[Row], direction: str) -> Target:
    asked = f"{_lower(direction)}: never slower than the best peer (interval of the ratio wholly above {SLOWER:g})"
    if not rows:
        return Target(asked, DASH, None)
    slower = {row["shape"]: slower_than(against(row, OURS, OTHERS)) for row in rows}
    texts = [f"{shape} ({', '.join(peers)})" for shape, peers in slower.items() if peers]
    counted = f"{len(rows)} shape{'s' * (len(rows) != 1)}"
    met = (not texts) if texts or _complete(rows) else None
    return Target(asked, f"slower on {'; '.join(texts)}" if texts else f"none of {counted}", met)


def _extra_target(rows: Sequence[Row], direction: str) -> Target:
    asked = f"{_lower(direction)}: memory beside inputs, weights and outputs at most {100 * EXTRA:.0f} % of them"
    shares = {row["shape"]: row["extra"] / row["tensors"] for row in rows if row["peer"] == OURS}
    if not shares:
        return Target(asked, DASH, None)
    worst = max(shares, key=lambda shape: shares[shape])
    over_it = sum(share > EXTRA for share in shares.values())
    more = f"; {over_it} of {len(shares)} shapes above" if over_it else ""
    met = (not over_it) if over_it or set(TARGETS) <= set(shares) else None
    return Target(asked, f"at most {100 * shares[worst]:.1f} % ({worst}){more}", met)


def _article_target(rows: Sequence[Row], direction: str) -> Target:
    limit = ARTICLE[direction]
    asked = f"1000×1000, k 10, {_lower(direction)}: the whole process below {limit / 1e9:g} GB"
    if not rows:
        return Target(asked, DASH, None)
    peak, weights = rows[-1]["peak"], rows[-1]["weights"]
    found = f"{peak / 1e9:.2f} GB, {weights / 1e6:.0f} MB of them weights"
    return Target(asked, found, peak < limit)


def _lower(direction: str) -> str:
    return TITLES[direction].lower()


# ---- the tables


def _speed(rows: Sequence[Row]) -> str:
    head = [
        "shape", "layer", "ms", "the bound, ms", "limit", "times the bound (middle half)",
        "kernels alone", "fastest peer", "it / ours (95 %)", "ours is",
    ]  # fmt: skip
    return _markdown(head, [_speed_row(row) for row in rows])


def _speed_row(row: Row) -> list[str]:
    times, bound = row["times"], row["bound"]["seconds"]
    ratios = against(row, OURS, OTHERS)
    fastest = best(ratios)
    kernels = f"{over(times[KERNELS], bound).median:.2f}" if KERNELS in times else DASH
    found = over(times[OURS], bound)
    cells = [
        row["shape"], row["text"], _milliseconds(found.median * bound), _milliseconds(bound), row["bound"]["limit"],
        f"{found.median:.2f} ({found.quartiles[0]:.2f}–{found.quartiles[1]:.2f})", kernels,
    ]  # fmt: skip
    if fastest is None:
        return [*cells, DASH, DASH, DASH]
    low, high = ratios[fastest].interval
    shown = f"{1 / ratios[fastest].median:.2f} ({1 / high:.2f}–{1 / low:.2f})"
    return [*cells, fastest, shown, verdict(ratios)]


def verdict(ratios: dict[str, Spread]) -> str:
    slower = slower_than(ratios)
    if slower:
        return f"slower than {', '.join(slower)}"
    return "faster" if all(ratio.interval[1] < 1 for ratio in ratios.values()) else "as fast"


def _against(rows: Sequence[Row]) -> str:
    """How many times as long as ours each other takes."""
    head = ["shape", *(f"{peer} / ours" for peer in OTHERS)]
    body = []
    for row in rows:
        ratios = against(row, OURS, OTHERS)
        body.append([row["shape"], *(_times(ratios.get(peer)) for peer in OTHERS)])
    means = ["geometric mean"]
    for peer in OTHERS:
        found = [
            1 / against(row, OURS, [peer])[peer].median for row in rows if peer in row["times"]
        ]
        means.append(f"{geometric_mean(found):.1f}" if found else DASH)
    return _markdown(head, [*body, means])


def _times(ratio: Spread | None) -> str:
    if ratio is None:
        return DASH
    low, high = ratio.quartiles
    return f"{1 / ratio.median:.2f} ({1 / high:.2f}–{1 / low:.2f})"


def _left_out(rows: Sequence[Row]) -> list[str]:
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for peer, reason in row["skipped"].items():
            reasons.setdefault((peer, reason), []).append(row["shape"])
    if not reasons:
        return []
    texts = [
        f"{peer} {reason} ({', '.join(shapes) if len(shapes) < len(rows) else 'all'})"
        for (peer, reason), shapes in reasons.items()
    ]
    return [f"Left out: {'; '.join(texts)}."]


def _memory(rows: Sequence[Row]) -> str:
    head = ["shape"]
    for direction in DIRECTIONS:
        head += [
            f"{_lower(direction)}: tensors, MB", "ours beside them, MB", "of them", f"{UNFOLD}, MB"
        ]  # fmt: skip
    found = {(row["shape"], row["direction"], row["peer"]): row for row in rows}
    body = []
    for shape in dict.fromkeys(row["shape"] for row in rows):
        cells = [shape]
        for direction in DIRECTIONS:
            mine = found.get((shape, direction, OURS))
            other = found.get((shape, direction, UNFOLD))
            cells += (
                [DASH] * 3
                if mine is None
                else [
                    f"{mine['tensors'] / 1e6:.1f}",
                    f"{mine['extra'] / 1e6:.1f}",
                    f"{100 * mine['extra'] / mine['tensors']:.1f} %",
                ]
            )
            cells.append(DASH if other is None else f"{other['extra'] / 1e6:.1f}")
        body.append(cells)
    return _markdown(head, body)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3g}" if seconds < 1 else f"{seconds * 1e3:.0f}"


def _markdown(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    rows = [list(head), ["---"] * len(head), *map(list, body)]
    assert {len(cells) for cells in rows} == {len(head)}
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _yes(holds: bool | None) -> str:
    return DASH if holds is None else "yes" if holds else "no"
