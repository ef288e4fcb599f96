"""Draws one panel of a figure as SVG: curves with intervals, level lines with bands, single points."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from experiments.report.axis import Axis
from experiments.report.style import COLOURS

WIDTH, HEIGHT = 380, 290
LEFT, RIGHT, TOP, BOTTOM = 56, 10, 46, 40
_PITCH = 20  # of a legend's lines, where they fit so

_MARKERS = (
    "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z",  # circle
    "M-3.5,-3.5h7v7h-7z",  # square
    "M0,-4.5L4.5,3.5H-4.5z",  # triangle
    "M0,-5L5,0L0,5L-5,0z",  # diamond
    "M0,4.5L4.5,-3.5H-4.5z",  # triangle, upside down
    "M-4,-1.3h2.7v-2.7h2.6v2.7h2.7v2.6h-2.7v2.7h-2.6v-2.7h-2.7z",  # plus
    "M0,-5.5L1.5,-1.8L5.5,-1.8L2.3,0.8L3.4,4.8L0,2.4L-3.4,4.8L-2.3,0.8L-5.5,-1.8L-1.5,-1.8z",  # star
)


@dataclass(frozen=True)
class Point:
    """A value and its 95 % interval at a number of bytes; ``label`` shows on pointing at it."""

    x: float
    y: float
    low: float
    high: float
    label: str


@dataclass(frozen=True)
class Series:
    """Points of one codec, joined in order or not; ``style`` counts the codecs, ``hollow`` ones are the lesser."""

    name: str
    style: int
    points: tuple[Point, ...]
    joined: bool = True
    hollow: bool = False


@dataclass(frozen=True)
class Level:
    """A value that sends no bytes: a line across, its interval a band; ``kind`` is its CSS class."""

    name: str
    kind: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Panel:
    """All that is in one panel; ``singles`` are points of no curve, ``front`` the steps of a Pareto front."""

    title: str
    series: tuple[Series, ...]
    singles: tuple[Series, ...]
    levels: tuple[Level, ...]
    front: tuple[Point, ...] = ()


def draw(
    panel: Panel, x: Axis, y: Axis, y_label: str, x_label: str = "bytes per request", labels: Sequence[str] = ()
) -> str:
    """The panel as one ``<svg>``; ``labels`` are drawn on top."""
    return svg(
        panel.title,
        [
            *_frame(panel.title, x, y, y_label, x_label),
            *(part for level in panel.levels if level.value >= y.low for part in _level(level, x, y)),
            *_front(panel.front, x, y),
            *(part for series in panel.series for part in _series(series, f"c{series.style % COLOURS}", x, y)),
            *(part for single in panel.singles if _shows(single, y) for part in _series(single, "single", x, y)),
            *labels,
        ],
    )


def legend(panel: Panel, y: Axis, note: str = "bars and bands: 95 % intervals") -> str:
    """What the marks of a panel mean, as a panel of its own; and what is too low for its axis."""
    rows = [
        *((_mark(s, f"c{s.style % COLOURS}", 24, 0, s.name), s.name) for s in panel.series),
        *(
            (_mark(s, "single", 24, 0, s.name), s.name if _shows(s, y) else f"{s.name}: below the axis")
            for s in panel.singles
        ),
        *(
            (
                f'<path class="level {level.kind}" d="M8,0H40"/>',
                level.name if level.value >= y.low else f"{level.name}: below the axis",
            )
            for level in panel.levels
        ),
        *([('<path class="front" d="M8,5H24V-5H40"/>', "Pareto front of the caches")] if panel.front else []),
    ]
    pitch = min(_PITCH, (HEIGHT - TOP - _PITCH) / max(1, len(rows)))
    lines = [
        f'<g transform="translate(0,{TOP + pitch * row:g})">{mark}<text x="50" y="4">{escape(name)}</text></g>'
        for row, (mark, name) in enumerate(rows)
    ]
    below = f'<text class="small" x="8" y="{HEIGHT - 8}">{escape(note)}</text>'
    return svg("legend", ['<text class="title" x="8" y="16">what is what</text>', *lines, below])


def svg(title: str, parts: Sequence[str]) -> str:
    """A panel around its parts."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="figure" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def _frame(title: str, x: Axis, y: Axis, y_label: str, x_label: str) -> list[str]:
    left, right = sorted((x.start, x.end))
    parts = [f'<text class="title" x="8" y="16">{escape(title)}</text>']
    for tick in x.ticks():
        at = x.at(tick)
        parts.append(f'<path class="grid" d="M{at:.1f},{TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(
            f'<text class="small" text-anchor="middle" x="{at:.1f}" y="{HEIGHT - BOTTOM + 15}">{x.text(tick)}</text>'
        )
    for tick in y.ticks():
        at = y.at(tick)
        parts.append(f'<path class="grid" d="M{left},{at:.1f}H{right}"/>')
        parts.append(f'<text class="small" text-anchor="end" x="{left - 5}" y="{at + 4:.1f}">{y.text(tick)}</text>')
    parts.append(f'<path class="frame" d="M{left},{TOP}V{HEIGHT - BOTTOM}H{right}"/>')
    parts.append(f'<text class="small" text-anchor="end" x="{right}" y="{HEIGHT - 8}">{escape(x_label)}</text>')
    parts.append(f'<text class="small" x="8" y="33">{escape(y_label)}</text>')
    return parts


def _shows(series: Series, y: Axis) -> bool:
    return any(point.y >= y.low for point in series.points)


def _level(level: Level, x: Axis, y: Axis) -> list[str]:
    top, bottom = y.at(level.high), y.at(level.low)
    label = f"{level.name}: {y.text(level.value)} ({y.text(level.low)} to {y.text(level.high)})"
    line = f"M{x.start},{y.at(level.value):.1f}H{x.end}"
    return [
        f'<rect class="band" x="{x.start}" y="{top:.1f}" width="{x.end - x.start}" height="{bottom - top:.1f}"/>',
        f'<path class="level {level.kind}" d="{line}"><title>{escape(label)}</title></path>',
    ]


def _front(points: Sequence[Point], x: Axis, y: Axis) -> list[str]:
    """A staircase: between two points, what the cheaper one has is the best to be had."""
    if not points:
        return []
    steps = "".join(f"H{x.at(point.x):.1f}V{y.at(point.y):.1f}" for point in points[1:])
    return [f'<path class="front" d="M{x.at(points[0].x):.1f},{y.at(points[0].y):.1f}{steps}H{x.end}"/>']


def _series(series: Series, colour: str, x: Axis, y: Axis) -> list[str]:
    joined = "L".join(f"{x.at(point.x):.1f},{y.at(point.y):.1f}" for point in series.points)
    parts = [f'<path class="{colour} line" d="M{joined}"/>'] if series.joined else []
    for point in series.points:
        at = x.at(point.x)
        parts.append(f'<path class="{colour} error" d="M{at:.1f},{y.at(point.low):.1f}V{y.at(point.high):.1f}"/>')
        parts.append(_mark(series, colour, at, y.at(point.y), point.label))
    return parts


def _mark(series: Series, colour: str, x: float, y: float, label: str) -> str:
    shape = _MARKERS[series.style % len(_MARKERS)]
    look = f"{colour} hollow" if series.hollow else colour
    size = " scale(.75)" if series.hollow else ""
    return (
        f'<path class="{look}" d="{shape}" transform="translate({x:.1f},{y:.1f}){size}">'
        f"<title>{escape(label)}</title></path>"
    )
