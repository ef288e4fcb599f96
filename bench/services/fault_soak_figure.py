"""Draws a soak with faults: answers per minute by path with the minute's faults, and memory over time."""

from collections import Counter
from collections.abc import Mapping, Sequence

from bench.services.faults.troubles import Trouble
from bench.services.soak import Memory
from experiments.report.axis import axis_for, number_text
from experiments.report.figures import Figure
from experiments.report.panel import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Panel, Point, Series, draw, legend
from loadtest.open_loop import Sent

_MINUTE_S = 60.0


def plot(sent: Sequence[Sent], troubles: Sequence[Trouble], memory: Mapping[str, Memory]) -> str:
    """One standalone SVG."""
    answers = Panel("requests of each minute", _by_minute(sent, troubles), (), ())
    resident = Panel("resident memory", _resident(memory), (), ())
    panels = []
    for panel, y_label in ((answers, "requests, faults"), (resident, "MB")):
        points = [point for each in panel.series for point in each.points]
        x = axis_for((point.x for point in points), LEFT, WIDTH - RIGHT, log=False, text=number_text)
        y = axis_for([0.0, *(point.y for point in points)], HEIGHT - BOTTOM, TOP, log=False, text=number_text)
        panels.append(draw(panel, x, y, y_label, "minutes from the start"))
        panels.append(legend(panel, y, ""))
    return Figure("fault-soak", "Soak with faults", tuple(panels)).file()


def _by_minute(sent: Sequence[Sent], troubles: Sequence[Trouble]) -> tuple[Series, ...]:
    counts = Counter((_ended(each), int(each.due_s // _MINUTE_S)) for each in sent)
    counts.update(("faults", int(each.begun_s // _MINUTE_S)) for each in troubles)
    minutes = range(max(minute for _, minute in counts) + 1)
    return tuple(
        Series(how, style, tuple(_point(minute, counts[how, minute]) for minute in minutes))
        for style, how in enumerate(sorted({how for how, _ in counts}))
    )


def _ended(sent: Sent) -> str:
    return sent.outcome.report.path.value if sent.ok and sent.outcome.report else "failed"


def _resident(memory: Mapping[str, Memory]) -> tuple[Series, ...]:
    return tuple(
        Series(
            name,
            style,
            tuple(_point(at_s / _MINUTE_S, found / 1e6) for at_s, found in zip(each.at_s, each.bytes, strict=True)),
        )
        for style, (name, each) in enumerate(memory.items())
    )


def _point(x: float, y: float) -> Point:
    return Point(x, y, y, y, f"{x:.1f} min: {y:.4g}")
