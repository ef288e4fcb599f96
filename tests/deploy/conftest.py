"""Debian's Prometheus, scraping a real pair of services that a load test has just driven."""

import asyncio
import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from kvwire.client import Client
from kvwire.processes import Pair, RunningService, running_pair
from kvwire.requests import Exchange, FaultPolicy, Method
from loadtest.datasets import load
from loadtest.driver import Driver, Plan

DEPLOY = Path(__file__).parents[2] / "deploy"


def eventually(happened: Callable[[], bool], what: str, within_s: float = 20.0) -> None:
    """Poll until something outside this process has happened."""
    deadline = time.monotonic() + within_s
    while not happened():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within_s:.0f} s: {what}")
        time.sleep(0.1)


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

    def values_soon(self, query: str) -> list[float]:
        """The same, once the query returns something: rules are evaluated after what they read was scraped."""
        eventually(lambda: bool(self.values(query)), f"{query} returns data")
        return self.values(query)

    def is_ready(self) -> bool:
        """Whether it answers queries."""
        try:
            return self.values("vector(1)") == [1.0]
        except OSError:
            return False


@contextmanager
def running_prometheus(
    program: str, folder: Path, sharer: RunningService, receiver: RunningService
) -> Iterator[Prometheus]:
    """Run the shipped configuration, with these services in place of compose's, scraped every half second."""
    (folder / "prometheus.yml").write_text(yaml.safe_dump(scraping(sharer, receiver)))
    shutil.copy(DEPLOY / "prometheus/rules.yml", folder)
    address = f"127.0.0.1:{free_port()}"
    with (folder / "prometheus.log").open("w") as log:
        command = [program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        process = subprocess.Popen([*command, f"--web.listen-address={address}"], stderr=log, stdout=log)
    try:
        prometheus = Prometheus(f"http://{address}")
        eventually(prometheus.is_ready, f"Prometheus is ready, see {folder}/prometheus.log")
        yield prometheus
    finally:
        process.terminate()
        process.wait(timeout=20)


def scraping(sharer: RunningService, receiver: RunningService) -> dict[str, Any]:
    """The shipped configuration with other targets and a shorter interval."""
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
    targets = {"sharer": sharer.metrics, "receiver": receiver.metrics}
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
    return config


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


async def drive(sharer: RunningService, receiver: RunningService) -> int:
    """Ask by every method, of a sharer that is gone too; return how many answers were given."""
    ways = [
        (receiver, Exchange(Method.PREFIX, "sharer", codec="int8")),
        (receiver, Exchange(Method.FUSE, "sharer", codec="fp16")),
        (receiver, Exchange(Method.TEXT, "sharer", relay_max_tokens=4)),
        (receiver, Exchange(Method.RECEIVER_READS)),
        (sharer, Exchange(Method.SHARER_ONLY)),
        (receiver, Exchange(Method.PREFIX, "gone")),
        (receiver, Exchange(Method.PREFIX, "gone", on_fault=FaultPolicy.RECEIVER_ONLY)),
        (receiver, Exchange(Method.PREFIX, "sharer", codec="no-such-codec")),
    ]
    items, answers = load("pocket", limit=2), 0
    for service, exchange in ways:
        async with Client(service.address) as client:
            outcomes = await Driver(client, Plan(exchange, warmup=0)).run(items, lambda _: None)
        answers += sum(outcome.report is not None for outcome in outcomes)
    return answers


@pytest.fixture(scope="session")
def pair(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningService, RunningService]]:
    """A sharer and a receiver, which also knows a sharer that is gone, by an environment variable as in compose."""
    folder = tmp_path_factory.mktemp("pair")
    models = Pair(f"path:{tiny_llama}", f"path:{tiny_llama}")
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:  # ends once they run: other tests start services too
            patch.setenv("KVWIRE_HOME", str(folder / "home"))
            patch.setenv("KVWIRE_SHARERS", '{"gone": "127.0.0.1:9"}')  # the discard port: nobody listens
            running = running_pair(models, ["--threads", "1", "--log-level", "warning"], log_dir=folder)
            started = stack.enter_context(running)
        yield started


@pytest.fixture(scope="session")
def program() -> str:
    """Path of Prometheus; asked for first, so that a machine without it skips at once."""
    path = shutil.which("prometheus")
    return path or pytest.skip("prometheus is not here; run deploy/prometheus/install-prometheus.sh")


@pytest.fixture(scope="session")
def prometheus(
    program: str, pair: tuple[RunningService, RunningService], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """A Prometheus that has watched a load test; rates need samples before and after, so it is driven twice."""
    with running_prometheus(program, tmp_path_factory.mktemp("prometheus"), *pair) as running:
        answers = 0
        for _ in range(2):
            answers += asyncio.run(drive(*pair))
            seen = [float(answers)]
            eventually(lambda seen=seen: running.values("sum(kvwire_answers_total)") == seen, f"{seen} answers")
        yield running
