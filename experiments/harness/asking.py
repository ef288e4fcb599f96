"""What lm-eval wants to know of a model, asked over the wire, several requests at a time."""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeVar

from kvwire.client import Client
from kvwire.errors import LocalError
from kvwire.report import ContinuationScore, Report, Scored, Token
from kvwire.requests import GenerateRequest, ScoreRequest

Job = TypeVar("Job")
Answer = TypeVar("Answer")

# What is likelier than this is the likeliest.
_SURE = math.log(0.5)


@dataclass
class Traffic:
    """What all requests took together; ``paths`` are the methods they were answered by.

    What was ``cut_short``, because enough was written, gives no report: its bytes are in no sum.
    """

    paths: Counter[str] = field(default_factory=Counter)
    payload_bytes: int = 0
    grpc_bytes: int = 0
    cut_short: int = 0

    def add(self, report: Report) -> None:
        """Count a request."""
        self.paths[report.path.value] += 1
        if report.bytes is not None:
            self.payload_bytes += report.bytes.payload_bytes
            self.grpc_bytes += report.bytes.grpc_bytes

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "requests": self.paths.total(),
            "answered_by": dict(self.paths),
            "payload_bytes": self.payload_bytes,
            "grpc_bytes": self.grpc_bytes,
            "cut_short": self.cut_short,
        }


async def ask_all(
    client: Client,
    jobs: Sequence[Job],
    ask: Callable[[Client, Job], Awaitable[Answer]],
    told: Callable[[Job, Answer], None],
    at_once: int,
) -> list[Answer]:
    """The answers in the order of the jobs; each is told as it comes.

    Raises:
        KvwireError: Whatever the first one to fail met; nothing more is asked then.
    """
    found: dict[int, Answer] = {}

    async def work(waiting: Iterator[tuple[int, Job]]) -> None:
        for index, job in waiting:
            found[index] = await ask(client, job)
            told(job, found[index])

    waiting = enumerate(jobs)
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(work(waiting))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    return [found[index] for index in range(len(jobs))]


async def likelihoods(client: Client, request: ScoreRequest, traffic: Traffic) -> list[tuple[float, bool]]:
    """Of each continuation, which is token ids: its log-likelihood, and whether greedy decoding would write it.

    Raises:
        KvwireError: Whatever the service answered, or a number that is not finite.
    """
    scored = await client.score(request)
    traffic.add(scored.report)
    found = []
    for score in sorted(scored.scores, key=lambda score: score.index):
        total = math.fsum(score.token_logprobs)
        if not math.isfinite(total):
            raise LocalError(f"log-likelihood {total}: the codec or the model gave numbers that are not finite")
        greedy = _greedy(scored, score)
        if greedy is None:
            greedy = await _writes(client, request, score.token_ids, traffic)
        found.append((total, greedy))
    return found


def _greedy(scored: Scored, score: ContinuationScore) -> bool | None:
    """Whether greedy decoding would write it; None where the scores leave it open."""
    if scored.first_token.id != score.token_ids[0]:
        return False
    return True if all(logprob > _SURE for logprob in score.token_logprobs[1:]) else None


async def _writes(client: Client, scored: ScoreRequest, wanted: tuple[int, ...], traffic: Traffic) -> bool:
    """Whether greedy decoding writes these tokens: let it, as long as it does."""
    request = GenerateRequest(
        prompt=scored.prompt,
        context=scored.context,
        exchange=scored.exchange,
        max_new_tokens=len(wanted),
        ignore_eos=True,
        info=scored.info,
    )
    written = 0
    async with aclosing(client.generate(request)) as events:
        async for event in events:
            if isinstance(event, Report):
                traffic.add(event)
            elif event.id == wanted[written]:
                written += 1
            else:
                traffic.cut_short += 1
                break
    return written == len(wanted)


async def written(
    client: Client,
    request: GenerateRequest,
    until: Sequence[str],
    text: Callable[[Sequence[int]], str],
    traffic: Traffic,
) -> str:
    """What is generated, to its end or until one of the strings is in it; ``text`` decodes tokens.

    Raises:
        KvwireError: Whatever the service answered.
    """
    tokens: list[Token] = []
    said = ""
    async with aclosing(client.generate(request)) as events:
        async for event in events:
            if isinstance(event, Report):
                traffic.add(event)
                break
            tokens.append(event)
            said += event.text
            if any(stop in said for stop in until):
                traffic.cut_short += 1
                break
    return text([token.id for token in tokens])
