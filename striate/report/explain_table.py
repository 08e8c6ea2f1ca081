"""The account of the three ideas as a table for a terminal, within 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from rich import box
from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from striate.geometry import Setting, ThreeIdeas, seconds_to_read, three_ideas, weight_bytes
from striate.geometry.three_ideas import CLASSES
from striate.ledger.render.numbers import factor, power_of_ten, short

_BYTES = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_DAY = 86_400
_YEAR = 365 * _DAY


@dataclass(frozen=True)
class _Step:
    name: str
    weights: int
    smaller: Fraction | None
    style: str = ""


def table(account: ThreeIdeas, width: int = 80) -> RenderableType:
    """What `rich.console.Console.print` takes: a row a step, and below what the rows leave open.

    Columns that `width` characters have no room for are left out, from the last but one: a cut number is a wrong one.
    """
    layer = _layer(account)
    steps = (*layer, *_head(account))
    rows = [
        {
            "": step.name,
            "weights": f"{step.weights:,}",
            "power": power_of_ten(step.weights),
            "float32": size(weight_bytes(step.weights)),
            "to read": duration(seconds_to_read(step.weights)),
            "smaller": "" if step.smaller is None else divided(step.smaller),
        }
        for step in steps
    ]
    shown = _that_fit(rows, width)
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for name in shown:
        heading = "" if name == "power" else name
        justify: JustifyMethod = "left" if heading == "" else "right"
        drawn.add_column(heading, justify=justify, no_wrap=name != "", overflow="fold")
    for step, row in zip(steps, rows, strict=True):
        cells = [row[name] for name in shown]
        drawn.add_row(*cells, style=step.style, end_section=step is layer[-1])
    notes = Table.grid(padding=(0, 2, 0, 0))
    notes.add_column(no_wrap=True, style="bold")
    notes.add_column()
    for label, text in _notes(account):
        notes.add_row(label, text)
    return Group(Text(_title(account), style="bold"), Text(""), drawn, Text(""), notes)


def _that_fit(rows: Sequence[Mapping[str, str]], width: int) -> list[str]:
    """The names of the columns that `width` characters have room for; the steps and their weights always stay.

    >>> rows = [{"": "dense", "weights": "1,000", "power": "", "float32": "4 kB", "to read": "8 µs", "smaller": "÷10"}]
    >>> _that_fit(rows, 80), _that_fit(rows, 30), _that_fit(rows, 10)
    (['', 'weights', 'power', 'float32', 'to read', 'smaller'], ['', 'weights', 'float32', 'smaller'], ['', 'weights'])
    """
    wide = {
        name: 1 + max(0 if name == "power" else len(name), *(len(row[name]) for row in rows))
        for name in rows[0]
    }
    shown = list(wide)
    for name in ("to read", "power", "float32", "smaller"):
        if sum(wide[shown_name] for shown_name in shown) > width:
            shown.remove(name)
    return shown


def _title(account: ThreeIdeas) -> str:
    setting = account.setting
    size, outputs = ("×".join(map(str, sides)) for sides in (setting.size, account.outputs))
    step = "" if setting.stride == 1 else f", stride {setting.stride:,}"
    return f"{size} pixels, {outputs} units, windows of {setting.kernel}×{setting.kernel}{step}"


def _layer(account: ThreeIdeas) -> list[_Step]:
    kind, step = account.setting.sharing
    steps = [
        _Step("dense", account.dense, None),
        _Step("local", account.connections, account.locality),
    ]
    if kind in ("block", "tile"):
        name = f"{kind}s {step}×{step}"
        steps.append(_Step(name, account.weights, account.sharing))
    one = three_ideas(replace(account.setting, share="all"))
    if kind == "all":
        steps.append(_Step("shared", one.weights, one.sharing))
    else:
        smaller = Fraction(account.weights, one.weights)
        steps.append(_Step("if all shared", one.weights, smaller, "dim"))
    return steps


def _head(account: ThreeIdeas) -> list[_Step]:
    return [
        _Step("head", account.head, None),
        _Step("head, pooled", account.pooled_head, account.pooling),
    ]


def _notes(account: ThreeIdeas) -> Iterator[tuple[str, str]]:
    setting = account.setting
    if account.connections_outside:
        yield (
            "padding",
            f"{account.connections_outside:,} of the {account.connections:,} local connections "
            "fall on it and read no pixel",
        )
    before, after = (
        "×".join(map(str, sides)) for sides in (account.outputs, account.pooled_outputs)
    )
    overlapping = ", overlapping" if setting.pool_stride < setting.pool else ""
    yield (
        "pooling",
        f"the {setting.pool_kind} of {setting.pool}×{setting.pool} units, stride {setting.pool_stride}{overlapping}: "
        f"{before} units become {after}",
    )
    yield "head", f"a dense layer from these units to {CLASSES} classes"
    yield "reading", "at 500 MB/s, a SATA SSD, four bytes a weight"
    if is_the_example(setting):
        yield "remark", 'the popular text calls the first step "a thousandth"; it is 1/10,000'


def is_the_example(setting: Setting) -> bool:
    """Whether these are the image and the windows that the popular text tells of.

    >>> is_the_example(Setting(share="own", pool=3)), is_the_example(Setting(kernel=9))
    (True, False)
    """
    told = Setting()
    return (setting.size, setting.kernel, setting.stride, setting.padding) == (
        told.size,
        told.kernel,
        told.stride,
        told.padding,
    )


def divided(by: Fraction) -> str:
    """How many times smaller; a power of ten as one where it is large.

    >>> divided(Fraction(10_000)), divided(Fraction(10**8)), divided(Fraction(9, 2)), divided(Fraction(2, 3))
    ('÷10,000', '÷10^8', '÷4.50', '÷0.67')
    """
    if by < 10**7:
        return f"÷{factor(by.numerator if by.denominator == 1 else float(by))}"
    exact = power_of_ten(by.numerator) if by.denominator == 1 else ""
    return f"÷{exact or short(int(by))}"


def size(count: int) -> str:
    """Bytes, three figures, powers of 1000.

    >>> [size(count) for count in (400, 4 * 10**12, 999_999, 1_234_567, 4 * 10**20)]
    ['400 B', '4 TB', '1 MB', '1.23 MB', '400 EB']
    """
    value, unit = Fraction(count), 0
    while round(value) >= 1000 and unit < len(_BYTES) - 1:
        value, unit = value / 1000, unit + 1
    return f"{_figures(value)} {_BYTES[unit]}"


def duration(seconds: Fraction) -> str:
    """A time, two or three figures.

    >>> [duration(Fraction(s)) for s in (8000, 59, Fraction(4, 5), Fraction(4, 5 * 10**6))]
    ['2 h 13 min', '59 s', '0.8 s', '0.8 µs']
    >>> [duration(Fraction(s)) for s in (0, 600, 3599, 3600, 300_000, 10**12)]
    ['0 s', '10 min', '1 h', '1 h', '3.47 days', '31.7k years']
    """
    if seconds >= _YEAR:
        years = round(seconds / _YEAR)
        return f"{short(years)} year{'' if years == 1 else 's'}"
    if seconds >= 2 * _DAY:
        return f"{_figures(seconds / _DAY)} days"
    minutes = round(seconds / 60)
    if seconds >= 3570:
        hours, rest = divmod(minutes, 60)
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    if seconds >= Fraction(119, 2):
        return f"{minutes} min"
    for unit, per in (("s", 1), ("ms", 10**3), ("µs", 10**6), ("ns", 10**9)):
        if seconds * per >= Fraction(1, 2):
            return f"{_figures(seconds * per)} {unit}"
    return "0 s"


def _figures(value: Fraction) -> str:
    return f"{float(value):.3g}" if value < 1000 else f"{round(value):,}"
