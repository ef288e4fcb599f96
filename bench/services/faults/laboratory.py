"""A pair whose link can be hurt, and what becomes of a request meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.services.faults.cases import Case
from bench.services.faults.relay import Relay
from bench.services.scrape import Scrape
from kvwire.client import Client
from kvwire.errors import KvwireError
from kvwire.processes import FREE_PORTS, RunningService, free_port, running_service
from kvwire.report import Token
from kvwire.requests import Exchange, FaultPolicy, GenerateRequest, Method, RequestInfo, Text

#: Some 190 tokens, and 7 kB a layer: a whole cache fits the window that a relay which holds messages has.
_CONTEXT = Text("Each Contributor hereby grants to You a perpetual license. " * 8)
_CODEC = "int8"
_RELAYED_TOKENS = 4
#: More than any whole answer takes on a busy machine.
_NEXT_S = 10.0


def asked(method: Method, policy: FaultPolicy, deadline_s: float, new_tokens: int = 4) -> GenerateRequest:
    """The question of every case."""
    exchange = Exchange(method, codec=_CODEC, on_fault=policy, relay_max_tokens=_RELAYED_TOKENS)
    context = None if method is Method.RECEIVER_ONLY else _CONTEXT
    info = RequestInfo(deadline_ms=round(1000 * deadline_s))
    return GenerateRequest(Text("hello"), context, exchange, new_tokens, ignore_eos=True, info=info)


@dataclass(frozen=True)
class Ended:
    """How a request ended: the path that answered or the status of its error, its tokens, and after how long."""

    how: str
    tokens: tuple[int, ...]
    seconds: float
    why: str


@dataclass(frozen=True)
class Laboratory:
    """A running pair; the receiver looks for its sharer at ``link``, where nobody listens but a relay."""

    sharer: RunningService
    receiver: RunningService
    link: str

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """Of the receiver, with its link whole."""
        async with Relay(self.sharer.address, self.link), Client(self.receiver.address) as client:
            yield client

    async def whole(self, request: GenerateRequest) -> Ended:
        """Ask with nothing hurt."""
        async with self.client() as client:
            return await _end(client, request)

    async def hurt(self, case: Case, request: GenerateRequest) -> Ended:
        """Ask while a case has its fault."""
        harm = None if case.answer else case.harm
        back = Relay(self.sharer.address, self.link, harm, case.door) if case.door else None
        front = Relay(self.receiver.address, harm=case.harm) if case.answer else None
        async with _entered(back), _entered(front):
            address = front.address if front else self.receiver.address
            async with Client(address) as client:
                return await _end(client, request, case, back)

    async def next_answer(self, within_s: float) -> Ended:
        """Ask for a whole answer, again until it is one if that takes no longer."""
        end_s = time.monotonic() + within_s
        async with self.client() as client:
            while True:
                ended = await _end(client, asked(Method.PREFIX, FaultPolicy.FAIL, _NEXT_S))
                if ended.how == Method.PREFIX or time.monotonic() >= end_s:
                    return ended

    async def busy(self) -> str:
        """What of a request both services still have; empty once they have nothing."""
        names = ("kvwire_requests_in_flight", "kvwire_cache_memory_bytes")
        services = {"sharer": self.sharer, "receiver": self.receiver}
        scraped = {side: await asyncio.to_thread(Scrape.of, each.metrics) for side, each in services.items()}
        held = {f"{name} of the {side}": found.total(name) for side, found in scraped.items() for name in names}
        return ", ".join(f"{name} {value:.0f}" for name, value in held.items() if value)

    async def idle(self, within_s: float) -> str:
        """Wait until :meth:`busy` is empty, so long at most; what it was then."""
        end_s = time.monotonic() + within_s
        while (found := await self.busy()) and time.monotonic() < end_s:
            pass  # to ask takes some milliseconds
        return found


@contextmanager
def laboratory(model: str, logs: Path, *arguments: str, sharer_arguments: Sequence[str] = ()) -> Iterator[Laboratory]:
    """Start a pair with one model on both sides; ``sharer_arguments`` go to the sharer alone."""
    link = f"127.0.0.1:{free_port()}"
    own = ["--model", model, *FREE_PORTS, *arguments]
    with (
        running_service("sharer_service", [*own, *sharer_arguments], logs / "sharer.log") as sharer,
        running_service("receiver_service", [*own, "--sharers", f"sharer={link}"], logs / "receiver.log") as receiver,
    ):
        yield Laboratory(sharer, receiver, link)


@asynccontextmanager
async def _entered(relay: Relay | None) -> AsyncIterator[None]:
    if relay is None:
        yield
        return
    async with relay:
        yield


async def _end(client: Client, request: GenerateRequest, case: Case | None = None, relay: Relay | None = None) -> Ended:
    begun_s = time.monotonic()
    tokens = list[int]()
    try:
        async for event in client.generate(request):
            if not isinstance(event, Token):
                return Ended(event.path.value, tuple(tokens), time.monotonic() - begun_s, event.reason)
            tokens.append(event.id)
            if len(tokens) == 1 and case and case.during and relay:
                case.during(relay)
    except KvwireError as error:
        return Ended(error.status, (), time.monotonic() - begun_s, str(error))
    return Ended("nothing", (), time.monotonic() - begun_s, "the answer ended without a report")
