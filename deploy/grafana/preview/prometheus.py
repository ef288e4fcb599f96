"""A real Prometheus with the shipped configuration, scraping a pair on this machine."""

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kvwire.errors import StartError
from kvwire.processes import RunningService, free_port

SHIPPED = Path(__file__).parents[2] / "prometheus"
_START_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Series:
    """One series of a query's answer: its labels, and pairs of Unix time in seconds and value."""

    labels: dict[str, str]
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Span:
    """From when to when, in Unix seconds, and how far apart the points are."""

    start_s: float
    end_s: float
    step_s: float


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus and its HTTP API."""

    url: str

    def get(self, path: str, **parameters: str) -> Any:
        """The ``data`` of an API call's answer."""
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}") as answer:  # noqa: S310  # loopback
            return json.load(answer)["data"]

    def values(self, query: str) -> list[float]:
        """One number for each series of an instant query."""
        return [float(series["value"][1]) for series in self.get("query", query=query)["result"]]

    def over(self, span: Span, query: str) -> list[Series]:
        """What a query gives over time."""
        times = {"start": f"{span.start_s:.3f}", "end": f"{span.end_s:.3f}", "step": f"{span.step_s:g}"}
        return [
            Series(series["metric"], [(at, float(value)) for at, value in series["values"]])
            for series in self.get("query_range", query=query, **times)["result"]
        ]

    def is_ready(self) -> bool:
        """Whether it answers queries."""
        try:
            return self.values("vector(1)") == [1.0]
        except OSError:
            return False


@contextmanager
def running_prometheus(
    program: str, folder: Path, sharer: RunningService, receiver: RunningService, scrape_interval: str
) -> Iterator[Prometheus]:
    """Run the shipped configuration, with these services in place of compose's, scraped at this interval.

    Raises:
        StartError: It does not become ready.
    """
    (folder / "prometheus.yml").write_text(yaml.safe_dump(_scraping(sharer, receiver, scrape_interval)))
    shutil.copy(SHIPPED / "rules.yml", folder)
    address = f"127.0.0.1:{free_port()}"
    with (folder / "prometheus.log").open("w") as log:
        command = [program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        process = subprocess.Popen([*command, f"--web.listen-address={address}"], stderr=log, stdout=log)  # noqa: S603  # as above
    try:
        prometheus, deadline = Prometheus(f"http://{address}"), time.monotonic() + _START_TIMEOUT_S
        while not prometheus.is_ready():
            if time.monotonic() > deadline or process.poll() is not None:
                raise StartError(f"Prometheus does not become ready; {folder}/prometheus.log says why")
            time.sleep(0.1)
        yield prometheus
    finally:
        process.terminate()
        process.wait(timeout=_START_TIMEOUT_S)


def _scraping(sharer: RunningService, receiver: RunningService, scrape_interval: str) -> dict[str, Any]:
    """The shipped configuration with other targets and another interval."""
    config: dict[str, Any] = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": scrape_interval, "evaluation_interval": scrape_interval}
    targets = {"sharer": sharer.metrics, "receiver": receiver.metrics}
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
    return config
