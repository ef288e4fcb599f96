"""The manifests build, fit the schemas of what they are for, and do what docs/kubernetes.md says."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest

from deploy.kubernetes import rules

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/kubernetes"
SCHEMAS = {file.stem: json.loads(file.read_text()) for file in (Path(__file__).parent / "schemas").glob("*.json")}
DOCS = (ROOT / "docs/kubernetes.md").read_text()
OVERLAYS = ["base", "overlays/one-gpu", "overlays/two-gpus", "overlays/autoscaled"]
EVERYTHING = ["token", "tls", "models-claim", "gpu", "monitoring", "autoscaling", "http", "http-tls"]
COMPONENTS = [[], ["http"], EVERYTHING[:3], EVERYTHING]


def check(found, version):
    """Hold an object against the schema of its kind; fields that are not in it are refused."""
    if found["kind"] in SCHEMAS:
        jsonschema.Draft202012Validator(SCHEMAS[found["kind"]]).validate(found)
    else:
        validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed: not run")
        validate.validate(found, version, strict=True)


@pytest.mark.parametrize("components", COMPONENTS, ids=lambda each: "+".join(each) or "none")
@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_every_object_fits_its_schema(build, components, version):
    """Kubernetes' own of two releases, and those of the custom resources."""
    for found in build("base", *components):
        check(found, version)


@pytest.mark.parametrize("overlay", OVERLAYS[1:])
def test_every_overlay_fits_the_schemas(build, overlay):
    """As it is shipped."""
    objects = build(overlay)
    assert {"Deployment", "Service", "NetworkPolicy", "PodDisruptionBudget"} <= {each["kind"] for each in objects}
    for found in objects:
        check(found, "1.37")


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("Deployment", ["spec", "template", "spec"]),
        ("NetworkPolicy", ["spec"]),
        ("PodMonitor", ["spec"]),
        ("PrometheusRule", ["spec", "groups", 0]),
        ("ScaledObject", ["spec", "triggers", 0]),
    ],
)
def test_a_field_that_nobody_knows_is_refused(build, kind, path):
    """The schemas are strict, so the checks above can fail."""
    found = json.loads(json.dumps(next(iter(build("overlays/autoscaled").of_kind(kind).values()))))
    check(found, "1.37")
    place = found
    for step in path:
        place = place[step]
    place["terminationGracePeriod"] = 30
    with pytest.raises(jsonschema.ValidationError, match="terminationGracePeriod"):
        check(found, "1.37")


def test_the_blocks_of_the_docs_that_are_marked_run_work_as_they_stand(build, kubectl, tmp_path):
    """In one shell that stops at the first command that fails; the others say that there was no cluster."""
    marks = re.findall(r"^```sh(.*)$", DOCS, re.MULTILINE)
    assert set(marks) == {" run", " no cluster"}
    blocks = re.findall(r"^```sh run\n(.*?)^```", DOCS, re.DOTALL | re.MULTILINE)
    shutil.copytree(FOLDER, tmp_path / "deploy/kubernetes")
    environment = {**os.environ, "PATH": f"{kubectl.parent}:{os.environ['PATH']}"}
    command = ["/bin/bash", "-euc", "\n".join(blocks)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    mine = type(build("base")).read((tmp_path / "mine.yaml").read_text())
    assert {mine.container(name)["image"] for name in ("sharer", "receiver")} == {"registry.example/kvwire:cpu"}
    assert mine.environment("receiver")["KVWIRE_MAX_IN_FLIGHT"] == "32"
    for found in mine:
        check(found, "1.37")


def test_the_rules_are_those_of_the_compose_file():
    """The copy for Prometheus' operator is made of them."""
    assert rules.FILE.read_text() == rules.rendered(), "run: python -m deploy.kubernetes.rules"


def test_the_docs_name_all_that_there_is():
    """Each overlay and each component, and no other."""
    named = set(re.findall(r"^\| `(?:overlays/)?([a-z-]+)` \|", DOCS, re.MULTILINE))
    there = {each.parent.name for each in FOLDER.rglob("kustomization.yaml")}
    assert named == there


def test_no_secret_is_shipped(build):
    """Who deploys makes them."""
    assert build("base", *EVERYTHING).of_kind("Secret") == {}
    made = {each["spec"]["secretName"] for each in build("base", *EVERYTHING[:3]).of_kind("Certificate").values()}
    told = set(re.findall(r"[a-z]+-token", DOCS))
    mounted = {
        volume["secret"]["secretName"]
        for pod in build("base", *EVERYTHING[:3]).of_kind("Deployment").values()
        for volume in pod["spec"]["template"]["spec"]["volumes"]
        if "secret" in volume
    }
    assert mounted == {"sharer-tls", "receiver-tls", "sharer-token", "receiver-token"}
    assert mounted <= made | told
