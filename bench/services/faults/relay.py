"""A TCP relay before a service: hurts single gRPC messages, and breaks, holds or changes what is connected."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Coroutine, Iterator
from enum import Enum
from typing import Self

from bench.services.faults.doors import Door, open_door
from bench.services.faults.pump import READ_BYTES, BrokenError, Harm, Passage, Way, pump

#: A blow is meant for a cache; shorter pieces are the protocol's own.
_STRUCK_AT_BYTE = 4000

#: struct linger: on, for 0 seconds.
_LINGER_NOT = struct.pack("ii", 1, 0)

_End = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Blow(Enum):
    """What can happen to a connection in the middle of a cache: it ends in order, it breaks, or a bit is flipped."""

    CUT = "cut"
    RESET = "reset"
    FLIP = "flip"


class Relay:
    """Stands at ``listen`` before the service at ``target``; use as an asynchronous context manager.

    At the end all connections break, so that whoever used them connects anew.
    """

    def __init__(
        self, target: str, listen: str = "127.0.0.1:0", harm: Harm | None = None, door: Door = open_door
    ) -> None:
        self.address = listen
        self._target = target
        self._harm = harm
        self._door = door
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._blow: Blow | None = None
        self._struck = asyncio.Event()

    async def __aenter__(self) -> Self:
        host, port = _split(self.address)
        self._server = await asyncio.start_server(self._connected, host, port)
        self.address = f"{host}:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self.reset()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    def cut(self) -> None:
        """End all connections in order."""
        for writer in self._writers:
            writer.close()

    def reset(self) -> None:
        """Break all connections: their ends are told, what is under way is lost."""
        for writer in self._writers:
            _break(writer)

    def hold(self) -> None:
        """Let nothing pass, and tell nobody, until :meth:`release`."""
        self._flowing.clear()

    def release(self) -> None:
        """Let pass what was held."""
        self._flowing.set()

    async def strike(self, blow: Blow) -> None:
        """Strike the next large piece that comes back from the service; over once it has been."""
        self._blow = blow
        self._struck.clear()
        try:
            await self._struck.wait()
        finally:
            self._blow = None

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            return
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(OSError, EOFError, BrokenError, asyncio.CancelledError), self._open(writer):
            if await self._door():
                far_reader, far_writer = await asyncio.open_connection(*_split(self._target))
                with self._open(far_writer):
                    await self._joined((reader, writer), (far_reader, far_writer))

    async def _joined(self, near: _End, far: _End) -> None:
        """Move bytes both ways until one has ended."""
        tasks = [asyncio.ensure_future(way) for way in self._ways(near, far)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _ways(self, near: _End, far: _End) -> list[Coroutine[None, None, None]]:
        def reset() -> None:
            _break(near[1])
            _break(far[1])

        if self._harm is None:
            return [self._pass(Way.THERE, near[0], far[1]), self._pass(Way.BACK, far[0], near[1])]
        passage = Passage(self._harm, reset)
        return [pump(passage, Way.THERE, near[0], far[1]), pump(passage, Way.BACK, far[0], near[1])]

    async def _pass(self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(READ_BYTES):
            await self._flowing.wait()
            if self._blow and way is Way.BACK and len(data) > _STRUCK_AT_BYTE:
                blow, self._blow = self._blow, None
                self._struck.set()
                data = _struck(blow, data, writer)
            writer.write(data)
            await writer.drain()

    @contextlib.contextmanager
    def _open(self, writer: asyncio.StreamWriter) -> Iterator[None]:
        self._writers.add(writer)
        try:
            yield
        finally:
            self._writers.discard(writer)
            writer.close()


def _struck(blow: Blow, data: bytes, writer: asyncio.StreamWriter) -> bytes:
    """What is left of a piece.

    Raises:
        BrokenError: Nothing will come after it.
    """
    match blow:
        case Blow.FLIP:
            changed = bytearray(data)
            changed[_STRUCK_AT_BYTE] ^= 4
            return bytes(changed)
        case Blow.CUT:
            writer.write(data[:_STRUCK_AT_BYTE])
        case Blow.RESET:
            _break(writer)
    raise BrokenError(blow.value)


def _break(writer: asyncio.StreamWriter) -> None:
    """Close without a farewell: TCP's RST, which a plain abort does not send."""
    with contextlib.suppress(OSError):  # it is closed already
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    writer.transport.abort()


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)
