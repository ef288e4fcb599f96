"""A relay does to what passes what it is told, and nothing else."""

import asyncio
import contextlib
from contextlib import asynccontextmanager

import pytest

from bench.services.faults.relay import Blow, Relay

SAID = bytes(range(256)) * 40


@asynccontextmanager
async def connected(**options):
    """A relay before a service that says its piece to whoever sends a byte, and a connection through it."""
    ended = asyncio.Event()

    async def say(reader, writer):
        with contextlib.suppress(ConnectionError):
            while await reader.read(1):
                writer.write(SAID)
        await closed(writer)
        ended.set()

    server = await asyncio.start_server(say, "127.0.0.1", 0)
    async with server, Relay(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", **options) as relay:
        host, port = relay.address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            yield relay, reader, writer
        finally:
            await closed(writer)
    if "door" not in options:
        await ended.wait()


async def closed(writer):
    """Close a connection, whatever became of it."""
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def struck(blow):
    """What comes of a piece that is struck, and of the next one."""
    async with connected() as (relay, reader, writer):
        striking = asyncio.create_task(relay.strike(blow))
        await asyncio.sleep(0)
        writer.write(b"?")
        await striking
        first = await reader.read(len(SAID)) if blow is Blow.CUT else await reader.readexactly(len(SAID))
        writer.write(b"?")
        return first, await reader.read(len(SAID)) if blow is Blow.CUT else await reader.readexactly(len(SAID))


async def test_a_flipped_bit_is_one_bit_of_one_piece():
    """The next piece is whole."""
    first, second = await struck(Blow.FLIP)
    assert [a ^ b for a, b in zip(first, SAID, strict=True) if a != b] == [4]
    assert second == SAID


async def test_a_cut_ends_the_connection_within_a_piece_in_order():
    """Some of it came, then the end."""
    first, second = await struck(Blow.CUT)
    assert 0 < len(first) < len(SAID)
    assert SAID.startswith(first)
    assert second == b""


async def test_a_reset_breaks_the_connection():
    """Its reader is told."""
    with pytest.raises(ConnectionResetError):
        await struck(Blow.RESET)


async def test_what_is_held_comes_once_it_is_released():
    """Nothing is lost, and nobody is told meanwhile."""
    async with connected() as (relay, reader, writer):
        relay.hold()
        writer.write(b"?")
        coming = asyncio.create_task(reader.readexactly(len(SAID)))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(coming), 0.05)
        relay.release()
        assert await coming == SAID


async def test_a_closed_door_ends_the_connection():
    """Before anything is sent to the service."""

    async def shut():
        return False

    async with connected(door=shut) as (_, reader, _):
        assert await reader.read() == b""
