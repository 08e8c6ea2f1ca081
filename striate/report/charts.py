"""The two charts of a report, as SVG that needs nothing from outside.

The colours are those of the light page. A stylesheet may rule over them (a colour in an SVG attribute yields to any
CSS rule), which is how one drawing serves light, dark and paper: see `PALETTE` in the templates.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from striate.errors import MissingExtra
from striate.ledger.render.page import PALETTE

if TYPE_CHECKING:
    import altair

WIDE, NARROW = 620, 300
"""Plot widths in CSS pixels. Each chart is drawn at both, since text in a scaled drawing cannot be read."""


@dataclass(frozen=True)
class Mark:
    """A measured value with its interval: one row, or one point, of a chart."""

    label: str
    value: float
    low: float | None
    high: float | None
    accent: bool = False
    params: int | None = None


def stages(marks: Sequence[Mark], title: str, as_percent: bool, width: int) -> str:
    """A row for each stage: a point, a line for its interval, its value in figures."""
    alt = _altair()
    rows = _rows(marks, as_percent)
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y(
            "label:N",
            sort=[mark.label for mark in marks],
            axis=alt.Axis(title=None, ticks=False, domain=False, labelPadding=12),
        ),
        color=_colour(alt),
    )
    axis = alt.Axis(title=title, grid=True, format="~%" if as_percent else "~g", tickCount=5)
    scale = alt.Scale(zero=False, nice=True, domain=list(_domain(marks, room=0.12)))
    value = alt.X("value:Q", axis=axis, scale=scale)
    layers = [
        base.mark_rule(strokeWidth=2, opacity=0.55).encode(
            x=alt.X("low:Q", scale=scale), x2="high:Q"
        ),
        base.mark_point(filled=True, size=90, opacity=1).encode(x=value),
        base.mark_text(dy=-14, fontSize=12, fontWeight=600).encode(x=value, text="text:N"),
    ]
    return _svg(alt.layer(*layers).properties(width=width, height=alt.Step(46)))


_CORNERS = ((11, -9), (-11, -9), (11, 11), (-11, 11))
"""Where a point's label may stand: right above, left above, right below, left below."""


def frontier(
    marks: Sequence[Mark], original: Mark | None, title: str, as_percent: bool, width: int
) -> str:
    """Value against the number of parameters on a log axis; points are labelled as in the table beside.

    The original, many times larger, would press the others together: it is a line at its value.
    """
    alt = _altair()
    height = 250
    sizes = [mark.params or 1 for mark in marks]
    low, high = min(sizes) / 1.06, max(sizes) * 1.06
    bottom, top = _domain(marks if original is None else [*marks, original], room=0.1)
    corners = _corners(
        [
            (
                width * math.log(size / low) / math.log(high / low),
                height * (top - mark.value) / (top - bottom),
            )
            for size, mark in zip(sizes, marks, strict=True)
        ]
    )
    rows = [
        row | {"corner": corner}
        for row, corner in zip(_rows(marks, as_percent), corners, strict=True)
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X(
            "params:Q",
            scale=alt.Scale(type="log", domain=[low, high], nice=False),
            axis=alt.Axis(
                title="parameters (log scale)", format=",", grid=False, values=_ticks(low, high)
            ),
        ),
        color=_colour(alt),
    )
    scale = alt.Scale(zero=False, nice=False, domain=[bottom, top])
    axis = alt.Axis(title=title, format="~%" if as_percent else "~g", tickCount=5)
    layers = [
        base.mark_rule(strokeWidth=2, opacity=0.45).encode(
            y=alt.Y("low:Q", scale=scale), y2="high:Q"
        ),
        base.mark_point(filled=True, size=80, opacity=1).encode(
            y=alt.Y("value:Q", axis=axis, scale=scale)
        ),
    ]
    for corner, (dx, dy) in enumerate(_CORNERS):
        layers.append(
            base.transform_filter(f"datum.corner == {corner}")
            .mark_text(dx=dx, dy=dy, fontSize=12, fontWeight=600)
            .encode(y=alt.Y("value:Q", scale=scale), text="label:N")
        )
    if original is not None:
        line = alt.Chart(alt.Data(values=_rows([original], as_percent))).encode(
            y=alt.Y("value:Q", scale=scale)
        )
        layers += [
            line.mark_rule(strokeDash=[4, 4], color=PALETTE["quiet"]),
            line.mark_text(
                x=width, dy=-8, align="right", fontSize=12, color=PALETTE["quiet"]
            ).encode(text="label:N"),
        ]
    return _svg(alt.layer(*layers).properties(width=width, height=height))


