"""Which curves a report shows: one figure per dataset and number, one panel per way of choosing tokens."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from experiments.curves import Costs, Row
from experiments.metrics import METRICS
from experiments.report.axis import axis_for, bytes_text, number_text, share_text
from experiments.report.panel import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Level, Panel, Point, Series, draw, legend
from experiments.report.style import FIGURE
from experiments.statistics.bootstrap import Estimate

_LEVELS = {"receiver_only": "b", "receiver_reads": "a"}
_GOAL = 0.9  # of the uncompressed cache's net gain: what a codec may cost, by the goal it is measured against
_SINGLES = {"text": 6, "verbatim": 3, "text_question": 2, "text_options": 4}  # star, diamond and triangles


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


@dataclass(frozen=True)
class _Shown:
    """One estimate against bytes: its name and look, which bytes, and the lines across."""

    name: str
    label: str
    share: bool
    log: bool
    x_label: str
    bytes_of: Callable[[Costs], float | None]
    levels: Callable[["_Shown", Sequence[Row]], tuple[Level, ...]]

    @property
    def text(self) -> Callable[[float], str]:
        """How a value is written."""
        return share_text if self.share else number_text


def figures(dataset: str, rows: Sequence[Row]) -> list[Figure]:
    """One figure per metric the dataset has, and one of net gains; ``rows`` are all of that dataset."""
    own = [row for row in rows if not (row.arm.wrong_context or row.arm.control)]
    return [_figure(dataset, shown, own) for shown in _SHOWN if any(shown.name in row.estimates for row in own)]


def _figure(dataset: str, shown: _Shown, rows: Sequence[Row]) -> Figure:
    ways = _ways([row for row in rows if shown.name in row.estimates])
    panels = [_panel(title, way, shown, rows) for title, way in ways]
    curves = [point for panel in panels for series in panel.series for point in series.points]
    around = [(p.low, p.high) for single in panels[0].singles for p in single.points]
    around += [(level.low, level.high) for level in panels[0].levels]
    y_values = [end for point in curves for end in (point.low, point.high)]
    # A distance of nearly nothing, as of a verbatim relay, must not stretch a logarithmic axis over ten decades.
    floor = min(y_values, default=0) if shown.log else float("-inf")
    y_values += [end for ends in around for end in ends if ends[0] >= floor]
    bytes_sent = [point.x for point in curves] + [p.x for single in panels[0].singles for p in single.points]
    x = axis_for(bytes_sent, LEFT, WIDTH - RIGHT, log=True, text=bytes_text)
    y = axis_for(y_values, HEIGHT - BOTTOM, TOP, log=shown.log, text=shown.text)
    drawn = (*(draw(panel, x, y, shown.label, shown.x_label) for panel in panels), legend(panels[0], y))
    return Figure(f"{dataset}-{shown.name}", f"{dataset}: {shown.label}", drawn)


def _ways(rows: Sequence[Row]) -> list[tuple[str, tuple[str, str]]]:
    """Title, selector and scope of each panel; one alone where nothing is pruned."""
    ways = dict.fromkeys((row.arm.selector, row.arm.scope) for row in rows if row.arm.keep < 1)
    scopes = {scope for _, scope in ways}
    return [
        (f"kept by {selector}{f' per {scope}' if len(scopes) > 1 else ''}", (selector, scope))
        for selector, scope in ways
    ] or [("all tokens kept", ("", ""))]


def _panel(title: str, way: tuple[str, str], shown: _Shown, rows: Sequence[Row]) -> Panel:
    codecs = dict.fromkeys(row.arm.curve or row.arm.codec for row in rows if row.arm.codec)
    return Panel(
        title=title,
        series=tuple(
            Series(codec, style, points)
            for style, codec in enumerate(codecs)
            if (
                points := _points(
                    shown,
                    [
                        r
                        for r in rows
                        if (r.arm.curve or r.arm.codec) == codec
                        and (r.arm.keep == 1 or (r.arm.selector, r.arm.scope) == way)
                    ],
                )
            )
        ),
        singles=tuple(
            Series(name, style, points)
            for name, style in _SINGLES.items()
            if (points := _points(shown, [row for row in rows if row.arm.name == name]))
        ),
        levels=shown.levels(shown, rows),
    )


def _receiver(shown: _Shown, rows: Sequence[Row]) -> tuple[Level, ...]:
    """The receiver by itself, without and with the context."""
    return tuple(
        Level(row.arm.name, _LEVELS[row.arm.name], *row.estimates[shown.name][:3])
        for row in rows
        if row.arm.name in _LEVELS and shown.name in row.estimates
    )


def _uncompressed(shown: _Shown, rows: Sequence[Row]) -> tuple[Level, ...]:
    """The uncompressed cache, and the goal below it."""
    found = next((row.estimates.get(shown.name) for row in rows if row.arm.reference), None)
    if found is None:
        return ()
    goal = _GOAL * found.value
    return Level("uncompressed", "a", *found[:3]), Level(f"{share_text(_GOAL)} of it", "b", goal, goal, goal)


_SHOWN = (
    *(
        _Shown(m.name, m.label, m.share, m.log, "bytes per request", lambda costs: costs.wire_bytes, _receiver)
        for m in METRICS
    ),
    _Shown(
        "net_gain",
        "net context gain",
        share=True,
        log=False,
        x_label="payload bytes per token of the context",
        bytes_of=lambda costs: costs.payload_bytes_per_token,
        levels=_uncompressed,
    ),
)


def _points(shown: _Shown, rows: Sequence[Row]) -> tuple[Point, ...]:
    found = [
        _point(shown, row, estimate, sent)
        for row in rows
        if (estimate := row.estimates.get(shown.name)) and (sent := shown.bytes_of(row.costs))
    ]
    return tuple(sorted(found, key=lambda point: point.x))


def _point(shown: _Shown, row: Row, estimate: Estimate, sent: float) -> Point:
    value, low, high = (shown.text(number) for number in estimate[:3])
    label = f"{row.arm.name}: {value} ({low} to {high}), {bytes_text(sent)}"
    return Point(sent, estimate.value, estimate.low, estimate.high, label)
