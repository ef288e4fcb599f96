"""Answers over HTTP: in one, or streamed as server-sent events."""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from http_service.answer import Asked, End, Piece
from http_service.failures import error_object
from http_service.forms import Fields, Form, Head
from http_service.posts import unless_gone
from kvwire.errors import KvwireError

Events = AsyncGenerator[Piece | End, None]


async def respond(request: Request, asked: Asked, model: str, form: Form, events: Events) -> Response:
    """An answer in its form. What fails before the first token fails with a status of its own.

    Raises:
        KvwireError: Whatever the receiver answered, or that the caller hung up.
    """
    head = Head(asked.generate.info.request_id, int(time.time()), model, asked.logprobs)
    if not asked.stream:
        *pieces, end = await unless_gone(request, _all(events))
        return JSONResponse(form.whole(head, pieces, end))
    first = await unless_gone(request, _first(events))
    return _Stream(_parts(form, head, first, events, include_usage=asked.include_usage), events)


class _Stream(StreamingResponse):
    """Server-sent events; however it ends, so does the call that they come from."""

    def __init__(self, parts: AsyncIterator[Fields], events: Events) -> None:
        super().__init__(_lines(parts), media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._events.aclose()


async def _first(events: Events) -> Piece | End:
    return await anext(events)


async def _all(events: Events) -> list[Any]:
    return [event async for event in events]


async def _parts(
    form: Form, head: Head, first: Piece | End, events: Events, *, include_usage: bool
) -> AsyncIterator[Fields]:
    no_usage = {"usage": None} if include_usage else {}
    for part in form.opening(head):
        yield part | no_usage
    event: Piece | End | None = first
    while event is not None:
        if isinstance(event, Piece):
            yield form.piece(head, event) | no_usage
        else:
            yield form.ending(head, event) | no_usage
            if include_usage:
                yield form.usage(head, event)
        event = await anext(events, None)


async def _lines(parts: AsyncIterator[Fields]) -> AsyncIterator[str]:
    """As events, the last one ``[DONE]``; an error that comes late is an event too, and then the last."""
    try:
        async for part in parts:
            yield _event(json.dumps(part, separators=(",", ":")))
        yield _event("[DONE]")
    except KvwireError as error:
        yield _event(json.dumps(error_object(error)))


def _event(data: str) -> str:
    return f"data: {data}\n\n"
