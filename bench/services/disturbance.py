"""How much two services on one machine slow each other: a stage of one, alone and while the other computes."""

from bench.services.asker import Asker, cache
from bench.services.busy import busy
from bench.services.stage_points import Points
from kvwire.client import Client

CONTEXT, PROMPT = 64, 16
#: What keeps a service busy: a receiver by writing, a sharer by reading.
_LONG_ANSWER, _LONG_CONTEXT = 256, 256
#: So many caches at once, so that the sharer always has one to read.
_SHARED = 2
#: Answers that are written at once in a load that a pair bears: more of them take more of what both services share.
_ROWS = 6
#: They slow each other by some percent, and single readings scatter by ten.
_READINGS, _TURNS, _WATCHED_ANSWER = 4, 3, 16


async def disturbances(client: Client, asker: Asker, points: Points) -> None:
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
        await _steps_by_turns(client, asker, points)
        async with busy(client.address, written, 1):
            await reading("beside")


async def _steps_by_turns(client: Client, asker: Asker, points: Points) -> None:
    """Steps of an answer among others that are written, and the same while the sharer reads and sends caches.

    By turns of seconds, for a machine's pace changes in less time than a measurement of one kind takes; by the
    receiver's clock, for what it does for the caches between two steps is none of theirs.
    """

    async def writing(name: str) -> None:
        answer = await client.generate_all(asker.own(PROMPT, _WATCHED_ANSWER))
        decode_s = answer.report.stage_s("decode", "receiver") or 0.0
        points.add(f"step_{name}", _ROWS, decode_s / (_WATCHED_ANSWER - 1))

    for _ in range(_TURNS):
        await writing("alone")
        async with busy(client.address, asker.request(_LONG_CONTEXT, PROMPT, 1), _SHARED):
            await writing("beside")
