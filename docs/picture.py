"""Draws the picture of the README: python docs/picture.py > docs/three-ideas.svg

A row of eight input units and the row of units above it, seen from the side. Every line is a
connection; those of one colour share one weight, grey ones have each their own.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator

UNITS = 8
WINDOW = 3
PITCH = 22
PANEL = 240
TOP, MIDDLE, BOTTOM = 60, 105, 205
SHARED = ("a", "b", "c")

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.name { font-weight: 600; font-size: 15px }
.note { fill: #59636e }
.unit { fill: #ffffff; stroke: #1f2328; stroke-width: 1.4 }
line { stroke: #818b98; stroke-width: 1; stroke-opacity: .75 }
.dense { stroke-width: .7; stroke-opacity: .55 }
.a { stroke: #0969da } .b { stroke: #bc4c00 } .c { stroke: #1a7f37 }
.a, .b, .c { stroke-width: 1.8; stroke-opacity: 1 }
.pool { stroke: #8250df; stroke-width: 1.8 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .note { fill: #9198a1 }
  .unit { fill: #0d1117; stroke: #f0f6fc } line { stroke: #9198a1 }
  .a { stroke: #4493f8 } .b { stroke: #f0883e } .c { stroke: #3fb950 } .pool { stroke: #ab7df8 }
}
"""


def column(panel: int, unit: float) -> float:
    return panel * PANEL + PANEL / 2 + (unit - (UNITS - 1) / 2) * PITCH


def line(panel: int, low: float, high: float, y0: int, y1: int, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    x0, x1 = column(panel, low), column(panel, high)
    return f'<line x1="{x0:g}" y1="{y0}" x2="{x1:g}" y2="{y1}"{named}/>'


def units(panel: int, count: int, y: int, spacing: int = 1) -> Iterator[str]:
    for k in range(count):
        x = column(panel, k * spacing + (spacing - 1) / 2)
        yield f'<circle class="unit" cx="{x:g}" cy="{y}" r="6"/>'


def windows() -> Iterator[tuple[int, int, int]]:
    """(input, unit, tap) of each connection inside the row, padding "same"."""
    for unit in range(UNITS):
        for tap in range(WINDOW):
            place = unit + tap - WINDOW // 2
            if 0 <= place < UNITS:
                yield place, unit, tap


def captions(panel: int, name: str, weights: str, note: str) -> Iterator[str]:
    x = panel * PANEL + PANEL / 2
    rows = ((24, "name", name), (BOTTOM + 32, "name", weights), (BOTTOM + 52, "note", note))
    for y, kind, text in rows:
        yield f'<text class="{kind}" x="{x:g}" y="{y}" text-anchor="middle">{text}</text>'


def power(value: int) -> str:
    """10^12 as SVG text with a raised exponent; a number below a thousand as it is."""
    exponent = round(math.log10(value))
    if value < 1000 or 10**exponent != value:
        return f"{value:,}"
    return f'10<tspan dy="-5" font-size="10">{exponent}</tspan><tspan dy="5"> </tspan>'


def picture(size: int = 1000, kernel: int = 10) -> str:
    """The whole SVG, for an image of size × size and a window of kernel × kernel."""
    positions = size * size
    parts: list[str] = []

    parts += [line(0, i, j, BOTTOM, MIDDLE, "dense") for i in range(UNITS) for j in range(UNITS)]
    parts += captions(0, "dense", f"{power(positions**2)}weights", "every unit sees every input")

    parts += [line(1, i, j, BOTTOM, MIDDLE) for i, j, _ in windows()]
    parts += captions(
        1,
        "local",
        f"{power(positions * kernel**2)}weights",
        f"a unit sees {kernel}×{kernel} inputs",
    )

    parts += [line(2, i, j, BOTTOM, MIDDLE, SHARED[tap]) for i, j, tap in windows()]
    parts += captions(2, "shared", f"{power(kernel**2)} weights", "all units use the same window")

    parts += [line(3, i, j, BOTTOM, MIDDLE, SHARED[tap]) for i, j, tap in windows()]
    pooled = UNITS // 2
    parts += [
        line(3, 2 * k + s, 2 * k + 0.5, MIDDLE, TOP, "pool") for k in range(pooled) for s in (0, 1)
    ]
    parts += captions(3, "pooled", "4 times fewer units", "the largest of each 2×2 goes on")
    parts += units(3, pooled, TOP, spacing=2)

    for panel in range(4):
        parts += units(panel, UNITS, BOTTOM)
        parts += units(panel, UNITS, MIDDLE)

    width, height = 4 * PANEL, BOTTOM + 70
    title = f"An image of {size}×{size} and as many units: dense, local, shared, pooled"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


if __name__ == "__main__":
    sys.stdout.write(picture())
