"""``/ask``: one question, its answer streamed as lines of JSON: tokens, then a report or an error.

The question runs on the service's event loop like a call over gRPC; this side of it runs on the HTTP port's threads.
"""

import asyncio
import json
import logging
import queue
import uuid
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kvwire.callers.caller import Caller, Size
from kvwire.callers.door import calling, on_behalf_of
from kvwire.engine.worker import Task
from kvwire.errors import InvalidRequestError, KvwireError
from kvwire.facts import report_facts
from kvwire.http_server import Route, reply
from kvwire.http_sockets import GONE
from kvwire.logs import request_id
from kvwire.report import Report, Token
from kvwire.requests import Exchange, GenerateRequest, Method, RequestInfo, Text
from kvwire.rpc.status import status_of
from receiver_service.live.access import Access

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

_log = logging.getLogger(__name__)

# How soon a question whose asker has gone is stopped, in seconds; looking costs a system call.
_LOOK_EVERY_S = 0.1

Events = Callable[[GenerateRequest, Task], AsyncGenerator[Token | Report, None]]
Line = dict[str, Any]


class _Asked(BaseModel):
    """What the page sends; names and defaults are those of a request over gRPC."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: str
    context: str = ""
    method: Method = Method.PREFIX
    codec: str = "fp16"
    fuser: str = "identity"
    sharer: str = ""
    max_new_tokens: int = Field(64, ge=1, le=1024)

    def request(self) -> GenerateRequest:
        return GenerateRequest(
            prompt=Text(self.prompt),
            context=Text(self.context) if self.context else None,
            exchange=Exchange(self.method, self.sharer, self.codec, self.fuser),
            max_new_tokens=self.max_new_tokens,
            info=RequestInfo(request_id=uuid.uuid4().hex, caller=on_behalf_of("")),
        )


@dataclass(frozen=True)
class _Entered:
    """A question, who asks it, and its bytes."""

    asked: _Asked
    caller: Caller
    nbytes: int


class Ask:
    """Answers questions by ``events``, which admits and counts them, on the event loop it is made on."""

    def __init__(self, events: Events, access: Access) -> None:
        self._events = events
        self._access = access
        self._loop = asyncio.get_running_loop()

    def route(self) -> Route:
        """What answers the path."""
        return Route(self._answer, "POST")

    def _answer(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        caller = self._access.entry(environ)
        if not isinstance(caller, Caller):
            return _refused(start_response, *caller)
        body = environ["wsgi.input"].read()
        try:
            asked = _read(body)
        except InvalidRequestError as error:
            return _refused(start_response, HTTPStatus.BAD_REQUEST, error)
        start_response("200 OK", [("Content-Type", "application/x-ndjson"), ("Cache-Control", "no-store")])
        return self._lines(_Entered(asked, caller, len(body)), environ[GONE])

    def _lines(self, entered: "_Entered", gone: Callable[[], bool]) -> Iterator[bytes]:
        """Yield lines as they come. Closing this, or its asker's going away, stops the request."""
        task, lines = Task(), queue.SimpleQueue[Line | None]()
        running = asyncio.run_coroutine_threadsafe(self._run(entered, task, lines.put), self._loop)
        try:
            while (line := _next(lines, gone)) is not None:
                yield _encoded(line)
        finally:
            task.cancel()
            running.cancel()

    async def _run(self, entered: "_Entered", task: Task, put: Callable[[Line | None], None]) -> None:
        calling.set(entered.caller.name)
        asked = entered.asked.request()
        request_id.set(asked.info.request_id)
        size = Size(1, entered.nbytes, asked.max_new_tokens)
        try:
            with self._access.door.admitted(entered.caller, "Generate", size):
                async with aclosing(self._events(asked, task)) as events:
                    async for event in events:
                        put({"token": event.text} if isinstance(event, Token) else {"report": report_facts(event)})
        except Exception as error:  # noqa: BLE001  # every way a question can end is told to its asker
            status, message = status_of(error)
            _log.info("ask: %s: %s", status, message)
            if not isinstance(error, KvwireError):
                _log.error("unexpected error in ask", exc_info=error)
            put(_error(status, message))
        finally:
            put(None)


def _next(lines: queue.SimpleQueue[Line | None], gone: Callable[[], bool]) -> Line | None:
    """The next line; None after the last, or if nobody is there to read it."""
    while not gone():
        try:
            return lines.get(timeout=_LOOK_EVERY_S)
        except queue.Empty:
            continue
    return None


def _read(body: bytes) -> _Asked:
    try:
        return _Asked.model_validate_json(body)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'question'}: {e['msg']}" for e in error.errors())
        raise InvalidRequestError(f"the question cannot be read: {wrong}") from error


def _error(status: str, message: str) -> Line:
    return {"error": {"status": status, "message": message}}


def _encoded(line: Line) -> bytes:
    return json.dumps(line).encode() + b"\n"


def _refused(start_response: "StartResponse", status: HTTPStatus, error: KvwireError) -> Iterable[bytes]:
    return reply(start_response, status, _encoded(_error(error.status, str(error))), "application/json")
