"""The paths of the front door."""

import time
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from http_service.answer import Asked, answered
from http_service.bodies import read_chat, read_completion
from http_service.chat import Chat
from http_service.completions import Completions
from http_service.failures import error_object, failure_of
from http_service.forms import Form
from http_service.metrics import Metrics
from http_service.middleware import Told
from http_service.models import model_object
from http_service.posts import read_body, token_of
from http_service.receiver import Receiver
from http_service.responses import respond
from http_service.watched import Watched
from kvwire.errors import KvwireError, NotFoundError
from kvwire.logs import request_id
from kvwire.tracing import Tracer

# Who asks for health will not wait long; a receiver that serves answers at once.
_HEALTH_TIMEOUT_S = 1.0

Read = Callable[[bytes, str], Asked]


class FrontDoor:
    """Answers by asking one receiver."""

    def __init__(self, receiver: Receiver, metrics: Metrics, max_body_bytes: int) -> None:
        self._receiver = receiver
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes

    async def completions(self, request: Request) -> Response:
        """``POST /v1/completions``."""
        return await self._answer(request, read_completion, Completions())

    async def chat(self, request: Request) -> Response:
        """``POST /v1/chat/completions``."""
        return await self._answer(request, read_chat, Chat())

    async def models(self, request: Request) -> Response:
        """``GET /v1/models``: the one model there is."""
        described = await self._receiver.describe(token_of(request))
        return JSONResponse({"object": "list", "data": [model_object(described)]})

    async def model(self, request: Request) -> Response:
        """``GET /v1/models/ID``.

        Raises:
            NotFoundError: There is another one.
        """
        described = await self._receiver.describe(token_of(request))
        if request.path_params["id"] != described.card.binding.id:
            raise NotFoundError("the model asked for is not here; GET /v1/models tells which one is")
        return JSONResponse(model_object(described))

    async def health(self, request: Request) -> Response:
        """``GET /health``: whether the receiver serves; no token is needed."""
        del request
        await self._receiver.wait_ready(_HEALTH_TIMEOUT_S)
        return JSONResponse({"status": "ok"})

    async def failed(self, _: Request, error: Exception) -> Response:
        """Whatever an answer ended with before it began."""
        if isinstance(error, KvwireError):
            self._receiver.failed(error)
        return JSONResponse(error_object(error), failure_of(error).status)

    async def _answer(self, request: Request, read: Read, form: Form) -> Response:
        began_s, token = time.perf_counter(), token_of(request)
        asked = read(await read_body(request, self._max_body_bytes), request_id.get())
        model = await self._receiver.model_for(asked, token)
        events = answered(self._receiver.on_behalf_of(token), asked.generate)
        timed = self._metrics.timed(request.url.path, began_s, events)
        return await respond(request, asked, model, form, timed)


async def _no_such_path(_: Request, error: Exception) -> Response:
    """A path or a method that is not served; Starlette says which."""
    if not isinstance(error, HTTPException):
        raise error
    said = {"message": error.detail, "type": "invalid_request_error", "param": None, "code": "not_found"}
    return JSONResponse({"error": said}, error.status_code, headers=error.headers)


def application(receiver: Receiver, metrics: Metrics, tracer: Tracer, max_body_bytes: int) -> ASGIApp:
    """The ASGI application."""
    door = FrontDoor(receiver, metrics, max_body_bytes)
    routes = [
        Route("/v1/completions", door.completions, methods=["POST"]),
        Route("/v1/chat/completions", door.chat, methods=["POST"]),
        Route("/v1/models", door.models),
        Route("/v1/models/{id:path}", door.model),
        Route("/health", door.health),
    ]
    paths = Starlette(
        routes=routes,
        exception_handlers={KvwireError: door.failed, HTTPException: _no_such_path, Exception: door.failed},
    )
    return Told(Watched(paths, routes, metrics, tracer))
