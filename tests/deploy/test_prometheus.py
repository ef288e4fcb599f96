"""Prometheus takes the shipped configuration and rules, and the rules find what they look for in real services."""

import re
import shutil
import subprocess
import urllib.request
from pathlib import Path

import pytest
import yaml

from deploy.grafana.preview.panels import FILES, Dashboard

FOLDER = Path(__file__).parents[2] / "deploy/prometheus"
RULES = [rule for group in yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"] for rule in group["rules"]]
RECORDS = [rule["record"] for rule in RULES if "record" in rule]
ALERTS = [rule["alert"] for rule in RULES if "alert" in rule]


@pytest.fixture
def promtool():
    """Its path."""
    path = shutil.which("promtool")
    return path or pytest.skip("promtool is not here; run deploy/prometheus/install-prometheus.sh")


@pytest.mark.parametrize("check", ["check config prometheus.yml", "check rules rules.yml", "test rules rules_test.yml"])
def test_promtool_agrees(promtool, check):
    """Syntax, and the rules' own tests."""
    done = subprocess.run([promtool, *check.split()], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("service", [0, 1], ids=["sharer", "receiver"])
def test_promtool_finds_nothing_to_say_of_the_metrics(pair, promtool, service):
    """Of names, help texts and types, after a load test, when each metric has values."""
    with urllib.request.urlopen(f"http://{pair[service].metrics}/metrics") as answer:
        metrics = answer.read()
    done = subprocess.run([promtool, "check", "metrics"], input=metrics, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_every_rule_has_a_test_of_its_own():
    """Each is named in the rules' tests."""
    tests = (FOLDER / "rules_test.yml").read_text()
    assert [name for name in RECORDS + ALERTS if name not in tests] == []


@pytest.mark.parametrize("record", RECORDS)
def test_a_recording_rule_returns_data_after_a_load_test(prometheus, record):
    """Numbers above zero: the load test had failures and fallbacks too."""
    assert prometheus.values(f"max_over_time({record}[1m]) > 0")


def test_every_rule_is_evaluated_without_an_error(prometheus):
    """By Prometheus itself, over real series."""
    rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"]: rule["health"] for rule in rules} == dict.fromkeys(RECORDS + ALERTS, "ok")


def test_the_faults_of_the_load_test_are_noticed_and_nothing_else_is(watched):
    """Pending, because they have not lasted long enough to be worth waking somebody."""
    noticed = {(alert.labels["alertname"], alert.labels["alertstate"]) for alert in watched.series("ALERTS")}
    names = {
        "KvwireFailures",
        "KvwireFallbacks",
        "KvwireMismatch",
        "KvwireOverloaded",
        "KvwireSharerLeftAlone",
    }
    assert noticed == {(name, "pending") for name in names}


def test_an_alert_names_a_dashboard_that_there_is():
    """Where it says where to look."""
    titles = "|".join(Dashboard.read(file).made["title"] for file in FILES)
    told = [rule["annotations"]["description"] for rule in RULES if "alert" in rule]
    named = [text for text in told if "dashboard" in text]
    assert named
    assert [text for text in named if not re.search(f"[Tt]he dashboard ({titles}) shows", text)] == []


def test_both_services_are_scraped(prometheus):
    """Each under the job the dashboard and the rules know it by."""
    assert prometheus.values('up{job="sharer"}') == [1.0]
    assert prometheus.values('up{job="receiver"}') == [1.0]
    assert prometheus.values('kvwire_build_info{job="receiver", service="receiver"}') == [1.0]
