"""Two sharers and two receivers under load, each restarted in turn: nobody who asks notices.

The load is the load tester's open loop through the public client, which knows both receivers.
"""

import asyncio
import time

import pytest

from bench.services.fleet import Restartable, fleet
from kvwire.client import Client
from kvwire.requests import Exchange, Method
from loadtest.datasets import load
from loadtest.driver import Driver, Plan
from loadtest.open_loop import open_loop

pytestmark = pytest.mark.slow

#: A second's worth of load, evenly; the next begins when all of it was answered.
DUE_S = tuple(index / 5 for index in range(5))


class Rolling:
    """The load, and what it needs to know before the next service may go."""

    def __init__(self, services, client):
        self.services = services
        self.driver = Driver(client, Plan(Exchange(Method.PREFIX, codec="int8"), deadline_ms=300_000))
        self.items = load("pocket")
        self.sent = []

    async def load(self):
        """Ask for a while; other items each time."""
        self.items = self.items[len(DUE_S) :] + self.items[: len(DUE_S)]
        self.sent += await open_loop(self.driver.ask, self.items, DUE_S, time.monotonic(), lambda _: None)

    def answered(self, service):
        """By every peer of a service: how often it has answered them."""
        if service in self.services.receivers:
            return [service.scrape().total("kvwire_answers_total")]
        calls = {"address": service.address, "code": "OK"}
        return [each.scrape().total("kvwire_sharer_calls_total", **calls) for each in self.services.receivers]

    async def restart(self, service):
        """Under load; it is done once all of its peers were answered by the new process."""
        restarting = asyncio.create_task(asyncio.to_thread(service.restart))
        while not restarting.done():
            await self.load()
        await restarting
        before = self.answered(service)
        while any(now <= then for now, then in zip(self.answered(service), before, strict=True)):
            await self.load()


async def test_every_service_is_restarted_under_load_and_no_request_fails(tiny_llama, tmp_path):
    """First the sharers, then the receivers; all answers are made from a cache."""
    arguments = ["--model", f"path:{tiny_llama}", "--threads", "1", "--log-level", "warning"]
    started = fleet(arguments, tmp_path)
    services = await asyncio.to_thread(started.__enter__)
    try:
        async with Client(services.receiver) as client:
            rolling = Rolling(services, client)
            every: list[Restartable] = [*services.sharers, *services.receivers]
            processes = {each.service.process.pid for each in every}
            while not all(all(rolling.answered(each)) for each in every):
                await rolling.load()
            for each in every:
                await rolling.restart(each)
            assert processes.isdisjoint(each.service.process.pid for each in every)
    finally:
        await asyncio.to_thread(started.__exit__, None, None, None)
    failed = [each.outcome.result.error for each in rolling.sent if not each.ok]
    assert failed == []
    reports = [each.outcome.report for each in rolling.sent]
    assert {report.path for report in reports} == {Method.PREFIX}
    again = sum(report.tries > 1 for report in reports)
    print(
        f"\n{len(reports)} requests, none failed; {again} were answered by another sharer than the first that was asked"
    )
