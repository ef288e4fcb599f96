"""What it takes that an answer comes to those that are being written and goes again, as one of them feels it."""

import asyncio
import time

from bench.services.asker import Asker
from bench.services.stage_points import Points
from kvwire.client import Client
from kvwire.report import Report, Token

#: Who is watched is still written when the last of the others has gone.
_WATCHED_ANSWER, _OTHERS, _OTHERS_ANSWER = 16, 2, 3


async def turnovers(client: Client, asker: Asker, points: Points, prompt: int, readings: int) -> None:
    """Read it off by turns, with and without others, among whoever else is written meanwhile."""
    for _ in range(readings):
        without_s, with_s = [await _between_s(client, asker, prompt, others) for others in (0, _OTHERS)]
        points.add("turnover", _OTHERS, (with_s - without_s) / _OTHERS)


async def _between_s(client: Client, asker: Asker, prompt: int, others: int) -> float:
    """Of the time between an answer's tokens, what is neither its steps nor the reading of others' prompts."""
    begun = asyncio.Event()

    async def watched() -> float:
        came_s: list[float] = []
        decode_s = 0.0
        async for event in client.generate(asker.own(prompt, _WATCHED_ANSWER)):
            match event:
                case Token():
                    came_s.append(time.perf_counter())
                    begun.set()
                case Report():
                    decode_s = event.stage_s("decode", "receiver") or 0.0
        return came_s[-1] - came_s[0] - decode_s

    async def come_and_go() -> float:
        await begun.wait()
        asked = [asker.own(prompt, _OTHERS_ANSWER) for _ in range(others)]
        reports = [(await client.generate_all(each)).report for each in asked]
        return sum(each.stage_s("prefill", "receiver") or 0.0 for each in reports)

    left_s, read_s = await asyncio.gather(watched(), come_and_go())
    return left_s - read_s
