"""What the manifests say of the services is what the services do."""

import re
from pathlib import Path

import pytest

from kvwire import processes
from kvwire.config import ReceiverSettings, SharerSettings
from kvwire.rpc import server
from kvwire.telemetry import Metrics

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy/docker/Dockerfile").read_text()
DOCS = (ROOT / "docs/kubernetes.md").read_text()
SETTINGS = {"sharer": SharerSettings, "receiver": ReceiverSettings}
BUILDS = [
    ("base",),
    ("overlays/one-gpu",),
    ("overlays/two-gpus",),
    ("overlays/autoscaled",),
    ("base", "token", "tls", "models-claim"),
]

services = pytest.mark.parametrize("name", SETTINGS)
builds = pytest.mark.parametrize("built", BUILDS, ids="+".join)


@pytest.fixture
def settings(monkeypatch):
    """Read a service's settings from the environment of its pods."""

    def read(objects, name):
        for key, value in objects.environment(name).items():
            monkeypatch.setenv(key, value)
        return SETTINGS[name]()

    return read


def port(address):
    return int(address.rpartition(":")[2])


def mib(amount):
    return int(amount.removesuffix("Gi")) * 1024


def selected(selector, labels):
    """Whether a selector takes a pod with these labels."""
    return selector.get("matchLabels", {}).items() <= labels.items()


@services
@builds
def test_every_variable_is_a_setting_of_the_service(build, built, name):
    """Or one that its process, the model store or the health check of the image reads."""
    known = {f"KVWIRE_{field.upper()}" for field in SETTINGS[name].model_fields}
    known |= {*processes._ENVIRONMENT, "KVWIRE_HEALTH_CA"}
    assert build(*built).environment(name).keys() - known == set()


@services
def test_services_start_with_the_environment_of_other_launchers(build, name):
    """kvwire/processes.py has the reasons."""
    assert processes._ENVIRONMENT.items() <= build("base").environment(name).items()


@services
@builds
def test_ports_are_those_the_service_listens_on(build, built, settings, name):
    """Of the container, its probes and the service that leads to it."""
    objects = build(*built)
    found = settings(objects, name)
    container, service = objects.container(name), objects.of_kind("Service")[name]
    listens = {"grpc": port(found.listen), "metrics": port(found.metrics_listen)}
    assert {each["name"]: each["containerPort"] for each in container["ports"]} == listens
    assert [(each["port"], each["targetPort"]) for each in service["spec"]["ports"]] == [(listens["grpc"], "grpc")]
    probes = [container[f"{each}Probe"].get("grpc") for each in ("startup", "readiness", "liveness")]
    assert {each["port"] for each in probes if each} <= {listens["grpc"]}


@services
def test_probes_ask_for_the_health_of_what_the_server_serves(build, name):
    """The liveness of the server as a whole, which is the empty name."""
    container = build("base").container(name)
    served = re.findall(r'"(kvwire\.v1\.\w+)"', (ROOT / f"{name}_service/server.py").read_text())
    asked = {container[f"{each}Probe"]["grpc"]["service"] for each in ("startup", "readiness")}
    assert asked <= set(served)
    assert asked == {f"kvwire.v1.{name.capitalize()}Service"}
    assert "service" not in container["livenessProbe"]["grpc"]


@services
def test_with_tls_the_images_own_health_check_is_run(build, name):
    """Kubernetes' gRPC probe knows no TLS; the check asks localhost, and the certificate names it."""
    objects = build(*BUILDS[-1])
    container = objects.container(name)
    for probe in ("startup", "readiness", "liveness"):
        assert container[f"{probe}Probe"]["exec"]["command"] == ["python", "/opt/healthcheck.py"]
        assert "grpc" not in container[f"{probe}Probe"]
    assert re.search(r"^COPY .*deploy/docker/healthcheck\.py.* /opt/$", DOCKERFILE, re.MULTILINE)
    assert {"localhost", name} <= set(objects.of_kind("Certificate")[name]["spec"]["dnsNames"])


@builds
def test_receivers_look_up_the_headless_service_of_the_sharers(build, built, settings):
    """Which is a name for the pods' own addresses."""
    objects = build(*built)
    service = objects.of_kind("Service")["sharer"]["spec"]
    assert settings(objects, "receiver").sharers == {"sharer": f"dns:sharer:{service['ports'][0]['port']}"}
    assert service["clusterIP"] == "None"


@services
@builds
def test_selectors_take_the_pods_of_their_service(build, built, name):
    """Of the Deployment, the Service, the budget of disruptions, and the spread over nodes; and no others."""
    objects = build(*built)
    deployments = objects.of_kind("Deployment")
    labels = {each: found["spec"]["template"]["metadata"]["labels"] for each, found in deployments.items()}
    selectors = [
        deployments[name]["spec"]["selector"],
        {"matchLabels": objects.of_kind("Service")[name]["spec"]["selector"]},
        objects.of_kind("PodDisruptionBudget")[name]["spec"]["selector"],
        objects.pod(name)["topologySpreadConstraints"][0]["labelSelector"],
    ]
    for selector in selectors:
        assert [each for each in SETTINGS if selected(selector, labels[each])] == [name]


