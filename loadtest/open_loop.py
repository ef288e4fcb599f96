"""Sends requests when they are due, whatever became of those before: how a service behaves for users who do not wait.

Latencies count from when a request was to be sent. A tester that waits for answers sends less while a service stalls,
and so leaves the stall out of its percentiles ("coordinated omission", G. Tene, 2013); this one cannot.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from loadtest.driver import Outcome
from loadtest.precedence import precedence

#: A tester that is later than this with one request in a hundred measures itself.
LARGEST_LAG_P99_MS = 5.0


@dataclass(frozen=True)
class Sent:
    """A request that was to be sent ``due_s`` after the start and was sent ``lag_s`` later."""

    due_s: float
    lag_s: float
    outcome: Outcome

    @property
    def ok(self) -> bool:
        """Whether it was answered."""
        return self.outcome.result.error is None

    @property
    def first_token_s(self) -> float:
        """From when it was due."""
        return self.lag_s + self.outcome.first_token_s

    @property
    def total_s(self) -> float:
        """From when it was due."""
        return self.lag_s + self.outcome.total_s


#: What is asked; a dataset's item, or whatever else an ``ask`` knows how to.
T = TypeVar("T")


async def open_loop(
    ask: Callable[[T], Awaitable[Outcome]],
    items: Sequence[T],
    due_s: Sequence[float],
    begin_s: float,
    told: Callable[[Sent], None],
) -> list[Sent]:
    """Send an item at each time, ``begin_s`` by ``time.monotonic`` being 0; return what became of each, in order.

    Items are taken in turn, again from the first after the last.
    """
    tasks = []

    async def one(item: T, due: float, lag_s: float) -> Sent:
        sent = Sent(due, lag_s, await ask(item))
        told(sent)
        return sent

    with precedence():
        for index, due in enumerate(due_s):
            await asyncio.sleep(begin_s + due - time.monotonic())
            lag_s = time.monotonic() - begin_s - due
            tasks.append(asyncio.create_task(one(items[index % len(items)], due, lag_s)))
        return list(await asyncio.gather(*tasks))
