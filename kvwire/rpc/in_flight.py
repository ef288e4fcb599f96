"""The calls that a server has let in and that have not ended."""

import asyncio
import contextlib

from kvwire.errors import UnavailableError
from kvwire.rpc.context import Context


class InFlight:
    """Counts them, until gRPC has sent their status; on the event loop. None is let in once it drains."""

    def __init__(self) -> None:
        self._in_flight = 0
        self._draining = False
        self._none = asyncio.Event()
        self._none.set()

    def begin(self, context: Context) -> None:
        """Count one more.

        Raises:
            UnavailableError: No more are taken.
        """
        if self._draining:
            raise UnavailableError("this service is stopping and takes no more calls; ask another, or again later")
        self._in_flight += 1
        self._none.clear()
        context.add_done_callback(self._ended)  # type: ignore[arg-type]  # grpc-stubs wants a wider callback

    async def drained(self, within_s: float) -> None:
        """Let no more in, and wait until none is left or the time is up."""
        self._draining = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._none.wait()

    def _ended(self, _: object) -> None:
        self._in_flight -= 1
        if not self._in_flight:
            self._none.set()
