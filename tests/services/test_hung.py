"""Of two sharers and two receivers one of each is stopped in turn, as a process that hangs is: nobody waits for ever.

The requests have no deadline, and the machine goes on acknowledging what is sent to a stopped process.
"""

import asyncio
import os
import signal
import time
from contextlib import contextmanager

import pytest

from bench.services.fleet import fleet
from kvwire.balancing.choice import Balance
from kvwire.client import Client
from kvwire.requests import Exchange, GenerateRequest, Method, Text
from kvwire.security import PING_EVERY_MS, PING_TIMEOUT_MS

pytestmark = pytest.mark.slow

#: A ping, the wait for its answer, and what an answer from elsewhere takes on a busy machine.
NOTICED_S = (PING_EVERY_MS + PING_TIMEOUT_MS) / 1000 + 30


@contextmanager
def stopped(service):
    """A service whose process does nothing."""
    pid = service.service.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield time.monotonic()
    finally:
        os.kill(pid, signal.SIGCONT)


async def ask(client, when):
    """Questions on contexts that nobody holds."""
    exchange = Exchange(Method.PREFIX, codec="int8")
    requests = [GenerateRequest(Text("Where?"), Text(f"{when}, fact {n}. "), exchange, 2) for n in range(8)]
    return [answer.report for answer in await asyncio.gather(*map(client.generate_all, requests))]


async def test_who_hangs_is_found_out_and_others_answer(tiny_llama, tmp_path):
    """A sharer by the receivers' pings, a receiver by the client's; every request is answered from a cache."""
    arguments = ["--model", f"path:{tiny_llama}", "--threads", "1", "--log-level", "warning"]
    started = fleet(arguments, tmp_path, receiver_arguments=["--balance", "round_robin"])
    services = await asyncio.to_thread(started.__enter__)
    try:
        async with Client(services.receiver, balance=Balance.ROUND_ROBIN) as client:
            before = await ask(client, "before")
            assert {each.answered_at for each in before} == {each.address for each in services.receivers}
            assert {at for each in before for at in each.sharer_addresses} == {e.address for e in services.sharers}
            with stopped(services.sharers[0]) as begun_s:
                reports = await ask(client, "without a sharer")
                assert time.monotonic() - begun_s < NOTICED_S
                assert {each.sharer_addresses for each in reports} == {(services.sharers[1].address,)}
                assert {each.path for each in reports} == {Method.PREFIX}
            with stopped(services.receivers[0]) as begun_s:
                reports = await ask(client, "without a receiver")
                noticed_s = time.monotonic() - begun_s
                assert noticed_s < NOTICED_S
                assert {each.answered_at for each in reports} == {services.receivers[1].address}
    finally:
        await asyncio.to_thread(started.__exit__, None, None, None)
    print(f"\nall were answered {noticed_s:.0f} s after a receiver hung")
