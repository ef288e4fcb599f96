"""Draws a graph: curves from zero, a legend below, a dashed line where the panel has one."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from deploy.grafana.preview.prometheus import Span
from deploy.grafana.preview.svg import COLOURS, NAMED, Area, Named, frame, path, text
from deploy.grafana.preview.units import written
from experiments.report.axis import Axis

_LEFT, _RIGHT, _TOP = 72, 16, 36
_TIMES, _LINE = 26, 16  # heights of the time axis and of a line of the legend
_CHARACTER = 6.6  # mean width at the legend's size


def draw(panel: Mapping[str, Any], series: Sequence[Named], span: Span, width: float, height: float) -> str:
    """The panel's drawing."""
    title, defaults = panel["title"], panel["fieldConfig"]["defaults"]
    if not series:
        return frame(title, width, height, [text(width / 2, height / 2, defaults["noValue"], "none", "middle")])
    lines = _lines([each.name for each in series], width)
    area = Area(_LEFT, _TOP, width - _RIGHT, height - _TIMES - _LINE * len(lines) - 4, span)
    highest = max(value for each in series for _, value in each.points)
    top = defaults.get("max", 1.08 * highest or 1.0)
    y = Axis(0.0, top, area.bottom, area.top, log=False, text=written(defaults["unit"]))
    parts = [*area.times(), *_levels(y, area), *_limit(defaults, y, area)]
    for number, each in enumerate(series):
        parts += _curve(each, COLOURS[number % len(COLOURS)], area, y, span.step_s)
    return frame(title, width, height, [*parts, *_legend(lines, area.bottom + _TIMES + 10)])


def _levels(y: Axis, area: Area) -> list[str]:
    parts = []
    for tick in y.ticks():
        parts.append(f'<path class="grid" d="M{area.left},{y.at(tick):.1f}H{area.right}"/>')
        parts.append(text(area.left - 6, y.at(tick) + 4, y.text(tick), "small", "end"))
    return parts


def _limit(defaults: Mapping[str, Any], y: Axis, area: Area) -> list[str]:
    """The dashed line; one beyond the axis is not drawn, as in Grafana."""
    if defaults.get("custom", {}).get("thresholdsStyle", {}).get("mode") != "dashed":
        return []
    return [
        f'<path d="M{area.left},{y.at(step["value"]):.1f}H{area.right}" stroke="{NAMED[step["color"]]}" '
        'stroke-dasharray="7 5"/>'
        for step in defaults["thresholds"]["steps"]
        if step["value"] is not None and step["value"] <= y.high
    ]


def _curve(series: Named, colour: str, area: Area, y: Axis, step_s: float) -> list[str]:
    """One path for each stretch without a gap; a lone point is a dot."""
    stretches: list[list[tuple[float, float]]] = [[series.points[0]]]
    for before, after in pairwise(series.points):
        if after[0] - before[0] > 1.5 * step_s:
            stretches.append([])
        stretches[-1].append(after)
    parts = []
    for stretch in stretches:
        pixels = [(area.x(at), y.at(value)) for at, value in stretch]
        if len(pixels) == 1:
            parts.append(f'<circle cx="{pixels[0][0]:.1f}" cy="{pixels[0][1]:.1f}" r="2" fill="{colour}"/>')
        else:
            parts.append(f'<path class="curve" stroke="{colour}" d="{path(pixels)}"/>')
    return parts


def _lines(names: Sequence[str], width: float) -> list[list[tuple[int, str, float]]]:
    """The legend in lines that fit: each name with its number and where it begins."""
    lines: list[list[tuple[int, str, float]]] = [[]]
    x = 10.0
    for number, name in enumerate(names):
        needs = 22 + _CHARACTER * len(name) + 14
        if x + needs > width and lines[-1]:
            lines.append([])
            x = 10.0
        lines[-1].append((number, name, x))
        x += needs
    return lines


def _legend(lines: Sequence[Sequence[tuple[int, str, float]]], top: float) -> list[str]:
    parts = []
    for row, line in enumerate(lines):
        y = top + _LINE * row
        for number, name, x in line:
            colour = COLOURS[number % len(COLOURS)]
            parts.append(f'<rect x="{x:.1f}" y="{y - 6:.1f}" width="14" height="4" fill="{colour}"/>')
            parts.append(text(x + 19, y, name, "small"))
    return parts
