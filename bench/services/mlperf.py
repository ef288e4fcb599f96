"""MLPerf's LoadGen on a kvwire service: its own schedule, its own clock, its own percentiles.

Source: V. Reddi et al., "MLPerf Inference Benchmark", arXiv 1911.02549, section 4.3, the Server scenario.
"""

import asyncio
import re
import threading
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import mlperf_loadgen as loadgen

from kvwire.client import Client
from kvwire.errors import LocalError
from loadtest.client_processes import Target
from loadtest.datasets import Item
from loadtest.driver import Driver
from loadtest.intervals import Percentiles

T = TypeVar("T")

_SUMMARY = re.compile(r"^(\d\d\.\d\d) percentile latency \(ns\)\s*:\s*(\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Measured:
    """What LoadGen found: end-to-end latencies from when requests were due, and when it sent them, from the first."""

    e2e_ms: Percentiles
    sent_s: tuple[float, ...]


def run_server_scenario(
    target: Target, items: Sequence[Item], rate_rps: float, requests: int, seed: int, folder: Path
) -> Measured:
    """Send so many requests as a Poisson process; LoadGen's logs go to ``folder``.

    Raises:
        KvwireError: The service cannot be reached, or a request failed.
    """
    settings = loadgen.TestSettings()
    settings.scenario = loadgen.TestScenario.Server
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.server_target_qps = rate_rps
    settings.min_duration_ms = 0
    settings.min_query_count = settings.max_query_count = requests
    settings.schedule_rng_seed = seed
    logs = loadgen.LogSettings()
    logs.log_output.outdir = str(folder)
    logs.log_output.copy_summary_to_stdout = False
    with _Service(target, items) as service:
        sut = loadgen.ConstructSUT(service.issue, lambda: None)
        library = loadgen.ConstructQSL(len(items), len(items), lambda _: None, lambda _: None)
        loadgen.StartTestWithLogSettings(sut, library, settings, logs)
        loadgen.DestroyQSL(library)
        loadgen.DestroySUT(sut)
    found = {
        name: int(value) / 1e6 for name, value in _SUMMARY.findall((folder / "mlperf_log_summary.txt").read_text())
    }
    first = service.sent_s[0]
    return Measured(
        Percentiles(found["50.00"], found["95.00"], found["99.00"]), tuple(each - first for each in service.sent_s)
    )


class _Service:
    """Asks on an event loop of its own, so that LoadGen's thread never waits for an answer."""

    def __init__(self, target: Target, items: Sequence[Item]) -> None:
        self._target = target
        self._items = items
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="client")
        self.sent_s: list[float] = []
        self._errors: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        with ExitStack() as undo:
            undo.callback(self._stop)
            self._client = self._call(self._open()).result()
            undo.pop_all()
        return self

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __exit__(self, *_: object) -> None:
        self._call(self._client.close()).result()
        self._stop()
        if self._errors:
            raise LocalError(f"{len(self._errors)} requests failed, the first: {self._errors[0]}")

    def issue(self, samples: list[loadgen.QuerySample]) -> None:
        """Send what LoadGen says is due; called on its thread."""
        for sample in samples:
            self.sent_s.append(time.monotonic())
            item = self._items[(len(self.sent_s) - 1) % len(self._items)]
            self._call(self._answer(item, sample.id))

    async def _open(self) -> Client:
        client = Client(self._target.address, self._target.security)  # belongs to the loop that makes it
        self._driver = Driver(client, self._target.plan)
        await self._driver.warm_up(self._items)
        return client

    async def _answer(self, item: Item, sample_id: int) -> None:
        error = (await self._driver.ask(item)).result.error
        if error is not None:
            self._errors.append(error)
        loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(sample_id, 0, 0)])

    def _call(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)
