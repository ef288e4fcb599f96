"""Makes the rules of Prometheus a resource of its operator: ``python -m deploy.kubernetes.rules``."""

from pathlib import Path

import yaml

_SOURCE = Path(__file__).parents[1] / "prometheus/rules.yml"

FILE = Path(__file__).parent / "components/monitoring/rules.yaml"


def rendered() -> str:
    """What the file is to hold; kustomize reads no file outside the folder it builds, so it is a copy."""
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "kvwire", "namespace": "kvwire"},
        "spec": yaml.safe_load(_SOURCE.read_text(encoding="utf-8")),
    }
    note = "# Made of deploy/prometheus/rules.yml by: python -m deploy.kubernetes.rules\n"
    return note + yaml.safe_dump(rule, sort_keys=False, width=120)


if __name__ == "__main__":
    FILE.write_text(rendered(), encoding="utf-8")
