"""Puts a dashboard's panels where its grid has them, under a line that says what the picture is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.grafana.preview import graph, heatmap, tile
from deploy.grafana.preview.panels import Dashboard, legend
from deploy.grafana.preview.prometheus import Prometheus, Span
from deploy.grafana.preview.svg import STYLE, Named, text

WIDTH = 1440
_COLUMN, _UNIT, _GAP, _HEAD = WIDTH / 24, 34, 8, 128
_DRAWN: Mapping[str, Callable[[Mapping[str, Any], Sequence[Named], Span, float, float], str]] = {
    "stat": tile.draw,
    "timeseries": graph.draw,
    "heatmap": heatmap.draw,
}
_NOTE = "A preview drawn by kvwire from the dashboard's own queries, not a screenshot of Grafana."


@dataclass(frozen=True)
class Page:
    """A page and how tall it is, in pixels; ``WIDTH`` is how wide."""

    html: str
    height: int


def page(dashboard: Dashboard, prometheus: Prometheus, span: Span, load: str) -> Page:
    """The dashboard over a span; ``load`` says what was measured."""
    made = dashboard.made
    height = int(_HEAD + _UNIT * max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in made["panels"])) + _GAP
    variables = " · ".join(f"{v['label']}: {v['current']['text']}" for v in made["templating"]["list"])
    head = [
        f'<rect class="banner" x="10.5" y="10.5" width="{WIDTH - 21}" height="46" rx="4"/>',
        text(24, 30, _NOTE, "note"),
        text(24, 48, load, "small"),
        text(14, 86, made["title"], "head"),
        text(14, 108, made["description"]),
        text(WIDTH - 14, 86, variables, "small", "end"),
    ]
    panels = [_placed(dashboard, panel, prometheus, span) for panel in made["panels"]]
    size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    style = f"<style>html,body{{margin:0;background:#f4f5f7}}{STYLE}</style>"
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join([*head, *panels])}</svg>'
    return Page(f'<!doctype html><meta charset="utf-8"><title>{made["title"]}</title>{style}{svg}\n', height)


def _placed(dashboard: Dashboard, panel: Mapping[str, Any], prometheus: Prometheus, span: Span) -> str:
    at = panel["gridPos"]
    left, top = at["x"] * _COLUMN + _GAP / 2, _HEAD + at["y"] * _UNIT
    width, height = at["w"] * _COLUMN - _GAP, at["h"] * _UNIT - _GAP
    if panel["type"] == "row":
        return text(left + 8, top + 20, panel["title"], "row")
    drawn = _DRAWN[panel["type"]](panel, _asked(dashboard, panel, prometheus, span), span, width, height)
    return f'<svg x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}">{drawn}</svg>'


def _asked(dashboard: Dashboard, panel: Mapping[str, Any], prometheus: Prometheus, span: Span) -> list[Named]:
    """The series of all of a panel's queries."""
    return [
        Named(legend(target.get("legendFormat", ""), series.labels), series.points)
        for target in panel["targets"]
        for series in prometheus.over(span, dashboard.filled_in(target["expr"]))
    ]
