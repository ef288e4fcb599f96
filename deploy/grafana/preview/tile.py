"""Draws a stat: the latest value in large figures, coloured by its levels, over a small curve."""

from collections.abc import Mapping, Sequence
from typing import Any

from deploy.grafana.preview.prometheus import Span
from deploy.grafana.preview.svg import NAMED, Area, Named, frame, path, text
from deploy.grafana.preview.units import written


def draw(panel: Mapping[str, Any], series: Sequence[Named], span: Span, width: float, height: float) -> str:
    """The panel's drawing."""
    if not series:
        return frame(panel["title"], width, height, [text(width / 2, height / 2 + 8, "no data", "none", "middle")])
    defaults, points = panel["fieldConfig"]["defaults"], series[0].points
    value = points[-1][1]
    colour = NAMED[[step["color"] for step in defaults["thresholds"]["steps"] if (step["value"] or 0) <= value][-1]]
    area = Area(1, height * 0.62, width - 1, height - 4, span)
    highest = max(1e-12, *(value for _, value in points))
    pixels = [(area.x(at), area.bottom - each / highest * (area.bottom - area.top)) for at, each in points]
    ends = [(pixels[-1][0], height - 1), (pixels[0][0], height - 1)]
    large = f'<text x="{width / 2:.1f}" y="{height * 0.55:.1f}" text-anchor="middle" font-size="27" font-weight="600" '
    parts = [
        f'<path d="{path([*pixels, *ends])}Z" fill="{colour}" fill-opacity=".13"/>',
        f'<path class="curve" d="{path(pixels)}" stroke="{colour}" stroke-opacity=".6"/>',
        f'{large}style="fill:{colour}">{written(defaults["unit"])(value)}</text>',
    ]
    return frame(panel["title"], width, height, parts)
