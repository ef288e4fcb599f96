"""One load from several client processes, so that a busy client is not what is measured."""

import asyncio
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain

from kvwire.client import Client
from kvwire.security import ClientSecurity
from loadtest.datasets import Item
from loadtest.driver import Driver, Plan
from loadtest.open_loop import Sent, open_loop

#: Until all processes have connected; the first request is due then.
_START_S = 1.0


@dataclass(frozen=True)
class Target:
    """Which service is asked, and how."""

    address: str
    security: ClientSecurity
    plan: Plan


async def here(
    target: Target, items: Sequence[Item], due_s: Sequence[float], told: Callable[[Sent], None]
) -> list[Sent]:
    """The whole load from this process."""
    async with Client(target.address, target.security) as client:
        driver = Driver(client, target.plan)
        await driver.warm_up(items)
        return await open_loop(driver.ask, items, due_s, time.monotonic(), told)


def spread(target: Target, items: Sequence[Item], due_s: Sequence[float], processes: int) -> list[Sent]:
    """Each of so many processes sends every so manieth request; what became of all, in order."""
    begin_s = time.monotonic() + _START_S * processes
    shares = [
        (target, [items[index % len(items)] for index in range(first, len(due_s), processes)], due_s[first::processes])
        for first in range(min(processes, len(due_s)))
    ]
    with ProcessPoolExecutor(len(shares), mp_context=multiprocessing.get_context("spawn")) as pool:
        found = list(chain.from_iterable(pool.map(_share, shares, [begin_s] * len(shares))))
    return sorted(found, key=lambda sent: sent.due_s)


def _share(share: tuple[Target, list[Item], Sequence[float]], begin_s: float) -> list[Sent]:
    target, items, due_s = share

    async def run() -> list[Sent]:
        async with Client(target.address, target.security) as client:
            await client.describe()
            return await open_loop(Driver(client, target.plan).ask, items, due_s, begin_s, lambda _: None)

    return asyncio.run(run())
