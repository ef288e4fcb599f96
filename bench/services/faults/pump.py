"""Moves one direction of a connection message by message, and hurts the one it is told to."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from bench.services.faults.http2 import DATA, HEADERS, LARGEST_PAYLOAD_BYTES, PREFACE, Frame, Frames, Messages
from bench.services.faults.hurts import Hurt

READ_BYTES = 65536


class Way(Enum):
    """A direction: to the service, or back from it."""

    THERE = "there"
    BACK = "back"


@dataclass(frozen=True)
class Harm:
    """What is done to message ``index`` of every stream that goes a way; those of methods in ``spared`` pass.

    A stream's messages are held until they are whole, so they have to fit HTTP/2's first window of 64 KiB.
    """

    way: Way
    index: int
    hurt: Hurt
    spared: tuple[bytes, ...] = ()


class BrokenError(Exception):
    """The connection is to end, in order or not."""


@dataclass
class Passage:
    """One connection: what both directions know. ``reset`` breaks it; streams in ``spared`` pass."""

    harm: Harm
    reset: Callable[[], None]
    spared: set[int] = field(default_factory=set)


async def pump(passage: Passage, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Move bytes until their source ends.

    Raises:
        BrokenError: A hurt ends the connection.
        OSError: The connection broke.
    """
    frames, messages, outs = Frames(), defaultdict[int, Messages](Messages), dict[int, _Out]()
    if way is Way.THERE:
        writer.write(await reader.readexactly(len(PREFACE)))
    while data := await reader.read(READ_BYTES):
        for frame in frames.feed(data):
            if way is Way.THERE and _spared(passage.harm, frame):
                passage.spared.add(frame.stream)
            if frame.kind != DATA or not frame.payload or frame.stream in passage.spared:
                writer.write(frame.wire())
                continue
            out = outs.setdefault(frame.stream, _Out(passage, writer, frame.stream))
            out.flags = frame.flags
            for index, message in messages[frame.stream].feed(frame.payload):
                hit = passage.harm.way is way and passage.harm.index == index
                await (passage.harm.hurt(message, out) if hit else out.send(message))
        await writer.drain()


def _spared(harm: Harm, frame: Frame) -> bool:
    """Whether a call begins that is to pass: a connection's first of a method has its name in plain bytes."""
    return frame.kind == HEADERS and any(name in frame.payload for name in harm.spared)


class _Out:
    """A stream's way on; its data go in frames that every peer takes."""

    def __init__(self, passage: Passage, writer: asyncio.StreamWriter, stream: int) -> None:
        self.flags = 0
        self._passage = passage
        self._writer = writer
        self._stream = stream
        self._held = b""

    async def send(self, message: bytes) -> None:
        self._put(message, self.flags)
        if self._held:
            held, self._held = self._held, b""
            self._put(held, self.flags)
        await self._writer.drain()

    async def send_part(self, part: bytes) -> None:
        self._put(part, 0)
        await self._writer.drain()

    def hold(self, message: bytes) -> None:
        self._held = message

    def cut(self) -> None:
        raise BrokenError("the connection was cut")

    def reset(self) -> None:
        self._passage.reset()
        raise BrokenError("the connection was reset")

    def _put(self, data: bytes, flags: int) -> None:
        pieces = [data[start : start + LARGEST_PAYLOAD_BYTES] for start in range(0, len(data), LARGEST_PAYLOAD_BYTES)]
        for number, piece in enumerate(pieces or [b""], 1):
            last = number >= len(pieces)
            self._writer.write(Frame(DATA, flags if last else 0, self._stream, piece).wire())
