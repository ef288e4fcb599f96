"""The dashboards are what their source makes; each query returns data from a Prometheus that watched a load."""

import math
import re
from itertools import combinations

import pytest
import yaml

from deploy.grafana.preview.panels import FILES, GRAFANA, Dashboard, rate_interval_s, scrape_interval_s
from deploy.grafana.source.files import files
from kvwire.telemetry import Metrics

SHIPPED = GRAFANA.parent / "prometheus"
DASHBOARDS = {file.stem: Dashboard.read(file) for file in FILES}
QUERIES = {
    f"{name}: {panel['title']}, {panel['type']}, {target['refId']}": dashboard.filled_in(target["expr"])
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard.panels
    for target in panel["targets"]
}
CHOICES = {
    f"{name}: {choice['name']}": dashboard.filled_in(choice["query"]["query"])
    for name, dashboard in DASHBOARDS.items()
    for choice in dashboard.choices
}
#: Zero is what they should show, and what they do show after the load test, whose services keep no caches.
ZERO = {
    "kvwire-quality: Damaged streams, stat, A",
    "kvwire-bandwidth: Contexts that were there, timeseries, A",
    "kvwire-bandwidth: Bytes not sent, timeseries, A",
}

every_dashboard = pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)


def test_the_files_are_what_the_source_makes():
    """Otherwise run `make dashboards`."""
    assert {file.name: file.read_text() for file in FILES} == files()


@pytest.mark.parametrize("name", QUERIES)
@pytest.mark.slow
def test_a_query_returns_data_over_a_load_test(watched, name):
    """Every series has numbers, all of them finite, and some are above zero."""
    found = watched.series(QUERIES[name])
    values = [value for series in found for _, value in series.points]
    assert values
    assert all(math.isfinite(value) for value in values)
    assert (max(values) > 0) is (name not in ZERO)


@pytest.mark.parametrize("name", CHOICES)
def test_a_variable_offers_choices_after_a_load_test(prometheus, name):
    """Those of the metric it asks, as Grafana asks for them."""
    metric, label = re.fullmatch(r"label_values\((.+), (\w+)\)", CHOICES[name]).groups()
    offered = set(prometheus.get(f"label/{label}/values", **{"match[]": metric}))
    some = {"method": "prefix", "codec": "int8", "job": "receiver"}
    assert some[label] in offered if label in some else offered


def test_every_metric_of_a_query_is_one_of_ours():
    """So that a renamed metric cannot leave an empty panel behind, even where no Prometheus runs."""
    kinds = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""], "info": ["_info"]}
    known = {metric.name + ending for metric in Metrics("test").registry.collect() for ending in kinds[metric.type]}
    rules = [rule for group in yaml.safe_load((SHIPPED / "rules.yml").read_text())["groups"] for rule in group["rules"]]
    known |= {rule["record"] for rule in rules if "record" in rule}
    asked = [*QUERIES.values(), *CHOICES.values()]
    used = {name for query in asked for name in re.findall(r"[\w:]*(?:kvwire|grpc_server|process)_[\w:]+", query)}
    assert used
    assert used <= known


@every_dashboard
def test_every_panel_says_what_it_shows_and_in_which_unit(dashboard):
    """A title of its own, a description and a unit."""
    for panel in dashboard.panels:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
    assert len({(panel["type"], panel["title"]) for panel in dashboard.panels}) == len(dashboard.panels)


@every_dashboard
def test_a_description_tells_what_a_colour_means(dashboard):
    """Wherever a number or a line has one."""
    for panel in dashboard.panels:
        if any(
            step["value"] is not None
            for step in panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
        ):
            assert re.search(r"Red|Orange|dashed", panel["description"])


@every_dashboard
def test_a_dashboard_begins_with_stats_that_answer_its_question(dashboard):
    """One row of them, and nothing but graphs below; the question is its description."""
    kinds = [panel["type"] for panel in dashboard.made["panels"]]
    first = kinds.index("row")
    assert set(kinds[:first]) == {"stat"}
    assert sum(panel["gridPos"]["w"] for panel in dashboard.made["panels"][:first]) == 24
    assert set(kinds[first:]) <= {"row", "timeseries", "heatmap"}
    assert dashboard.made["description"].endswith("?")


@every_dashboard
def test_no_two_panels_overlap_or_leave_the_grid(dashboard):
    """Grafana's grid is 24 columns wide."""
    places = [panel["gridPos"] for panel in dashboard.made["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below


@every_dashboard
def test_each_dashboard_links_to_the_others(dashboard):
    """By a tag that all of them have, with the time and the variables."""
    [link] = dashboard.made["links"]
    assert link["type"] == "dashboards"
    assert all(set(link["tags"]) <= set(each.made["tags"]) for each in DASHBOARDS.values())
    assert link["keepTime"]
    assert link["includeVars"]


def test_grafana_is_provisioned_with_the_data_source_the_dashboards_ask():
    """And knows the scrape interval, from which it computes the shortest window that holds data."""
    [source] = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    config = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())
    assert source["jsonData"]["timeInterval"] == config["global"]["scrape_interval"] == f"{scrape_interval_s()}s"
    assert rate_interval_s() == 20
    for dashboard in DASHBOARDS.values():
        [chosen] = [v for v in dashboard.made["templating"]["list"] if v["type"] == "datasource"]
        assert chosen["current"]["value"] == source["uid"]
        assert {target["datasource"]["uid"] for panel in dashboard.panels for target in panel["targets"]} == {
            "${datasource}"
        }
