"""A sharer that is well, hurt and well again, and requests of a receiver that must live with it."""

import asyncio
import contextlib
import time
from contextlib import asynccontextmanager

from kvwire.errors import UnavailableError
from kvwire.requests import Exchange, FaultPolicy, GenerateRequest, Method, RelayMode, RequestInfo, Text, TokenIds

# 500 tokens in fp32 are 128 kB for each of the four layers.
LONG = TokenIds(tuple(range(4, 504)))
# Long, so that a busy machine fails no test; only a sharer that stalls takes all of it.
DEADLINE_MS = 10_000


def asked(policy=FaultPolicy.FAIL, method=Method.PREFIX, deadline_ms=DEADLINE_MS, context=LONG):
    exchange = Exchange(method, codec="fp32", on_fault=policy, relay=RelayMode.VERBATIM)
    info = RequestInfo(deadline_ms=deadline_ms)
    return GenerateRequest(Text("hello"), context, exchange, max_new_tokens=4, ignore_eos=True, info=info)


def unhurt(_offset, data):
    return data


class CutAfter:
    """Lets so many bytes pass, over all connections together, then cuts them all."""

    def __init__(self, passing):
        self.left = passing

    def __call__(self, _offset, data):
        self.left -= len(data)
        return data if self.left >= 0 else None


class StallAfter(CutAfter):
    """Then lets nothing pass any more, and keeps the connections."""

    def __call__(self, _offset, data):
        return super().__call__(_offset, data) or b""


class DamageFrom(CutAfter):
    """Then flips a bit in every large piece."""

    def __call__(self, offset, data):
        passed = super().__call__(offset, data)
        if passed is not None or len(data) < 8192:
            return data
        middle = len(data) // 2
        return data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :]


class Once:
    """Hurts once, as another would, and never again."""

    def __init__(self, hurt):
        self._hurt = hurt

    def __call__(self, offset, data):
        if self._hurt is None:
            return data
        changed = self._hurt(offset, data)
        if changed != data:
            self._hurt = None
        return changed


@asynccontextmanager
async def in_time(deadline_ms=DEADLINE_MS):
    """What happens inside ends within the deadline and a second."""
    begun_s = time.monotonic()
    yield
    assert time.monotonic() - begun_s < deadline_ms / 1000 + 1


async def answered_as_asked(receiver, method=Method.PREFIX):
    """The next answer of a receiver whose sharer is well; a breaker that has opened lets a request through soon."""
    async with asyncio.timeout(120):
        while True:
            with contextlib.suppress(UnavailableError):
                answer = await receiver.generate_all(asked(method=method, deadline_ms=0))
                assert (answer.report.path, answer.report.partial) == (method, False)
                return answer


@asynccontextmanager
async def hurting(exposed, sharer, hurt):
    """A client of the receiver while its sharer, which was well until now, is hurt, and what it answered before.

    At the end it is well again, and that is seen.
    """
    hurts = []

    def pass_on(offset, data):
        return hurt(offset, data) if hurts else data

    async with exposed.behind(sharer, pass_on) as receiver:
        before = await answered_as_asked(receiver)
        hurts.append(hurt)
        yield receiver, before
        hurts.clear()
        await answered_as_asked(receiver)
