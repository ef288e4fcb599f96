"""Whole answers, put together from what came bit by bit, and timed by the client that waited for them."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import pairwise

from kvwire.errors import LocalError
from kvwire.report import ContinuationScore, Report, Scored, Token


@dataclass(frozen=True)
class Generation:
    """A whole generation. Times in seconds by this client's clock, from sending; ``first_token_s`` is the TTFT.

    ``itl_s``: between each token and the one before.
    """

    text: str
    tokens: tuple[Token, ...]
    report: Report
    first_token_s: float
    total_s: float
    itl_s: tuple[float, ...] = ()


@dataclass(frozen=True)
class Scoring(Scored):
    """A whole scoring of a call of its own; times as in :class:`Generation`."""

    first_token_s: float
    total_s: float


@dataclass
class Timer:
    """Seconds since it was made, by a clock that only goes forward."""

    begun: float = field(default_factory=time.perf_counter)

    def elapsed_s(self) -> float:
        """How long it has run."""
        return time.perf_counter() - self.begun


async def whole_generation(events: AsyncIterator[Token | Report], address: str) -> Generation:
    """What the service at ``address`` generates, to the end.

    Raises:
        LocalError: No report came.
    """
    timer = Timer()
    tokens: list[Token] = []
    came_s: list[float] = []
    report: Report | None = None
    async for event in events:
        came_s.append(timer.elapsed_s())
        if isinstance(event, Token):
            tokens.append(event)
        else:
            report = event
    if report is None:
        raise LocalError(_unfinished(address))
    return Generation(
        "".join(token.text for token in tokens),
        tuple(tokens),
        report,
        came_s[0],  # an answer that ends at once has its end for a first token
        timer.elapsed_s(),
        tuple(after - before for before, after in pairwise(came_s[: len(tokens)])),
    )


async def whole_scoring(
    events: AsyncIterator[Token | ContinuationScore | Report], continuations: int, address: str, timer: Timer
) -> Scoring:
    """What the service at ``address`` says of so many continuations, to the end; ``timer`` runs since they were sent.

    Raises:
        LocalError: A score is missing, or the report.
    """
    scores: list[ContinuationScore] = []
    first: Token | None = None
    first_s = 0.0
    report: Report | None = None
    async for event in events:
        match event:
            case Token():
                first, first_s = event, timer.elapsed_s()
            case ContinuationScore():
                scores.append(event)
            case Report():
                report = event
    if first is None or len(scores) != continuations:
        raise LocalError(f"{address} scored {len(scores)} of {continuations} continuations")
    if report is None:
        raise LocalError(_unfinished(address))
    return Scoring(first, tuple(scores), report, first_s, timer.elapsed_s())


def _unfinished(address: str) -> str:
    return f"{address} ended the answer without a report; it runs another version of kvwire"
