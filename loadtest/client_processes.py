"""One load from several client processes, so that a busy client is not what is measured."""

import asyncio
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait

from kvwire.balancing.choice import Balance
from kvwire.client import Client
from kvwire.errors import KvwireError, LocalError
from kvwire.security import ClientSecurity
from loadtest.datasets import Item
from loadtest.driver import Driver, Plan
from loadtest.open_loop import Sent, open_loop

#: Until all processes have connected; the first request is due then.
_START_S = 1.0


@dataclass(frozen=True)
class Target:
    """Which service is asked, how, and by what of its addresses."""

    address: str
    security: ClientSecurity
    plan: Plan
    balance: Balance = Balance.AFFINITY

    def client(self) -> Client:
        """One that asks it."""
        return Client(self.address, self.security, self.balance)


async def here(
    target: Target, items: Sequence[Item], due_s: Sequence[float], told: Callable[[Sent], None]
) -> list[Sent]:
    """The whole load from this process."""
    async with target.client() as client:
        driver = Driver(client, target.plan)
        await driver.warm_up(items)
        return await open_loop(driver.ask, items, due_s, time.monotonic(), told)


def spread(
    target: Target, items: Sequence[Item], due_s: Sequence[float], processes: int, told: Callable[[Sent], None]
) -> list[Sent]:
    """Each of so many processes sends every so manieth request; what became of all, in order.

    Raises:
        KvwireError: The service cannot be reached, or a process ended early.
    """
    asyncio.run(_warm_up(target, items))
    processes = min(processes, len(due_s))
    begin_s = time.monotonic() + _START_S * processes
    shares = [
        _Share(
            target,
            tuple(items[index % len(items)] for index in range(first, len(due_s), processes)),
            tuple(due_s[first::processes]),
            begin_s,
        )
        for first in range(processes)
    ]
    found = list[Sent]()
    for sent in _sent(shares):
        told(sent)
        found.append(sent)
    if len(found) != len(due_s):
        raise LocalError(f"client processes ended after {len(found)} of {len(due_s)} requests; their log is above")
    return sorted(found, key=lambda sent: sent.due_s)


async def _warm_up(target: Target, items: Sequence[Item]) -> None:
    async with target.client() as client:
        await Driver(client, target.plan).warm_up(items)


@dataclass(frozen=True)
class _Share:
    """What one process sends, ``begin_s`` by the machine's monotonic clock being 0."""

    target: Target
    items: tuple[Item, ...]
    due_s: tuple[float, ...]
    begin_s: float


def _sent(shares: Sequence[_Share]) -> Iterator[Sent]:
    """What becomes of each request, as it comes."""
    context = multiprocessing.get_context("spawn")
    running, readers = [], set[Connection]()
    try:
        with _interrupts_held():
            for share in shares:
                reader, writer = context.Pipe(duplex=False)
                running.append(context.Process(target=_send, args=(share, writer), daemon=True))
                running[-1].start()
                writer.close()  # the child's copy is the only one: its end is the end of what comes
                readers.add(reader)
        while readers:
            for reader in readers.intersection(wait(readers)):
                try:
                    came = reader.recv()
                except EOFError:
                    readers.discard(reader)
                    continue
                if isinstance(came, KvwireError):
                    raise came
                yield came
    finally:
        for process in running:
            process.terminate()
            process.join()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits, and processes begun meanwhile never hear of it: who began them ends them, in silence."""
    resource_tracker.ensure_running()  # begun with the first process, it would let signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _send(share: _Share, writer: Connection) -> None:
    """The whole life of a client process."""

    async def run() -> None:
        async with share.target.client() as client:
            await client.describe()
            await open_loop(Driver(client, share.target.plan).ask, share.items, share.due_s, share.begin_s, writer.send)

    try:
        asyncio.run(run())
    except KvwireError as error:
        writer.send(error)
