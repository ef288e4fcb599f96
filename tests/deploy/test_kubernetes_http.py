"""What the manifests say of the front doors is what they do."""

import pytest
from starlette.routing import Route

from http_service import server
from http_service.app import application
from http_service.metrics import Metrics
from http_service.receiver import Receiver
from kvwire.client import Client
from kvwire.config import HttpSettings
from kvwire.tracing import NoTracer

BUILDS = [("base", "http"), ("base", "http", "tls", "gpu", "models-claim", "autoscaling", "http-tls")]
builds = pytest.mark.parametrize("built", BUILDS, ids="+".join)


@pytest.fixture
def read(monkeypatch):
    """Read a front door's settings from the environment of its pods."""

    def settings(objects):
        for key, value in objects.environment("http").items():
            monkeypatch.setenv(key, value)
        return HttpSettings()

    return settings


def port(address):
    return int(address.rpartition(":")[2])


@builds
def test_it_listens_where_it_is_looked_for_and_asks_all_receivers(build, built, read):
    """Its ports are those of the container and of the Service; every variable is a setting."""
    objects = build(*built)
    found, container = read(objects), objects.container("http")
    assert objects.environment("http").keys() <= {f"KVWIRE_{name.upper()}" for name in HttpSettings.model_fields}
    listens = {"http": port(found.listen), "metrics": port(found.metrics_listen)}
    assert {each["name"]: each["containerPort"] for each in container["ports"]} == listens
    services = objects.of_kind("Service")
    assert [(each["port"], each["targetPort"]) for each in services["http"]["spec"]["ports"]] == [(8000, "http")]
    assert found.receiver == f"dns:receiver:{services['receiver']['spec']['ports'][0]['port']}"


@builds
async def test_it_is_ready_while_a_receiver_serves_and_alive_without_one(build, built):
    """By a path that there is, over TLS where it speaks TLS."""
    container = build(*built).container("http")
    ready = container["readinessProbe"]["httpGet"]
    async with Client("127.0.0.1:9") as client:
        app = application(Receiver(client), Metrics(), NoTracer(), 1)
    paths = {each.path for each in app._app._routes if isinstance(each, Route)}
    assert ready["path"] in paths
    assert (ready.get("scheme", "HTTP") == "HTTPS") == ("http-tls" in built)
    for probe in ("startup", "liveness"):
        assert container[f"{probe}Probe"]["tcpSocket"] == {"port": "http"}


@builds
def test_its_pods_are_selected_and_no_others(build, built):
    """By the Deployment, the Service and the budget of disruptions; receivers let them in by their label."""
    objects = build(*built)
    deployments = objects.of_kind("Deployment")
    labels = {name: each["spec"]["template"]["metadata"]["labels"] for name, each in deployments.items()}
    selectors = [
        deployments["http"]["spec"]["selector"]["matchLabels"],
        objects.of_kind("Service")["http"]["spec"]["selector"],
        objects.of_kind("PodDisruptionBudget")["http"]["spec"]["selector"]["matchLabels"],
    ]
    for selector in selectors:
        assert [name for name, found in labels.items() if selector.items() <= found.items()] == ["http"]
    assert labels["http"]["kvwire-client"] == "true"


@builds
def test_its_pods_can_do_no_more_than_they_must(build, built):
    """The standard `restricted`; nothing is written, and what other components lay over services is not theirs."""
    pod, container = build(*built).pod("http"), build(*built).container("http")
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    mounted = {each["name"] for each in container.get("volumeMounts", [])}
    assert mounted == {each["name"] for each in pod.get("volumes", [])} == ({"certs"} if "tls" in built else set())
    assert all(each["readOnly"] for each in container.get("volumeMounts", []))
    assert "nvidia.com/gpu" not in str(pod)


@builds
def test_its_pods_get_longer_to_stop_than_their_answers_get_to_finish(build, built):
    """The sleep before SIGTERM counts too."""
    pod = build(*built).pod("http")
    sleep_s = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] >= sleep_s + server._DRAIN_S + 5


def test_its_metrics_are_scraped_as_a_job_of_their_own(build):
    """By the monitor that is there."""
    objects = build("base", "monitoring", "http")
    [monitor] = objects.of_kind("PodMonitor").values()
    labels = objects.of_kind("Deployment")["http"]["spec"]["template"]["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert labels[monitor["spec"]["jobLabel"]] == "http"


def test_who_asks_over_tls_finds_the_name_in_the_certificate(build):
    """Which is that of the Service."""
    names = build(*BUILDS[1]).of_kind("Certificate")["http"]["spec"]["dnsNames"]
    assert {"http", "http.kvwire", "http.kvwire.svc"} <= set(names)
