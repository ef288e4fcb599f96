"""What can happen to one message on its way, a function each; what comes behind it passes unhurt, if anything can."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

#: Long enough to be seen beside an answer of the tiny models, short enough for hundreds of cases.
DELAY_S = 0.05
#: A throttled message of some 10 kB takes about as long.
_THROTTLED_PIECE_BYTES = 512
_THROTTLED_PIECE_S = 0.002


class Out(Protocol):
    """Where a message goes on."""

    async def send(self, message: bytes) -> None:
        """Send it, and what was held behind it."""

    async def send_part(self, part: bytes) -> None:
        """Send some of its bytes; the rest may never come."""

    def hold(self, message: bytes) -> None:
        """Send it behind the next one."""

    def cut(self) -> None:
        """End the connection in order, both ways."""

    def reset(self) -> None:
        """Break the connection: its ends are told, what is under way is lost."""


Hurt = Callable[[bytes, Out], Awaitable[None]]


async def delayed(message: bytes, out: Out) -> None:
    """It comes late."""
    await asyncio.sleep(DELAY_S)
    await out.send(message)


async def throttled(message: bytes, out: Out) -> None:
    """It comes slowly."""
    for start in range(0, len(message), _THROTTLED_PIECE_BYTES):
        await out.send_part(message[start : start + _THROTTLED_PIECE_BYTES])
        await asyncio.sleep(_THROTTLED_PIECE_S)
    await out.send(b"")


async def cut(message: bytes, out: Out) -> None:
    """The connection ends within it."""
    await out.send_part(message[: len(message) // 2])
    out.cut()


async def reset(message: bytes, out: Out) -> None:
    """The connection breaks within it."""
    await out.send_part(message[: len(message) // 2])
    out.reset()


async def stalled(message: bytes, out: Out) -> None:
    """Half of it comes, then nothing more, and nobody is told: a network that swallows packets."""
    await out.send_part(message[: len(message) // 2])
    await asyncio.Event().wait()


async def duplicated(message: bytes, out: Out) -> None:
    """It comes twice."""
    await out.send(message)
    await out.send(message)


async def reordered(message: bytes, out: Out) -> None:
    """It comes behind the next one."""
    out.hold(message)


async def dropped(message: bytes, out: Out) -> None:
    """It does not come."""
    del message, out


async def flipped(message: bytes, out: Out) -> None:
    """One bit in its middle is another."""
    changed = bytearray(message)
    changed[len(changed) // 2] ^= 4
    await out.send(bytes(changed))