@services
@builds
def test_pods_get_longer_to_stop_than_their_requests_get_to_finish(build, built, name):
    """The sleep before SIGTERM counts too."""
    pod = build(*built).pod(name)
    sleep_s = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] >= sleep_s + server._DRAIN_S + 5
    assert f"{sleep_s} s in which" in DOCS
    assert f"killed after {pod['terminationGracePeriodSeconds']} s" in DOCS


@services
@builds
def test_pods_can_do_no_more_than_they_must(build, built, name):
    """The standard `restricted`, and no file written but in the home and the folder for what is temporary."""
    pod, container = build(*built).pod(name), build(*built).container(name)
    user = int(re.search(r"^USER (\d+):\d+$", DOCKERFILE, re.MULTILINE)[1])
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert {pod["securityContext"][each] for each in ("runAsUser", "runAsGroup", "fsGroup")} == {user}
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    writable = {each["mountPath"] for each in container["volumeMounts"] if not each.get("readOnly")}
    assert writable == {re.search(r"KVWIRE_HOME=(\S+)", DOCKERFILE)[1], "/tmp"}  # noqa: S108  # the container's own
    assert {each["name"] for each in container["volumeMounts"]} == {each["name"] for each in pod["volumes"]}


@services
def test_the_memory_limit_is_the_sum_that_the_docs_make(build, settings, name):
    """Weights, the process, both memories of caches, and one pass."""
    objects = build("base")
    found, resources = settings(objects, name), objects.container(name)["resources"]
    number = r"\| ([\d,]+)[^|]*"
    [row] = re.findall(f"^{number * 6}\\|$", DOCS, re.MULTILINE)
    idle, in_flight, kept, one_pass, total, allowed = (int(each.replace(",", "")) for each in row)
    assert (in_flight << 20, kept << 20) == (found.cache_memory_bytes, found.reuse_bytes)
    assert idle + in_flight + kept + one_pass == total
    limit = resources["limits"]["memory"]
    assert total + total // 6 <= mib(limit) == allowed
    assert resources["requests"]["memory"] == limit
    assert found.threads == int(resources["requests"]["cpu"])
    assert "cpu" not in resources["limits"]


@pytest.mark.parametrize(
    ("overlay", "gpu"), [("overlays/one-gpu", "nvidia.com/gpu.shared"), ("overlays/two-gpus", "nvidia.com/gpu")]
)
@services
def test_a_pod_on_a_gpu_asks_for_one_and_uses_it(build, settings, name, overlay, gpu):
    """With the image that can; where one GPU is all there is, the old pod makes room for the new one."""
    objects = build(overlay)
    limits = objects.container(name)["resources"]["limits"]
    assert {key: value for key, value in limits.items() if "nvidia" in key} == {gpu: 1}
    assert settings(objects, name).device == "cuda"
    assert objects.container(name)["image"] == "kvwire:cuda"
    assert re.search(r"^FROM \w+ AS cuda$", DOCKERFILE, re.MULTILINE)
    spec = objects.of_kind("Deployment")[name]["spec"]
    assert (spec["replicas"], spec["strategy"]["rollingUpdate"]["maxSurge"]) == (1, 0)


def test_the_metrics_are_scraped_under_the_names_that_the_rules_know(build):
    """The job is the side; the port is the one that answers Prometheus."""
    objects = build("overlays/autoscaled")
    [monitor] = objects.of_kind("PodMonitor").values()
    jobs = set()
    for deployment in objects.of_kind("Deployment").values():
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert selected(monitor["spec"]["selector"], labels)
        jobs.add(labels[monitor["spec"]["jobLabel"]])
    assert jobs == set(SETTINGS)
    assert [each["port"] for each in monitor["spec"]["podMetricsEndpoints"]] == ["metrics"]


@services
def test_pods_are_counted_by_a_metric_that_the_service_has(build, settings, name):
    """Of its own job, and before it refuses requests; the Deployment itself no longer sets a number."""
    objects = build("overlays/autoscaled")
    scaled = objects.of_kind("ScaledObject")[name]["spec"]
    [trigger] = scaled["triggers"]
    query = trigger["metadata"]["query"]
    offered = {sample.name for family in Metrics(name).registry.collect() for sample in family.samples}
    assert set(re.findall(r"kvwire_\w+", query)) == {"kvwire_requests_in_flight"} <= offered
    assert f'job="{name}"' in query
    assert float(trigger["metadata"]["threshold"]) == settings(objects, name).max_in_flight / 2
    assert scaled["scaleTargetRef"]["name"] in objects.of_kind("Deployment")
    assert "replicas" not in objects.of_kind("Deployment")[name]["spec"]
