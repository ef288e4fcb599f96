"""The dashboard is well formed, and each of its queries returns data from a Prometheus that watched a load test."""

import json
import math
import re
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from kvwire.telemetry import Metrics

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana/dashboards/kvwire.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = {
    f"{panel['title']}, {panel['type']}, {target['refId']}": target["expr"]
    for panel in PANELS
    for target in panel["targets"]
}
VARIABLES = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
QUERY_VARIABLES = [name for name, variable in VARIABLES.items() if variable["type"] == "query"]


def filled_in(expression):
    """As Grafana sends it with everything chosen; a name it does not know stays as it is."""
    values = {name: VARIABLES[name]["allValue"] for name in QUERY_VARIABLES} | {"__rate_interval": "1m"}
    return re.sub(r"\$(\w+)", lambda found: values.get(found[1], found[0]), expression)


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_returns_data_after_a_load_test(prometheus, name):
    """Numbers above zero, but for the requests in flight: those have all been answered."""
    values = [value for value in prometheus.values(filled_in(QUERIES[name])) if math.isfinite(value)]
    assert values
    if "in_flight" not in QUERIES[name]:
        assert max(values) > 0


@pytest.mark.parametrize("name", QUERY_VARIABLES)
def test_a_variable_offers_choices_after_a_load_test(prometheus, name):
    """Those of the metric it asks, as Grafana asks for them."""
    metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", VARIABLES[name]["definition"]).groups()
    assert {"prefix", "int8"} & set(prometheus.get(f"label/{label}/values", **{"match[]": metric}))


def test_every_metric_of_a_query_is_one_of_telemetry():
    """So that a renamed metric cannot leave an empty panel behind, even where no Prometheus runs."""
    kinds = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""], "info": ["_info"]}
    known = {metric.name + ending for metric in Metrics("test").registry.collect() for ending in kinds[metric.type]}
    used = {name for query in QUERIES.values() for name in re.findall(r"\b(?:kvwire|grpc_server)_\w+", query)}
    assert used
    assert used <= known


def test_every_panel_says_what_it_shows_and_in_which_unit():
    """A title, a description and a unit."""
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]


def test_no_two_panels_overlap_or_leave_the_grid():
    """Grafana's grid is 24 columns wide."""
    for panel in DASHBOARD["panels"]:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    for one, other in combinations([panel["gridPos"] for panel in DASHBOARD["panels"]], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below


def test_grafana_is_provisioned_with_the_data_source_the_dashboard_asks():
    """And knows the scrape interval, from which it computes the shortest window that holds data."""
    [source] = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    assert source["uid"] == VARIABLES["datasource"]["current"]["value"]
    assert source["jsonData"]["timeInterval"] == config["global"]["scrape_interval"]
    assert {target["datasource"]["uid"] for panel in PANELS for target in panel["targets"]} == {"${datasource}"}
