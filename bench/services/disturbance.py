"""How much two services on one machine slow each other: a stage of one, alone and while the other computes."""

import asyncio
import time
from collections.abc import AsyncIterator

from bench.services.asker import Asker, cache
from bench.services.busy import busy
from bench.services.stage_points import Points
from kvwire.client import Client
from kvwire.report import Report
from kvwire.requests import Method

CONTEXT, PROMPT = 64, 16
#: What keeps a service busy: a receiver by writing, a sharer by reading.
_LONG_ANSWER, _LONG_CONTEXT = 256, 256
_WATCHED_ANSWER, _STEPS_ALONE = 96, 5
#: Answers that are written at once in a load that a pair bears: more of them take more of what both services share.
_ROWS = 6
#: They slow each other by some percent, and single readings scatter by ten.
_READINGS = 4


async def disturbances(sharer_address: str, client: Client, asker: Asker, points: Points) -> None:
    """One service's stage alone, and while the other one computes; and a first token that nothing is fitted to."""

    async def reading(name: str) -> None:
        for _ in range(_READINGS):
            report = await cache(client, asker.cache(CONTEXT))
            points.add(f"prefill_{name}", CONTEXT, report.stage_s("prefill", "sharer") or 0.0)

    async def answering(name: str) -> None:
        answer = await client.generate_all(asker.request(CONTEXT, PROMPT, 1))
        points.add(f"ttft_{name}", CONTEXT, answer.first_token_s)

    for measured in (reading, answering):
        await measured("alone")
    written = asker.own(PROMPT, _LONG_ANSWER)
    async with busy(client.address, written, 1):
        await answering("beside")
    async with busy(client.address, written, _ROWS - 1):
        await _steps_by_turns(sharer_address, client, asker, points)
        async with busy(client.address, written, 1):
            await reading("beside")


async def _steps_by_turns(sharer_address: str, client: Client, asker: Asker, points: Points) -> None:
    """Steps of an answer beside those that are written: some while the sharer reads, some while it does not.

    By turns of a second, for a machine's pace changes in less time than a measurement of one kind takes.
    """
    alone, reading = 0, None
    async with Client(sharer_address) as sharer:
        async for step_s in gaps(client.generate(asker.own(PROMPT, _WATCHED_ANSWER))):
            if reading is None:
                points.add("step_alone", _ROWS, step_s)
                alone += 1
                if alone % _STEPS_ALONE == 0:
                    reading = asyncio.create_task(sharer.generate_all(asker.own(_LONG_CONTEXT, 1, Method.SHARER_ONLY)))
            elif reading.done():
                reading = None  # at some time in this step
            else:
                points.add("step_beside", _ROWS, step_s)
        if reading is not None:
            await reading


async def gaps(events: AsyncIterator[object]) -> AsyncIterator[float]:
    """Seconds between one event and the next; a report comes with the last token and is none."""
    before_s: float | None = None
    async for event in events:
        if isinstance(event, Report):
            continue
        now_s = time.perf_counter()
        if before_s is not None:
            yield now_s - before_s
        before_s = now_s
