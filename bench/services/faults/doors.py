"""What meets who connects: asked before a connection goes on, and may take its time; False: it does not go on."""

import asyncio
from collections.abc import Awaitable, Callable

from bench.services.faults.hurts import DELAY_S

Door = Callable[[], Awaitable[bool]]


async def open_door() -> bool:
    """It goes on at once."""
    return True


async def late() -> bool:
    """It goes on a little later."""
    await asyncio.sleep(DELAY_S)
    return True


async def closed() -> bool:
    """It is let in and shown out."""
    return False


async def silent() -> bool:
    """It is let in, and nothing more."""
    await asyncio.Event().wait()
    return False
