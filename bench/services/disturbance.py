"""How much two services on one machine slow each other: a stage of one, alone and while the other computes.

By turns of seconds, for a machine's pace changes in less time than a measurement of one kind takes; and in an order
that turns too (alone, beside, beside, alone), for answers that are written meanwhile grow.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext

from bench.services.asker import Asker, cache
from bench.services.busy import busy
from bench.services.stage_points import Points
from bench.services.turnover import turnovers
from kvwire.client import Client

CONTEXT, PROMPT = 64, 16
#: What keeps a service busy: a receiver by writing, a sharer by reading. With their prompts, answers stay below the 256
#: slots up to which rows stand side by side: they are written in one pass with who is watched.
_LONG_ANSWER, _LONG_CONTEXT = 224, 256
#: So many caches at once, so that the sharer always has one to read.
_SHARED = 2
#: Answers that are written at once in a load that a pair bears: more of them take more of what both services share.
_ROWS = 6
#: They slow each other by some percent, and single readings scatter by ten.
_TURNS, _READINGS, _WATCHED_ANSWER = 4, 2, 16


async def disturbances(client: Client, asker: Asker, points: Points) -> None:
    """One service's stage alone, and while the other one computes; and a first token that nothing is fitted to."""
    written = asker.own(PROMPT, _LONG_ANSWER)

    async def answering(name: str) -> None:
        answer = await client.generate_all(asker.request(CONTEXT, PROMPT, 1))
        points.add(f"ttft_{name}", CONTEXT, answer.first_token_s)

    async def reading(name: str) -> None:
        for _ in range(_READINGS):
            report = await cache(client, asker.cache(CONTEXT))
            points.add(f"prefill_{name}", CONTEXT, report.stage_s("prefill", "sharer") or 0.0)

    async def writing(name: str) -> None:
        """By the receiver's clock, for what it does for caches between two steps is none of theirs."""
        answer = await client.generate_all(asker.own(PROMPT, _WATCHED_ANSWER))
        decode_s = answer.report.stage_s("decode", "receiver") or 0.0
        points.add(f"step_{name}", _ROWS, decode_s / (_WATCHED_ANSWER - 1))

    for _ in range(_READINGS):  # before others are written: who comes when they have hung up waits for their last step
        await answering("alone")
    async with busy(client.address, written, 1):
        for _ in range(_READINGS):
            await answering("beside")
    await _by_turns(reading, lambda: busy(client.address, written, _ROWS), _TURNS)
    async with busy(client.address, written, _ROWS - 1):
        await turnovers(client, asker, points, PROMPT, _READINGS)
        shared = asker.request(_LONG_CONTEXT, PROMPT, 1)
        await _by_turns(writing, lambda: busy(client.address, shared, _SHARED), _TURNS)


async def _by_turns(
    measured: Callable[[str], Awaitable[None]], beside: Callable[[], AbstractAsyncContextManager[None]], turns: int
) -> None:
    for turn in range(turns):
        for name in ("alone", "beside") if turn % 2 == 0 else ("beside", "alone"):
            async with beside() if name == "beside" else nullcontext():
                await measured(name)
