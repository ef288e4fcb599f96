"""Draws measured and simulated figures of a pair over its load.

``python -m bench.services.simulated_figure FOUND.json FIGURE.svg``.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from experiments.report.axis import Axis, number_text, share_text
from experiments.report.figures import Figure
from experiments.report.panel import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Panel, Point, Series, draw, legend

#: A panel's title, what its axis counts, and what is in it.
_PANELS = {
    "to the first token": ("seconds", ("ttft_p50_s", "ttft_p95_s")),
    "whole answers": ("seconds", ("e2e_p50_s", "e2e_p95_s")),
    "compute threads": ("share of the time", ("sharer_busy", "receiver_busy")),
}
_NAMES = {
    "ttft_p50_s": "first token, p50",
    "ttft_p95_s": "first token, p95",
    "e2e_p50_s": "whole answer, p50",
    "e2e_p95_s": "whole answer, p95",
    "sharer_busy": "sharer busy",
    "receiver_busy": "receiver busy",
}

Loads = Sequence[Mapping[str, Any]]


def plot(result: Mapping[str, Any]) -> str:
    """One standalone SVG; ``result`` as :mod:`bench.services.simulated` writes it."""
    loads: Loads = result["loads"]
    x = Axis(0, 0.95, LEFT, WIDTH - RIGHT, log=False, text=share_text)
    panels, marks = [], list[Series]()
    for title, (counted, names) in _PANELS.items():
        series = tuple(
            _series(loads, name, style, kind)
            for style, name in enumerate(names, start=len(marks) // 2)
            for kind in ("measured", "simulated")
        )
        marks += series
        high = max(point.high for each in series for point in each.points)
        text = number_text if counted == "seconds" else share_text
        y = Axis(0, 1.1 * high, HEIGHT - BOTTOM, TOP, log=False, text=text)
        panels.append(draw(Panel(title, series, (), ()), x, y, counted, "share of the capacity"))
    key = legend(Panel("", tuple(marks), (), ()), Axis(0, 1, 1, 0, log=False, text=number_text), "bars: rounds")
    return Figure("simulated", "Measured and simulated", tuple(panels), key).file()


def _series(loads: Loads, name: str, style: int, kind: str) -> Series:
    """Measured ones are joined, with the rounds' range; simulated ones stand alone."""
    points = []
    for load in loads:
        rounds, value = [each[kind][name] for each in load["rounds"]], load[kind][name]
        low, high = (min(rounds), max(rounds)) if kind == "measured" else (value, value)
        label = f"{_NAMES[name]}, {kind}, {100 * load['share_of_capacity']:.0f} %: {value:.3g}"
        points.append(Point(load["share_of_capacity"], value, low, high, label))
    simulated = kind == "simulated"
    return Series(f"{_NAMES[name]}, {kind}", style, tuple(points), joined=not simulated, hollow=simulated)


def main(
    found: Annotated[Path, typer.Argument(help="JSON of bench.services.simulated")],
    figure: Annotated[Path, typer.Argument(help="SVG to write")],
) -> None:
    """Draw it."""
    figure.write_text(plot(json.loads(found.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
