"""Keeps a service busy while something else is measured."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

from kvwire.client import Client
from kvwire.requests import GenerateRequest


@asynccontextmanager
async def busy(address: str, request: GenerateRequest, at_once: int) -> AsyncGenerator[None, None]:
    """Have a service answer requests, so many at once, while the block runs, from the first token of each on."""
    begun = [asyncio.Event() for _ in range(at_once)]

    async def ask(client: Client, answered: asyncio.Event) -> None:
        while True:
            async with aclosing(client.generate(request)) as events:
                async for _ in events:
                    answered.set()

    async def all_begun() -> None:
        for answered in begun:
            await answered.wait()

    async with Client(address) as client:
        tasks = [asyncio.create_task(each) for each in (all_begun(), *(ask(client, answered) for answered in begun))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            yield
        finally:
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
