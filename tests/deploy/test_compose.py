"""The compose files fit the schema, the services' settings, each other and what Prometheus scrapes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from http_service import server as http_server
from kvwire import processes
from kvwire.config import HttpSettings, ReceiverSettings, SharerSettings
from kvwire.rpc import server

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
GPU = yaml.safe_load((ROOT / "deploy/docker/gpu.yml").read_text())
SERVICES = COMPOSE["services"]
SETTINGS = {"sharer": SharerSettings, "receiver": ReceiverSettings}
ALL_SETTINGS = SETTINGS | {"http": HttpSettings}


def interpolated(value, **variables):
    """A value as compose reads it, ``${NAME:-default}`` replaced."""
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: variables.get(found[1], found[2]), str(value))


@pytest.fixture
def settings(monkeypatch):
    """Read a service's settings from its environment in the compose file."""

    def read(name):
        for key, value in SERVICES[name]["environment"].items():
            monkeypatch.setenv(key, interpolated(value))
        return ALL_SETTINGS[name]()

    return read


@pytest.mark.parametrize("file", ["docker-compose.yml", "deploy/docker/gpu.yml"])
def test_a_compose_file_fits_the_schema_of_compose(file):
    """The one that the tool itself publishes."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", ROOT / file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_services_listen_where_others_look_for_them(settings):
    """The receiver for the sharer, the load test for both, Prometheus for their metrics."""
    sharer, receiver, door = settings("sharer"), settings("receiver"), settings("http")
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in scraped}
    named = {
        "sharer": sharer.listen.replace("0.0.0.0", "sharer"),  # noqa: S104  # its own container
        "receiver": receiver.listen.replace("0.0.0.0", "receiver"),  # noqa: S104  # its own container
    }
    assert receiver.sharers == {"sharer": named["sharer"]}
    assert SERVICES["loadtest"]["entrypoint"][2:] == ["--receiver", named["receiver"], "--sharer", named["sharer"]]
    assert targets == {
        "sharer": [sharer.metrics_listen.replace("0.0.0.0", "sharer")],  # noqa: S104  # its own container
        "receiver": [receiver.metrics_listen.replace("0.0.0.0", "receiver")],  # noqa: S104  # its own container
        "http": [door.metrics_listen.replace("0.0.0.0", "http")],  # noqa: S104  # its own container
    }


def test_a_plain_up_starts_both_services_on_the_cpu(settings):
    """No profile is needed and no GPU asked for."""
    for name in SETTINGS:
        assert "profiles" not in SERVICES[name]
        assert "deploy" not in SERVICES[name]
        assert settings(name).device == "cpu"


@pytest.mark.parametrize(
    ("variables", "gpus"),
    [({}, ["0", "0"]), ({"RECEIVER_GPU": "1"}, ["0", "1"]), ({"SHARER_GPU": "3", "RECEIVER_GPU": "2"}, ["3", "2"])],
)
def test_the_gpu_file_puts_both_services_on_one_gpu_or_on_two(variables, gpus):
    """And on the image that can use them."""
    found = []
    for name in SETTINGS:
        [device] = GPU["services"][name]["deploy"]["resources"]["reservations"]["devices"]
        found += [interpolated(one, **variables) for one in device["device_ids"]]
        assert GPU["services"][name]["build"]["target"] == "cuda"
        assert GPU["services"][name]["environment"] == {"KVWIRE_DEVICE": "cuda"}
    assert found == gpus


def test_traces_go_where_their_profile_starts_something_that_takes_them():
    """The two lines of .env.example name one service, which a plain ``up`` does not start."""
    said = dict(
        re.findall(
            r"^#(COMPOSE_PROFILES|KVWIRE_OTLP_ENDPOINT)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE
        )
    )
    host = re.fullmatch(r"http://(\w+):4317", said["KVWIRE_OTLP_ENDPOINT"])[1]
    assert SERVICES[host]["profiles"] == [said["COMPOSE_PROFILES"]]


def test_ports_are_published_on_loopback_alone():
    """Nothing between the containers is encrypted."""
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_the_live_page_is_published_where_the_receiver_serves_it(settings):
    """On this machine, at the port of its metrics."""
    port = settings("receiver").metrics_listen.rpartition(":")[2]
    assert f"127.0.0.1:{port}:{port}" in SERVICES["receiver"]["ports"]


def test_the_front_door_is_published_and_asks_the_receiver(settings):
    """At the ports both listen on."""
    door, port = settings("http"), settings("receiver").listen.rpartition(":")[2]
    assert door.receiver == f"receiver:{port}"
    port = door.listen.rpartition(":")[2]
    assert SERVICES["http"]["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_every_setting_that_is_named_exists():
    """In the compose files and in .env.example; KVWIRE_HOME belongs to the model store."""
    files = ["docker-compose.yml", "deploy/docker/gpu.yml", ".env.example"]
    known = {f"KVWIRE_{name.upper()}" for kind in ALL_SETTINGS.values() for name in kind.model_fields} | {"KVWIRE_HOME"}
    used = {name for file in files for name in re.findall(r"\bKVWIRE_[A-Z_]+\b", (ROOT / file).read_text())}
    assert used - known == set()


def test_the_example_shows_the_defaults():
    """Each line of .env.example, uncommented, changes nothing."""
    example = dict(re.findall(r"^#([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), flags=re.MULTILINE))
    defaults = {f"KVWIRE_{name.upper()}": str(field.default) for name, field in SharerSettings.model_fields.items()}
    compose = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", (ROOT / "docker-compose.yml").read_text() + str(GPU)))
    for name in ("COMPOSE_FILE", "COMPOSE_PROFILES", "KVWIRE_OTLP_ENDPOINT"):
        del example[name]  # the lines that do
    assert example
    assert {name: (defaults | compose)[name] for name in example} == example


def test_containers_start_services_with_the_environment_of_other_launchers():
    """deploy/docker/service.env and kvwire/processes.py say the same."""
    lines = (ROOT / "deploy/docker/service.env").read_text().splitlines()
    given = dict(line.split("=") for line in lines if line and not line.startswith("#"))
    assert given == processes._ENVIRONMENT
    for name in SETTINGS:
        assert "deploy/docker/service.env" in SERVICES[name]["env_file"]


def test_a_container_gets_longer_to_stop_than_its_requests_get_to_finish():
    """Docker kills after ten seconds unless told otherwise."""
    for name in SETTINGS:
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > server._DRAIN_S
    assert int(SERVICES["http"]["stop_grace_period"].removesuffix("s")) > http_server._DRAIN_S
