"""Draws how time and memory grow: four panels, log over log, with a line of exponent 1 under each.

A curve that leaves its line behind grows faster than what it is drawn over.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from bench.services.growth import QUANTITIES, Row, size
from experiments.report.axis import Axis, axis_for, bytes_text, number_text
from experiments.report.figures import Figure
from experiments.report.panel import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Panel, Point, Series, draw, legend

_X = {"length": "tokens of context", "concurrency": "requests at once"}
_Y = {"time": "seconds, median of rounds", "memory": "peak bytes above rest"}
_NAMES = {kind: [name for name in QUANTITIES if name.endswith("memory") == (kind == "memory")] for kind in _Y}


def plot(measured: Mapping[str, Sequence[Row]]) -> str:
    """One standalone SVG; ``measured``: rows by what they are over."""
    styles = {name: style for style, name in enumerate(QUANTITIES)}
    panels = [_panel(over, kind, rows, styles) for over, rows in measured.items() for kind in _Y]
    marks = tuple(Series(name, style, ()) for name, style in styles.items())
    y = Axis(1, 10, HEIGHT - BOTTOM, TOP, log=True, text=number_text)
    note = "bars: least and most of the rounds; dotted: exponent 1"
    return Figure("growth", "Growth", (*panels, legend(Panel("", marks, (), ()), y, note))).file()


def _panel(over: str, kind: str, rows: Sequence[Row], styles: Mapping[str, int]) -> str:
    series = tuple(Series(name, styles[name], _points(over, name, rows)) for name in _NAMES[kind])
    points = [point for each in series for point in each.points]
    x = axis_for((point.x for point in points), LEFT, WIDTH - RIGHT, log=True, text=number_text)
    text = bytes_text if kind == "memory" else number_text
    y = axis_for((end for p in points for end in (p.low, p.high)), HEIGHT - BOTTOM, TOP, log=True, text=text)
    drawn = draw(Panel(f"{kind} over {_X[over]}", series, (), ()), x, y, _Y[kind], _X[over])
    lines = "".join(_linear(each.points, x, y) for each in series)
    return drawn.removesuffix("</svg>") + lines + "</svg>"


def _points(over: str, name: str, rows: Sequence[Row]) -> tuple[Point, ...]:
    return tuple(_point(size(over, row), name, QUANTITIES[name](row)) for row in rows)


def _point(at: int, name: str, values: Sequence[float]) -> Point:
    middle = float(np.median(values))
    return Point(at, middle, min(values), max(values), f"{name}, {at}: {middle:.4g}")


def _linear(points: Sequence[Point], x: Axis, y: Axis) -> str:
    """Exponent 1 from the first point on, as far as the panel goes."""
    first = points[0]
    end = min(points[-1].x, first.x * y.high / first.y)
    ends = f"M{x.at(first.x):.1f},{y.at(first.y):.1f}L{x.at(end):.1f},{y.at(first.y * end / first.x):.1f}"
    return f'<path class="level b" d="{ends}"/>'
