"""Draws simulated runs over their rates: waiting, and how busy everything is."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.report.axis import Axis, axis_for, number_text, share_text
from experiments.report.figures import Figure
from experiments.report.panel import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Panel, Point, Series, draw, legend

_TIMES = {"first token, p50": ("ttft_ms", "p50"), "first token, p95": ("ttft_ms", "p95"), "all, p50": ("e2e_ms", "p50")}
_BUSY = ("sharers", "receivers", "links")

Run = Mapping[str, Any]


def plot(runs: Sequence[Run]) -> str:
    """One standalone SVG; ``runs`` as :mod:`simulation.summary` gives them, with their ``rate_rps``."""
    answered = [run for run in runs if run["ttft_ms"] is not None]
    times = [
        Series(name, style, tuple(_point(run, run[what][share] / 1000, name) for run in answered))
        for style, (name, (what, share)) in enumerate(_TIMES.items())
    ]
    busy = [
        Series(f"{name} busy", style, tuple(_point(run, run["utilisation"][name]["mean"], name) for run in runs))
        for style, name in enumerate(_BUSY, start=len(_TIMES))
    ]
    x = axis_for((run["rate_rps"] for run in runs), LEFT, WIDTH - RIGHT, log=True, text=number_text)
    high = max((point.y for each in times for point in each.points), default=1.0)
    y = Axis(0, 1.1 * high, HEIGHT - BOTTOM, TOP, log=False, text=number_text)
    shares = Axis(0, 1, HEIGHT - BOTTOM, TOP, log=False, text=share_text)
    panels = (
        draw(Panel("waiting", tuple(times), (), ()), x, y, "seconds", "requests per second"),
        draw(Panel("use", tuple(busy), (), ()), x, shares, "share of the time", "requests per second"),
    )
    key = legend(Panel("", (*times, *busy), (), ()), y, "simulated, from service times of one pair")
    return Figure("simulated", "Simulated", panels, key).file()


def _point(run: Run, value: float, name: str) -> Point:
    return Point(run["rate_rps"], value, value, value, f"{name}, {run['rate_rps']:g}/s: {value:.3g}")