def _altair() -> Any:
    try:
        import altair
        import vl_convert  # noqa: F401  (what altair draws SVG with)
    except ModuleNotFoundError as error:
        if error.name not in ("altair", "vl_convert"):
            raise
        raise MissingExtra("drawing the charts of a report", "shrink") from error
    return altair


def _rows(marks: Sequence[Mark], as_percent: bool) -> list[dict[str, object]]:
    return [
        {
            "label": mark.label,
            "value": mark.value,
            "low": mark.value if mark.low is None else mark.low,
            "high": mark.value if mark.high is None else mark.high,
            "params": mark.params,
            "role": "accent" if mark.accent else "quiet",
            "text": f"{100 * mark.value:.2f} %" if as_percent else f"{mark.value:.4g}",
        }
        for mark in marks
    ]


def _colour(alt: Any) -> Any:
    roles = ["accent", "quiet"]
    scale = alt.Scale(domain=roles, range=[PALETTE[role] for role in roles])
    return alt.Color("role:N", scale=scale, legend=None)


def _domain(marks: Sequence[Mark], room: float) -> tuple[float, float]:
    low = min(mark.value if mark.low is None else mark.low for mark in marks)
    high = max(mark.value if mark.high is None else mark.high for mark in marks)
    # One value alone still gets an axis with some length.
    margin = room * (high - low) or 0.01 * max(abs(high), 1.0)
    return low - margin, high + margin


def _corners(points: Sequence[tuple[float, float]]) -> list[int]:
    """For each point, in pixels, the corner where its label is farthest from labels set before and from points.

    >>> _corners([(0, 0), (3, 0), (200, 50)])
    [1, 0, 0]
    """
    taken = list(points)
    corners = []
    for x, y in points:
        spots = [(x + dx, y + dy) for dx, dy in _CORNERS]
        # A label is 14 pixels from its own point; where nothing is nearer, the first corner is as good as any.
        room = [min(14.0, *(math.dist(spot, other) for other in taken)) for spot in spots]
        corner = room.index(max(room))
        corners.append(corner)
        taken.append(spots[corner])
    return corners


def _ticks(low: float, high: float) -> list[float]:
    """Three round numbers, evenly spread on a log axis.

    >>> _ticks(56000, 69000)
    [58000.0, 62200.0, 66600.0]
    """
    ratio = high / low
    # As many digits as it takes to tell the ticks apart, and two at least.
    digits = max(2, 2 + math.ceil(-math.log10(min(ratio - 1, 1.0))))
    ticks = [low * ratio**share for share in (1 / 6, 1 / 2, 5 / 6)]
    return [round(tick, digits - 1 - math.floor(math.log10(tick))) for tick in ticks]


def _svg(chart: altair.LayerChart) -> str:
    font = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
    # Text is measured with other fonts than it is shown in: room for it to come out wider.
    room = {"left": 18, "right": 12, "top": 4, "bottom": 4}
    themed = (
        chart.configure(background="transparent", font=font, padding=room)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=PALETTE["quiet"],
            titleColor=PALETTE["quiet"],
            domainColor=PALETTE["line"],
            tickColor=PALETTE["line"],
            gridColor=PALETTE["line"],
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
            titlePadding=10,
            labelLimit=110,
        )
    )
    stream = io.StringIO()
    themed.save(stream, format="svg")
    return stream.getvalue()
