"""Asks the receiver and yields the answer as it comes: pieces of text, then how it ended."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

from http_service.until_stop import UntilStop
from kvwire.client import Client
from kvwire.errors import LocalError
from kvwire.report import Report, Token
from kvwire.requests import GenerateRequest


@dataclass(frozen=True)
class Asked:
    """One request of the front door, read.

    ``model``: as the body names it, empty for whichever there is; ``logprobs``: how many of the most likely tokens to
    show at each place, None for no log-probabilities at all.
    """

    generate: GenerateRequest
    model: str
    stream: bool
    include_usage: bool
    logprobs: int | None


@dataclass(frozen=True)
class Piece:
    """Text that can be shown, and the token that came with it, which begins at character ``offset`` of the answer.

    Text waits where it may begin a stop text, and then comes with a later token, or with none.
    """

    text: str
    token: Token | None = None
    offset: int = 0


@dataclass(frozen=True)
class End:
    """How the answer ended, in OpenAI's words, and its report."""

    finish_reason: Literal["stop", "length"]
    report: Report


async def answered(client: Client, request: GenerateRequest) -> AsyncGenerator[Piece | End, None]:
    """Yield pieces, then the end; closed before it, the receiver stops.

    Raises:
        KvwireError: Whatever the receiver answered.
    """
    shown, offset = UntilStop(request.stop), 0
    report: Report | None = None
    async with aclosing(client.generate(request)) as events:
        async for event in events:
            if isinstance(event, Token):
                if not shown.met:  # a receiver that does not know stop texts goes on
                    yield Piece(shown.take(event.text), event, offset)
                    offset += len(event.text)
            else:
                report = event
    if report is None:
        raise LocalError("the receiver ended the answer without a report; it runs another version of kvwire")
    if rest := shown.rest():
        yield Piece(rest)
    whole = shown.met or report.tokens.generated < request.max_new_tokens
    yield End("stop" if whole else "length", report)
