"""Which curves a report shows: one figure per dataset and metric, one panel per way of choosing tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.curves import Row
from experiments.metrics import METRICS, Metric
from experiments.report.axis import axis_for, bytes_text, number_text, share_text
from experiments.report.panel import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Level, Panel, Point, Series, draw, legend
from experiments.report.style import FIGURE
from experiments.statistics.bootstrap import Estimate

_LEVELS = {"receiver_only": "b", "receiver_reads": "a"}
_SINGLES = {"text": 6, "verbatim": 3}  # star and diamond


@dataclass(frozen=True)
class Figure:
    """Panels that share their axes, the legend last; each is an ``<svg>``."""

    name: str
    title: str
    panels: tuple[str, ...]

    def file(self) -> str:
        """All panels in one standalone SVG, two beside one another."""
        rows = -(-len(self.panels) // 2)
        placed = "".join(
            panel.replace(
                "<svg ", f'<svg x="{index % 2 * WIDTH}" y="{index // 2 * HEIGHT}" width="{WIDTH}" height="{HEIGHT}" ', 1
            )
            for index, panel in enumerate(self.panels)
        )
        size = f'width="{2 * WIDTH}" height="{rows * HEIGHT}" viewBox="0 0 {2 * WIDTH} {rows * HEIGHT}"'
        return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{FIGURE}</style>{placed}</svg>\n'


def figures(dataset: str, rows: Sequence[Row]) -> list[Figure]:
    """One figure per metric the dataset has; ``rows`` are all of that dataset."""
    shown = [metric for metric in METRICS if any(metric.name in row.estimates for row in rows)]
    return [_figure(dataset, metric, [row for row in rows if not row.arm.wrong_context]) for metric in shown]


def _figure(dataset: str, metric: Metric, rows: Sequence[Row]) -> Figure:
    panels = [_panel(title, way, metric, rows) for title, way in _ways(rows)]
    curves = [point for panel in panels for series in panel.series for point in series.points]
    around = [(p.low, p.high) for single in panels[0].singles for p in single.points]
    around += [(level.low, level.high) for level in panels[0].levels]
    y_values = [end for point in curves for end in (point.low, point.high)]
    # A distance of nearly nothing, as of a verbatim relay, must not stretch a logarithmic axis over ten decades.
    floor = min(y_values, default=0) if metric.log else float("-inf")
    y_values += [end for ends in around for end in ends if ends[0] >= floor]
    text = share_text if metric.share else number_text
    bytes_sent = [point.x for point in curves] + [p.x for single in panels[0].singles for p in single.points]
    x = axis_for(bytes_sent, LEFT, WIDTH - RIGHT, log=True, text=bytes_text)
    y = axis_for(y_values, HEIGHT - BOTTOM, TOP, log=metric.log, text=text)
    drawn = (*(draw(panel, x, y, metric.label) for panel in panels), legend(panels[0], y))
    return Figure(f"{dataset}-{metric.name}", f"{dataset}: {metric.label}", drawn)


def _ways(rows: Sequence[Row]) -> list[tuple[str, tuple[str, str]]]:
    """Title, selector and scope of each panel; one alone where nothing is pruned."""
    ways = dict.fromkeys((row.arm.selector, row.arm.scope) for row in rows if row.arm.keep < 1)
    scopes = {scope for _, scope in ways}
    return [
        (f"kept by {selector}{f' per {scope}' if len(scopes) > 1 else ''}", (selector, scope))
        for selector, scope in ways
    ] or [("all tokens kept", ("", ""))]


def _panel(title: str, way: tuple[str, str], metric: Metric, rows: Sequence[Row]) -> Panel:
    codecs = dict.fromkeys(row.arm.codec for row in rows if row.arm.codec)
    return Panel(
        title=title,
        series=tuple(
            Series(codec, style, points)
            for style, codec in enumerate(codecs)
            if (
                points := _points(
                    metric,
                    [
                        r
                        for r in rows
                        if r.arm.codec == codec and (r.arm.keep == 1 or (r.arm.selector, r.arm.scope) == way)
                    ],
                )
            )
        ),
        singles=tuple(
            Series(name, style, points)
            for name, style in _SINGLES.items()
            if (points := _points(metric, [row for row in rows if row.arm.name == name]))
        ),
        levels=tuple(
            Level(row.arm.name, _LEVELS[row.arm.name], *row.estimates[metric.name][:3])
            for row in rows
            if row.arm.name in _LEVELS and metric.name in row.estimates
        ),
    )


def _points(metric: Metric, rows: Sequence[Row]) -> tuple[Point, ...]:
    found = [
        _point(metric, row, estimate, row.costs.wire_bytes)
        for row in rows
        if (estimate := row.estimates.get(metric.name)) and row.costs.wire_bytes
    ]
    return tuple(sorted(found, key=lambda point: point.x))


def _point(metric: Metric, row: Row, estimate: Estimate, wire_bytes: float) -> Point:
    text = share_text if metric.share else number_text
    value, low, high = (text(number) for number in estimate[:3])
    label = f"{row.arm.name}: {value} ({low} to {high}), {bytes_text(wire_bytes)}"
    return Point(wire_bytes, estimate.value, estimate.low, estimate.high, label)
