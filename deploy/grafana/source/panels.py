"""The kinds of panels the dashboards are made of, and the frame around them."""

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import TypeVar

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard, heatmap, prometheus, stat, timeseries
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

TAG = "kvwire"
DATASOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")

PanelT = TypeVar("PanelT", stat.Panel, timeseries.Panel, heatmap.Panel)
Part = stat.Panel | timeseries.Panel | heatmap.Panel | dashboard.Row


@dataclass(frozen=True)
class Told:
    """What a panel says of itself: a title, a description, and Grafana's name of the unit."""

    title: str
    description: str
    unit: str


@dataclass(frozen=True)
class Query:
    """A query, and how each of its series is called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Above:
    """From this value on, a number is shown in this colour; the description says what it means."""

    value: float
    colour: str


def tile(told: Told, expr: str, *levels: Above, good: str = "green") -> stat.Panel:
    """The latest value in large figures over a small curve; without levels its colour means nothing."""
    colours = [models.Threshold(value=None, color=good if levels else "blue"), *_thresholds(levels)]
    panel = _told(stat.Panel(), told, (Query(expr),)).span(4).height(4)
    return (
        panel.color_mode(common.BigValueColorMode.VALUE)
        .graph_mode(common.BigValueGraphMode.AREA)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
        .thresholds(dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(colours))
    )


def graph(told: Told, *queries: Query) -> timeseries.Panel:
    """Curves over time, from zero; half the width."""
    panel = _told(timeseries.Panel(), told, queries).span(12).height(8).min(0).no_value("none")
    return (
        panel.line_width(1)
        .fill_opacity(8)
        .show_points(common.VisibilityMode.AUTO)
        .legend(
            common_builders.VizLegendOptions()
            .show_legend(show_legend=True)
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
        )
        .tooltip(
            common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
        )
    )


def limited(panel: timeseries.Panel, above: Above) -> timeseries.Panel:
    """The graph with a dashed line at a level."""
    colours = [models.Threshold(value=None, color="transparent"), *_thresholds((above,))]
    return panel.thresholds(
        dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(colours)
    ).thresholds_style(common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED))


def spread(told: Told, buckets: str) -> heatmap.Panel:
    """How often each bucket of a histogram was met, over time; half the width. The unit is that of the buckets."""
    panel = _told(heatmap.Panel(), told, (Query(buckets, "{{le}}"),), PromQueryFormat.HEATMAP).span(12).height(8)
    return (
        panel.color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Blues").steps(32))
        .y_axis(heatmap.YAxisConfig().unit(told.unit))
        .cell_gap(1)
        .show_legend()
    )


def row(title: str) -> dashboard.Row:
    """A heading over the panels that follow."""
    return dashboard.Row(title)


def choice(name: str, label: str, query: str) -> dashboard.QueryVariable:
    """A variable over the values of a label, all of them at first."""
    everything = models.VariableOption(text="All", value="$__all")
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query({"query": query, "refId": name})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".*")
        .current(everything)
    )


METHOD = choice("method", "Method", "label_values(kvwire_answers_total, method)")
CODEC = choice("codec", "Codec", "label_values(kvwire_wire_bytes_total, codec)")
_JOB = choice("job", "Job", "label_values(kvwire_build_info, job)")
_INSTANCE = choice("instance", "Instance", 'label_values(kvwire_build_info{job=~"$job"}, instance)')


def board(
    name: str, title: str, question: str, variables: Sequence[dashboard.QueryVariable], parts: Sequence[Part]
) -> models.Dashboard:
    """A dashboard that answers a question; parts fill its rows from left to right, and each links to the others."""
    source = models.VariableOption(text="Prometheus", value="prometheus")
    others = dashboard.DashboardLink("kvwire").type(models.DashboardLinkType.DASHBOARDS).tags([TAG])
    made = (
        dashboard.Dashboard(title)
        .uid(f"kvwire-{name}")
        .description(question)
        .tags([TAG])
        .time("now-15m", "now")
        .refresh("5s")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(others.include_vars(include_vars=True).keep_time(keep_time=True))
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus").current(source)
        )
    )
    for variable in (_JOB, _INSTANCE, *variables):
        made.with_variable(variable)
    for number, part in enumerate(parts, start=1):
        part.id(number)
        made.with_row(part) if isinstance(part, dashboard.Row) else made.with_panel(part)
    return made.build()


def _told(panel: PanelT, told: Told, queries: Sequence[Query], shape: PromQueryFormat | None = None) -> PanelT:
    panel.title(told.title).description(told.description).unit(told.unit).datasource(DATASOURCE)
    for query, name in zip(queries, ascii_uppercase, strict=False):
        target = prometheus.Dataquery().ref_id(name).datasource(DATASOURCE).expr(query.expr).legend_format(query.legend)
        panel.with_target(target.range().format(shape or PromQueryFormat.TIME_SERIES))
    return panel


def _thresholds(levels: Sequence[Above]) -> list[models.Threshold]:
    return [models.Threshold(value=level.value, color=level.colour) for level in levels]
