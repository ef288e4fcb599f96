"""The load behind the pictures: open loops of several methods and codecs, a sharer that is gone, and one burst."""

import asyncio
import time
from dataclasses import dataclass

from kvwire.client import Client
from kvwire.processes import RunningService
from kvwire.requests import Exchange, FaultPolicy, Method
from loadtest.arrivals import Load, schedule
from loadtest.datasets import load
from loadtest.driver import Driver, Plan
from loadtest.open_loop import Sent, open_loop

DURATION_S = 180.0
GONE = "gone=127.0.0.1:9"  # the discard port: nobody listens


@dataclass(frozen=True)
class Part:
    """Requests of one kind, so many per second as a Poisson process, from when to when."""

    exchange: Exchange
    rate_rps: float
    from_s: float = 0.0
    to_s: float = DURATION_S


# Six requests in ten seconds, and one fault after the other: the gone sharer first, then the burst.
PARTS = (
    Part(Exchange(Method.PREFIX, "sharer", codec="int8"), 0.14),
    Part(Exchange(Method.PREFIX, "sharer", codec="int4"), 0.14),
    Part(Exchange(Method.FUSE, "sharer", codec="fp16"), 0.1),
    Part(Exchange(Method.TEXT, "sharer", relay_max_tokens=12), 0.05),
    Part(Exchange(Method.RECEIVER_READS), 0.1),
    Part(Exchange(Method.SHARER_ONLY), 0.08),
    Part(Exchange(Method.PREFIX, "gone", on_fault=FaultPolicy.RECEIVER_ONLY), 0.15, 50.0, 100.0),
    Part(Exchange(Method.FUSE, "gone"), 0.15, 50.0, 100.0),
    Part(Exchange(Method.PREFIX, "sharer", policy="budget=1000000"), 0.1, 60.0, 120.0),  # no profile was made
    Part(Exchange(Method.PREFIX, "sharer", codec="no-such-codec"), 0.1),
    Part(Exchange(Method.RECEIVER_READS), 30.0, 130.0, 131.0),
)


async def drive(sharer: RunningService, receiver: RunningService) -> None:
    """Send all parts when they are due, and wait for what becomes of them."""
    items, begin_s = load("pocket"), time.monotonic()

    async def one(number: int, part: Part) -> list[Sent]:
        due_s = schedule(Load("poisson", part.rate_rps, part.to_s - part.from_s, seed=number))
        asked = sharer if part.exchange.method is Method.SHARER_ONLY else receiver
        async with Client(asked.address) as client:
            driver = Driver(client, Plan(part.exchange, "letter"))
            return await open_loop(driver.ask, items, due_s, begin_s + part.from_s, lambda _: None)

    await asyncio.gather(*(one(number, part) for number, part in enumerate(PARTS)))
