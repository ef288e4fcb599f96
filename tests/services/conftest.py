"""Real sharer and receiver processes over tiny models, and a relay that can hurt what passes between them."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from kvwire.client import Client
from kvwire.processes import FREE_PORTS, Pair, RunningService, running_pair, running_service

ONE_THREAD = ["--threads", "1", "--log-level", "warning"]


@dataclass(frozen=True)
class Services:
    """Addresses of a running pair, and the folder of its model."""

    sharer: RunningService
    receiver: RunningService
    model: Path

    def receiver_client(self) -> Client:
        return Client(self.receiver.address)

    def sharer_client(self) -> Client:
        return Client(self.sharer.address)


@contextmanager
def tiny_services(folder: Path, logs: Path, *arguments: str) -> Iterator[Services]:
    pair = Pair(f"path:{folder}", f"path:{folder}")
    with running_pair(pair, [*ONE_THREAD, *arguments], log_dir=logs) as (sharer, receiver):
        yield Services(sharer, receiver, folder)


@pytest.fixture(scope="session", autouse=True)
def in_own_store(own_store: None) -> None:
    """Services of these tests remember fingerprints in a store of their own."""


@pytest.fixture(scope="session")
def pair(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """A tiny Llama on both sides."""
    with tiny_services(tiny_llama, tmp_path_factory.mktemp("logs"), "--max-tokens", "1024") as services:
        yield services


@pytest.fixture(scope="session")
def tiny_pair() -> Callable[..., contextlib.AbstractContextManager[Services]]:
    """Start a pair of one's own, with further arguments for both services."""
    return tiny_services


@pytest.fixture(
    scope="session", params=["tiny_llama", "tiny_gemma", pytest.param("tiny_qwen2", marks=pytest.mark.slow)]
)
def any_pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """A pair of each family in turn."""
    if request.param == "tiny_llama":
        yield request.getfixturevalue("pair")
        return
    folder = request.getfixturevalue(request.param)
    with tiny_services(folder, tmp_path_factory.mktemp("logs")) as services:
        yield services


Hurt = Callable[[int, bytes], bytes | None]


@asynccontextmanager
async def relay(target: str, hurt: Hurt, near: int = 0) -> AsyncIterator[str]:
    """Forward port ``near`` to ``target``; ``hurt(offset, data)`` may change what the target sends, or cut it (None).

    At the end all connections end.
    """
    host, _, port = target.rpartition(":")
    writers: list[asyncio.StreamWriter] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, change: Hurt) -> None:
        offset = 0
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                changed = change(offset, data)
                if changed is None:
                    break
                offset += len(data)
                writer.write(changed)
                await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        writers.extend((writer, far_writer))
        await asyncio.gather(
            pump(reader, far_writer, lambda _, data: data), pump(far_reader, writer, hurt), return_exceptions=True
        )

    server = await asyncio.start_server(connected, "127.0.0.1", near)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.close()


@asynccontextmanager
async def receiver_behind(sharer: str, model: Path, logs: Path, hurt: Hurt) -> AsyncIterator[Client]:
    """A client of a fresh receiver whose sharer is reached through a hurtful relay."""
    async with relay(sharer, hurt) as address:
        arguments = ["--model", f"path:{model}", "--sharers", f"sharer={address}", "--listen", "127.0.0.1:0"]
        arguments += ["--metrics-listen", "127.0.0.1:0", *ONE_THREAD]
        started = running_service("receiver_service", arguments, logs / "receiver.log")
        receiver = await asyncio.to_thread(started.__enter__)
        try:
            async with Client(receiver.address) as client:
                yield client
        finally:
            await asyncio.to_thread(started.__exit__, None, None, None)


@dataclass(frozen=True)
class Exposed:
    """A receiver whose sharer is found at a port where each test puts something else."""

    receiver: RunningService
    near: int

    @asynccontextmanager
    async def behind(self, sharer: str, hurt: Hurt) -> AsyncIterator[Client]:
        """A client of the receiver while its sharer is reached through a hurtful relay."""
        async with relay(sharer, hurt, self.near), Client(self.receiver.address) as client:
            yield client

    @asynccontextmanager
    async def without_sharer(self) -> AsyncIterator[Client]:
        """A client of the receiver while nobody listens where its sharer should be."""
        async with Client(self.receiver.address) as client:
            yield client


@pytest.fixture(scope="session")
def exposed(pair: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exposed]:
    """One for all tests of what the receiver makes of failures: a start costs seconds."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        near = free.getsockname()[1]
    arguments = ["--model", f"path:{pair.model}", "--sharers", f"sharer=127.0.0.1:{near}", *FREE_PORTS, *ONE_THREAD]
    with running_service("receiver_service", arguments, tmp_path_factory.mktemp("logs") / "exposed.log") as receiver:
        yield Exposed(receiver, near)


@pytest.fixture
def hurtful(pair: Services, tmp_path: Path) -> Callable[..., contextlib.AbstractAsyncContextManager[Client]]:
    """Make a receiver whose sharer, the pair's or another, is behind a relay that hurts."""

    def made(hurt: Hurt, sharer: str = pair.sharer.address) -> contextlib.AbstractAsyncContextManager[Client]:
        return receiver_behind(sharer, pair.model, tmp_path, hurt)

    return made
