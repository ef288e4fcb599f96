"""Draws a heatmap: how many observations fell into each bucket of a histogram, over time."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from deploy.grafana.preview.prometheus import Span
from deploy.grafana.preview.svg import COLOURS, Area, Named, frame, text
from deploy.grafana.preview.units import written

_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 14, 36, 44


def draw(panel: Mapping[str, Any], series: Sequence[Named], span: Span, width: float, height: float) -> str:
    """The panel's drawing; the series are named by their buckets' upper bounds."""
    area = Area(_LEFT, _TOP, width - _RIGHT, height - _BOTTOM, span)
    buckets = _counted(series)
    highest = max((value for _, counts in buckets for value in counts.values()), default=0.0)
    tall = (area.bottom - area.top) / len(buckets)
    wide = area.x(span.start_s + span.step_s) - area.left
    write = written(panel["fieldConfig"]["defaults"]["unit"])
    parts = area.times()
    for row, (bound, counts) in enumerate(buckets):
        y = area.bottom - tall * (row + 1)
        if row % 2 == 0:
            label = "more" if math.isinf(bound) else f"≤ {write(bound)}"
            parts.append(text(area.left - 6, y + tall / 2 + 4, label, "small", "end"))
        parts += [
            f'<rect x="{area.x(at) - wide:.1f}" y="{y + 0.5:.1f}" width="{wide - 0.5:.1f}" height="{tall - 1:.1f}" '
            f'fill="{COLOURS[0]}" fill-opacity="{0.12 + 0.88 * count / highest:.2f}"/>'
            for at, count in counts.items()
            if count > 0 and at > span.start_s
        ]
    most = f"the darkest cell is {highest:.2g} per second"
    return frame(panel["title"], width, height, [*parts, text(10, height - 8, most, "small")])


def _counted(series: Sequence[Named]) -> list[tuple[float, dict[float, float]]]:
    """Each bucket's own count at each time: Prometheus' buckets hold those below them too."""
    bounds = sorted((float(each.name), dict(each.points)) for each in series)
    lowest = (-math.inf, dict.fromkeys(bounds[0][1], 0.0))
    return [
        (bound, {at: max(0.0, value - below.get(at, 0.0)) for at, value in counts.items()})
        for (_, below), (bound, counts) in pairwise([lowest, *bounds])
    ]
